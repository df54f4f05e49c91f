/// What a trained AmortizedPosterior is asked for: draws, densities, summaries.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>

#include "amortizers/posterior_state.hpp"
#include "bayesflow/core/errors.hpp"
#include "core/float32_range.hpp"

namespace bayesflow {
namespace {

Array to_array(Tensor x) {
  Array out = uninitialized_array(x.shape());
  std::copy_n(x.data(), x.size(), out.data());
  return out;
}

// Draws of one data set that have a stream of random numbers, and how many such blocks at most pass through the flow together.
constexpr std::int64_t kDrawBlock = 256, kBlocksTogether = 4;

/// Number of the block of data set `b` that starts with draw `first`: names its stream of random numbers, for any number of draws.
std::uint64_t block_index(std::int64_t b, std::int64_t first) {
  return static_cast<std::uint64_t>(b) << 32 | static_cast<std::uint64_t>(first / kDrawBlock);
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

/// Inputs::check; one data set without the axis of data sets is told from data of a wrong shape.
void check(const AmortizedPosterior::BuiltFor& built, const Inputs& inputs, const char* owner) {
  const auto require_axis = [&](const char* name, const std::optional<Array>& given, const std::optional<Shape>& shape, int most) {
    if (!given || !shape || shape->rank() > most || given->rank() + 1 != shape->rank()) return;
    std::string wanted = "(batch";
    for (int i = 1; i < shape->rank(); ++i) wanted += fmt::format(", {}", (*shape)[i]);
    throw ShapeError(
        fmt::format("{}: {} of shape {} have an axis too few: the networks were built for {}); one data set x is given as "
                    "x.expand_dims(0)",
                    owner, name, given->shape().to_string(), wanted));
  };
  require_axis("summary_conditions", inputs.summary_conditions, built.summary_conditions, 3);  // more axes may be left out
  require_axis("direct_conditions", inputs.direct_conditions, built.direct_conditions, 2);
  inputs.check(owner);
}

/// Where a network's results for finite inputs are not finite: data set `b`. Its largest value is where to look.
[[noreturn]] void refuse_overflow(const char* what, const char* which, const Inputs& inputs, std::int64_t b) {
  std::string largest;
  double most = -1;
  const auto look = [&](const char* name, const Array& values) {
    if (values.empty()) return;
    const std::span<const double> row = values.row_values(b);
    const auto at = std::ranges::max_element(row, {}, [](double x) { return std::abs(x); });
    if (std::abs(*at) <= most) return;
    most = std::abs(*at);
    largest = fmt::format("{} in {}, column {}", *at, name, values.rank() > 1 ? (at - row.begin()) % values.dim(-1) : 0);
  };
  look("parameters", inputs.parameters);
  if (inputs.summary_conditions) look("summary_conditions", *inputs.summary_conditions);
  if (inputs.direct_conditions) look("direct_conditions", *inputs.direct_conditions);
  throw ArgumentError(
      fmt::format("AmortizedPosterior::{}: {} of data set {} are not finite, although its values are: they are too far from those of "
                  "training for float32. Its largest: {}; scale the values as in training",
                  what, which, b, largest));
}

/// Throws ArgumentError if the results of a data set, equally many for each, are `wrong`.
template <class Number, class Wrong>
void require_results(const char* what, const char* which, const Inputs& inputs, std::span<const Number> values, Wrong&& wrong) {
  const std::int64_t batch = inputs.batch_size();
  const std::size_t each = values.size() / static_cast<std::size_t>(batch);
  for (std::int64_t b = 0; b < batch; ++b)
    if (wrong(values.subspan(static_cast<std::size_t>(b) * each, each))) refuse_overflow(what, which, inputs, b);
}

}  // namespace

/// A call of inference, with the memory and the threads that it has, all of it by the weights of one training step. Memory of small calls
/// is kept, so that the next is quick; that of large ones goes back to the system, since a program that has looked at many data sets once
/// need not hold their activations for ever.
class AmortizedPosterior::Pass {
 public:
  /// `rows`: of the networks' largest input. Calls of few rows run on the caller's thread, which takes less time than waking others, and so
  /// do those that begin while another call has the threads.
  Pass(State& state, std::int64_t rows) : reading_(state.store.lock()), inference_(state.contexts.get()) {
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
    context_->tape->reset({.gradients = false, .training = false, .pool = pool_});
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
    for (std::int64_t i = 0; i < count; ++i) task(i);
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
  std::unique_ptr<State::Context> context_;
  ThreadPool* pool_ = nullptr;
  std::uint64_t process_ = detail::process_generation();
};

namespace {

std::int64_t rows_of(const std::optional<Array>& x) { return x ? x->dim(0) * rows_per_item(x->shape()) : 0; }
std::int64_t rows_of(const Inputs& inputs) {
  const std::int64_t parameters = inputs.parameters.empty() ? 0 : inputs.parameters.dim(0) * rows_per_item(inputs.parameters.shape());
  return std::max({parameters, rows_of(inputs.summary_conditions), rows_of(inputs.direct_conditions)});
}

}  // namespace

LossTerms AmortizedPosterior::compute_loss(const Inputs& inputs) const {
  require_built("compute_loss");
  check(state_->built_for, inputs, "AmortizedPosterior::compute_loss");
  const Pass pass(*state_, rows_of(inputs));
  const LossTensors t = loss(*pass, inputs);
  auto names = std::make_shared<std::vector<std::string>>(loss_names());
  names->emplace_back(kWeightDecay);
  LossTerms out(std::move(names));
  for (std::size_t i = 0; i + 1 < out.size(); ++i) out.set(i, static_cast<double>(t.terms[i].data()[0]));
  out.set(out.size() - 1, weight_decay());
  return out;
}

Array AmortizedPosterior::summary(const Inputs& inputs) const {
  require_built("summary");
  check(state_->built_for, inputs, "AmortizedPosterior::summary");
  if (!state_->summary) throw SummaryStatsError("AmortizedPosterior::summary: there is no summary network");
  const Pass pass(*state_, rows_of(inputs));
  Tensor summary;
  (void)condition(*pass, inputs, &summary);
  const std::span<const float> values(summary.data(), static_cast<std::size_t>(summary.size()));
  require_results("summary", "the summaries", inputs, values,
                  [](auto row) { return std::ranges::any_of(row, [](float x) { return !std::isfinite(x); }); });
  return to_array(summary);
}

std::shared_ptr<const SeenData> AmortizedPosterior::seen() const { return state_->seen.load(); }

void AmortizedPosterior::set_seen(const SeenData& seen) { state_->seen.store(std::make_shared<const SeenData>(seen)); }

void AmortizedPosterior::look_for_foreign(const Inputs& inputs, const Tensor& summary, std::vector<Foreign>& found) const {
  const std::shared_ptr<const SeenData> known = seen();
  if (!known) return;
  const bool has_summaries = summary && summary.rank() == 2 && summary.cols() == static_cast<std::int64_t>(known->summaries.size());
  found = compare(*known, inputs, has_summaries ? summary.data() : nullptr);
}

void AmortizedPosterior::tell(std::vector<Foreign> found, std::vector<Foreign>* to) const {
  if (to)
    to->insert(to->end(), std::make_move_iterator(found.begin()), std::make_move_iterator(found.end()));
  else
    for (const Foreign& f : found) options().logger(LogLevel::warning, f.sentence);
}

std::vector<Foreign> AmortizedPosterior::foreign(const Inputs& inputs) const {
  require_built("foreign");
  inputs.check("AmortizedPosterior::foreign");
  std::vector<Foreign> out;
  const Pass pass(*state_, rows_of(inputs));
  Tensor summary;
  (void)condition(*pass, inputs, &summary);
  look_for_foreign(inputs, summary, out);
  return out;
}

Array AmortizedPosterior::evaluate(const char* what, const Inputs& inputs, OfFlow of_flow, std::vector<Foreign>* foreign) const {
  require_built(what);
  if (inputs.parameters.empty())
    throw ShapeError(fmt::format("AmortizedPosterior::{}: needs parameters of shape (batch, {}) or (batch, n, {}); got none", what,
                                 num_params(), num_params()));
  check(state_->built_for, inputs, fmt::format("AmortizedPosterior::{}", what).c_str());
  const State& s = *state_;
  const Pass pass(*state_, rows_of(inputs));
  Tape& tape = *pass;
  Tensor summary, c = condition(tape, inputs, &summary), theta = tape.input(inputs.parameters);
  if (looks_for_foreign(foreign)) {
    std::vector<Foreign> found;
    look_for_foreign(inputs, summary, found);
    tell(std::move(found), foreign);
  }
  const Tensor in[] = {theta, c};
  const Tensor out = tape.map_rows(plan_rows(theta.dim(0), rows_per_item(theta.shape())), in, [&](Tape& t, std::span<const Tensor> x) {
    return of_flow(s.options.latent, s.inference.forward(t, x[0], x[1]));
  });
  require_results(what, "the results", inputs, std::span<const float>(out.data(), static_cast<std::size_t>(out.size())),
                  [](auto row) { return std::ranges::any_of(row, [](float x) { return std::isnan(x); }); });
  return to_array(out);
}

AmortizedPosterior::Forward AmortizedPosterior::forward(const Inputs& inputs) const {
  // One more column carries the log-determinant through the shards.
  const Array all = evaluate("forward", inputs, [](const Latent&, const ops::Transformed& flow) {
    Shape shape = flow.value.shape();
    shape.set(-1, 1);
    const Tensor parts[] = {flow.value, ops::reshape(flow.log_det, shape)};
    return ops::concat(parts);
  });
  const std::int64_t width = num_params();
  const Array log_det = all.columns(width, width + 1);
  return {all.columns(0, width), log_det.squeeze(-1)};
}

Array AmortizedPosterior::log_posterior(const Inputs& inputs, std::vector<Foreign>* foreign) const {
  return evaluate(
      "log_posterior", inputs,
      [](const Latent& latent, const ops::Transformed& flow) { return ops::add(latent.log_density(flow.value), flow.log_det); }, foreign);
}

template <class Number>
void AmortizedPosterior::invert(const Inputs& inputs, std::int64_t n_samples, SampleOptions options, const FillLatent& latent, Number* out,
                                bool look) const {
  State& s = *state_;
  look = look && looks_for_foreign(options.foreign);
  std::vector<Foreign> found;
  const Pass pass(s, std::max(rows_of(inputs), inputs.batch_size() * n_samples));
  Tensor summary, c = condition(*pass, inputs, &summary);
  if (look) look_for_foreign(inputs, summary, found);
  if (c.rank() != 2)
    throw ShapeError(fmt::format("AmortizedPosterior::sample: needs conditions of shape (batch, c); got {}", c.shape().to_string()));
  const std::int64_t batch = c.dim(0), width = num_params(), c_width = c.cols(), blocks = (n_samples + kDrawBlock - 1) / kDrawBlock;
  // A few blocks share what a pass does once, as long as every thread has enough to do. Dropout that stays active at inference has noise of
  // its own in every block, which must not depend on how many threads there are.
  const std::int64_t per_thread = batch * blocks / (std::int64_t{4} * pass.threads());
  const std::int64_t together = s.inference.is_noisy_at_inference() ? 1 : std::clamp<std::int64_t>(per_thread, 1, kBlocksTogether);
  const std::int64_t tasks = (blocks + together - 1) / together;
  TapeLender lender(pass.block_tapes());
  pass.for_each(batch * tasks, [&](std::int64_t task) {
    const std::int64_t b = task / tasks, first = blocks * (task % tasks) / tasks * kDrawBlock;
    const std::int64_t rows = std::min(blocks * (task % tasks + 1) / tasks * kDrawBlock, n_samples) - first;
    const TapeLender::Loan tape(lender);
    tape->reset({.gradients = false, .training = false, .seed = options.seed.value_or(0), .step = block_index(b, first)});
    Tensor z = tape->filled({1, rows, width}, 0);
    for (std::int64_t row = 0; row < rows; row += kDrawBlock)
      latent(b, first + row, std::span<float>(z.data() + row * width, static_cast<std::size_t>(std::min(kDrawBlock, rows - row) * width)));
    const Tensor theta = s.inference.inverse(*tape, z, tape->wrap({1, c_width}, c.data() + b * c_width));
    std::copy_n(theta.data(), rows * width, out + (b * n_samples + first) * width);
  });
  // One draw of many may be infinite, under heavy tails; all of them are if the conditions overflow.
  require_results("sample", "the draws", inputs, std::span<const Number>(out, static_cast<std::size_t>(batch * n_samples * width)),
                  [](auto row) { return std::ranges::none_of(row, [](Number x) { return std::isfinite(x); }); });
  if (!look) return;
  if (const std::shared_ptr<const SeenData> known = seen())
    for (Foreign& f : compare_draws(*known, std::span<const Number>(out, static_cast<std::size_t>(batch * n_samples * width)), batch))
      found.push_back(std::move(f));
  tell(std::move(found), options.foreign);
}

std::uint64_t AmortizedPosterior::seed_of(const SampleOptions& options) const {
  return options.seed ? *options.seed : state_->unseeded_calls.fetch_add(1);
}

AmortizedPosterior::FillLatent AmortizedPosterior::latent_draws(std::int64_t n_samples, const Inputs& inputs, std::uint64_t seed) const {
  require_built("sample");
  check(state_->built_for, inputs, "AmortizedPosterior::sample");
  if (n_samples < 1) throw ArgumentError(fmt::format("AmortizedPosterior::sample: n_samples must be at least 1; got {}", n_samples));
  return [this, width = num_params(), streams = Rng(seed, "posterior draws")](std::int64_t b, std::int64_t first, std::span<float> z) {
    Rng rng = streams.at(block_index(b, first));
    state_->options.latent.sample(rng, z, width);
  };
}

Array AmortizedPosterior::sample(const Inputs& inputs, std::int64_t n_samples, SampleOptions options) const {
  const std::uint64_t seed = seed_of(options);
  const FillLatent latent = latent_draws(n_samples, inputs, seed);
  Array out = uninitialized_array({inputs.batch_size(), n_samples, num_params()});
  invert(inputs, n_samples, {.seed = seed, .foreign = options.foreign}, latent, out.data());
  return out;
}

void AmortizedPosterior::sample_into(std::span<float> out, const Inputs& inputs, std::int64_t n_samples, SampleOptions options) const {
  const std::uint64_t seed = seed_of(options);
  const FillLatent latent = latent_draws(n_samples, inputs, seed);
  const Shape shape{inputs.batch_size(), n_samples, num_params()};
  if (static_cast<std::int64_t>(out.size()) != shape.size())
    throw ShapeError(
        fmt::format("AmortizedPosterior::sample_into: needs room for {} = {} floats; got {}", shape.to_string(), shape.size(), out.size()));
  invert(inputs, n_samples, {.seed = seed, .foreign = options.foreign}, latent, out.data());
}

Array AmortizedPosterior::sample_from_latent(const Inputs& inputs, const Array& latent) const {
  require_built("sample_from_latent");
  check(state_->built_for, inputs, "AmortizedPosterior::sample_from_latent");
  const std::int64_t width = num_params();
  if (latent.rank() != 3 || latent.dim(0) != inputs.batch_size() || latent.dim(2) != width)
    throw ShapeError(fmt::format("AmortizedPosterior::sample_from_latent: needs latents ({}, n_samples, {}); got {}", inputs.batch_size(),
                                 width, latent.shape().to_string()));
  if (!detail::within_float32(latent.values()))
    throw ArgumentError("AmortizedPosterior::sample_from_latent: the latents must be finite in float32, which networks compute in");
  const std::int64_t n = latent.dim(1);
  Array out = uninitialized_array({inputs.batch_size(), n, width});
  const auto given = [&](std::int64_t b, std::int64_t first, std::span<float> z) {
    const double* from = latent.data() + (b * n + first) * width;
    for (std::size_t i = 0; i < z.size(); ++i) z[i] = static_cast<float>(from[i]);  // checked above
  };
  invert(inputs, n, {}, given, out.data(), false);
  return out;
}

}  // namespace bayesflow
