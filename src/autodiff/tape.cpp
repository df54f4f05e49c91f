#include "bayesflow/autodiff/tape.hpp"

#include <fmt/format.h>

#include <algorithm>
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
#include "kernels/elementwise.hpp"

namespace bayesflow {

using detail::Node;

Tape::Tape() = default;
Tape::~Tape() = default;

void Tape::reset(const TapeSettings& settings) {
  settings_ = settings;
  if (settings.lanes) settings.lanes->require(1);
  lane_ = settings.lanes ? settings.lanes->lanes() : nullptr;
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

Tensor Tape::map_rows_erased(const Plan& plan, std::span<const Tensor> inputs, Tensor (*f)(void*, Tape&, std::span<const Tensor>),
                             void* context) {
  if (inputs.size() > kMaxInputs) throw ArgumentError("map_rows takes at most 24 inputs");
  if (plan.chunks == 1 || is_child_) return run_here(plan, inputs, f, context);
  const bool needs = records();
  if (needs && settings_.lanes) settings_.lanes->require(plan.own_lanes());
  const std::size_t call = used_value_arenas_++;
  // A group of chunks is one task and has one stretch of memory. The smaller the tasks, the better they fit beside a thread that makes the
  // next batch meanwhile; where there are many chunks, lanes are small enough and waste less memory.
  const bool by_chunk = needs && plan.chunks <= kMaxLanes;
  const std::int64_t groups = by_chunk ? plan.own_chunks() : plan.own_lanes();
  const auto first_chunk = [&](std::int64_t group) {
    return by_chunk ? plan.own_chunk() + group : plan.first_chunk(plan.own_lane() + group);
  };
  if (value_arenas_.size() < used_value_arenas_) value_arenas_.push_back(std::make_unique<ArenaGroup>());
  ArenaGroup& arenas = *value_arenas_[call];
  arenas.reset(static_cast<std::size_t>(groups));
  while (static_cast<std::int64_t>(backward_arenas_.size()) < plan.own_lanes()) backward_arenas_.push_back(std::make_unique<Arena>());
  // Without gradients a child's memory is free again as soon as its rows are copied: one child for all chunks of a group is enough.
  // Children are numbered as of one process alone: their numbers choose their noise.
  const std::size_t first_child = add_children(needs ? plan.chunks : plan.lanes);
  const std::int64_t first_item = plan.own_item(), items = plan.own_items();
  const auto lane_of = [&](std::int64_t chunk) -> detail::GradientLane* {
    if (!needs || !settings_.lanes) return nullptr;
    std::int64_t lane = plan.lanes * chunk / plan.chunks;
    while (plan.first_chunk(lane + 1) <= chunk) ++lane;
    return settings_.lanes->lanes() + (lane - plan.own_lane());
  };
  // Whichever chunk ends first makes room for the result; its extents are the same from all.
  Tensor out;
  std::mutex out_mutex;
  const auto run_chunk = [&](Tape& child, std::int64_t chunk) {
    Tensor parts[kMaxInputs];
    const std::int64_t begin = plan.first_item(chunk) - first_item, end = plan.first_item(chunk + 1) - first_item;
    for (std::size_t i = 0; i < inputs.size(); ++i) parts[i] = child.import(inputs[i], begin, end - begin);
    const Tensor part = child.output_ = f(context, child, std::span<const Tensor>(parts, inputs.size()));
    {
      const std::lock_guard lock(out_mutex);
      if (!out) {
        Shape shape = part.shape();
        shape.set(0, items);
        Node* node = new_node(shape);
        node->value = arena_->floats(shape.size());
        node->needs_grad = needs && part.needs_grad();
        out = Tensor(node);
      }
    }
    const std::int64_t stride = out.size() / items;
    std::memcpy(out.node()->value + begin * stride, part.data(), static_cast<std::size_t>(part.size()) * sizeof(float));
  };
  detail::engine_for_each(settings_.pool, groups, [&](std::int64_t group) {
    Arena* arena = &arenas[static_cast<std::size_t>(group)];
    Tape* child = nullptr;
    for (std::int64_t chunk = first_chunk(group); chunk < first_chunk(group + 1); ++chunk) {
      if (needs || child == nullptr)
        child = &start_child(first_child + static_cast<std::size_t>(needs ? chunk : plan.own_lane() + group), lane_of(chunk),
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
  on_backward(out, [this, out, plan, first_child] {
    const std::int64_t stride = out.size() / plan.own_items(), first_own = plan.own_item();
    const float* dy = out.node()->grad;
    // Last chunk first: its activations are still in the cache.
    const auto lane_task = [&](std::int64_t own) {
      const std::int64_t lane = plan.own_lane() + own;
      for (std::int64_t chunk = plan.first_chunk(lane + 1) - 1; chunk >= plan.first_chunk(lane); --chunk) {
        Tape& child = *children_[first_child + static_cast<std::size_t>(chunk)];
        // What outlives this pass is allotted in the child's own memory first.
        for (const Import& import : child.imports_)
          if (!import.copy->grad) import.copy->grad = child.arena_->floats(import.copy->shape.size());
        backward_arenas_[static_cast<std::size_t>(own)]->reset();
        child.backward_arena_ = backward_arenas_[static_cast<std::size_t>(own)].get();
        // The child's output takes its rows of the gradient in place.
        Node* part = child.output_.node();
        if (!part->needs_grad) continue;
        if (*part->grad_set == 0 && part->grad == nullptr) {
          part->grad = const_cast<float*>(dy) + (plan.first_item(chunk) - first_own) * stride;
          *part->grad_set = 1;
          child.run_records();
        } else {
          child.seed_and_run(child.output_, dy + (plan.first_item(chunk) - first_own) * stride);
        }
      }
    };
    detail::engine_for_each(settings_.pool, plan.own_lanes(), lane_task);
    for (std::int64_t chunk = plan.own_chunk(), last = chunk + plan.own_chunks(); chunk < last; ++chunk)
      children_[first_child + static_cast<std::size_t>(chunk)]->return_imports();
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
