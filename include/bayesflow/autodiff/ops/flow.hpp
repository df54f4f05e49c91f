/// Parts of normalizing flows.
#pragma once

#include <cstdint>

#include "bayesflow/autodiff/tape.hpp"
#include "bayesflow/autodiff/tensor.hpp"
#include "bayesflow/core/describe.hpp"

namespace bayesflow::ops {

/// y = s x + b on the last axis; s, b: (d).
Tensor affine_columns(Tensor x, Tensor s, Tensor b);
/// x = (y - b) / s
Tensor affine_columns_inverse(Tensor y, Tensor s, Tensor b);
/// sum_i log |s_i|: one element
Tensor log_abs_sum(Tensor s);
/// log |det W|, W: (d, d): one element
Tensor log_abs_det(Tensor w);
/// W^-1 (no derivative: for sampling)
Tensor inverse_matrix(Tensor w);

/// Result of a coupling: values and the sum of log-slopes per row.
struct Transformed {
  Tensor value;
  Tensor log_det;
};
/// v = u exp(q) + t, q = (2a/pi) atan(s/a) with clamp a (0: q = s); log_det = sum q over the last axis.
Transformed affine_coupling(Tensor u, Tensor s, Tensor t, float clamp);
Tensor affine_coupling_inverse(Tensor v, Tensor s, Tensor t, float clamp);  ///< its inverse

/// Rational-quadratic spline (Durkan et al. 2019) as v1 parametrizes it; see src/autodiff/spline.hpp for the formulas.
struct SplineOptions {
  std::int64_t bins = 16;
  float left = -5, right = 5, bottom = -5, top = 5;
  double log_offset = 0;    ///< added inside logarithms; v1 has 1e-10, which distorts the density where slopes are small
  double min_bin = 1e-3;    ///< no bin is narrower or lower than this share of an equal bin; v1 has 0, where bins can vanish
  double min_slope = 1e-3;  ///< no slope at an inner knot is smaller; v1 has 0
};
template <class V>
void describe(V& v, SplineOptions& o) {
  v("bins", o.bins, width());
  v("left", o.left);
  v("right", o.right);
  v("bottom", o.bottom);
  v("top", o.top);
  v("log_offset", o.log_offset, at_least(0));
  v("min_bin", o.min_bin, between(0, 1));
  v("min_slope", o.min_slope, at_least(0));
}
/// The options under which weights of BayesFlow v1 mean what they meant there: its log_offset, no smallest sizes.
[[nodiscard]] SplineOptions v1_spline_options(std::int64_t bins = 16);
/// u: (..., d), parameters: (..., d * (3 bins + 1)).
Transformed spline_coupling(Tensor u, Tensor parameters, const SplineOptions& options);
Tensor spline_coupling_inverse(Tensor v, Tensor parameters, const SplineOptions& options);  ///< its inverse

}  // namespace bayesflow::ops
