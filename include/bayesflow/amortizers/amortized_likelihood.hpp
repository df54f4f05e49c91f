/// Likelihood approximation by an inference network.
#pragma once

#include <concepts>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "bayesflow/amortizers/amortizer.hpp"
#include "bayesflow/data/configurator.hpp"

namespace bayesflow {

/// q(observables | conditions): a surrogate of the simulator, for single observations. Conditions are parameters and what else the
/// simulator was given, (batch, C); observables are (batch, D), or (batch, n, D) with n independent observations for each condition.
/// Papamakarios et al. (2019), Sequential neural likelihood; Radev et al. (2023), JANA.
class AmortizedLikelihood : public Amortizer {
 public:
  /// roles::observables, conditions
  static const AmortizerKind kKind;

  /// Any class derived from InferenceNetwork; it is copied. Options of summary networks must be left as they are.
  template <std::derived_from<InferenceNetwork> Inference>
  explicit AmortizedLikelihood(const Inference& inference_net, AmortizerOptions options = {})
      : AmortizedLikelihood(std::make_shared<Inference>(inference_net), std::move(options)) {}
  /// With a network that is chosen at run time. It belongs to the first amortizer that builds it.
  explicit AmortizedLikelihood(std::shared_ptr<InferenceNetwork> inference_net, AmortizerOptions options = {});
  /// Another handle of `other`; throws ConfigurationError if that is no AmortizedLikelihood.
  explicit AmortizedLikelihood(const Amortizer& other) : Amortizer(kKind, other) {}

  /// `n_samples` simulated observations for each condition: (batch, n_samples, D). With one seed the first are the same for any n_samples,
  /// and for any number of threads.
  [[nodiscard]] Array sample(const Batch& batch, std::int64_t n_samples, SampleOptions options = {}) const {
    return draws(batch, n_samples, options);
  }
  /// The same for raw parameters and contexts, through the adapter: observations as the simulator makes them.
  [[nodiscard]] Array sample(const Simulations& parameters, std::int64_t n_samples, SampleOptions options = {}) const {
    return draws(parameters, n_samples, options);
  }
  /// The same as float32, into memory of yours of batch * n_samples * D values.
  void sample_into(std::span<float> out, const Batch& batch, std::int64_t n_samples, SampleOptions options = {}) const {
    draws_into(out, batch, n_samples, options);
  }
  /// log q of every observation: (batch), or (batch, n). That of a data set is the sum over its independent observations.
  [[nodiscard]] Array log_likelihood(const Batch& batch, std::vector<Foreign>* foreign = nullptr) const {
    return log_density(batch, foreign);
  }
  /// The same of raw simulations, through the adapter: the density of the data in the user's units.
  [[nodiscard]] Array log_likelihood(const Simulations& simulations, std::vector<Foreign>* foreign = nullptr) const {
    return log_density(simulations, foreign);
  }
  using Gradient = DensityGradient;
  /// log q of every observation, and the derivative of the log likelihood of each data set, the sum over its observations, by its
  /// conditions: d/dc sum_i log q(x_i | c), of the shape of the conditions. Exact up to float32 (reverse mode), and as costly as some three
  /// densities. For samplers (mcmc/sampler.hpp), optimizers and sensitivity analyses. Foreign data are not looked for.
  [[nodiscard]] Gradient log_likelihood_gradient(const Batch& batch) const { return density_gradient("log_likelihood_gradient", batch); }
  using Forward = Latents;
  /// Latents and log-determinants of given observables. Normalizing flows only.
  [[nodiscard]] Forward forward(const Batch& batch) const { return latents(batch); }
};

}  // namespace bayesflow
