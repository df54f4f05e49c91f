/// Posterior model probabilities.
#pragma once

#include <cstdint>
#include <string>

#include "bayesflow/core/describe.hpp"
#include "bayesflow/networks/head.hpp"
#include "bayesflow/networks/inference_network.hpp"

namespace bayesflow {

/// Settings of a PMPNetwork.
struct PMPNetworkOptions {
  std::int64_t num_models = 0;  ///< mandatory, at least 2
  HeadOptions hidden = {};
  /// e: the loss takes y (1 - e) + e / num_models for the one-hot y. What is learnt is then (1 - e) p + e / num_models and not the
  /// posterior probability p; v1 has 0.01, with which no Bayes factor of two models is above 199.
  double label_smoothing = 0;
  void validate() const;  ///< throws ConfigurationError
};

template <class V>
void describe(V& v, PMPNetworkOptions& o) {
  v("num_models", o.num_models, Constraint{.low = 2, .is_width = true});
  v("hidden", o.hidden);
  v("label_smoothing", o.label_smoothing, probability());
}

/// p(model | condition) = softmax(f(condition)), from which of several models the data come. Targets are one-hot rows (batch, num_models),
/// or rows of probabilities that sum to 1. Loss: the cross entropy -sum_m y_m log p_m, which the exact posterior probabilities minimize,
/// under the frequencies of the models in training as their prior. Outputs: f, unnormalized log probabilities (batch, num_models).
/// Density: p of the model that the target names.
/// Radev et al. (2021), Amortized Bayesian model comparison with evidential deep learning.
class PMPNetwork final : public InferenceNetwork {
 public:
  explicit PMPNetwork(PMPNetworkOptions options);

  /// Throws ConfigurationError unless targets are `num_models` wide.
  void build(const nn::Builder& builder, std::int64_t target_width, std::int64_t condition_width) override;
  [[nodiscard]] std::int64_t target_width() const override { return options_.num_models; }
  [[nodiscard]] Tensor loss(Tape& tape, Tensor targets, Tensor condition) const override;
  [[nodiscard]] Tensor log_density(Tape& tape, Tensor targets, Tensor condition) const override;
  [[nodiscard]] Tensor outputs(Tape& tape, Tensor condition) const override { return head_(tape, condition); }
  [[nodiscard]] bool has_density() const override { return true; }
  [[nodiscard]] bool has_outputs() const override { return true; }
  [[nodiscard]] bool is_noisy_at_inference() const override { return head_.is_noisy_at_inference(); }
  void make_valid(Array& targets) const override;
  [[nodiscard]] std::string to_string() const override;
  [[nodiscard]] const PMPNetworkOptions& options() const { return options_; }

 private:
  PMPNetworkOptions options_;
  Head head_;
};

}  // namespace bayesflow
