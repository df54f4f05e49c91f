/// Posterior and likelihood, learnt together.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "bayesflow/amortizers/amortized_likelihood.hpp"
#include "bayesflow/amortizers/amortized_posterior.hpp"
#include "bayesflow/amortizers/amortizer_group.hpp"

namespace bayesflow {

/// Log densities of a prior at parameters of shape (n, P), which are as the networks get them (after the configurator): shape (n).
/// -infinity where the prior has no density.
using LogPrior = std::function<Array(const Array& parameters)>;

/// Settings of log_marginal_likelihood.
struct MarginalLikelihoodOptions {
  std::int64_t n_samples = 200;  ///< draws from the posterior, for each data set; at least 2
  SampleOptions sampling = {};
  /// The likelihood's conditions (n, C) for draws (n, P) of data set `b`. None: the draws themselves, with the last C - P columns of the
  /// given conditions (contexts), if there are any.
  std::function<Array(const Array& draws, const Batch& batch, std::int64_t b)> conditions = {};
};

/// log p(x) of data sets.
struct MarginalLikelihood {
  Array value;   ///< (batch): mean of the terms
  Array spread;  ///< (batch): standard deviation of the terms over draws: how far the networks contradict each other. An error bar.
  Array inside;  ///< (batch): share of the draws where the prior has a density
  /// (batch, n_samples): log q(x | theta_s) + log p(theta_s) - log q(theta_s | x); -infinity where the prior has no density.
  Array terms;
};

/// q(parameters | data) and q(observables | parameters) of one model, trained together on the same simulations.
/// Radev et al. (2023), JANA: jointly amortized neural approximation of complex Bayesian models.
///
/// Loss terms: "posterior_loss", "likelihood_loss", and "posterior_summary_loss" with a summary_mmd_weight. The posterior reads parameters,
/// summary_conditions (with mask and times) and direct_conditions; the likelihood reads observables and conditions.
class AmortizedPosteriorLikelihood : public AmortizerGroup {
 public:
  static constexpr const char* kClass = "AmortizedPosteriorLikelihood";

  /// Handles of the two: they are its parts from now on.
  AmortizedPosteriorLikelihood(const AmortizedPosterior& posterior, const AmortizedLikelihood& likelihood);
  /// Another handle of `other`; throws ConfigurationError if that is no AmortizedPosteriorLikelihood.
  explicit AmortizedPosteriorLikelihood(const AmortizerGroup& other);

  [[nodiscard]] AmortizedPosterior posterior() const;
  [[nodiscard]] AmortizedLikelihood likelihood() const;

  // The parts' functions, with a batch that may hold what either of them reads.

  [[nodiscard]] Array sample_parameters(const Batch& batch, std::int64_t n_samples, SampleOptions options = {}) const;  ///< (batch, n, P)
  [[nodiscard]] Array log_posterior(const Batch& batch, std::vector<Foreign>* foreign = nullptr) const;
  [[nodiscard]] Array sample_data(const Batch& batch, std::int64_t n_samples, SampleOptions options = {}) const;  ///< (batch, n, D)
  [[nodiscard]] Array log_likelihood(const Batch& batch, std::vector<Foreign>* foreign = nullptr) const;

  /// log p(x) = log p(x | theta) + log p(theta) - log p(theta | x) holds for every theta. With the networks' densities, at draws of the
  /// posterior network, the right side is an estimate, and its spread over draws shows the networks' error (Radev et al. 2023, section 4):
  ///   value = mean_s [ log q(x | theta_s) + log p(theta_s) - log q(theta_s | x) ],  spread = sd_s [ ... ].
  /// The likelihood of a data set is the product over its n observations where observables are (batch, n, D); those that a summary_mask of
  /// shape (batch, n) leaves out do not count. Draws where the prior has no density are left out, and the log of the other draws' share is
  /// added, because the network's density there is too low by that factor.
  ///
  /// The batch holds what the posterior reads of data, and observables. Both densities must be of the same quantities: a configurator
  /// that standardizes data gives log p of standardized data.
  /// Throws ArgumentError if the prior has no density at any of a data set's draws, or gives NaN.
  [[nodiscard]] MarginalLikelihood log_marginal_likelihood(const Batch& batch, const LogPrior& log_prior,
                                                           const MarginalLikelihoodOptions& options = {}) const;
};

}  // namespace bayesflow
