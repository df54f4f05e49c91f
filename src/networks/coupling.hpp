/// One coupling: the dense networks and the transform they parametrize.
#pragma once

#include <string>
#include <vector>

#include "bayesflow/networks/invertible_network.hpp"

namespace bayesflow {

/// v1's DenseCouplingNet: hidden layers, then a linear layer that starts at zero, so that every coupling starts as the identity.
class CouplingNet {
 public:
  CouplingNet(const CouplingOptions& options, std::int64_t outputs);
  void build(const nn::Builder& builder, std::int64_t target_width, std::int64_t condition_width);
  [[nodiscard]] Tensor operator()(Tape& tape, Tensor target, Tensor condition) const;
  void update_state();

 private:
  CouplingOptions options_;
  std::int64_t outputs_;
  std::vector<nn::Dense> layers_;  // hidden layers and, unless residual, the output
  nn::Dense residual_output_, skip_;
  bool has_skip_ = false;
};

/// Transforms one part given the other.
class Coupling {
 public:
  Coupling(CouplingDesign design, const CouplingOptions& options, std::int64_t width);
  void build(const nn::Builder& builder, std::int64_t conditioner_width, std::int64_t condition_width);
  [[nodiscard]] ops::Transformed forward(Tape& tape, Tensor u, Tensor conditioner, Tensor condition) const;
  [[nodiscard]] Tensor inverse(Tape& tape, Tensor v, Tensor conditioner, Tensor condition) const;
  void update_state();

 private:
  void parameters(Tape& tape, Tensor conditioner, Tensor condition, std::span<Tensor> out) const;

  CouplingDesign design_;
  CouplingOptions options_;
  std::vector<CouplingNet> nets_;  // s and t, or the spline's
};

}  // namespace bayesflow
