/// Mixtures of normal distributions whose parameters a dense network gives.
#pragma once

#include <cstdint>
#include <string>

#include "bayesflow/core/describe.hpp"
#include "bayesflow/networks/inference_network.hpp"
#include "bayesflow/nn/layers.hpp"

namespace bayesflow {

enum class Covariance : std::uint8_t { full, diagonal };  ///< of each component
[[nodiscard]] EnumNames<Covariance> names_of(Covariance);

/// Settings of a MixtureDensityNetwork.
struct MixtureDensityOptions {
  std::int64_t num_params = 0;  ///< width of the targets; mandatory
  std::int64_t num_components = 8;
  Covariance covariance = Covariance::full;
  DenseOptions dense = {.units = 64, .activation = Activation::swish};  ///< hidden layers
  std::int64_t num_dense = 3;                                           ///< hidden layers
  double dropout_prob = 0;                                              ///< after each hidden layer, in training
  void validate() const;                                                ///< throws ConfigurationError
};

template <class V>
void describe(V& v, MixtureDensityOptions& o) {
  v("num_params", o.num_params, width());
  v("num_components", o.num_components, width());
  v("covariance", o.covariance);
  v("dense", o.dense);
  v("num_dense", o.num_dense, between(1, 100));
  v("dropout_prob", o.dropout_prob, probability());
}

/// q(theta | c) = sum_k w_k(c) N(theta; m_k(c), (L_k(c)^T L_k(c))^-1), L_k lower triangular with a positive diagonal, or diagonal. Weights,
/// means and L are linear in hidden layers of the condition and in the condition itself. Means start apart from each other, as N(0, 1).
/// Density and draws are exact and cheap; with derivatives. Few parameters, up to about ten, and posteriors of few modes suit it.
///
/// Targets should be of unit scale. Bishop (1994), Mixture density networks; Papamakarios, Murray (2016), Fast epsilon-free inference.
class MixtureDensityNetwork final : public InferenceNetwork {
 public:
  explicit MixtureDensityNetwork(const MixtureDensityOptions& options);

  /// Throws ConfigurationError unless targets are `num_params` wide, and if there are no conditions.
  void build(const nn::Builder& builder, std::int64_t target_width, std::int64_t condition_width) override;
  [[nodiscard]] std::int64_t target_width() const override { return options_.num_params; }
  [[nodiscard]] Tensor loss(Tape& tape, Tensor targets, Tensor condition) const override;  ///< -log q
  [[nodiscard]] Tensor sample(Tape& tape, DrawStreams& streams, Tensor condition) const override;
  [[nodiscard]] Tensor log_density(Tape& tape, Tensor targets, Tensor condition) const override;
  [[nodiscard]] bool has_density() const override { return true; }
  [[nodiscard]] bool has_draws() const override { return true; }
  [[nodiscard]] std::string to_string() const override;
  [[nodiscard]] const MixtureDensityOptions& options() const { return options_; }

 private:
  Tensor numbers(Tape& tape, Tensor condition) const;
  MixtureDensityOptions options_;
  nn::Mlp hidden_;
  nn::Dense logits_, means_, factors_;
  std::int64_t condition_width_ = 0;
};

}  // namespace bayesflow
