#include "bayesflow/autodiff/tape.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <mutex>
#include <utility>

#include "autodiff/fused.hpp"
#include "autodiff/lanes.hpp"
#include "autodiff/ops/pieces.hpp"
#include "bayesflow/core/errors.hpp"
#include "core/denormals.hpp"
#include "core/float32_range.hpp"
#include "core/ranks.hpp"
#include "kernels/elementwise.hpp"

namespace bayesflow {

using detail::Node;

Tape::Tape() = default;
Tape::~Tape() = default;

void Tape::reset(const TapeSettings& settings) {
  settings_ = settings;
  if (settings.lanes) settings.lanes->require(1);
  // What all processes compute alike counts once.
  lane_ = !settings.lanes ? nullptr : settings.ranks && settings.ranks->rank() > 0 ? settings.lanes->aside() : settings.lanes->lanes();
  arena_ = backward_arena_ = &own_arena_;
  own_arena_.reset();
  used_value_arenas_ = 0;
  ops_.clear();
  imports_.clear();
  parameters_.clear();
  used_children_ = 0;
  product_flops_ = bfloat16_flops_ = 0;
  restart_noise();
  output_ = Tensor();
  cuts_rows_ = false;
  precision_ = settings.precision;
}

void Tape::restart_noise() {
  rng_ = Rng(settings_.seed, "tape", settings_.step);
  first_of_noise_ = used_children_;
}

std::size_t Tape::reserved() const {
  std::size_t total = own_arena_.reserved();
  for (const auto& child : children_) total += child->reserved();
  for (const auto& arena : value_arenas_) total += arena->reserved();
  for (const auto& arena : backward_arenas_) total += arena->reserved();
  return total;
}

Node* Tape::new_node(const Shape& shape) {
  Node* node = new (arena_->bytes(sizeof(detail::FusedNode))) detail::FusedNode();
  node->shape = shape;
  node->tape = this;
  node->grad_set = &node->own_set;
  return node;
}

Tensor Tape::input(const Array& values, bool needs_grad) {
  Node* node = new_node(values.shape());
  node->value = arena_->floats(values.size());
  const double* from = values.data();
  std::atomic<bool> fits = true;
  ops::for_elements(*this, values.size(), [&](std::int64_t first, std::int64_t count) {
    if (detail::beyond_float32({from + first, static_cast<std::size_t>(count)})) fits.store(false, std::memory_order_relaxed);
    for (std::int64_t i = first; i < first + count; ++i) node->value[i] = static_cast<float>(from[i]);
  });
  if (!fits) {
    const double* beyond = detail::beyond_float32(values.values());
    throw ArgumentError(fmt::format("input of a network: {} at entry {} of an array of shape {}, {}; scale the values", *beyond,
                                    beyond - from, values.shape().to_string(), detail::kBeyondFloat32));
  }
  node->needs_grad = needs_grad && records();
  return Tensor(node);
}

Tensor Tape::input(const Shape& shape, const float* values, bool needs_grad) {
  Node* node = new_node(shape);
  node->value = arena_->floats(shape.size());
  std::copy_n(values, shape.size(), node->value);  // unlike memcpy, of nothing from nowhere too
  node->needs_grad = needs_grad && records();
  return Tensor(node);
}

Tensor Tape::wrap(const Shape& shape, const float* values) {
  Node* node = new_node(shape);
  node->value = const_cast<float*>(values);  // no op writes to its sources
  return Tensor(node);
}

Tensor Tape::filled(const Shape& shape, float value) {
  Node* node = new_node(shape);
  node->value = arena_->floats(shape.size());
  std::fill_n(node->value, shape.size(), value);
  return Tensor(node);
}

Tensor Tape::parameter(const Shape& shape, const float* value, std::int64_t offset, int number) {
  Node* node = new_node(shape);
  node->value = const_cast<float*>(value);
  const detail::GradientLane* to = lane_;
  node->needs_grad = records() && to != nullptr;
  if (!node->needs_grad) return Tensor(node);
  node->grad = to->gradients + offset;
  if (!is_subnetwork_) {
    node->grad_set = to->touched + number;
    return Tensor(node);
  }
  // The lane's flags of sub-networks that run side by side share a cache line. Each has its own until it ends; a parameter that is used
  // twice has one.
  const auto former = std::ranges::find(parameters_, number, &Parameter::number);
  if (former != parameters_.end())
    node->grad_set = former->node->grad_set;
  else
    parameters_.push_back({node, number});
  return Tensor(node);
}

Tensor Tape::result(const Shape& shape, std::initializer_list<Tensor> sources) {
  Node* node = new_node(shape);
  node->value = arena_->floats(shape.size());
  for (const Tensor& s : sources) node->needs_grad = node->needs_grad || (records() && s && s.needs_grad());
  return Tensor(node);
}

void Tape::run_records() {
  for (auto op = ops_.rbegin(); op != ops_.rend(); ++op)
    if (*op->of->grad_set) op->run(op->context);
}

void Tape::seed_and_run(Tensor of, const float* cotangent) {
  if (!of.needs_grad()) return;
  const detail::GradSink sink = detail::grad_sink(of);
  for (std::int64_t i = 0, n = of.size(); i < n; ++i) {
    const float c = cotangent ? cotangent[i] : 1.0f;
    sink.data[i] = sink.accumulate ? sink.data[i] + c : c;
  }
  run_records();
}

void Tape::backward(Tensor loss) { seed_and_run(loss, nullptr); }
void Tape::backward(Tensor of, const float* cotangent) { seed_and_run(of, cotangent); }

Tensor Tape::import(Tensor source, std::int64_t first, std::int64_t count) {
  if (!source) return {};
  Shape shape = source.shape();
  const std::int64_t stride = shape[0] ? shape.size() / shape[0] : 0;
  shape.set(0, count);
  Node* node = new_node(shape);
  node->value = source.node()->value + first * stride;
  node->needs_grad = records() && source.needs_grad();
  if (node->needs_grad) imports_.push_back({node, source.node(), first * stride});
  return Tensor(node);
}

Tensor Tape::import_all(Tensor source) {
  if (!source) return {};
  Node* node = new_node(source.shape());
  node->value = source.node()->value;
  node->needs_grad = records() && source.needs_grad();
  if (node->needs_grad) imports_.push_back({node, source.node(), 0});
  return Tensor(node);
}

/// Ends with the sums of squares, while the gradients lie in the cache of the core that wrote them. An op that adds to one later resets its
/// flag to "written", which makes the sum of squares invalid.
void Tape::backward_of_subnetwork(const float* cotangent, float place) {
  const detail::GradientLane* to = lane_;
  for (const Parameter& p : parameters_) p.node->own_set = to->touched[p.number];
  seed_and_run(output_, cotangent);
  for (const Parameter& p : parameters_) {
    if (p.node->own_set != 1) continue;
    to->squares[p.number] = kernels::sum_of_squares(p.node->grad, p.node->shape.size());
    to->touched[p.number] = detail::GradientLane::kSquareKnown;
    if (to->places[p.number] != place) to->places[p.number] = place;
  }
}

void Tape::return_imports() {
  for (const Import& import : imports_) {
    if (!*import.copy->grad_set) continue;
    Tensor source(import.source);
    const detail::GradSink sink = detail::grad_sink(source);
    if (!sink.accumulate) std::fill_n(sink.data, source.size(), 0.0f);
    kernels::add(sink.data + import.offset, import.copy->grad, import.copy->shape.size());
  }
}

/// Returns the number of the first.
std::size_t Tape::add_children(std::int64_t count) {
  const std::size_t first = used_children_;
  used_children_ += static_cast<std::size_t>(count);
  while (children_.size() < used_children_) children_.push_back(std::make_unique<Tape>());
  return first;
}

/// To be called by the thread that runs the child: what a tape writes at its start lies in that core's caches then.
Tape& Tape::start_child(std::size_t number, detail::GradientLane* lane, Precision precision, Arena* shared) {
  Tape& child = *children_[number];
  TapeSettings settings = settings_;
  settings.pool = nullptr;
  settings.lanes = nullptr;
  settings.precision = precision;
  settings.ranks = nullptr;
  child.reset(settings);
  child.lane_ = lane;
  child.is_child_ = true;
  child.is_subnetwork_ = false;
  if (shared) child.arena_ = child.backward_arena_ = shared;
  // Every child has its own noise, the same whichever thread runs it.
  child.rng_ = Rng(settings_.seed + 0x9E3779B97F4A7C15ULL * (settings_.step + 1), "shard", number - first_of_noise_);
  return child;
}

std::int64_t Tape::product_flops() const {
  std::int64_t total = product_flops_;
  for (std::size_t i = 0; i < used_children_; ++i) total += children_[i]->product_flops_;
  return total;
}

std::int64_t Tape::bfloat16_flops() const {
  std::int64_t total = bfloat16_flops_;
  for (std::size_t i = 0; i < used_children_; ++i) total += children_[i]->bfloat16_flops_;
  return total;
}

namespace {
constexpr std::size_t kMaxInputs = 24;  // data, masks and times of 8 sources
}

namespace {
/// Sets a value for its own life.
template <class T>
class Meanwhile {
 public:
  Meanwhile(T& of, T value) : of_(of), former_(std::exchange(of, value)) {}
  ~Meanwhile() { of_ = former_; }
  Meanwhile(const Meanwhile&) = delete;
  Meanwhile& operator=(const Meanwhile&) = delete;

 private:
  T& of_;
  T former_;
};
}  // namespace

Tensor Tape::run_here(const Plan& plan, std::span<const Tensor> inputs, Tensor (*f)(void*, Tape&, std::span<const Tensor>), void* context) {
  const Meanwhile cuts(cuts_rows_, plan.inside && !is_child_);
  const Meanwhile precision(precision_, plan.precision.value_or(precision_));
  return f(context, *this, inputs);
}

namespace {

/// The lanes of a plan that this process has: all, or where processes share them out every `of`-th from `me` on. One lane is not shared:
/// all processes run it.
struct OwnLanes {
  bool shared;
  std::int64_t me = 0, of = 1, count;
  OwnLanes(const Plan& plan, const detail::Ranks* ranks) : shared(ranks != nullptr && ranks->size() > 1 && plan.lanes > 1) {
    if (shared) me = ranks->rank(), of = ranks->size();
    count = (plan.lanes - me + of - 1) / of;
  }
  [[nodiscard]] std::int64_t lane(std::int64_t k) const { return me + k * of; }
};

std::int64_t lane_of_chunk(const Plan& plan, std::int64_t chunk) {
  std::int64_t lane = plan.lanes * chunk / plan.chunks;
  while (plan.first_chunk(lane + 1) <= chunk) ++lane;
  return lane;
}

/// The inputs of a map_rows that a gradient goes to.
struct Sources {
  Node** nodes = nullptr;
  std::size_t count = 0;
};

/// f(first item, items) for each run of items that a process has.
template <class F>
void for_items(const Plan& plan, std::int64_t rank, std::int64_t ranks, const F& f) {
  for (std::int64_t lane = rank; lane < plan.lanes; lane += ranks) {
    const std::int64_t begin = plan.first_item(plan.first_chunk(lane));
    f(begin, plan.first_item(plan.first_chunk(lane + 1)) - begin);
  }
}

std::span<std::byte> bytes_of(float* values, std::int64_t count) {
  return std::as_writable_bytes(std::span(values, static_cast<std::size_t>(count)));
}

}  // namespace

/// The whole result of a map_rows, of which this process has its own items; `own` is empty if it has none.
Tensor Tape::share_values(const Plan& plan, Tensor own) {
  detail::Ranks& ranks = *settings_.ranks;
  detail::Ranks::Numbers mine{};  // whether there are any, and need a gradient; the shape
  if (own) {
    mine[0] = own.needs_grad() ? 2 : 1;
    mine[1] = own.shape().rank();
    std::copy(own.shape().begin() + 1, own.shape().end(), mine.begin() + 2);
  }
  const auto all = ranks.meet(detail::Meeting::values, mine);
  for (const auto& numbers : all)
    if (numbers[0] != 0 && numbers != all[0])
      throw detail::RanksError("the networks of two ranks give results of different shapes; all ranks must run the same program");
  if (!own) {
    Shape shape{plan.items};
    for (std::int64_t i = 1; i < all[0][1]; ++i) shape.push_back(all[0][static_cast<std::size_t>(i) + 1]);
    Node* node = new_node(shape);
    node->value = arena_->floats(shape.size());
    node->needs_grad = all[0][0] == 2;
    own = Tensor(node);
  }
  float* values = own.node()->value;
  const std::int64_t stride = own.size() / plan.items, size = ranks.size();
  std::int64_t longest = 0;
  for (std::int64_t r = 0; r < size; ++r) {
    std::int64_t items = 0;
    for_items(plan, r, size, [&](std::int64_t, std::int64_t count) { items += count; });
    longest = std::max(longest, items * stride);
  }
  float* block = arena_->floats(longest);
  float* blocks = arena_->floats(longest * size);
  float* to = block;
  for_items(plan, ranks.rank(), size,
            [&](std::int64_t first, std::int64_t count) { to = std::copy_n(values + first * stride, count * stride, to); });
  std::fill(to, block + longest, 0.0f);
  ranks.gather(bytes_of(block, longest), bytes_of(blocks, longest * size));
  for (std::int64_t r = 0; r < size; ++r) {
    const float* from = blocks + r * longest;
    for_items(plan, r, size, [&](std::int64_t first, std::int64_t count) {
      std::copy_n(from, count * stride, values + first * stride);
      from += count * stride;
    });
  }
  return own;
}

/// What return_imports does for the chunks of one process alone, in the same order.
void Tape::share_gradients(const Plan& plan, std::size_t first_child, std::span<Node* const> sources) {
  if (sources.empty()) return;
  detail::Ranks& ranks = *settings_.ranks;
  (void)ranks.meet(detail::Meeting::gradients_of_inputs, {static_cast<std::int64_t>(sources.size())});
  const std::int64_t size = ranks.size();
  const auto stride = [&](const Node* source) { return source->shape.size() / plan.items; };
  const auto items = [&](std::int64_t chunk) { return plan.first_item(chunk + 1) - plan.first_item(chunk); };
  // Of each chunk and source: whether there is a gradient, then its values.
  std::int64_t longest = 0;
  for (std::int64_t r = 0; r < size; ++r) {
    std::int64_t length = 0;
    for_items(plan, r, size, [&](std::int64_t, std::int64_t count) {
      for (const Node* source : sources) length += count * stride(source);
    });
    for (std::int64_t lane = r; lane < plan.lanes; lane += size)
      length += (plan.first_chunk(lane + 1) - plan.first_chunk(lane)) * static_cast<std::int64_t>(sources.size());
    longest = std::max(longest, length);
  }
  float* block = backward_arena_->floats(longest);
  float* blocks = backward_arena_->floats(longest * size);
  float* to = block;
  for (std::int64_t lane = ranks.rank(); lane < plan.lanes; lane += size)
    for (std::int64_t chunk = plan.first_chunk(lane); chunk < plan.first_chunk(lane + 1); ++chunk) {
      const Tape& child = *children_[first_child + static_cast<std::size_t>(chunk)];
      for (std::size_t i = 0; i < sources.size(); ++i) {
        const Node* copy = child.imports_.at(i).copy;
        const std::int64_t n = items(chunk) * stride(sources[i]);
        const bool has = *copy->grad_set != 0;
        *to++ = has ? 1.0f : 0.0f;
        to = has ? std::copy_n(copy->grad, n, to) : std::fill_n(to, n, 0.0f);
      }
    }
  std::fill(to, block + longest, 0.0f);
  ranks.gather(bytes_of(block, longest), bytes_of(blocks, longest * size));
  const float** from =
      new (backward_arena_->bytes(sizeof(float*) * static_cast<std::size_t>(size))) const float*[static_cast<std::size_t>(size)];
  for (std::int64_t r = 0; r < size; ++r) from[r] = blocks + r * longest;
  for (std::int64_t chunk = 0; chunk < plan.chunks; ++chunk) {
    const float*& next = from[lane_of_chunk(plan, chunk) % size];
    for (Node* source : sources) {
      const std::int64_t n = items(chunk) * stride(source);
      if (*next++ != 0.0f) {
        const detail::GradSink sink = detail::grad_sink(Tensor(source));
        if (!sink.accumulate) std::fill_n(sink.data, source->shape.size(), 0.0f);
        kernels::add(sink.data + plan.first_item(chunk) * stride(source), next, n);
      }
      next += n;
    }
  }
}

Tensor Tape::map_rows_erased(const Plan& plan, std::span<const Tensor> inputs, Tensor (*f)(void*, Tape&, std::span<const Tensor>),
                             void* context) {
  if (inputs.size() > kMaxInputs) throw ArgumentError("map_rows takes at most 24 inputs");
  if (plan.chunks == 1 || is_child_) return run_here(plan, inputs, f, context);
  const bool needs = records();
  const OwnLanes own(plan, settings_.ranks);
  if (needs && settings_.lanes) settings_.lanes->require(own.count);
  const std::size_t call = used_value_arenas_++;
  // A group of chunks is one task and has one stretch of memory. The smaller the tasks, the better they fit beside a thread that makes the
  // next batch meanwhile; where there are many chunks, lanes are small enough and waste less memory.
  const bool by_chunk = needs && plan.chunks <= kMaxLanes;
  std::array<std::int64_t, kMaxLanes> own_chunks{};
  std::int64_t groups = own.count;
  if (by_chunk) {
    groups = 0;
    for (std::int64_t k = 0; k < own.count; ++k)
      for (std::int64_t chunk = plan.first_chunk(own.lane(k)); chunk < plan.first_chunk(own.lane(k) + 1); ++chunk)
        own_chunks[static_cast<std::size_t>(groups++)] = chunk;
  }
  if (value_arenas_.size() < used_value_arenas_) value_arenas_.push_back(std::make_unique<ArenaGroup>());
  ArenaGroup& arenas = *value_arenas_[call];
  arenas.reset(static_cast<std::size_t>(groups));
  while (static_cast<std::int64_t>(backward_arenas_.size()) < own.count) backward_arenas_.push_back(std::make_unique<Arena>());
  // Without gradients a child's memory is free again as soon as its rows are copied: one child for all chunks of a group is enough.
  // Children are numbered as of one process alone: their numbers choose their noise.
  const std::size_t first_child = add_children(needs ? plan.chunks : plan.lanes);
  const auto lane_of = [&](std::int64_t chunk) -> detail::GradientLane* {
    if (!needs || !settings_.lanes) return nullptr;
    const std::int64_t lane = lane_of_chunk(plan, chunk);
    return own.shared ? settings_.lanes->lanes() + lane / own.of : lane_ + lane;
  };
  // Whichever chunk ends first makes room for the result; its extents are the same from all.
  Tensor out;
  std::mutex out_mutex;
  const auto run_chunk = [&](Tape& child, std::int64_t chunk) {
    Tensor parts[kMaxInputs];
    const std::int64_t begin = plan.first_item(chunk), end = plan.first_item(chunk + 1);
    for (std::size_t i = 0; i < inputs.size(); ++i) parts[i] = child.import(inputs[i], begin, end - begin);
    const Tensor part = child.output_ = f(context, child, std::span<const Tensor>(parts, inputs.size()));
    {
      const std::lock_guard lock(out_mutex);
      if (!out) {
        Shape shape = part.shape();
        shape.set(0, plan.items);
        Node* node = new_node(shape);
        node->value = arena_->floats(shape.size());
        node->needs_grad = needs && part.needs_grad();
        out = Tensor(node);
      }
    }
    const std::int64_t stride = out.size() / plan.items;
    std::memcpy(out.node()->value + begin * stride, part.data(), static_cast<std::size_t>(part.size()) * sizeof(float));
  };
  detail::engine_for_each(settings_.pool, groups, [&](std::int64_t group) {
    Arena* arena = &arenas[static_cast<std::size_t>(group)];
    Tape* child = nullptr;
    const std::int64_t lane = own.lane(group);  // unless tasks are chunks
    const std::int64_t begin = by_chunk ? own_chunks[static_cast<std::size_t>(group)] : plan.first_chunk(lane);
    const std::int64_t end = by_chunk ? begin + 1 : plan.first_chunk(lane + 1);
    for (std::int64_t chunk = begin; chunk < end; ++chunk) {
      if (needs || child == nullptr)
        child = &start_child(first_child + static_cast<std::size_t>(needs ? chunk : lane), lane_of(chunk),
                             plan.precision.value_or(precision_), arena);
      if (!needs) arena->reset();
      run_chunk(*child, chunk);
    }
  });
  if (!needs) {
    const std::int64_t flops = product_flops(), in_bfloat16 = bfloat16_flops();
    used_children_ = first_child;  // the next map_rows takes their memory
    product_flops_ += flops - product_flops();
    bfloat16_flops_ += in_bfloat16 - bfloat16_flops();
  }
  Sources sources;
  if (own.shared) {
    out = share_values(plan, out);
    sources.nodes = new (arena_->bytes(sizeof(Node*) * kMaxInputs)) Node* [kMaxInputs] {};
    for (const Tensor& input : inputs)
      if (needs && input && input.needs_grad()) sources.nodes[sources.count++] = input.node();
  }
  on_backward(out, [this, out, plan, first_child, own, sources] {
    const std::int64_t stride = out.size() / plan.items;
    const float* dy = out.node()->grad;
    // Last chunk first: its activations are still in the cache.
    const auto lane_task = [&](std::int64_t k) {
      const std::int64_t lane = own.lane(k);
      for (std::int64_t chunk = plan.first_chunk(lane + 1) - 1; chunk >= plan.first_chunk(lane); --chunk) {
        Tape& child = *children_[first_child + static_cast<std::size_t>(chunk)];
        // What outlives this pass is allotted in the child's own memory first.
        for (const Import& import : child.imports_)
          if (!import.copy->grad) import.copy->grad = child.arena_->floats(import.copy->shape.size());
        backward_arenas_[static_cast<std::size_t>(k)]->reset();
        child.backward_arena_ = backward_arenas_[static_cast<std::size_t>(k)].get();
        // The child's output takes its rows of the gradient in place.
        Node* part = child.output_.node();
        if (!part->needs_grad) continue;
        if (*part->grad_set == 0 && part->grad == nullptr) {
          part->grad = const_cast<float*>(dy) + plan.first_item(chunk) * stride;
          *part->grad_set = 1;
          child.run_records();
        } else {
          child.seed_and_run(child.output_, dy + plan.first_item(chunk) * stride);
        }
      }
    };
    detail::engine_for_each(settings_.pool, own.count, lane_task);
    if (own.shared) return share_gradients(plan, first_child, {sources.nodes, sources.count});
    for (std::int64_t chunk = 0; chunk < plan.chunks; ++chunk) children_[first_child + static_cast<std::size_t>(chunk)]->return_imports();
  });
  return out;
}

void Tape::fork_erased(std::span<const Tensor> inputs, std::span<Tensor> outputs,
                       Tensor (*f)(void*, std::int64_t, Tape&, std::span<const Tensor>), void* context) {
  const auto count = static_cast<std::int64_t>(outputs.size());
  if (inputs.size() > kMaxInputs || outputs.size() > kMaxInputs) throw ArgumentError("fork takes at most 24 inputs and 24 outputs");
  if (is_child_ || settings_.pool == nullptr) {
    const Meanwhile cuts(cuts_rows_, false);  // as in a child
    for (std::int64_t i = 0; i < count; ++i) outputs[static_cast<std::size_t>(i)] = f(context, i, *this, inputs);
    return;
  }
  const std::size_t first_child = add_children(count);
  detail::engine_for_each(settings_.pool, count, [&](std::int64_t i) {
    Tape& child = start_child(first_child + static_cast<std::size_t>(i), lane_, precision_);
    child.is_subnetwork_ = true;
    Tensor parts[kMaxInputs];
    for (std::size_t k = 0; k < inputs.size(); ++k) parts[k] = child.import_all(inputs[k]);
    child.output_ = f(context, i, child, std::span<const Tensor>(parts, inputs.size()));
  });
  struct Outputs {
    Tensor mine[kMaxInputs];
  } all;
  for (std::int64_t i = 0; i < count; ++i) {
    Tensor part = children_[first_child + static_cast<std::size_t>(i)]->output_;
    Node* node = new_node(part.shape());
    node->value = part.node()->value;
    node->needs_grad = records() && part.needs_grad();
    all.mine[i] = outputs[static_cast<std::size_t>(i)] = Tensor(node);
  }
  on_backward_of_any(outputs, [this, all, count, first_child] {
    while (static_cast<std::int64_t>(backward_arenas_.size()) < count) backward_arenas_.push_back(std::make_unique<Arena>());
    detail::engine_for_each(settings_.pool, count, [&](std::int64_t i) {
      Tape& child = *children_[first_child + static_cast<std::size_t>(i)];
      // Gradients are needed until `return_imports` below; those of the next fork take the same memory, which is warm.
      child.backward_arena_ = backward_arenas_[static_cast<std::size_t>(i)].get();
      child.backward_arena_->reset();
      const Node* mine = all.mine[i].node();
      if (!mine->needs_grad || !*mine->grad_set) return;
      child.backward_of_subnetwork(mine->grad, (static_cast<float>(i) + 0.5f) / static_cast<float>(count));
    });
    for (std::int64_t i = 0; i < count; ++i) children_[first_child + static_cast<std::size_t>(i)]->return_imports();
  });
}

namespace detail {

namespace {
GradSink next_sink(Node* node) {
  if (!node->grad) node->grad = node->tape->backward_arena().floats(node->shape.size());
  const bool accumulate = *node->grad_set != 0;
  *node->grad_set = 1;
  return {node->grad, accumulate};
}
}  // namespace

GradSink grad_sink(Tensor x) {
  fused(x).grad_masked = false;
  return next_sink(x.node());
}

GradSink masked_grad_sink(Tensor x) {
  fused(x).grad_masked = fused(x).relu;
  return next_sink(x.node());
}

const float* grad_or_zero(Tensor x) {
  if (!x.grad()) {
    const GradSink zero = grad_sink(x);
    std::fill_n(zero.data, x.size(), 0.0f);
  }
  return x.node()->grad;
}

void deliver(Tensor x, const float* values, float factor) {
  if (!x || !x.needs_grad()) return;
  const GradSink sink = grad_sink(x);
  ops::for_elements(x.tape(), x.size(), [&](std::int64_t i, std::int64_t n) {
    if (sink.accumulate)
      kernels::add_scaled(sink.data + i, values + i, factor, n);
    else
      kernels::scale(values + i, factor, sink.data + i, n);
  });
}

}  // namespace detail
}  // namespace bayesflow
