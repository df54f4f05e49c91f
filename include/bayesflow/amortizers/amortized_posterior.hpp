/// Posterior approximation by an inference network.
#pragma once

#include <concepts>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bayesflow/amortizers/amortizer.hpp"
#include "bayesflow/networks/invertible_network.hpp"

namespace bayesflow {
/// Settings of an AmortizedPosterior.
using AmortizedPosteriorOptions = AmortizerOptions;

/// q(parameters | summary_net(summary_conditions), direct_conditions).
/// Radev et al. (2020), BayesFlow: learning complex stochastic models with invertible neural networks.
///
/// With a normalizing flow the loss is the negative log posterior density, -log p(z) - log |det J|.
class AmortizedPosterior : public Amortizer {
 public:
  /// roles::parameters, summary_conditions (with summary_mask and summary_times), direct_conditions
  static const AmortizerKind kKind;

  /// With a summary network. Any classes derived from InferenceNetwork and SummaryNetwork; they are copied.
  template <std::derived_from<InferenceNetwork> Inference, std::derived_from<SummaryNetwork> Summary>
  AmortizedPosterior(const Inference& inference_net, Summary summary_net, AmortizedPosteriorOptions options = {})
      : AmortizedPosterior(std::make_shared<Inference>(inference_net), std::make_shared<Summary>(std::move(summary_net)),
                           std::move(options)) {}
  /// Without: direct conditions only.
  template <std::derived_from<InferenceNetwork> Inference>
  explicit AmortizedPosterior(const Inference& inference_net, AmortizedPosteriorOptions options = {})
      : AmortizedPosterior(std::make_shared<Inference>(inference_net), nullptr, std::move(options)) {}

  /// With networks that are chosen at run time (no summary network: null). They belong to the first amortizer that builds them: another
  /// one throws ConfigurationError as long as that one lives.
  AmortizedPosterior(std::shared_ptr<InferenceNetwork> inference_net, std::shared_ptr<SummaryNetwork> summary_net,
                     AmortizedPosteriorOptions options = {});
  template <std::derived_from<InferenceNetwork> Inference>
  AmortizedPosterior(const Inference& inference_net, std::shared_ptr<SummaryNetwork> summary_net, AmortizedPosteriorOptions options = {})
      : AmortizedPosterior(std::make_shared<Inference>(inference_net), std::move(summary_net), std::move(options)) {}
  /// Another handle of `other`; throws ConfigurationError if that is no AmortizedPosterior.
  explicit AmortizedPosterior(const Amortizer& other) : Amortizer(kKind, other) {}

  [[nodiscard]] std::int64_t num_params() const { return target_width(); }  ///< width of the parameter vector

  /// `n_samples` draws for each data set: always (batch, n_samples, P). Memory beyond the result does not grow with it. With one
  /// seed the first draws are the same for any n_samples, and for any number of threads.
  [[nodiscard]] Array sample(const Batch& batch, std::int64_t n_samples, SampleOptions options = {}) const {
    return draws(batch, n_samples, options);
  }
  /// The same of raw data, as a simulator makes them: through the adapter, and back into the user's units.
  [[nodiscard]] Array sample(const Simulations& data, std::int64_t n_samples, SampleOptions options = {}) const {
    return draws(data, n_samples, options);
  }
  /// The same draws as float32, which is what networks compute in, into memory of yours of batch * n_samples * P values: half the size.
  void sample_into(std::span<float> out, const Batch& batch, std::int64_t n_samples, SampleOptions options = {}) const {
    draws_into(out, batch, n_samples, options);
  }
  /// The same from given latent draws (batch, n_samples, P): the inverse of `forward`. Normalizing flows only.
  [[nodiscard]] Array sample_from_latent(const Batch& batch, const Array& latent) const { return draws_from_latent(batch, latent); }
  /// log q(parameters | conditions): (batch), or (batch, n) for 3-D parameters.
  [[nodiscard]] Array log_posterior(const Batch& batch, std::vector<Foreign>* foreign = nullptr) const {
    return log_density(batch, foreign);
  }
  /// The same of raw simulations, through the adapter: the density of the parameters in the user's units, -infinity outside of bounds.
  [[nodiscard]] Array log_posterior(const Simulations& simulations, std::vector<Foreign>* foreign = nullptr) const {
    return log_density(simulations, foreign);
  }
  using Forward = Latents;
  /// Latents and log-determinants of given parameters. Normalizing flows only.
  [[nodiscard]] Forward forward(const Batch& batch) const { return latents(batch); }

  /// Names parameters whose posterior is about as wide as the prior: a stalled run.
  [[nodiscard]] std::vector<std::string> review(const Batch& held_out, const std::vector<std::string>& names) const override;
};

}  // namespace bayesflow
