/// Point estimates by an inference network.
#pragma once

#include <concepts>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "bayesflow/amortizers/amortizer.hpp"
#include "bayesflow/networks/point_network.hpp"

namespace bayesflow {

/// Estimates of parameters from summary_net(summary_conditions) and direct_conditions: what a PointNetwork is told to estimate, or whatever
/// the `outputs` of an inference network of your own are. Sainsbury-Dale, Zammit-Mangion, Huser (2024), Likelihood-free parameter
/// estimation with neural Bayes estimators.
class AmortizedPointEstimator : public Amortizer {
 public:
  /// roles::parameters, summary_conditions (with summary_mask and summary_times), direct_conditions
  static const AmortizerKind kKind;

  /// With a summary network. Any classes derived from InferenceNetwork and SummaryNetwork; they are copied.
  template <std::derived_from<InferenceNetwork> Inference, std::derived_from<SummaryNetwork> Summary>
  AmortizedPointEstimator(const Inference& inference_net, Summary summary_net, AmortizerOptions options = {})
      : AmortizedPointEstimator(std::make_shared<Inference>(inference_net), std::make_shared<Summary>(std::move(summary_net)),
                                std::move(options)) {}
  /// Without: direct conditions only.
  template <std::derived_from<InferenceNetwork> Inference>
  explicit AmortizedPointEstimator(const Inference& inference_net, AmortizerOptions options = {})
      : AmortizedPointEstimator(std::make_shared<Inference>(inference_net), nullptr, std::move(options)) {}
  /// With networks that are chosen at run time (no summary network: null). They belong to the first amortizer that builds them. Throws
  /// ConfigurationError for an inference network without outputs.
  AmortizedPointEstimator(std::shared_ptr<InferenceNetwork> inference_net, std::shared_ptr<SummaryNetwork> summary_net,
                          AmortizerOptions options = {});
  /// Another handle of `other`; throws ConfigurationError if that is no AmortizedPointEstimator.
  explicit AmortizedPointEstimator(const Amortizer& other) : Amortizer(kKind, other) {}

  [[nodiscard]] std::int64_t num_params() const { return target_width(); }
  /// None unless the loss is a log score, in nats: what further steps would gain is told in these.
  [[nodiscard]] std::vector<double> losses_of(const Batch& inputs) const override;

  /// The network's outputs for every data set, as blocks of P numbers: (batch, P) if there is one, else (batch, K, P): means and standard
  /// deviations, or a row for each level of quantiles. (batch, W) if they are no multiple of P.
  [[nodiscard]] Array estimate(const Batch& batch, SampleOptions options = {}) const;

  /// The same of raw data, through the adapter, in the user's units. Quantiles and medians go through any steps that act on columns by
  /// themselves; other estimates are those of the user's parameters only if steps on these are linear (`standardize`): ConfigurationError
  /// otherwise.
  [[nodiscard]] Array estimate(const Simulations& data, SampleOptions options = {}) const;

  // Of a PointNetwork that estimates them; others throw ConfigurationError.
  [[nodiscard]] Array mean(const Batch& batch, SampleOptions options = {}) const;       ///< (batch, P)
  [[nodiscard]] Array sd(const Batch& batch, SampleOptions options = {}) const;         ///< (batch, P)
  [[nodiscard]] Array quantiles(const Batch& batch, SampleOptions options = {}) const;  ///< (batch, K, P), at PointNetworkOptions::levels
};

}  // namespace bayesflow
