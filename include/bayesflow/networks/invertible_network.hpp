/// Conditional normalizing flows from coupling layers.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "bayesflow/autodiff/ops.hpp"
#include "bayesflow/core/array.hpp"
#include "bayesflow/core/describe.hpp"
#include "bayesflow/networks/inference_network.hpp"
#include "bayesflow/nn/layers.hpp"
#include "bayesflow/nn/parameters.hpp"

namespace bayesflow {
/// The transformation of each coupling layer.
enum class CouplingDesign : std::uint8_t { affine, spline, interleaved };
enum class PermutationKind : std::uint8_t { fixed, learnable, none };  ///< what stands between coupling layers
[[nodiscard]] EnumNames<CouplingDesign> names_of(CouplingDesign);
[[nodiscard]] EnumNames<PermutationKind> names_of(PermutationKind);

/// The dense networks inside a coupling, v1's defaults (but He instead of Glorot initialization: see docs/design/training.md).
struct CouplingOptions {
  DenseOptions dense = {.units = 128,
                        .activation = Activation::relu,
                        .kernel_initializer = nn::Initializer::he_uniform,
                        .kernel_regularizer = 1e-4};  ///< hidden layers
  std::int64_t num_dense = 2;                         ///< hidden layers
  double dropout_prob = 0.05;                         ///< after each hidden layer; 0: none
  bool mc_dropout = false;                            ///< dropout stays active at inference
  bool spec_norm = false;                             ///< spectral normalization of the hidden kernels (at most 1)
  bool residual = false;                              ///< output from hidden layers plus the conditioning half
  double soft_clamping = 1.9;                         ///< affine: log-scales stay within +-this; 0: none
  ops::SplineOptions spline = {};                     ///< spline: bins and domain
  /// spline: the same network also gives a scale (clamped as in affine couplings) and a shift, which come before the spline, so that the
  /// spline sees values of unit scale and its straight tails have the width of the posterior. Without them, as in v1, only the bins
  /// where training data lie learn how narrow the posterior is, and draws now and then lie tens of standard deviations off.
  bool location_scale = true;
  double scale_gain = 5;  ///< times the scale's raw number: the optimizer narrows with the scale first, and leaves bins the shape
  void validate() const;  ///< throws ConfigurationError
};
/// No dropout and no weight decay: right for online training, where no simulation is seen twice.
[[nodiscard]] CouplingOptions unregularized_coupling();
[[nodiscard]] inline CouplingOptions unregularized_affine() { return unregularized_coupling(); }
[[nodiscard]] inline CouplingOptions unregularized_spline() { return unregularized_coupling(); }

/// Settings of an InvertibleNetwork, v1's names and defaults.
struct InvertibleNetworkOptions {
  std::int64_t num_params = 0;  ///< width of the targets; mandatory
  std::int64_t num_coupling_layers = 6;
  CouplingDesign coupling_design = CouplingDesign::affine;  ///< interleaved: affine, spline, affine, ...
  CouplingOptions coupling = {};
  std::optional<CouplingOptions> spline_coupling = {};  ///< interleaved: of the spline layers, if not `coupling`
  PermutationKind permutation = PermutationKind::fixed;
  bool use_act_norm = true;
  std::optional<Array> act_norm_init = {};             ///< (n, P) or (n, N, P) targets from which act norm starts, layer by layer
  bool use_soft_flow = false;                          ///< Kim et al. (2020)
  double soft_flow_low = 1e-3, soft_flow_high = 5e-2;  ///< bounds of the noise scale; density and draws use the lower one
  void validate() const;                               ///< throws ConfigurationError
};

template <class V>
void describe(V& v, CouplingOptions& o) {
  v("dense", o.dense);
  v("num_dense", o.num_dense);
  v("dropout_prob", o.dropout_prob);
  v("mc_dropout", o.mc_dropout);
  v("spec_norm", o.spec_norm);
  v("residual", o.residual);
  v("soft_clamping", o.soft_clamping);
  v("spline", o.spline);
  v.later("location_scale", o.location_scale, false);
  v.later("scale_gain", o.scale_gain, 1.0, at_least(0));
}
/// What act_norm_init did is in the weights.
template <class V>
void describe(V& v, InvertibleNetworkOptions& o) {
  v("num_params", o.num_params, width());
  v("num_coupling_layers", o.num_coupling_layers);
  v("coupling_design", o.coupling_design);
  v("coupling", o.coupling);
  v("spline_coupling", o.spline_coupling);
  v("permutation", o.permutation);
  v("use_act_norm", o.use_act_norm);
  v("use_soft_flow", o.use_soft_flow);
  v("soft_flow_low", o.soft_flow_low);
  v("soft_flow_high", o.soft_flow_high);
}

/// z = f(theta; condition), invertible in theta. Targets (B, D) or (B, N, D); condition absent, (B, C), or (B, N, C) with one row
/// per observation. A layer: act norm, permutation, then the first half given the rest and the rest given the new first half.
/// Dinh et al. (2017); Ardizzone et al. (2019); Durkan et al. (2019).
class InvertibleNetwork final : public NormalizingFlow {
 public:
  explicit InvertibleNetwork(InvertibleNetworkOptions options);

  /// Throws ConfigurationError unless targets are `num_params` wide.
  void build(const nn::Builder& builder, std::int64_t target_width, std::int64_t condition_width) override;
  [[nodiscard]] std::int64_t target_width() const override { return options_.num_params; }
  [[nodiscard]] ops::Transformed forward(Tape& tape, Tensor targets, Tensor condition = {}) const override;
  [[nodiscard]] Tensor inverse(Tape& tape, Tensor latent, Tensor condition = {}) const override;
  [[nodiscard]] const InvertibleNetworkOptions& options() const { return options_; }
  [[nodiscard]] bool is_noisy_at_inference() const override;  ///< dropout stays active (`mc_dropout`)
  [[nodiscard]] bool standardizes_targets() const override { return options_.act_norm_init.has_value(); }
  [[nodiscard]] Plan plan(const Shape& targets) const override;
  void update_state() override;
  [[nodiscard]] std::string to_string() const override;

 private:
  struct Layer;
  void initialize_act_norm(nn::ParameterStore& store);
  void check_targets(const char* what, Tensor targets, Tensor condition) const;

  InvertibleNetworkOptions options_;
  std::vector<std::shared_ptr<Layer>> layers_;
  std::int64_t condition_width_ = 0;
};

}  // namespace bayesflow
