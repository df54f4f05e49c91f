/// Masked autoregressive flows.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "bayesflow/core/describe.hpp"
#include "bayesflow/networks/inference_network.hpp"
#include "bayesflow/networks/invertible_network.hpp"
#include "bayesflow/nn/layers.hpp"

namespace bayesflow {

/// In which order a layer goes through the targets' columns, after the first, which takes them as they come.
enum class AutoregressiveOrder : std::uint8_t {
  reversed,  ///< the layer before, backwards
  shuffled,  ///< a random permutation of the layer before, drawn once
};
[[nodiscard]] EnumNames<AutoregressiveOrder> names_of(AutoregressiveOrder);

/// Settings of an AutoregressiveFlow.
struct AutoregressiveFlowOptions {
  std::int64_t num_params = 0;  ///< width of the targets; mandatory
  std::int64_t num_layers = 5;
  CouplingDesign design = CouplingDesign::spline;  ///< transform of a column; interleaved: affine, spline, affine, ...
  DenseOptions dense = {
      .units = 64, .activation = Activation::relu, .kernel_initializer = nn::Initializer::he_uniform};  ///< hidden layers, not softmax
  std::int64_t num_dense = 2;                                                                           ///< hidden layers
  std::int64_t num_condition_dense = 1;  ///< hidden layers of the condition alone; all columns of all layers see them, and the condition
  bool residual = true;                  ///< hidden layers but the first add to their input
  bool linear_path = true;               ///< columns before, and the condition, also act linearly on the transform's numbers
  double dropout_prob = 0;               ///< after each hidden layer, in training
  AutoregressiveOrder order = AutoregressiveOrder::reversed;
  double soft_clamping = 1.9;               ///< log-scales stay within +-this; 0: none
  ops::SplineOptions spline = {.bins = 8};  ///< spline: bins and domain
  double scale_gain = 5;                    ///< spline: times the raw number of the scale before it; see CouplingOptions
  void validate() const;                    ///< throws ConfigurationError
};

template <class V>
void describe(V& v, AutoregressiveFlowOptions& o) {
  v("num_params", o.num_params, width());
  v("num_layers", o.num_layers, between(1, 1000));
  v("design", o.design);
  v("dense", o.dense);
  v("num_dense", o.num_dense, between(1, 100));
  v("num_condition_dense", o.num_condition_dense, between(0, 100));
  v("residual", o.residual);
  v("linear_path", o.linear_path);
  v("dropout_prob", o.dropout_prob, probability());
  v("order", o.order);
  v("soft_clamping", o.soft_clamping, at_least(0));
  v("spline", o.spline);
  v("scale_gain", o.scale_gain, positive());
}

/// z = f(theta; c) of layers in each of which column i is transformed given the columns before it and the condition,
///   z_i = T(theta_i; h_i(theta_1, ..., theta_{i-1}, c)),
/// with T(u) = u exp(s) + t (clamped as in Coupling), or that and a rational-quadratic spline after it. All h_i are one dense network whose
/// weights from later columns are masked (MADE): a density takes one pass, a draw one for each column, of which each makes only the units
/// that became known. Compared with couplings every column sees all before it in every layer, which fits small tables of parameters better.
///
/// Papamakarios et al. (2017), Masked autoregressive flow; Germain et al. (2015), MADE; Durkan et al. (2019), Neural spline flows.
class AutoregressiveFlow final : public NormalizingFlow {
 public:
  explicit AutoregressiveFlow(const AutoregressiveFlowOptions& options);

  /// Throws ConfigurationError unless targets are `num_params` wide.
  void build(const nn::Builder& builder, std::int64_t target_width, std::int64_t condition_width) override;
  [[nodiscard]] std::int64_t target_width() const override { return options_.num_params; }
  [[nodiscard]] ops::Transformed forward(Tape& tape, Tensor targets, Tensor condition = {}) const override;
  [[nodiscard]] Tensor inverse(Tape& tape, Tensor latent, Tensor condition = {}) const override;
  [[nodiscard]] Plan plan(const Shape& targets) const override;
  [[nodiscard]] std::string to_string() const override;
  [[nodiscard]] const AutoregressiveFlowOptions& options() const { return options_; }

 private:
  struct Layer;
  Tensor seen(Tape& tape, Tensor condition) const;

  AutoregressiveFlowOptions options_;
  std::vector<std::shared_ptr<Layer>> layers_;
  nn::Mlp condition_net_;
  std::int64_t condition_width_ = 0;
};

}  // namespace bayesflow
