/// Differentiable operations. Free functions on tensors of one tape; each throws ShapeError with what it got.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "bayesflow/autodiff/activation.hpp"
#include "bayesflow/autodiff/tape.hpp"
#include "bayesflow/autodiff/tensor.hpp"

namespace bayesflow::ops {

// --- dense layers ---

/// One layer of a chain: y = activation(x W + b), W: (in, out), b: (out) or empty.
struct Layer {
  Tensor kernel;
  Tensor bias;
  Activation activation = Activation::identity;
};

/// A chain of dense layers over the rows of x: (..., d). With a condition c: (groups, k), the first layer sees
/// concat(x, c repeated over x's rows / groups consecutive rows); the repeated copy is never made: W [x, c] = W1 x + W2 c, and
/// W2 c is computed once per group. At most 8 layers.
Tensor dense_chain(std::span<const Layer> layers, Tensor x, Tensor condition = {});
/// mean_pool(dense_chain(layers, x, condition)), x: (..., N, d): the outputs of a last layer with a relu, or without activation, are not
/// kept.
Tensor mean_of_chain(std::span<const Layer> layers, Tensor x, Tensor condition = {});
Tensor dense(Tensor x, const Layer& layer);
/// x W over the last axis.
Tensor matmul(Tensor x, Tensor kernel);

// --- elementwise ---
Tensor activate(Tensor x, Activation activation);
Tensor add(Tensor a, Tensor b);          ///< equal shapes
Tensor subtract(Tensor a, Tensor b);     ///< equal shapes
Tensor multiply(Tensor a, Tensor b);     ///< equal shapes
Tensor scale(Tensor x, float factor);
Tensor add_scalar(Tensor x, Tensor s);   ///< s: one element, added to all of x
/// Inverted dropout: each element is kept with probability 1 - p and divided by it. Throws ArgumentError unless 0 <= p < 1.
Tensor dropout(Tensor x, float p);

// --- shapes ---
Tensor reshape(Tensor x, const Shape& shape);
Tensor concat(std::span<const Tensor> parts);                ///< on the last axis
Tensor columns(Tensor x, std::int64_t first, std::int64_t last);  ///< [first, last) of the last axis
Tensor gather_columns(Tensor x, const std::int32_t* index);  ///< y[.., j] = x[.., index[j]]; index must outlive the pass
/// (groups, d) -> (groups, times, d)
Tensor repeat(Tensor x, std::int64_t times);

// --- reductions ---
Tensor mean_pool(Tensor x);  ///< mean over axis -2: (..., N, d) -> (..., d)
Tensor max_pool(Tensor x);   ///< maximum over axis -2; the gradient goes to the first largest
Tensor sum_pool(Tensor x);   ///< sum over axis -2
Tensor sum_columns(Tensor x);  ///< sum over the last axis: (..., d) -> (...)
Tensor mean(Tensor x);       ///< of all elements: one element
Tensor sum(Tensor x);        ///< of all elements: one element

// --- parts of flows ---
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
Tensor affine_coupling_inverse(Tensor v, Tensor s, Tensor t, float clamp);

/// Rational-quadratic spline (Durkan et al. 2019) as v1 parametrizes it; see src/autodiff/spline.hpp for the formulas.
struct SplineOptions {
  std::int64_t bins = 16;
  float left = -5, right = 5, bottom = -5, top = 5;
  double log_offset = 0;    ///< added inside logarithms; v1 has 1e-10, which distorts the density where slopes are small
  double min_bin = 1e-3;    ///< no bin is narrower or lower than this share of an equal bin; v1 has 0, where bins can vanish
  double min_slope = 1e-3;  ///< no slope at an inner knot is smaller; v1 has 0
};
/// The options under which weights of BayesFlow v1 mean what they meant there: its log_offset, no smallest sizes.
[[nodiscard]] SplineOptions v1_spline_options(std::int64_t bins = 16);
/// u: (..., d), parameters: (..., d * (3 bins + 1)).
Transformed spline_coupling(Tensor u, Tensor parameters, const SplineOptions& options);
Tensor spline_coupling_inverse(Tensor v, Tensor parameters, const SplineOptions& options);

// --- densities and distances ---
/// log N(z; 0, I) over the last axis, constants included.
Tensor gaussian_log_density(Tensor z);
/// log of the d-variate Student-t density with location 0, scale I and `df` degrees of freedom, over the last axis. Throws
/// ArgumentError unless df is positive and finite.
Tensor student_t_log_density(Tensor z, float df);
/// Biased (V-statistic) squared maximum mean discrepancy between the rows of x and y with v1's kernel, a sum of 19 Gaussian
/// kernels exp(-|x - y|^2 / (2 sigma)): one element. Couples all rows: runs in one shard.
Tensor mmd(Tensor x, Tensor y);

/// W / max(1, sigma) with sigma = left^T W right after one power iteration from the stored right vector u: (out). The
/// derivative goes through sigma (Miyato et al. 2018). u itself is not changed: shards share it, the owner moves it once a step.
Tensor spectral_normalize(Tensor kernel, std::span<const float> u);

}  // namespace bayesflow::ops
