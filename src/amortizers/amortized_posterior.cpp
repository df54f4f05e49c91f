#include "bayesflow/amortizers/amortized_posterior.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "amortizers/posterior_state.hpp"
#include "bayesflow/core/errors.hpp"

namespace bayesflow {
namespace {

/// How the flow's rows are cut for training. Many rows are cut like the observations of a summary network. Few are not: the sub-networks s
/// and t of affine couplings run side by side over all of them, and their gradients need no reduction. A spline coupling has one network,
/// which would leave all threads but one without work; there, chunks of at least 16 rows, each with its own lane of gradients, are worth
/// the reduction.
Plan plan_flow(const InvertibleNetwork& flow, const Shape& targets) {
  constexpr std::int64_t kFewRows = 512, kLeastRows = 16, kRowsPerChunk = 64;
  const std::int64_t items = targets[0], rows = items * rows_per_item(targets);
  if (rows > kFewRows) return plan_rows(items, rows_per_item(targets));
  if (flow.options().coupling_design != CouplingDesign::spline || rows < 2 * kLeastRows) return {.items = items};
  const std::int64_t chunks = std::min(items, std::max<std::int64_t>(2, rows / kRowsPerChunk));
  return {.items = items, .chunks = chunks, .lanes = chunks};
}

}  // namespace

AmortizedPosterior::AmortizedPosterior(const InvertibleNetwork& inference_net, std::shared_ptr<SummaryNetwork> summary_net,
                                       AmortizedPosteriorOptions options)
    : state_(std::make_shared<State>(inference_net, std::move(summary_net), std::move(options))) {
  const AmortizedPosteriorOptions& o = state_->options;
  if (!(o.summary_mmd_weight >= 0) || !std::isfinite(o.summary_mmd_weight))
    throw ConfigurationError(
        fmt::format("AmortizedPosteriorOptions::summary_mmd_weight = {}; it must be finite and not negative", o.summary_mmd_weight));
  if (o.threads < 0)
    throw ConfigurationError(fmt::format("AmortizedPosteriorOptions::threads = {}; it must not be negative (0: all)", o.threads));
  if (!o.latent.log_density || !o.latent.sample)
    throw ConfigurationError(
        fmt::format("AmortizedPosteriorOptions::latent \"{}\" lacks its {}; a latent needs both a log density and a sampler", o.latent.name,
                    o.latent.log_density ? "sampler" : "log density"));
  if (state_->options.summary_mmd_weight > 0 && !state_->summary)
    throw ConfigurationError("AmortizedPosterior: a summary loss needs a summary network; give one or set summary_mmd_weight = 0");
}

nn::ParameterStore& AmortizedPosterior::store() { return state_->store; }
const nn::ParameterStore& AmortizedPosterior::store() const { return state_->store; }
const InvertibleNetwork& AmortizedPosterior::inference_net() const { return state_->inference; }
const SummaryNetwork* AmortizedPosterior::summary_net() const { return state_->summary.get(); }
const AmortizedPosteriorOptions& AmortizedPosterior::options() const { return state_->options; }
const AmortizedPosterior::BuiltFor& AmortizedPosterior::built_for() const { return state_->built_for; }
std::uint64_t AmortizedPosterior::unseeded_calls() const { return state_->unseeded_calls; }
void AmortizedPosterior::set_unseeded_calls(std::uint64_t count) { state_->unseeded_calls = count; }
bool AmortizedPosterior::is_built() const { return state_->built; }
std::int64_t AmortizedPosterior::number_of_parameters() const { return state_->store.number_of_values(); }
std::int64_t AmortizedPosterior::num_params() const { return state_->inference.options().num_params; }

void AmortizedPosterior::require_built(const char* what) const {
  if (!state_->built)
    throw ConfigurationError(
        fmt::format("AmortizedPosterior::{}: the networks have no weights yet; train first (or call build with a first batch)", what));
}

void AmortizedPosterior::build(const Inputs& inputs, std::optional<std::uint64_t> seed) {
  const auto shape = [](const std::optional<Array>& a) { return a ? std::optional<Shape>(a->shape()) : std::nullopt; };
  build(BuiltFor{shape(inputs.summary_conditions), shape(inputs.direct_conditions)}, seed);
}

void AmortizedPosterior::build(const BuiltFor& inputs, std::optional<std::uint64_t> seed) {
  State& s = *state_;
  if (s.built) return;
  detail::OwnedMutex& building = s.building.get();
  if (building.is_mine())
    throw ConfigurationError(
        "AmortizedPosterior::build: one of its networks calls it while it is being built; a network's build must not use the amortizer");
  const std::lock_guard one_at_a_time(building);
  const nn::WeightLock::Writing writing(s.store.lock());
  if (s.built) return;
  const bool has_summary = s.summary && inputs.summary_conditions;
  if (s.summary && !inputs.summary_conditions)
    throw SummaryStatsError("AmortizedPosterior: there is a summary network but no summary_conditions; set them in the configurator");
  if (!s.summary && !inputs.direct_conditions)
    throw SummaryStatsError(
        "AmortizedPosterior: there are no direct_conditions, and without a summary network summary_conditions cannot be used; give a "
        "summary network, "
        "or put the data into direct_conditions in the configurator");
  if (!s.summary && inputs.summary_conditions)
    throw SummaryStatsError(
        "AmortizedPosterior: there are summary_conditions but no summary network, so they would be ignored; give a summary network, or put "
        "the data into direct_conditions in the configurator");
  const std::uint64_t common = s.options.seed.value_or(seed.value_or(0));
  std::int64_t width = 0;
  if (has_summary) {
    if (const auto owner = s.summary->owner_.of.lock(); owner && owner != state_)
      throw ConfigurationError(
          "AmortizedPosterior: the summary network was built by another amortizer, which would lose its weights; give each amortizer a "
          "network of "
          "its own (a copy of the object, or another std::make_shared), or copy the amortizer to share both networks");
    s.summary->build(nn::Builder(s.store, s.options.summary_seed.value_or(common), "summary_net"), *inputs.summary_conditions);
    s.summary->owner_.of = state_;
    width += s.summary->summary_dim();
  }
  s.direct_width = inputs.direct_conditions ? (*inputs.direct_conditions)[-1] : 0;
  s.inference.build(nn::Builder(s.store, s.options.inference_seed.value_or(common), "inference_net"), width + s.direct_width);
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
    parts[n] = tape.map_rows(plan_rows(x.dim(0), rows_per_item(x.shape())), in,
                             [&s](Tape& t, std::span<const Tensor> part) { return s.summary->forward(t, part[0]); });
    if (summary) *summary = parts[n];
    ++n;
  }
  const std::int64_t direct = inputs.direct_conditions ? inputs.direct_conditions->dim(-1) : 0;
  if (direct != s.direct_width)
    throw ShapeError(fmt::format(
        "AmortizedPosterior: was built with direct_conditions of width {}; got {}{}", s.direct_width,
        inputs.direct_conditions ? inputs.direct_conditions->shape().to_string() : "none",
        // As the default configurator makes it of a list with a number for each data set.
        s.direct_width > 0 && inputs.direct_conditions && direct == s.direct_width * inputs.direct_conditions->dim(0)
            ? fmt::format(
                  ". A non-batchable context is shared by all data sets: for a value of each, give direct_conditions of shape ({}, {}) "
                  "yourself, or one dictionary for each value",
                  inputs.direct_conditions->dim(0), s.direct_width)
            : std::string()));
  if (inputs.direct_conditions) parts[n++] = tape.input(*inputs.direct_conditions);
  if (n == 0) throw SummaryStatsError("AmortizedPosterior: there are neither summary nor direct conditions");
  if (n == 1) return parts[0];
  if (parts[0].dim(0) != parts[1].dim(0))
    throw ShapeError(fmt::format("AmortizedPosterior: summary and direct conditions must have the same number of data sets; got {} and {}",
                                 parts[0].dim(0), parts[1].dim(0)));
  // Direct conditions per observation: the summary is repeated over them.
  if (parts[1].rank() == 3 && parts[0].rank() == 2) parts[0] = ops::repeat(parts[0], parts[1].dim(1));
  return ops::concat(parts);
}

std::vector<std::string> AmortizedPosterior::loss_names() const {
  if (state_->options.summary_mmd_weight > 0) return {"loss", "summary_loss"};
  return {"loss"};
}

Trainable::LossTensors AmortizedPosterior::loss(Tape& tape, const Inputs& inputs) const {
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
  Tensor nll = tape.map_rows(plan_flow(s.inference, theta.shape()), in, negative_log_density);
  out.total = out.terms[0] = ops::mean(nll);
  if (s.options.summary_mmd_weight > 0) {
    Tensor normals = tape.filled(summary.shape(), 0);
    tape.rng().fill_normal(std::span<float>(normals.data(), static_cast<std::size_t>(normals.size())));
    out.terms[1] = ops::scale(ops::mmd(summary, normals), static_cast<float>(s.options.summary_mmd_weight));
    out.total = ops::add(out.terms[0], out.terms[1]);
  }
  return out;
}

void AmortizedPosterior::update_state() {
  const nn::WeightLock::Updating updating(state_->store.lock());
  if (state_->summary) state_->summary->update_state();
  state_->inference.update_state();
}

}  // namespace bayesflow
