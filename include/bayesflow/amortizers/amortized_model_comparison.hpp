/// Bayesian model comparison by a classifier of simulations.
#pragma once

#include <concepts>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bayesflow/amortizers/amortizer.hpp"
#include "bayesflow/data/configurator.hpp"
#include "bayesflow/networks/evidential_network.hpp"
#include "bayesflow/networks/pmp_network.hpp"

namespace bayesflow {

/// Settings of `AmortizedModelComparison::log_bayes_factors`.
struct BayesFactorOptions {
  std::int64_t reference = 0;             ///< number of the model that all are compared with
  std::vector<double> model_priors = {};  ///< shares of the models in training; empty: equal. They are divided by their sum
  SampleOptions sample = {};              ///< seed of dropout that stays active; receiver of warnings
};

/// p(model | summary_net(summary_conditions), direct_conditions): from which of M models data come. Targets are roles::model_indices,
/// one-hot rows. The shares of the models among the simulations of training are the prior probabilities of the posterior ones. Radev et al.
/// (2021), Amortized Bayesian model comparison with evidential deep learning.
///
/// The inference network is a PMPNetwork, an EvidentialNetwork, or one of your own whose `outputs` are unnormalized log probabilities
/// (batch, M).
class AmortizedModelComparison : public Amortizer {
 public:
  /// roles::model_indices, summary_conditions (with summary_mask and summary_times), direct_conditions
  static const AmortizerKind kKind;

  /// With a summary network. Any classes derived from InferenceNetwork and SummaryNetwork; they are copied.
  template <std::derived_from<InferenceNetwork> Inference, std::derived_from<SummaryNetwork> Summary>
  AmortizedModelComparison(const Inference& inference_net, Summary summary_net, AmortizerOptions options = {})
      : AmortizedModelComparison(std::make_shared<Inference>(inference_net), std::make_shared<Summary>(std::move(summary_net)),
                                 std::move(options)) {}
  /// Without: direct conditions only.
  template <std::derived_from<InferenceNetwork> Inference>
  explicit AmortizedModelComparison(const Inference& inference_net, AmortizerOptions options = {})
      : AmortizedModelComparison(std::make_shared<Inference>(inference_net), nullptr, std::move(options)) {}
  /// With networks that are chosen at run time (no summary network: null). They belong to the first amortizer that builds them. Throws
  /// ConfigurationError for an inference network without outputs.
  AmortizedModelComparison(std::shared_ptr<InferenceNetwork> inference_net, std::shared_ptr<SummaryNetwork> summary_net,
                           AmortizerOptions options = {});
  /// Another handle of `other`; throws ConfigurationError if that is no AmortizedModelComparison.
  explicit AmortizedModelComparison(const Amortizer& other) : Amortizer(kKind, other) {}

  [[nodiscard]] std::int64_t num_models() const { return target_width(); }

  /// Posterior probabilities of the models: (batch, M), rows that sum to 1.
  [[nodiscard]] Array posterior_probs(const Batch& batch, SampleOptions options = {}) const;
  /// Unnormalized log probabilities, (batch, M): their differences are log posterior odds.
  [[nodiscard]] Array compute_logits(const Batch& batch, SampleOptions options = {}) const;
  /// log p(x | model m) - log p(x | reference model): (batch, M), 0 at the reference. Throws ArgumentError for a reference that is no
  /// model, or priors that are not M positive numbers.
  [[nodiscard]] Array log_bayes_factors(const Batch& batch, const BayesFactorOptions& options = {}) const;
  /// log posterior probability of the models that the batch names: (batch). Their mean is a proper score.
  [[nodiscard]] Array log_prob(const Batch& batch, std::vector<Foreign>* foreign = nullptr) const { return log_density(batch, foreign); }

  // Of an EvidentialNetwork; others throw ConfigurationError.
  /// Concentrations of the Dirichlet distribution of the probabilities: (batch, M), at least 1 each.
  [[nodiscard]] Array evidence(const Batch& batch, SampleOptions options = {}) const;
  /// M / sum of the concentrations: (batch), 1 where nothing is known, towards 0 where much is. Throws ConfigurationError if the network
  /// was trained with kl_weight = 0, which leaves the amount of evidence without meaning.
  [[nodiscard]] Array uncertainty(const Batch& batch, SampleOptions options = {}) const;
  /// `n_samples` draws of the probabilities from their Dirichlet distribution: (batch, n_samples, M). As `uncertainty`.
  [[nodiscard]] Array sample(const Batch& batch, std::int64_t n_samples, SampleOptions options = {}) const;

  /// Says if the models were not told apart: if the score on held-out data is no better than that of the models' shares.
  [[nodiscard]] std::vector<std::string> review(const Batch& held_out, const std::vector<std::string>& names) const override;

 private:
  [[nodiscard]] const EvidentialNetwork& evidential(const char* what, bool with_amount) const;
  [[nodiscard]] Array logits(const char* what, const Batch& batch, SampleOptions options) const;
};

}  // namespace bayesflow
