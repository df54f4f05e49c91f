/// Continuous flows that are learnt without solving them: flow matching along straight lines.
#pragma once

#include <cstdint>
#include <string>

#include "bayesflow/core/describe.hpp"
#include "bayesflow/networks/equation_network.hpp"

namespace bayesflow {

/// How the difference r between learnt and wanted velocity is judged.
enum class VelocityLoss : std::uint8_t {
  squared,   ///< sum_j r_j^2, which the exact velocity minimizes
  log_cosh,  ///< sum_j log cosh r_j, v1's: less moved by outliers, and by skewed differences drawn away from the exact velocity
};
[[nodiscard]] EnumNames<VelocityLoss> names_of(VelocityLoss);

/// Which normal numbers z a target is joined with in training.
enum class FlowCoupling : std::uint8_t {
  independent,        ///< any
  optimal_transport,  ///< in groups of up to 32 targets z are exchanged so that lines are short: squared distances add up to the least
};
[[nodiscard]] EnumNames<FlowCoupling> names_of(FlowCoupling);

/// Settings of a FlowMatchingNetwork.
struct FlowMatchingOptions {
  std::int64_t num_params = 0;  ///< width of the targets; mandatory
  DenseOptions dense = {.units = 256, .activation = Activation::swish};
  std::int64_t num_dense = 4;
  bool residual = true;               ///< hidden layers but the first add to their input
  double dropout_prob = 0;            ///< after each hidden layer, in training
  std::int64_t time_frequencies = 8;  ///< sin(pi k t), cos(pi k t) for k = 1, ... beside t as inputs
  double time_power = 0;  ///< times of training have a density proportional to t^time_power: above 0, more of them near the data
  VelocityLoss loss = VelocityLoss::squared;
  OdeSolver solver = OdeSolver::rk4;
  std::int64_t steps = 25;  ///< of the solver, euler or rk4
  FlowCoupling coupling = FlowCoupling::independent;
  /// Optimal transport: what a distance between conditions costs, relative to its mean square in the group. z must stay independent of the
  /// condition: exchanges between unlike conditions bias the posterior (0 ignores conditions). Targets (batch, n, D) that share a
  /// condition are exchanged among each other only, for nothing.
  double condition_weight = 100;
  double tolerance = 1e-4;        ///< dopri5: error of a step, absolute and relative
  std::int64_t trace_probes = 0;  ///< 0: exact traces; else Hutchinson's estimate of them by this many random vectors, the same for all
  void validate() const;          ///< throws ConfigurationError
};

template <class V>
void describe(V& v, FlowMatchingOptions& o) {
  v("num_params", o.num_params, width());
  v("dense", o.dense);
  v("num_dense", o.num_dense, between(1, 100));
  v("residual", o.residual);
  v("dropout_prob", o.dropout_prob, probability());
  v("time_frequencies", o.time_frequencies, steps(0, 100));
  v("time_power", o.time_power, Constraint{.low = 0, .high = 100});
  v("loss", o.loss);
  v("solver", o.solver);
  v("steps", o.steps, steps(1, 100000));
  v.later("coupling", o.coupling, FlowCoupling::independent);
  v.later("condition_weight", o.condition_weight, 100.0, between(0, 1e6));
  v.later("tolerance", o.tolerance, 1e-4, between(1e-8, 0.1));
  v.later("trace_probes", o.trace_probes, std::int64_t{0}, steps(0, 1000));
}

/// A velocity v(x, t; condition), a dense network, carries standard normal numbers z at t = 0 to targets y at t = 1: dx/dt = v.
/// It is learnt from straight lines: the loss of a target is |v((1 - t) z + t y, t; c) - (y - z)|^2 at a random time and a random z, which
/// the velocity of a flow from the normal to the posterior minimizes. Liu et al. (2023), Flow straight and fast; Lipman et al. (2023), Flow
/// matching for generative modeling; Wildberger et al. (2023), Flow matching for scalable simulation-based inference.
///
/// Draws and densities: see EquationNetwork. Optimal transport: Tong et al. (2024), Improving and generalizing flow-based generative models
/// with minibatch optimal transport; Cheng, Schwing (2025), The curse of conditions.
///
/// Targets should be of unit scale: there is no layer that brings them to it.
class FlowMatchingNetwork final : public EquationNetwork {
 public:
  explicit FlowMatchingNetwork(const FlowMatchingOptions& options);

  /// In training one random time and start for each target; else the mean over the same 16 of each for all targets.
  [[nodiscard]] Tensor loss(Tape& tape, Tensor targets, Tensor condition) const override;
  [[nodiscard]] std::string to_string() const override;
  [[nodiscard]] const FlowMatchingOptions& options() const { return options_; }

  /// v(x, t; condition) of x (..., D), with times (..., 1) of each row, and a condition (batch, C), or of each row.
  [[nodiscard]] Tensor velocity(Tape& tape, Tensor x, Tensor times, Tensor condition) const;

 private:
  Tensor slope(Tape& tape, Tensor x, Tensor times, Tensor condition) const override { return velocity(tape, x, times, condition); }
  FlowMatchingOptions options_;
};

}  // namespace bayesflow
