/// What a trained amortizer is asked for: draws, densities, summaries.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <iterator>
#include <limits>

#include "amortizers/amortizer_state.hpp"
#include "bayesflow/core/errors.hpp"
#include "core/float32_range.hpp"
#include "core/interruption.hpp"

namespace bayesflow {
namespace {

Array to_array(Tensor x) {
  Array out = uninitialized_array(x.shape());
  std::copy_n(x.data(), x.size(), out.data());
  return out;
}

constexpr std::int64_t kBlocksTogether = 4;  // blocks of draws that pass through the network together, at most

/// Number of the block of data set `b` that starts with draw `first`: names its stream of random numbers, for any number of draws.
std::uint64_t block_index(std::int64_t b, std::int64_t first) {
  return static_cast<std::uint64_t>(b) << 32 | static_cast<std::uint64_t>(first / DrawStreams::kBlock);
}

/// Lends one of a few tapes to whichever thread needs one, and takes it back even if the thread's task throws.
class TapeLender {
 public:
  explicit TapeLender(const std::vector<std::unique_ptr<Tape>>& tapes) {
    for (const auto& t : tapes) free_.push_back(t.get());
  }
  class Loan {
   public:
    explicit Loan(TapeLender& lender) : lender_(lender) {
      const std::lock_guard lock(lender_.mutex_);
      tape_ = lender_.free_.back();
      lender_.free_.pop_back();
    }
    ~Loan() {
      const std::lock_guard lock(lender_.mutex_);
      lender_.free_.push_back(tape_);
    }
    Loan(const Loan&) = delete;
    Loan& operator=(const Loan&) = delete;
    Tape* operator->() const { return tape_; }
    Tape& operator*() const { return *tape_; }

   private:
    TapeLender& lender_;
    Tape* tape_;
  };

 private:
  std::mutex mutex_;
  std::vector<Tape*> free_;
};

/// Where a network's results for finite inputs are not finite: data set `b`. Its largest value is where to look.
[[noreturn]] void refuse_overflow(const AmortizerKind& kind, const char* what, const char* which, const Batch& batch, std::int64_t b) {
  std::string largest;
  float most = -1;
  for (const auto& [role, values] : batch.entries()) {
    const std::span<const float> row = values.row_values(b);
    const auto at = std::ranges::max_element(row, {}, [](float x) { return std::abs(x); });
    if (at == row.end() || std::abs(*at) <= most) continue;
    most = std::abs(*at);
    largest = fmt::format("{} in {}, column {}", *at, role.c_str(), values.rank() > 1 ? (at - row.begin()) % values.dim(-1) : 0);
  }
  throw ArgumentError(
      fmt::format("{}: {} of data set {} are not finite, although its values are: they are too far from those of training for float32. "
                  "Its largest: {}; scale the values as in training",
                  call_of(kind, what), which, b, largest));
}

/// Throws ArgumentError if the results of a data set, equally many for each, are `wrong`.
template <class Number, class Wrong>
void require_results(const AmortizerKind& kind, const char* what, const char* which, const Batch& batch, std::span<const Number> values,
                     Wrong&& wrong) {
  const std::int64_t sets = batch.batch_size();
  const std::size_t each = values.size() / static_cast<std::size_t>(sets);
  for (std::int64_t b = 0; b < sets; ++b)
    if (wrong(values.subspan(static_cast<std::size_t>(b) * each, each))) refuse_overflow(kind, what, which, batch, b);
}

}  // namespace

/// A call of inference, with the memory and the threads that it has, all of it by the weights of one training step. Memory of small calls
/// is kept, so that the next is quick; that of large ones goes back to the system, since a program that has looked at many data sets once
/// need not hold their activations for ever.
class Amortizer::Pass {
 public:
  /// `rows`: of the networks' largest input. Calls of few rows run on the caller's thread, which takes less time than waking others, and so
  /// do those that begin while another call has the threads.
  Pass(State& state, std::int64_t rows, std::optional<Precision> precision = {}, std::uint64_t seed = 0)
      : reading_(state.store->lock()), inference_(state.contexts.get()), precision_(precision.value_or(state.options.precision)) {
    constexpr std::int64_t kFewRows = 64;
    {
      const std::lock_guard lock(inference_.mutex);
      if (rows > kFewRows && !inference_.pool_is_used) {
        if (!inference_.pool) inference_.pool = std::make_unique<ThreadPool>(state.options.threads);
        inference_.pool_is_used = true;
        pool_ = inference_.pool.get();
      }
      if (!inference_.free.empty()) {
        context_ = std::move(inference_.free.back());
        inference_.free.pop_back();
      }
    }
    if (!context_) context_ = std::make_unique<State::Context>();
    renew(context_->tape);
    context_->tape->reset({.gradients = false, .training = false, .seed = seed, .pool = pool_, .precision = precision_});
  }
  ~Pass() {
    if (process_ != detail::process_generation()) return;  // a child that was forked within the call: the lock may be held for ever
    give_back(context_->tape);
    for (auto& t : context_->block_tapes) give_back(t);
    const std::lock_guard lock(inference_.mutex);
    if (pool_) inference_.pool_is_used = false;
    if (inference_.free.size() < kMostFree) inference_.free.push_back(std::move(context_));
  }
  Pass(const Pass&) = delete;
  Pass& operator=(const Pass&) = delete;
  Tape& operator*() const { return *context_->tape; }
  [[nodiscard]] Precision precision() const { return precision_; }
  /// To be called at the end. Throws ArgumentError if bfloat16 was asked for and has changed nothing. `elsewhere`: products on other tapes
  /// were made in it.
  void require_precision(const AmortizerKind& kind, const char* what, bool elsewhere = false) const {
    if (precision_ == Precision::float32 || elsewhere || context_->tape->bfloat16_flops() > 0) return;
    throw ArgumentError(
        fmt::format("{}: precision is bfloat16, but these networks multiply nothing in it: that takes a dense layer with 32 inputs and 5 "
                    "outputs or more; leave it at float32",
                    call_of(kind, what)));
  }
  [[nodiscard]] int threads() const { return pool_ ? pool_->threads() : 1; }
  /// One more tape for each thread.
  [[nodiscard]] const std::vector<std::unique_ptr<Tape>>& block_tapes() const {
    auto& tapes = context_->block_tapes;
    tapes.resize(std::max(tapes.size(), static_cast<std::size_t>(threads())));
    for (auto& t : tapes) renew(t);
    return tapes;
  }
  /// task(i) for every i below `count`, on the threads that the call has.
  template <class Task>
  void for_each(std::int64_t count, const Task& task) const {
    if (pool_) return pool_->for_each(count, task);
    for (std::int64_t i = 0; i < count; ++i) {
      detail::check_interruption();
      task(i);
    }
  }

 private:
  static constexpr std::size_t kKept = std::size_t{2} << 20, kMostFree = 8;
  static void renew(std::unique_ptr<Tape>& tape) {
    if (!tape) tape = std::make_unique<Tape>();
  }
  static void give_back(std::unique_ptr<Tape>& tape) {
    if (tape && tape->reserved() > kKept) tape.reset();
  }
  nn::WeightLock::Reading reading_;  // before the mutex: see WeightLock
  State::Inference& inference_;
  Precision precision_;
  std::unique_ptr<State::Context> context_;
  ThreadPool* pool_ = nullptr;
  std::uint64_t process_ = detail::process_generation();
};

namespace {

/// Rows of the largest of the networks' inputs.
std::int64_t rows_of(const Batch& batch) {
  std::int64_t most = 0;
  for (const auto& [role, values] : batch.entries()) most = std::max(most, values.dim(0) * rows_per_item(values.shape()));
  return most;
}

bool any_not_finite(std::span<const float> row) {
  return std::ranges::any_of(row, [](float x) { return !std::isfinite(x); });
}

}  // namespace

/// Batch::check; one data set without the axis of data sets is told from data of a wrong shape.
void Amortizer::require_valid(const Batch& batch, const char* what) const {
  const State& s = *state_;
  const std::string owner = call_of(s.kind, what);
  check_roles(shapes_of(batch));
  const auto require_axis = [&](const char* role, int most) {
    const Block* given = role ? batch.find(role) : nullptr;
    const Shape* shape = role ? find_shape(s.built_for, role) : nullptr;
    if (!given || !shape || shape->rank() > most || given->rank() + 1 != shape->rank()) return;
    std::string wanted = "(batch";
    for (int i = 1; i < shape->rank(); ++i) wanted += fmt::format(", {}", (*shape)[i]);
    throw ShapeError(
        fmt::format("{}: {} of shape {} have an axis too few: the networks were built for {}); one data set x is given as "
                    "x.expand_dims(0)",
                    owner, role, given->shape().to_string(), wanted));
  };
  require_axis(s.kind.summary, 3);  // more axes may be left out
  require_axis(s.kind.direct, 2);
  batch.check(owner.c_str());
}

LossTerms Amortizer::compute_loss(const Batch& batch) const {
  require_built("compute_loss");
  require_valid(batch, "compute_loss");
  const Pass pass(*state_, rows_of(batch));
  const LossTensors t = loss(*pass, batch);
  pass.require_precision(state_->kind, "compute_loss");
  auto names = std::make_shared<std::vector<std::string>>(loss_names());
  names->emplace_back(kWeightDecay);
  LossTerms out(std::move(names));
  for (std::size_t i = 0; i + 1 < out.size(); ++i) out.set(i, static_cast<double>(t.terms[i].data()[0]));
  out.set(out.size() - 1, weight_decay());
  return out;
}

Array Amortizer::summary(const Batch& batch) const { return summary_by(batch, forward_of); }

Array Amortizer::summary_by(const Batch& batch, Summarize by) const {
  require_built("summary");
  require_valid(batch, "summary");
  if (!state_->summary) throw SummaryStatsError(fmt::format("{}: there is no summary network", call_of(state_->kind, "summary")));
  const Pass pass(*state_, rows_of(batch));
  const Tensor summary = summarize(*pass, batch, by);
  require_results(state_->kind, "summary", "the summaries", batch,
                  std::span<const float>(summary.data(), static_cast<std::size_t>(summary.size())), any_not_finite);
  return to_array(summary);
}

Array Amortizer::summaries_of(const Batch& batch) const { return summary_net() ? summary(batch) : Array(); }

std::vector<double> Amortizer::losses_of(const Batch& batch) const {
  std::vector<Foreign> ignored;
  const Array losses = evaluate("losses_of", batch, &ignored, [this](Tape& t, Tensor targets, Tensor condition) {
    return state_->inference->loss(t, targets, condition);
  });
  std::vector<double> out(static_cast<std::size_t>(losses.dim(0)), 0.0);
  const std::size_t each = static_cast<std::size_t>(losses.size()) / out.size();
  for (std::size_t i = 0; i < out.size() * each; ++i) out[i / each] += losses.data()[i] / static_cast<double>(each);
  return out;
}

std::shared_ptr<const SeenData> Amortizer::seen() const { return state_->seen.load(); }

void Amortizer::set_seen(const SeenData& seen) {
  state_->seen.store(std::make_shared<const SeenData>(seen));
  state_->typicality.store(nullptr);
}

void Amortizer::set_check_level(double level) {
  if (!(level >= 0 && level < 1))
    throw ArgumentError(
        fmt::format("{}: the level must be at least 0 (no check) and below 1; got {}", call_of(state_->kind, "set_check_level"), level));
  state_->check_level = level;
}
double Amortizer::check_level() const { return state_->check_level; }

std::shared_ptr<const Typicality> Amortizer::typicality() const {
  std::shared_ptr<const Typicality> out = state_->typicality.load();
  if (out) return out;
  const std::shared_ptr<const SeenData> known = seen();
  if (!known || !state_->kind.summary || known->reference.count < Typicality::kFewest) return nullptr;
  out = std::make_shared<const Typicality>(known->reference);
  state_->typicality.store(out);
  return out;
}

void Amortizer::look_for_foreign(const Batch& batch, const Tensor& summary, std::vector<Foreign>& found, Typical* typical) const {
  const std::shared_ptr<const SeenData> known = seen();
  if (!known) return;
  const bool has_summaries = summary && summary.rank() == 2 && summary.cols() == static_cast<std::int64_t>(known->summaries.size());
  const float* const summaries = has_summaries ? summary.data() : nullptr;
  found = compare(*known, batch, summaries);
  // What is beyond all ranges has been said more plainly.
  const double level = check_level();
  if (!typical && (level == 0 || !found.empty())) return;
  const std::shared_ptr<const Typicality> reference = typicality();
  if (!reference) return;
  Typical seen_so = reference->compare(batch, summaries);
  if (found.empty() && level > 0)
    if (std::optional<Foreign> unlike = unlike_simulations(seen_so, reference->size(), level)) found.push_back(std::move(*unlike));
  if (typical) *typical = std::move(seen_so);
}

void Amortizer::tell(std::vector<Foreign> found, std::vector<Foreign>* to) const {
  if (to)
    to->insert(to->end(), std::make_move_iterator(found.begin()), std::make_move_iterator(found.end()));
  else
    for (const Foreign& f : found) options().logger(LogLevel::warning, f.sentence);
}

std::vector<Foreign> Amortizer::foreign(const Batch& batch) const {
  require_built("foreign");
  require_valid(batch, "foreign");
  std::vector<Foreign> out;
  const Pass pass(*state_, rows_of(batch));
  Tensor summary;
  (void)condition(*pass, batch, &summary);
  look_for_foreign(batch, summary, out);
  return out;
}

DataCheck Amortizer::check(const Batch& batch, const CheckOptions& options) const {
  require_built("check");
  require_valid(batch, "check");
  DataCheck out;
  {
    const Pass pass(*state_, rows_of(batch));
    Tensor summary;
    (void)condition(*pass, batch, &summary);
    look_for_foreign(batch, summary, out.foreign, &out.typical);
  }
  if (out.typical.p_values.empty())
    out.typical.p_value = out.typical.p_together = std::numeric_limits<double>::quiet_NaN();
  else
    out.reference = typicality()->size();
  if (options.n_samples < 0)
    throw ArgumentError(fmt::format("{}: n_samples must not be negative; got {}", call_of(state_->kind, "check"), options.n_samples));
  const std::shared_ptr<const SeenData> known = seen();
  const std::span<const SeenColumn> range = known ? known->of(state_->kind.target) : std::span<const SeenColumn>();
  if (options.n_samples == 0 || static_cast<std::int64_t>(range.size()) != target_width()) return out;
  Batch given = batch;
  given.set(state_->kind.target, {});
  std::vector<Foreign> of_draws;
  const Array drawn = draws(given, options.n_samples, {.seed = options.seed, .foreign = &of_draws});
  for (Foreign& f : of_draws)
    if (f.kind == Foreign::Kind::draws) out.foreign.push_back(std::move(f));
  out.outside = Array({drawn.dim(0), drawn.dim(2)});
  for (std::int64_t i = 0; i < drawn.size(); ++i) {
    const std::int64_t j = i % drawn.dim(2), b = i / (drawn.dim(1) * drawn.dim(2));
    const SeenColumn& c = range[static_cast<std::size_t>(j)];
    if (!(drawn.data()[i] >= c.low && drawn.data()[i] <= c.high))
      out.outside.data()[b * drawn.dim(2) + j] += 1 / static_cast<double>(options.n_samples);
  }
  return out;
}

template <class Make>
Array Amortizer::evaluate(const char* what, const Batch& batch, std::vector<Foreign>* foreign, const Make& make) const {
  require_built(what);
  const State& s = *state_;
  const Block* targets = batch.find(s.kind.target);
  if (!targets)
    throw ShapeError(fmt::format("{}: needs {} of shape (batch, {}) or (batch, n, {}); got none", call_of(s.kind, what), s.kind.target,
                                 target_width(), target_width()));
  require_valid(batch, what);
  const Pass pass(*state_, rows_of(batch));
  Tape& tape = *pass;
  Tensor summary, c = condition(tape, batch, &summary), theta = targets->on(tape);
  if (looks_for_foreign(foreign)) {
    std::vector<Foreign> found;
    look_for_foreign(batch, summary, found);
    tell(std::move(found), foreign);
  }
  const Tensor in[] = {theta, c};
  const Tensor out = tape.map_rows(plan_rows(theta.dim(0), rows_per_item(theta.shape())), in,
                                   [&](Tape& t, std::span<const Tensor> x) { return make(t, x[0], x[1]); });
  pass.require_precision(s.kind, what);
  require_results(s.kind, what, "the results", batch, std::span<const float>(out.data(), static_cast<std::size_t>(out.size())),
                  [](auto row) { return std::ranges::any_of(row, [](float x) { return std::isnan(x); }); });
  return to_array(out);
}

Array Amortizer::outputs(const char* function, const Batch& batch, SampleOptions options) const {
  const InferenceNetwork& net = inference_net();
  const std::uint64_t seed = net.is_noisy_at_inference() ? seed_of(options) : 0;
  require_built(function);
  require_valid(batch, function);
  const Pass pass(*state_, rows_of(batch), options.precision, seed);
  Tape& tape = *pass;
  Tensor summary, c = condition(tape, batch, &summary);
  if (c.rank() != 2)
    throw ShapeError(
        fmt::format("{}: needs conditions of shape (batch, c); got {}", call_of(state_->kind, function), c.shape().to_string()));
  if (looks_for_foreign(options.foreign)) {
    std::vector<Foreign> found;
    look_for_foreign(batch, summary, found);
    tell(std::move(found), options.foreign);
  }
  const Tensor in[] = {c};
  const Tensor out = tape.map_rows(plan_rows(c.dim(0), 1), in, [&net](Tape& t, std::span<const Tensor> x) { return net.outputs(t, x[0]); });
  pass.require_precision(state_->kind, function);
  if (out.rank() != 2 || out.dim(0) != c.dim(0))
    throw ShapeError(fmt::format("{}: the inference network gives outputs of shape {}; they must be ({}, W)",
                                 call_of(state_->kind, function), out.shape().to_string(), c.dim(0)));
  require_results(state_->kind, function, "the results", batch, std::span<const float>(out.data(), static_cast<std::size_t>(out.size())),
                  any_not_finite);
  return to_array(out);
}

Amortizer::Latents Amortizer::latents(const Batch& batch) const {
  const NormalizingFlow& net = flow("forward");
  // One more column carries the log-determinant through the shards.
  const Array all = evaluate("forward", batch, nullptr, [&net](Tape& t, Tensor targets, Tensor condition) {
    const ops::Transformed f = net.forward(t, targets, condition);
    Shape shape = f.value.shape();
    shape.set(-1, 1);
    const Tensor parts[] = {f.value, ops::reshape(f.log_det, shape)};
    return ops::concat(parts);
  });
  const std::int64_t width = target_width();
  const Array log_det = all.columns(width, width + 1);
  return {all.columns(0, width), log_det.squeeze(-1)};
}

Array Amortizer::log_density(const Batch& batch, std::vector<Foreign>* foreign) const {
  return evaluate(state_->kind.density, batch, foreign,
                  [this](Tape& t, Tensor targets, Tensor condition) { return state_->inference->log_density(t, targets, condition); });
}

Amortizer::DensityGradient Amortizer::density_gradient(const char* what, const Batch& batch) const {
  require_built(what);
  const State& s = *state_;
  const Block *targets = batch.find(s.kind.target), *given = batch.find(s.kind.direct);
  if (s.summary)
    throw ConfigurationError(fmt::format("{}: needs an amortizer without a summary network; this one has one", call_of(s.kind, what)));
  if (!targets || !given)
    throw ShapeError(fmt::format("{}: needs {} and {}; got no {}", call_of(s.kind, what), s.kind.target, s.kind.direct,
                                 targets ? s.kind.direct : s.kind.target));
  require_valid(batch, what);
  const Pass pass(*state_, rows_of(batch));
  Tape& tape = *pass;
  (void)condition(tape, batch);  // for what it checks
  tape.reset({.gradients = true, .training = false, .pool = tape.pool(), .precision = pass.precision()});
  const Tensor theta = targets->on(tape), c = tape.input(given->shape(), given->data(), true);
  const Tensor in[] = {theta, c};
  const Tensor density = tape.map_rows(plan_rows(theta.dim(0), rows_per_item(theta.shape())), in,
                                       [&](Tape& t, std::span<const Tensor> x) { return s.inference->log_density(t, x[0], x[1]); });
  pass.require_precision(s.kind, what);
  tape.backward(density);
  DensityGradient out{to_array(density), Array(c.shape())};
  if (const float* gradient = c.grad()) std::copy_n(gradient, c.size(), out.gradient.data());
  const auto values = [](Array& a) { return std::span<const double>(a.values()); };
  const auto wrong = [](auto row) { return std::ranges::any_of(row, [](double x) { return std::isnan(x); }); };
  require_results(s.kind, what, "the results", batch, values(out.log_density), wrong);
  require_results(s.kind, what, "the derivatives", batch, values(out.gradient), wrong);
  return out;
}

template <class Number>
void Amortizer::make_draws(const Batch& batch, std::int64_t n_samples, SampleOptions options, const Array* latent, Number* out) const {
  State& s = *state_;
  const bool look = !latent && looks_for_foreign(options.foreign);
  std::vector<Foreign> found;
  const Pass pass(s, std::max(rows_of(batch), batch.batch_size() * n_samples), options.precision);
  Tensor summary, c = condition(*pass, batch, &summary);
  if (look) look_for_foreign(batch, summary, found);
  const bool each = c.rank() == 3 && c.dim(1) == n_samples;  // a condition for every draw
  if (c.rank() != 2 && !each)
    throw ShapeError(fmt::format("{}: needs conditions of shape (batch, c); got {}", call_of(s.kind, "sample"), c.shape().to_string()));
  constexpr std::int64_t kBlock = DrawStreams::kBlock;
  const std::int64_t sets = c.dim(0), width = target_width(), c_width = c.cols(), blocks = (n_samples + kBlock - 1) / kBlock;
  const std::uint64_t seed = options.seed.value_or(0);
  const Rng streams(seed, "posterior draws");
  // A few blocks share what a pass does once, as long as every thread has enough to do. Dropout that stays active at inference has noise of
  // its own in every block, which must not depend on how many threads there are.
  const std::int64_t per_thread = sets * blocks / (std::int64_t{4} * pass.threads());
  const std::int64_t together = s.inference->is_noisy_at_inference() ? 1 : std::clamp<std::int64_t>(per_thread, 1, kBlocksTogether);
  const std::int64_t tasks = (blocks + together - 1) / together;
  TapeLender lender(pass.block_tapes());
  std::atomic<bool> in_bfloat16 = false;
  pass.for_each(sets * tasks, [&](std::int64_t task) {
    const std::int64_t b = task / tasks, first = blocks * (task % tasks) / tasks * kBlock;
    const std::int64_t rows = std::min(blocks * (task % tasks + 1) / tasks * kBlock, n_samples) - first;
    const TapeLender::Loan tape(lender);
    tape->reset({.gradients = false, .training = false, .seed = seed, .step = block_index(b, first), .precision = pass.precision()});
    const Tensor given = each ? tape->wrap({1, rows, c_width}, c.data() + (b * n_samples + first) * c_width)
                              : tape->wrap({1, c_width}, c.data() + b * c_width);
    Tensor drawn;
    if (latent) {
      Tensor z = tape->filled({1, rows, width}, 0);
      const double* from = latent->data() + (b * n_samples + first) * width;
      for (std::int64_t i = 0; i < z.size(); ++i) z.data()[i] = static_cast<float>(from[i]);  // checked by the caller
      drawn = s.inference->as_flow()->inverse(*tape, z, given);
    } else {
      std::vector<Rng> of_blocks;
      for (std::int64_t row = 0; row < rows; row += kBlock) of_blocks.push_back(streams.at(block_index(b, first + row)));
      DrawStreams numbers(rows, std::move(of_blocks));
      drawn = s.inference->sample(*tape, numbers, given);
    }
    if (drawn.size() != rows * width)
      throw ShapeError(fmt::format("{}: the inference network gives draws of shape {}; they must be {}", call_of(s.kind, "sample"),
                                   drawn.shape().to_string(), Shape{1, rows, width}.to_string()));
    std::copy_n(drawn.data(), rows * width, out + (b * n_samples + first) * width);
    if (tape->bfloat16_flops() > 0) in_bfloat16.store(true, std::memory_order_relaxed);
  });
  pass.require_precision(s.kind, "sample", in_bfloat16);
  // One draw of many may be infinite, under heavy tails; all of them are if the conditions overflow.
  const std::span<const Number> all(out, static_cast<std::size_t>(sets * n_samples * width));
  require_results(s.kind, "sample", "the draws", batch, all,
                  [](auto row) { return std::ranges::none_of(row, [](Number x) { return std::isfinite(x); }); });
  if (!look) return;
  if (const std::shared_ptr<const SeenData> known = seen())
    for (Foreign& f : compare_draws(*known, s.kind.target, all, sets)) found.push_back(std::move(f));
  tell(std::move(found), options.foreign);
}

std::uint64_t Amortizer::seed_of(const SampleOptions& options) const {
  return options.seed ? *options.seed : state_->unseeded_calls.fetch_add(1);
}

void Amortizer::check_draws(const Batch& batch, std::int64_t n_samples) const {
  require_built("sample");
  require_valid(batch, "sample");
  if (n_samples < 1)
    throw ArgumentError(fmt::format("{}: n_samples must be at least 1; got {}", call_of(state_->kind, "sample"), n_samples));
}

Array Amortizer::draws(const Batch& batch, std::int64_t n_samples, SampleOptions options) const {
  options.seed = seed_of(options);
  check_draws(batch, n_samples);
  Array out = uninitialized_array({batch.batch_size(), n_samples, target_width()});
  make_draws(batch, n_samples, options, nullptr, out.data());
  return out;
}

Array Amortizer::draws_each(const Batch& batch, SampleOptions options) const {
  options.seed = seed_of(options);
  const std::int64_t n = batch[state_->kind.direct].dim(1);
  check_draws(batch, n);
  Array out = uninitialized_array({batch.batch_size(), n, target_width()});
  make_draws(batch, n, options, nullptr, out.data());
  return out;
}

void Amortizer::draws_into(std::span<float> out, const Batch& batch, std::int64_t n_samples, SampleOptions options) const {
  options.seed = seed_of(options);
  check_draws(batch, n_samples);
  const Shape shape{batch.batch_size(), n_samples, target_width()};
  if (static_cast<std::int64_t>(out.size()) != shape.size())
    throw ShapeError(fmt::format("{}: needs room for {} = {} floats; got {}", call_of(state_->kind, "sample_into"), shape.to_string(),
                                 shape.size(), out.size()));
  make_draws(batch, n_samples, options, nullptr, out.data());
}

Array Amortizer::draws_from_latent(const Batch& batch, const Array& latent) const {
  constexpr const char* kWhat = "sample_from_latent";
  require_built(kWhat);
  require_valid(batch, kWhat);
  (void)flow(kWhat);
  const std::int64_t width = target_width();
  if (latent.rank() != 3 || latent.dim(0) != batch.batch_size() || latent.dim(2) != width)
    throw ShapeError(fmt::format("{}: needs latents ({}, n_samples, {}); got {}", call_of(state_->kind, kWhat), batch.batch_size(), width,
                                 latent.shape().to_string()));
  if (!detail::within_float32(latent.values()))
    throw ArgumentError(fmt::format("{}: the latents must be finite in float32, which networks compute in", call_of(state_->kind, kWhat)));
  Array out = uninitialized_array({batch.batch_size(), latent.dim(1), width});
  make_draws(batch, latent.dim(1), {}, &latent, out.data());
  return out;
}

}  // namespace bayesflow
