#include "bayesflow/amortizers/amortized_point_estimator.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <variant>

#include "adapter/elementwise.hpp"
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

Array AmortizedPointEstimator::estimate(const Simulations& data, SampleOptions options) const {
  Adapted adapted;
  Array all = outputs("estimate", data, options, adapted);
  const std::int64_t width = num_params(), batch = all.dim(0), blocks = all.dim(1) / width;
  if (blocks * width != all.dim(1))
    throw ConfigurationError(
        fmt::format("AmortizedPointEstimator::estimate: {} outputs of {} parameters are no estimates of each, so that an adapter "
                    "cannot bring them into the user's units; estimate from a configured batch",
                    all.dim(1), width));
  const auto* net = dynamic_cast<const PointNetwork*>(&inference_net());
  const bool by_rank = net && (net->options().estimate == PointEstimate::quantiles || net->options().estimate == PointEstimate::norm_1);
  const auto by = adapter();
  for (const adapter::Step& step : by->steps())
    std::visit(
        [&](const auto& s) {
          const bool linear = std::holds_alternative<adapter::Standardize>(step) || s.field != "prior_draws";
          const bool columnwise = linear || adapter::Elementwise<std::decay_t<decltype(s)>>;
          if (by_rank ? !columnwise : !linear)
            throw ConfigurationError(fmt::format(
                "AmortizedPointEstimator::estimate: such estimates of parameters behind the step \"{}\" are not those of the parameters "
                "themselves; {}, or leave the step out",
                s.kName, by_rank ? "estimate from a configured batch" : "estimate quantiles"));
        },
        step);
  Array out = by->inverse(all.reshape({batch, blocks, width}), adapted);
  if (net && net->options().estimate == PointEstimate::mean_and_sd) {
    // A standard deviation is scaled, and not shifted.
    const Array origin = by->inverse(Array({batch, blocks, width}), adapted);
    for (std::int64_t b = 0; b < batch; ++b)
      for (std::int64_t j = 0; j < out.dim(2); ++j) out(b, 1, j) -= origin(b, 1, j);
  }
  return blocks == 1 ? out.reshape({batch, out.dim(2)}) : out;
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
