/// Elementwise and pooling loops, vectorized, single-threaded.
#pragma once

#include <cstdint>

#include "bayesflow/core/activation.hpp"

namespace bayesflow::kernels {

/// y[i] = activation(x[i]); x and y may be the same.
void activate(Activation activation, const float* x, float* y, std::int64_t n);
/// dx[i] = dy[i] * activation'(at i); `y` holds outputs, or inputs where `needs_input`. dx and dy may be the same.
void activate_backward(Activation activation, const float* y, const float* dy, float* dx, std::int64_t n);
/// True if activate_backward needs the input of the activation instead of its output.
inline bool needs_input(Activation activation) {
  return activation == Activation::swish || activation == Activation::gelu || activation == Activation::mish;
}

void add(float* sum, const float* x, std::int64_t n);                           ///< sum += x
void add_scaled(float* sum, const float* x, float factor, std::int64_t n);      ///< sum += factor x
void scale(const float* x, float factor, float* y, std::int64_t n);             ///< y = factor x
void multiply(const float* a, const float* b, float* y, std::int64_t n);        ///< y = a b
void multiply_add(const float* a, const float* b, float* sum, std::int64_t n);  ///< sum += a b

/// y[g] (+)= factor * sum over the `period` rows of group g.
void sum_groups(const float* x, std::int64_t groups, std::int64_t period, std::int64_t cols, float factor, float* y, bool accumulate);
/// y[g * period + i] (+)= factor * x[g]; then, if there is a mask, y = mask > 0 ? y : 0.
void repeat_rows(const float* x, std::int64_t groups, std::int64_t period, std::int64_t cols, float factor, float* y, bool accumulate,
                 const float* mask = nullptr);

/// Sums of rows that come in pieces. The bits of a sum are the same however its rows are cut: the sums of even and of odd rows lie in
/// `sums` between two pieces, 2 x cols, the one first that gets the next row.
struct PoolPiece {
  bool begins = true, ends = true;  ///< the piece has the first row; the last
  float* sums = nullptr;            ///< not needed by a piece that is all
};
/// y = factor * sum of the rows, once all pieces are there; and, if asked for, which values are positive: a bit each,
/// `bytes_of_bits(cols)` bytes a row and kBitsSlack behind the last.
void pool_rows(const float* x, std::int64_t rows, std::int64_t cols, float factor, float* y, PoolPiece piece, std::uint8_t* positive);
/// The derivative: y[i] = factor * x, for each of `rows` rows; with bits, where the bit of y[i, j] is set, and else 0.
void unpool_rows(const float* x, std::int64_t rows, std::int64_t cols, float factor, float* y, const std::uint8_t* positive);
std::int64_t bytes_of_bits(std::int64_t cols);
inline constexpr std::int64_t kBitsSlack = 8;

/// The affine coupling with v1's soft clamp: q = (2a/pi) atan(s/a) (a = 0: q = s), v = u e^q + t. Also keeps q and e^q.
void affine_forward(const float* u, const float* s, const float* t, float clamp, float* v, float* q, float* e, std::int64_t n);
/// Given dv and dq (from the log-determinant): du = dv e, dt = dv, ds = (dv u e + dq) dq/ds.
void affine_backward(const float* u, const float* s, const float* e, const float* dv, const float* dq, float clamp, float* du, float* ds,
                     std::int64_t n);
/// u = (v - t) e^-q
void affine_inverse(const float* v, const float* s, const float* t, float clamp, float* u, std::int64_t n);

/// sum of squares, as a double
double sum_of_squares(const float* x, std::int64_t n);

/// One block of the optimizer's first pass: g = sum of the lanes (in order) + l2 w (w may be null); returns sum g^2.
double reduce_gradient(float* g, const float* const* lanes, int count, const float* w, float l2, std::int64_t n);

/// Adam (Kingma and Ba, 2015) as Keras writes it: m, v moments; w -= rate m / (sqrt(v) + epsilon) with the bias corrections in
/// `rate`; `shrink` is AdamW's decoupled decay (rate times decay, 0 for Adam); g is scaled by `factor` (clipping) first.
struct AdamStep {
  float factor, beta1, one_minus_beta1, beta2, one_minus_beta2, rate, epsilon, shrink;  // 1 - beta rounded once, from double
};
void adam(const AdamStep& step, float* w, float* m, float* v, const float* g, std::int64_t n);
/// Stochastic gradient descent with momentum: m = momentum m - rate g, w += m.
void sgd(float factor, float momentum, float rate, float* w, float* m, const float* g, std::int64_t n);

}  // namespace bayesflow::kernels
