/// What networks that learn a field over time are made of: dense layers that see points, times and conditions, and how its equation is
/// solved.
#pragma once

#include <cstdint>
#include <vector>

#include "bayesflow/core/describe.hpp"
#include "bayesflow/nn/layers.hpp"

namespace bayesflow {

/// How draws are made and densities integrated.
enum class OdeSolver : std::uint8_t {
  euler,   ///< steps of equal length, error of the order of the step
  rk4,     ///< classical Runge-Kutta: error of its fourth power, four evaluations a step
  dopri5,  ///< Dormand and Prince (1980), order 5: each draw has its own steps, as long as `tolerance` allows
};
[[nodiscard]] EnumNames<OdeSolver> names_of(OdeSolver);

/// Hidden layers that see a point x, times t, sin(pi k t) and cos(pi k t) for k = 1, ..., `frequencies`, and a condition; then a linear
/// layer. Parameters: "dense.0.kernel", ..., "output.bias".
class TimeNetwork {
 public:
  TimeNetwork() = default;
  /// residual: hidden layers but the first add to their input; times: how many each row has.
  TimeNetwork(const DenseOptions& dense, std::int64_t num_dense, bool residual, double dropout_prob, std::int64_t frequencies,
              std::int64_t times = 1);
  void build(const nn::Builder& builder, std::int64_t width, std::int64_t condition_width);
  /// x (..., D), times (..., T), a condition of each row or (batch, C) for x (batch, n, D): (..., D).
  [[nodiscard]] Tensor operator()(Tape& tape, Tensor x, Tensor times, Tensor condition) const;

 private:
  DenseOptions dense_;
  std::int64_t num_dense_ = 0, frequencies_ = 0, times_ = 1;
  bool residual_ = true;
  double dropout_prob_ = 0;
  std::vector<nn::Dense> hidden_;
  nn::Dense output_;
};

}  // namespace bayesflow
