#include "bayesflow/amortizers/amortized_posterior.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <mutex>

#include "bayesflow/core/errors.hpp"

namespace bayesflow {

struct AmortizedPosterior::State {
  InvertibleNetwork inference;
  std::shared_ptr<SummaryNetwork> summary;
  AmortizedPosteriorOptions options;
  nn::ParameterStore store;
  bool built = false;
  std::int64_t direct_width = 0;
  BuiltFor built_for;

  // Inference uses its own threads and tapes; one call at a time.
  std::mutex mutex;
  std::unique_ptr<ThreadPool> pool;
  Tape tape;
  std::vector<std::unique_ptr<Tape>> block_tapes;

  State(InvertibleNetwork i, std::shared_ptr<SummaryNetwork> s, AmortizedPosteriorOptions o)
      : inference(std::move(i)), summary(std::move(s)), options(std::move(o)) {}
  ThreadPool& threads() {
    if (!pool) pool = std::make_unique<ThreadPool>(options.threads);
    return *pool;
  }
  Tape& inference_tape() {
    tape.reset({.gradients = false, .training = false, .pool = &threads()});
    return tape;
  }
};

namespace {

Array to_array(Tensor x) {
  Array out = uninitialized_array(x.shape());
  std::copy_n(x.data(), x.size(), out.data());
  return out;
}

std::int64_t rows_per_item(const Shape& shape) {
  std::int64_t n = 1;
  for (int i = 1; i + 1 < shape.rank(); ++i) n *= shape[i];
  return n;
}

// Below this many target rows the flow's sub-networks run side by side over all rows, and their gradients need no reduction;
// above, rows are cut into shards like the observations of the summary network.
constexpr std::int64_t kFewRows = 512;
// Draws of one data set that pass through the flow together.
constexpr std::int64_t kDrawBlock = 256;

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

AmortizedPosterior::AmortizedPosterior(InvertibleNetwork inference_net, std::shared_ptr<SummaryNetwork> summary_net,
                                       AmortizedPosteriorOptions options)
    : state_(std::make_shared<State>(std::move(inference_net), std::move(summary_net), std::move(options))) {
  const AmortizedPosteriorOptions& o = state_->options;
  if (!(o.summary_mmd_weight >= 0) || !std::isfinite(o.summary_mmd_weight))
    throw ConfigurationError(
        fmt::format("AmortizedPosteriorOptions::summary_mmd_weight = {}; it must be finite and not negative", o.summary_mmd_weight));
  if (o.threads < 0) throw ConfigurationError(fmt::format("AmortizedPosteriorOptions::threads = {}; it must not be negative (0: all)", o.threads));
  if (!o.latent.log_density || !o.latent.sample)
    throw ConfigurationError(fmt::format("AmortizedPosteriorOptions::latent \"{}\" lacks its {}; a latent needs both a log density and a sampler",
                                         o.latent.name, o.latent.log_density ? "sampler" : "log density"));
  if (state_->options.summary_mmd_weight > 0 && !state_->summary)
    throw ConfigurationError("AmortizedPosterior: a summary loss needs a summary network; give one or set summary_mmd_weight = 0");
}

nn::ParameterStore& AmortizedPosterior::store() { return state_->store; }
const nn::ParameterStore& AmortizedPosterior::store() const { return state_->store; }
const InvertibleNetwork& AmortizedPosterior::inference_net() const { return state_->inference; }
const SummaryNetwork* AmortizedPosterior::summary_net() const { return state_->summary.get(); }
const AmortizedPosteriorOptions& AmortizedPosterior::options() const { return state_->options; }
const AmortizedPosterior::BuiltFor& AmortizedPosterior::built_for() const { return state_->built_for; }
bool AmortizedPosterior::is_built() const { return state_->built; }
std::int64_t AmortizedPosterior::number_of_parameters() const { return state_->store.number_of_values(); }
std::int64_t AmortizedPosterior::num_params() const { return state_->inference.options().num_params; }

void AmortizedPosterior::require_built(const char* what) const {
  if (!state_->built)
    throw ConfigurationError(fmt::format("AmortizedPosterior::{}: the networks have no weights yet; train first (or call build with a first batch)", what));
}

void AmortizedPosterior::build(const Inputs& inputs, std::optional<std::uint64_t> seed) {
  const auto shape = [](const std::optional<Array>& a) { return a ? std::optional<Shape>(a->shape()) : std::nullopt; };
  build(BuiltFor{shape(inputs.summary_conditions), shape(inputs.direct_conditions)}, seed);
}

void AmortizedPosterior::build(const BuiltFor& inputs, std::optional<std::uint64_t> seed) {
  State& s = *state_;
  if (s.built) return;
  const bool has_summary = s.summary && inputs.summary_conditions;
  if (s.summary && !inputs.summary_conditions)
    throw SummaryStatsError("AmortizedPosterior: there is a summary network but no summary_conditions; set them in the configurator");
  if (!s.summary && !inputs.direct_conditions)
    throw SummaryStatsError(
        "AmortizedPosterior: there are no direct_conditions, and without a summary network summary_conditions cannot be used; give a summary network, "
        "or put the data into direct_conditions in the configurator");
  if (!s.summary && inputs.summary_conditions)
    throw SummaryStatsError(
        "AmortizedPosterior: there are summary_conditions but no summary network, so they would be ignored; give a summary network, or put "
        "the data into direct_conditions in the configurator");
  const nn::Builder root(s.store, s.options.seed.value_or(seed.value_or(0)));
  std::int64_t width = 0;
  if (has_summary) {
    s.summary->build(root.scope("summary_net"), *inputs.summary_conditions);
    width += s.summary->summary_dim();
  }
  s.direct_width = inputs.direct_conditions ? (*inputs.direct_conditions)[-1] : 0;
  s.inference.build(root.scope("inference_net"), width + s.direct_width);
  s.built_for = inputs;
  s.built = true;
}

Tensor AmortizedPosterior::condition(Tape& tape, const Inputs& inputs, Tensor* summary) const {
  const State& s = *state_;
  Tensor parts[2];
  std::size_t n = 0;
  if (s.summary) {
    if (!inputs.summary_conditions)
      throw SummaryStatsError("AmortizedPosterior: there is a summary network but no summary_conditions; set them in the configurator");
    const Array& x = *inputs.summary_conditions;
    Tensor data = tape.input(x);
    const Tensor in[] = {data};
    parts[n] = tape.map_rows(plan_shards(x.dim(0), rows_per_item(x.shape())), in,
                             [&s](Tape& t, std::span<const Tensor> part) { return s.summary->forward(t, part[0]); });
    if (summary) *summary = parts[n];
    ++n;
  }
  const std::int64_t direct = inputs.direct_conditions ? inputs.direct_conditions->dim(-1) : 0;
  if (direct != s.direct_width)
    throw ShapeError(fmt::format("AmortizedPosterior: was built with direct_conditions of width {}; got {}", s.direct_width,
                                 inputs.direct_conditions ? inputs.direct_conditions->shape().to_string() : "none"));
  if (inputs.direct_conditions) parts[n++] = tape.input(*inputs.direct_conditions);
  if (n == 0) throw SummaryStatsError("AmortizedPosterior: there are neither summary nor direct conditions");
  if (n == 1) return parts[0];
  if (parts[0].dim(0) != parts[1].dim(0))
    throw ShapeError(fmt::format("AmortizedPosterior: summary and direct conditions must have the same number of data sets; got {} and {}", parts[0].dim(0),
                                 parts[1].dim(0)));
  // Direct conditions per observation: the summary is repeated over them.
  if (parts[1].rank() == 3 && parts[0].rank() == 2) parts[0] = ops::repeat(parts[0], parts[1].dim(1));
  return ops::concat(parts);
}

AmortizedPosterior::LossTensors AmortizedPosterior::loss(Tape& tape, const Inputs& inputs) const {
  require_built("loss");
  const State& s = *state_;
  if (inputs.parameters.empty() || inputs.parameters.dim(0) != inputs.batch_size())
    throw ShapeError(fmt::format("AmortizedPosterior: needs one row of parameters per data set ({}); got shape {}", inputs.batch_size(),
                                 inputs.parameters.shape().to_string()));
  LossTensors out;
  Tensor summary;
  Tensor c = condition(tape, inputs, &summary);
  Tensor theta = tape.input(inputs.parameters);
  const auto negative_log_density = [&s](Tape& t, std::span<const Tensor> x) {
    const ops::Transformed f = s.inference.forward(t, x[0], x[1]);
    return ops::scale(ops::add(s.options.latent.log_density(f.value), f.log_det), -1.0f);
  };
  const Tensor in[] = {theta, c};
  Tensor nll = theta.rows() <= kFewRows ? negative_log_density(tape, in)
                                        : tape.map_rows(plan_shards(theta.dim(0), rows_per_item(theta.shape())), in, negative_log_density);
  out.total = out.loss = ops::mean(nll);
  if (s.options.summary_mmd_weight > 0) {
    Tensor normals = tape.filled(summary.shape(), 0);
    tape.rng().fill_normal(std::span<float>(normals.data(), static_cast<std::size_t>(normals.size())));
    out.summary_loss = ops::scale(ops::mmd(summary, normals), static_cast<float>(s.options.summary_mmd_weight));
    out.total = ops::add(out.loss, out.summary_loss);
  }
  return out;
}

double AmortizedPosterior::weight_decay() const {
  double total = 0;
  nn::ParameterStore& store = state_->store;
  for (std::size_t i = 0; i < store.table().size(); ++i) {
    const double l2 = static_cast<double>(store.table()[i].l2);
    if (l2 <= 0) continue;
    double square = 0;
    for (const float w : store.value(static_cast<int>(i))) square += static_cast<double>(w) * static_cast<double>(w);
    total += l2 * square;
  }
  return total;
}

void AmortizedPosterior::update_state() {
  if (state_->summary) state_->summary->update_state();
  state_->inference.update_state();
}

void AmortizedPosterior::require_parameters(const char* what, const Inputs& inputs) const {
  if (inputs.parameters.empty())
    throw ShapeError(fmt::format("AmortizedPosterior::{}: needs parameters of shape (batch, {}) or (batch, n, {}); got none", what, num_params(),
                                 num_params()));
}

Losses AmortizedPosterior::compute_loss(const Inputs& inputs) const {
  require_built("compute_loss");
  inputs.check("AmortizedPosterior::compute_loss");
  const std::lock_guard lock(state_->mutex);
  const LossTensors t = loss(state_->inference_tape(), inputs);
  return {static_cast<double>(t.loss.data()[0]), t.summary_loss ? static_cast<double>(t.summary_loss.data()[0]) : 0.0, weight_decay()};
}

Array AmortizedPosterior::summary(const Inputs& inputs) const {
  require_built("summary");
  inputs.check("AmortizedPosterior::summary");
  if (!state_->summary) throw SummaryStatsError("AmortizedPosterior::summary: there is no summary network");
  const std::lock_guard lock(state_->mutex);
  Tensor summary;
  (void)condition(state_->inference_tape(), inputs, &summary);
  return to_array(summary);
}

AmortizedPosterior::Forward AmortizedPosterior::forward(const Inputs& inputs) const {
  require_built("forward");
  require_parameters("forward", inputs);
  inputs.check("AmortizedPosterior::forward");
  const std::lock_guard lock(state_->mutex);
  State& s = *state_;
  Tape& tape = s.inference_tape();
  Tensor c = condition(tape, inputs), theta = tape.input(inputs.parameters);
  const Tensor in[] = {theta, c};
  // One more column carries the log-determinant through the shards.
  Tensor packed = tape.map_rows(plan_shards(theta.dim(0), rows_per_item(theta.shape())), in, [&s](Tape& t, std::span<const Tensor> x) {
    const ops::Transformed f = s.inference.forward(t, x[0], x[1]);
    Shape shape = f.value.shape();
    shape.set(-1, 1);
    const Tensor parts[] = {f.value, ops::reshape(f.log_det, shape)};
    return ops::concat(parts);
  });
  const Array all = to_array(packed);
  const std::int64_t width = num_params();
  const Array log_det = all.columns(width, width + 1);
  return {all.columns(0, width), log_det.squeeze(-1)};
}

Array AmortizedPosterior::log_posterior(const Inputs& inputs) const {
  require_built("log_posterior");
  require_parameters("log_posterior", inputs);
  inputs.check("AmortizedPosterior::log_posterior");
  const std::lock_guard lock(state_->mutex);
  State& s = *state_;
  Tape& tape = s.inference_tape();
  Tensor c = condition(tape, inputs), theta = tape.input(inputs.parameters);
  const Tensor in[] = {theta, c};
  Tensor density = tape.map_rows(plan_shards(theta.dim(0), rows_per_item(theta.shape())), in, [&s](Tape& t, std::span<const Tensor> x) {
    const ops::Transformed f = s.inference.forward(t, x[0], x[1]);
    return ops::add(s.options.latent.log_density(f.value), f.log_det);
  });
  return to_array(density);
}

Array AmortizedPosterior::inverse_blocks(const Inputs& inputs, std::int64_t n_samples, std::uint64_t seed,
                                         const std::function<void(std::int64_t, std::int64_t, std::span<float>)>& latent) const {
  State& s = *state_;
  const std::lock_guard lock(s.mutex);
  Tensor c = condition(s.inference_tape(), inputs);
  if (c.rank() != 2)
    throw ShapeError(fmt::format("AmortizedPosterior::sample: needs conditions of shape (batch, c); got {}", c.shape().to_string()));
  const std::int64_t batch = c.dim(0), width = num_params(), c_width = c.cols(), blocks = (n_samples + kDrawBlock - 1) / kDrawBlock;
  Array out = uninitialized_array({batch, n_samples, width});
  while (static_cast<int>(s.block_tapes.size()) < s.threads().threads()) s.block_tapes.push_back(std::make_unique<Tape>());
  TapeLender lender(s.block_tapes);
  s.threads().for_each(batch * blocks, [&](std::int64_t task) {
    const std::int64_t b = task / blocks, first = task % blocks * kDrawBlock, rows = std::min(kDrawBlock, n_samples - first);
    const TapeLender::Loan tape(lender);
    // Dropout that stays active at inference has noise of its own in every block.
    tape->reset({.gradients = false, .training = false, .seed = seed, .step = block_index(b, first)});
    Tensor z = tape->filled({1, rows, width}, 0);
    latent(b, first, std::span<float>(z.data(), static_cast<std::size_t>(z.size())));
    const Tensor theta = s.inference.inverse(*tape, z, tape->wrap({1, c_width}, c.data() + b * c_width));
    std::copy_n(theta.data(), rows * width, out.data() + (b * n_samples + first) * width);
  });
  return out;
}

Array AmortizedPosterior::sample(const Inputs& inputs, std::int64_t n_samples, SampleOptions options) const {
  require_built("sample");
  inputs.check("AmortizedPosterior::sample");
  if (n_samples < 1) throw ArgumentError(fmt::format("AmortizedPosterior::sample: n_samples must be at least 1; got {}", n_samples));
  const Rng streams(options.seed, "posterior draws");
  const std::int64_t width = num_params();
  return inverse_blocks(inputs, n_samples, options.seed, [&](std::int64_t b, std::int64_t first, std::span<float> z) {
    Rng rng = streams.at(block_index(b, first));
    state_->options.latent.sample(rng, z, width);
  });
}

Array AmortizedPosterior::sample_from_latent(const Inputs& inputs, const Array& latent) const {
  require_built("sample_from_latent");
  inputs.check("AmortizedPosterior::sample_from_latent");
  const std::int64_t width = num_params();
  if (latent.rank() != 3 || latent.dim(0) != inputs.batch_size() || latent.dim(2) != width)
    throw ShapeError(fmt::format("AmortizedPosterior::sample_from_latent: needs latents ({}, n_samples, {}); got {}", inputs.batch_size(), width,
                                 latent.shape().to_string()));
  const std::int64_t n = latent.dim(1);
  return inverse_blocks(inputs, n, 0, [&](std::int64_t b, std::int64_t first, std::span<float> z) {
    const double* from = latent.data() + (b * n + first) * width;
    for (std::size_t i = 0; i < z.size(); ++i) z[i] = static_cast<float>(from[i]);
  });
}

}  // namespace bayesflow
