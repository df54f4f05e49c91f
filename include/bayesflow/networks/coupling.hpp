/// One coupling, half of a layer of an InvertibleNetwork: the dense networks and the transform they parametrize.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "bayesflow/networks/invertible_network.hpp"

namespace bayesflow {

/// v1's DenseCouplingNet: hidden layers, then a linear layer that starts at zero, so that every coupling starts as the identity.
class CouplingNet {
 public:
  CouplingNet(const CouplingOptions& options, std::int64_t outputs);
  void build(const nn::Builder& builder, std::int64_t target_width, std::int64_t condition_width);
  /// (..., target_width), (..., condition_width) or none -> (..., outputs)
  [[nodiscard]] Tensor operator()(Tape& tape, Tensor target, Tensor condition) const;
  void update_state();

 private:
  CouplingOptions options_;
  std::int64_t outputs_;
  std::vector<nn::Dense> layers_;  // hidden layers and, unless residual, the output
  nn::Dense residual_output_, skip_;
  bool has_skip_ = false;
};

/// Transforms u (..., width) given a conditioner w (..., k) and a condition c (..., C) or none, invertibly in u.
///   affine: v = u exp(s) + t, log-determinant sum s, with s = (2 a / pi) atan(s'(w, c) / a), a = soft_clamping, t = t(w, c)
///   spline: v = S(u; h(w, c)), a monotonic rational-quadratic spline of each component with straight tails (ops::spline_coupling)
/// s', t and h are CouplingNets. Log-determinants have the shape of u without its last axis. Parameters: "s." and "t.", or "spline.".
/// Dinh et al. (2017), Density estimation using Real NVP; Durkan et al. (2019), Neural spline flows.
class Coupling {
 public:
  Coupling(CouplingDesign design, const CouplingOptions& options, std::int64_t width);  ///< affine or spline
  void build(const nn::Builder& builder, std::int64_t conditioner_width, std::int64_t condition_width);
  [[nodiscard]] ops::Transformed forward(Tape& tape, Tensor u, Tensor conditioner, Tensor condition) const;
  [[nodiscard]] Tensor inverse(Tape& tape, Tensor v, Tensor conditioner, Tensor condition) const;
  void update_state();

 private:
  /// What the network of a spline gives: the spline's raw numbers, and those of the scale and the shift before it, if there are any.
  struct SplineParts {
    Tensor spline, scale, shift;
  };
  SplineParts spline_parts(Tape& tape, std::int64_t width, Tensor conditioner, Tensor condition) const;
  void parameters(Tape& tape, Tensor conditioner, Tensor condition, std::span<Tensor> out) const;

  CouplingDesign design_;
  CouplingOptions options_;
  std::vector<CouplingNet> nets_;  // s and t, or the spline's
};

}  // namespace bayesflow
