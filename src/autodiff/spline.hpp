/// One rational-quadratic spline on the line: values, log-slopes and their derivatives, in double precision inside.
///
/// Raw numbers, in this order: left 1, bottom 1, widths K, heights K, inner slopes K - 1. With the domain (xl, xr, yb, yt),
/// sp = softplus and sp^-1(v) = log(e^v - 1):  x_0 = left + xl, y_0 = bottom + yb;  w_k = m W + sp(raw + sp^-1((1 - m) W)),
/// W = (xr - xl) / K, h_k likewise;  d_k = e + sp(raw + sp^-1(1 - e)) inside, d_0 = d_K = S = sum h / sum w;  knots are
/// cumulative sums. m = min_bin and e = min_slope keep bins and slopes away from zero; zero raw numbers are equal bins and
/// slope one whatever they are. Inside a bin, with
/// xi = (x - x_k) / w_k, s = h_k / w_k:
///   y = y_k + h_k (s xi^2 + d_k xi (1 - xi)) / (s + (d_{k+1} + d_k - 2 s) xi (1 - xi)).
/// Outside a straight line of slope S through both corners. Source: Durkan, Bekasov, Murray, Papamakarios (2019), Neural
/// spline flows; parametrization of BayesFlow v1.
#pragma once

#include <cstdint>

#include "bayesflow/autodiff/ops/flow.hpp"

namespace bayesflow::spline {

/// Knots and slopes of one spline; `work` holds 5 (K + 1) doubles.
struct Knots {
  std::int64_t bins;
  double *x, *y, *d;  // K + 1 each
  double *w, *h;      // K each
  double slope;       // S
  double log_offset;  // inside logarithms
};
[[nodiscard]] Knots make_knots(const float* raw, const ops::SplineOptions& options, double* work);

struct Value {
  double value, log_slope;
};
[[nodiscard]] Value forward(const Knots& knots, double u);
[[nodiscard]] double inverse(const Knots& knots, double v);
/// Given d(loss)/d(value) and d(loss)/d(log_slope): adds to draw (3K + 1) and returns d(loss)/du.
double backward(const Knots& knots, const float* raw, const ops::SplineOptions& options, double u, double dvalue, double dlog_slope,
                float* draw, double* work);

}  // namespace bayesflow::spline
