/// Posterior model probabilities with their uncertainty.
#pragma once

#include <cstdint>
#include <string>

#include "bayesflow/core/describe.hpp"
#include "bayesflow/networks/head.hpp"
#include "bayesflow/networks/inference_network.hpp"

namespace bayesflow {

/// Settings of an EvidentialNetwork.
struct EvidentialNetworkOptions {
  std::int64_t num_models = 0;  ///< mandatory, at least 2
  HeadOptions hidden = {.dropout_prob = 0};
  Activation output_activation = Activation::softplus;  ///< of the evidence; one without negative values
  double label_smoothing = 0;                           ///< as in PMPNetworkOptions
  /// Weight of KL(Dirichlet(alpha (1 - y) + y) || uniform) in the loss: evidence for models that the data do not come from is held small.
  /// 0, v1's default, leaves the amount of evidence without meaning: the loss then depends on its shares alone.
  double kl_weight = 0;
  void validate() const;  ///< throws ConfigurationError
};

template <class V>
void describe(V& v, EvidentialNetworkOptions& o) {
  v("num_models", o.num_models, Constraint{.low = 2, .is_width = true});
  v("hidden", o.hidden);
  v("output_activation", o.output_activation);
  v("label_smoothing", o.label_smoothing, probability());
  v("kl_weight", o.kl_weight, at_least(0));
}

/// A Dirichlet distribution over posterior model probabilities: alpha = 1 + activation(f(condition)), at least 1 each. Its mean,
/// alpha_m / sum alpha, are the probabilities; num_models / sum alpha, from 0 to 1, says how much of them is ignorance. Targets as those of
/// a PMPNetwork. Loss: -sum_m y_m log(alpha_m / sum alpha) + kl_weight KL. Outputs: log alpha (batch, num_models), which are unnormalized
/// log probabilities as well. Draws, with kl_weight > 0: probabilities from the Dirichlet distribution. Sensoy et al. (2018), Evidential
/// deep learning to quantify classification uncertainty; Radev et al. (2021), Amortized Bayesian model comparison with evidential deep
/// learning.
class EvidentialNetwork final : public InferenceNetwork {
 public:
  explicit EvidentialNetwork(EvidentialNetworkOptions options);

  /// Throws ConfigurationError unless targets are `num_models` wide.
  void build(const nn::Builder& builder, std::int64_t target_width, std::int64_t condition_width) override;
  [[nodiscard]] std::int64_t target_width() const override { return options_.num_models; }
  [[nodiscard]] Tensor loss(Tape& tape, Tensor targets, Tensor condition) const override;
  [[nodiscard]] Tensor log_density(Tape& tape, Tensor targets, Tensor condition) const override;
  [[nodiscard]] Tensor sample(Tape& tape, DrawStreams& streams, Tensor condition) const override;
  [[nodiscard]] Tensor outputs(Tape& tape, Tensor condition) const override { return ops::log(concentrations(tape, condition)); }
  /// alpha, in the condition's shape.
  [[nodiscard]] Tensor concentrations(Tape& tape, Tensor condition) const;
  [[nodiscard]] bool has_density() const override { return true; }
  [[nodiscard]] bool has_draws() const override { return options_.kl_weight > 0; }
  [[nodiscard]] bool has_outputs() const override { return true; }
  [[nodiscard]] bool is_noisy_at_inference() const override { return head_.is_noisy_at_inference(); }
  void make_valid(Array& targets) const override;
  [[nodiscard]] std::string to_string() const override;
  [[nodiscard]] const EvidentialNetworkOptions& options() const { return options_; }

 private:
  [[nodiscard]] Tensor alpha_of(Tape& tape, Tensor outputs) const;

  EvidentialNetworkOptions options_;
  Head head_;
};

}  // namespace bayesflow
