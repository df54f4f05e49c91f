/// What a trained AmortizedPosterior is asked for: draws, densities, summaries.
#include <fmt/format.h>

#include <algorithm>

#include "amortizers/posterior_state.hpp"
#include "bayesflow/core/errors.hpp"

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

}  // namespace

/// One pass of inference at a time, with its tape. Memory of small passes is kept, so that the next is quick; that of large ones goes back
/// to the system, since a program that has looked at many data sets once need not hold their activations for ever.
class AmortizedPosterior::Pass {
 public:
  explicit Pass(State& state) : state_(state), lock_(state.mutex) {
    renew(state.tape);
    state.tape->reset({.gradients = false, .training = false, .pool = &state.threads()});
  }
  ~Pass() {
    give_back(state_.tape);
    for (auto& t : state_.block_tapes) give_back(t);
  }
  Pass(const Pass&) = delete;
  Pass& operator=(const Pass&) = delete;
  Tape& operator*() const { return *state_.tape; }
  /// One more tape for each thread.
  [[nodiscard]] const std::vector<std::unique_ptr<Tape>>& block_tapes() const {
    state_.block_tapes.resize(static_cast<std::size_t>(state_.threads().threads()));
    for (auto& t : state_.block_tapes) renew(t);
    return state_.block_tapes;
  }

 private:
  static constexpr std::size_t kKept = std::size_t{2} << 20;
  static void renew(std::unique_ptr<Tape>& tape) {
    if (!tape) tape = std::make_unique<Tape>();
  }
  static void give_back(std::unique_ptr<Tape>& tape) {
    if (tape && tape->reserved() > kKept) tape.reset();
  }
  State& state_;
  std::lock_guard<std::mutex> lock_;
};

LossTerms AmortizedPosterior::compute_loss(const Inputs& inputs) const {
  require_built("compute_loss");
  inputs.check("AmortizedPosterior::compute_loss");
  const Pass pass(*state_);
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
  inputs.check("AmortizedPosterior::summary");
  if (!state_->summary) throw SummaryStatsError("AmortizedPosterior::summary: there is no summary network");
  const Pass pass(*state_);
  Tensor summary;
  (void)condition(*pass, inputs, &summary);
  return to_array(summary);
}

Array AmortizedPosterior::evaluate(const char* what, const Inputs& inputs, OfFlow of_flow) const {
  require_built(what);
  if (inputs.parameters.empty())
    throw ShapeError(fmt::format("AmortizedPosterior::{}: needs parameters of shape (batch, {}) or (batch, n, {}); got none", what,
                                 num_params(), num_params()));
  inputs.check(fmt::format("AmortizedPosterior::{}", what).c_str());
  const State& s = *state_;
  const Pass pass(*state_);
  Tape& tape = *pass;
  Tensor c = condition(tape, inputs), theta = tape.input(inputs.parameters);
  const Tensor in[] = {theta, c};
  return to_array(tape.map_rows(plan_shards(theta.dim(0), rows_per_item(theta.shape())), in, [&](Tape& t, std::span<const Tensor> x) {
    return of_flow(s.options.latent, s.inference.forward(t, x[0], x[1]));
  }));
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

Array AmortizedPosterior::log_posterior(const Inputs& inputs) const {
  return evaluate("log_posterior", inputs, [](const Latent& latent, const ops::Transformed& flow) {
    return ops::add(latent.log_density(flow.value), flow.log_det);
  });
}

template <class Number>
void AmortizedPosterior::invert(const Inputs& inputs, std::int64_t n_samples, std::uint64_t seed, const FillLatent& latent,
                                Number* out) const {
  State& s = *state_;
  const Pass pass(s);
  Tensor c = condition(*pass, inputs);
  if (c.rank() != 2)
    throw ShapeError(fmt::format("AmortizedPosterior::sample: needs conditions of shape (batch, c); got {}", c.shape().to_string()));
  const std::int64_t batch = c.dim(0), width = num_params(), c_width = c.cols(), blocks = (n_samples + kDrawBlock - 1) / kDrawBlock;
  // A few blocks share what a pass does once, as long as every thread has enough to do. Dropout that stays active at inference has noise of
  // its own in every block, which must not depend on how many threads there are.
  const std::int64_t per_thread = batch * blocks / (4 * s.threads().threads());
  const std::int64_t together = s.inference.is_noisy_at_inference() ? 1 : std::clamp<std::int64_t>(per_thread, 1, kBlocksTogether);
  const std::int64_t tasks = (blocks + together - 1) / together;
  TapeLender lender(pass.block_tapes());
  s.threads().for_each(batch * tasks, [&](std::int64_t task) {
    const std::int64_t b = task / tasks, first = blocks * (task % tasks) / tasks * kDrawBlock;
    const std::int64_t rows = std::min(blocks * (task % tasks + 1) / tasks * kDrawBlock, n_samples) - first;
    const TapeLender::Loan tape(lender);
    tape->reset({.gradients = false, .training = false, .seed = seed, .step = block_index(b, first)});
    Tensor z = tape->filled({1, rows, width}, 0);
    for (std::int64_t row = 0; row < rows; row += kDrawBlock)
      latent(b, first + row, std::span<float>(z.data() + row * width, static_cast<std::size_t>(std::min(kDrawBlock, rows - row) * width)));
    const Tensor theta = s.inference.inverse(*tape, z, tape->wrap({1, c_width}, c.data() + b * c_width));
    std::copy_n(theta.data(), rows * width, out + (b * n_samples + first) * width);
  });
}

AmortizedPosterior::FillLatent AmortizedPosterior::latent_draws(std::int64_t n_samples, const Inputs& inputs, SampleOptions options) const {
  require_built("sample");
  inputs.check("AmortizedPosterior::sample");
  if (n_samples < 1) throw ArgumentError(fmt::format("AmortizedPosterior::sample: n_samples must be at least 1; got {}", n_samples));
  return
      [this, width = num_params(), streams = Rng(options.seed, "posterior draws")](std::int64_t b, std::int64_t first, std::span<float> z) {
        Rng rng = streams.at(block_index(b, first));
        state_->options.latent.sample(rng, z, width);
      };
}

Array AmortizedPosterior::sample(const Inputs& inputs, std::int64_t n_samples, SampleOptions options) const {
  const FillLatent latent = latent_draws(n_samples, inputs, options);
  Array out = uninitialized_array({inputs.batch_size(), n_samples, num_params()});
  invert(inputs, n_samples, options.seed, latent, out.data());
  return out;
}

void AmortizedPosterior::sample_into(std::span<float> out, const Inputs& inputs, std::int64_t n_samples, SampleOptions options) const {
  const FillLatent latent = latent_draws(n_samples, inputs, options);
  const Shape shape{inputs.batch_size(), n_samples, num_params()};
  if (static_cast<std::int64_t>(out.size()) != shape.size())
    throw ShapeError(
        fmt::format("AmortizedPosterior::sample_into: needs room for {} = {} floats; got {}", shape.to_string(), shape.size(), out.size()));
  invert(inputs, n_samples, options.seed, latent, out.data());
}

Array AmortizedPosterior::sample_from_latent(const Inputs& inputs, const Array& latent) const {
  require_built("sample_from_latent");
  inputs.check("AmortizedPosterior::sample_from_latent");
  const std::int64_t width = num_params();
  if (latent.rank() != 3 || latent.dim(0) != inputs.batch_size() || latent.dim(2) != width)
    throw ShapeError(fmt::format("AmortizedPosterior::sample_from_latent: needs latents ({}, n_samples, {}); got {}", inputs.batch_size(),
                                 width, latent.shape().to_string()));
  const std::int64_t n = latent.dim(1);
  Array out = uninitialized_array({inputs.batch_size(), n, width});
  const auto given = [&](std::int64_t b, std::int64_t first, std::span<float> z) {
    const double* from = latent.data() + (b * n + first) * width;
    for (std::size_t i = 0; i < z.size(); ++i) z[i] = static_cast<float>(from[i]);
  };
  invert(inputs, n, 0, given, out.data());
  return out;
}

}  // namespace bayesflow
