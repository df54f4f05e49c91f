#include "bayesflow/amortizers/amortized_point_estimator.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "bayesflow/core/errors.hpp"

namespace bayesflow {

const AmortizerKind AmortizedPointEstimator::kKind{.name = "AmortizedPointEstimator",
                                                   .target = roles::parameters,
                                                   .summary = roles::summary_conditions,
                                                   .direct = roles::direct_conditions,
                                                   .density = "log_density"};

AmortizedPointEstimator::AmortizedPointEstimator(std::shared_ptr<InferenceNetwork> inference_net,
                                                 std::shared_ptr<SummaryNetwork> summary_net, AmortizerOptions options)
    : Amortizer(kKind, std::move(inference_net), std::move(summary_net), std::move(options)) {
  if (!this->inference_net().has_outputs())
    throw ConfigurationError(
        "AmortizedPointEstimator: needs an inference network that gives estimates; use a PointNetwork, or give your own class has_outputs "
        "and outputs");
}

std::vector<double> AmortizedPointEstimator::losses_of(const Batch& inputs) const {
  const auto* point = dynamic_cast<const PointNetwork*>(&inference_net());
  return point && point->options().estimate == PointEstimate::mean_and_sd ? Amortizer::losses_of(inputs) : std::vector<double>();
}

Array AmortizedPointEstimator::estimate(const Batch& batch, SampleOptions options) const {
  Array out = outputs("estimate", batch, options);
  const std::int64_t width = num_params(), got = out.dim(1);
  if (width == 0 || got == width || got % width != 0) return out;
  return out.reshape({out.dim(0), got / width, width});
}

namespace {
/// Throws ConfigurationError unless the network estimates one of these.
void require_estimate(const InferenceNetwork& net, const char* what, std::initializer_list<PointEstimate> any_of) {
  const auto* point = dynamic_cast<const PointNetwork*>(&net);
  if (point && std::find(any_of.begin(), any_of.end(), point->options().estimate) != any_of.end()) return;
  throw ConfigurationError(fmt::format(
      "AmortizedPointEstimator::{}: the inference network does not estimate it; use a PointNetwork with estimate = {}, or estimate()", what,
      any_of.begin()[0] == PointEstimate::quantiles     ? "quantiles"
      : any_of.begin()[0] == PointEstimate::mean_and_sd ? "mean_and_sd"
                                                        : "mean or mean_and_sd"));
}
/// Row k of (batch, K, P); all of (batch, P).
Array block(const Array& all, std::int64_t k) {
  if (all.rank() == 2) return all;
  Array out({all.dim(0), all.dim(2)});
  for (std::int64_t b = 0; b < all.dim(0); ++b)
    std::copy_n(all.data() + (b * all.dim(1) + k) * all.dim(2), all.dim(2), out.data() + b * all.dim(2));
  return out;
}
}  // namespace

Array AmortizedPointEstimator::mean(const Batch& batch, SampleOptions options) const {
  require_estimate(inference_net(), "mean", {PointEstimate::mean, PointEstimate::mean_and_sd});
  return block(estimate(batch, options), 0);
}

Array AmortizedPointEstimator::sd(const Batch& batch, SampleOptions options) const {
  require_estimate(inference_net(), "sd", {PointEstimate::mean_and_sd});
  return block(estimate(batch, options), 1);
}

Array AmortizedPointEstimator::quantiles(const Batch& batch, SampleOptions options) const {
  require_estimate(inference_net(), "quantiles", {PointEstimate::quantiles});
  const Array all = estimate(batch, options);
  return all.rank() == 3 ? all : all.reshape({all.dim(0), 1, all.dim(1)});
}

}  // namespace bayesflow
