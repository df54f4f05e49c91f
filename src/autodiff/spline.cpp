#include "autodiff/spline.hpp"

#include <algorithm>
#include <cmath>

namespace bayesflow::spline {
namespace {

double softplus(double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::fabs(x))); }
double logistic(double x) { return x >= 0 ? 1.0 / (1.0 + std::exp(-x)) : std::exp(x) / (1.0 + std::exp(x)); }
/// The raw number for which softplus gives `value`.
double softplus_inverse(double value) { return std::log(std::expm1(value)); }

/// Smallest sizes and slopes, and what is added to raw numbers so that zeros give equal bins and slope one.
struct Offsets {
  double min_w, min_h, w, h, d;
  explicit Offsets(const ops::SplineOptions& o) {
    const double width = static_cast<double>(o.right - o.left) / static_cast<double>(o.bins);
    const double height = static_cast<double>(o.top - o.bottom) / static_cast<double>(o.bins);
    min_w = o.min_bin * width;
    min_h = o.min_bin * height;
    w = softplus_inverse(width - min_w);
    h = softplus_inverse(height - min_h);
    d = softplus_inverse(1 - o.min_slope);
  }
};

/// The bin k with x_k < at <= x_{k+1}.
std::int64_t bin_of(const double* knots, std::int64_t bins, double at) {
  const double* edge = std::lower_bound(knots + 1, knots + bins, at);
  return edge - knots - 1;
}

/// Where u lies in bin k, from 0 to 1. Knots are rounded sums, so next to a far larger bin the quotient can leave the interval.
double place(const Knots& n, std::int64_t k, double u) { return std::clamp((u - n.x[k]) / n.w[k], 0.0, 1.0); }

}  // namespace

Knots make_knots(const float* raw, const ops::SplineOptions& o, double* work) {
  const std::int64_t k = o.bins;
  Knots s{k, work, work + (k + 1), work + 2 * (k + 1), work + 3 * (k + 1), work + 4 * (k + 1), 0, o.log_offset};
  const Offsets at(o);
  s.x[0] = static_cast<double>(raw[0]) + o.left;
  s.y[0] = static_cast<double>(raw[1]) + o.bottom;
  double sum_w = 0, sum_h = 0;
  for (std::int64_t i = 0; i < k; ++i) {
    s.w[i] = at.min_w + softplus(static_cast<double>(raw[2 + i]) + at.w);
    s.h[i] = at.min_h + softplus(static_cast<double>(raw[2 + k + i]) + at.h);
    sum_w += s.w[i];
    sum_h += s.h[i];
    s.x[i + 1] = s.x[0] + sum_w;
    s.y[i + 1] = s.y[0] + sum_h;
  }
  s.slope = sum_h / sum_w;
  s.d[0] = s.d[k] = s.slope;
  for (std::int64_t i = 1; i < k; ++i) s.d[i] = o.min_slope + softplus(static_cast<double>(raw[2 + 2 * k + i - 1]) + at.d);
  return s;
}

Value forward(const Knots& n, double u) {
  if (!(u > n.x[0] && u <= n.x[n.bins])) return {n.slope * u + (n.y[0] - n.slope * n.x[0]), std::log(n.slope + n.log_offset)};
  const std::int64_t k = bin_of(n.x, n.bins, u);
  const double w = n.w[k], h = n.h[k], s = h / w, xi = place(n, k, u), r = xi * (1 - xi), a = n.d[k], b = n.d[k + 1];
  const double den = s + (b + a - 2 * s) * r;
  const double top = b * xi * xi + 2 * s * r + a * (1 - xi) * (1 - xi);
  return {n.y[k] + h * (s * xi * xi + a * r) / den, std::log(s * s * top + n.log_offset) - std::log(den * den + n.log_offset)};
}

double inverse(const Knots& n, double v) {
  if (!(v > n.y[0] && v <= n.y[n.bins])) return (v - (n.y[0] - n.slope * n.x[0])) / n.slope;
  const std::int64_t k = bin_of(n.y, n.bins, v);
  const double w = n.w[k], h = n.h[k], s = h / w, u = v - n.y[k], m = n.d[k + 1] + n.d[k] - 2 * s;
  const double a = h * (s - n.d[k]) + u * m, b = h * n.d[k] - u * m, c = -s * u;
  // The root in [0, 1], by the form that adds numbers of one sign.
  const double root = std::sqrt(std::max(b * b - 4 * a * c, 0.0));
  double xi = std::clamp(b >= 0 ? -2 * c / (b + root) : (root - b) / (2 * a), 0.0, 1.0);
  // Where slopes differ by many orders the discriminant has lost its digits; two of Newton's steps find them again.
  for (int i = 0; i < 2; ++i) {
    const double q = 1 - xi, r = xi * q, den = s + m * r, rise = n.d[k + 1] * xi * xi + 2 * s * r + n.d[k] * q * q;
    xi = std::clamp(xi - (h * (s * xi * xi + n.d[k] * r) / den - u) * den * den / (h * s * rise), 0.0, 1.0);
  }
  return n.x[k] + xi * w;
}

double backward(const Knots& n, const float* raw, const ops::SplineOptions& o, double u, double dv, double dl, float* draw, double* work) {
  const std::int64_t K = n.bins;
  // Gradients of knots, sizes and slopes; x_k and y_k spread to the left edges and all sizes before them at the end.
  double *gx = work, *gy = work + (K + 1), *gd = work + 2 * (K + 1), *gw = work + 3 * (K + 1), *gh = work + 4 * (K + 1);
  std::fill_n(work, 5 * (K + 1), 0.0);
  double g_slope = 0, du = 0;
  if (!(u > n.x[0] && u <= n.x[K])) {
    // value = S (u - x_0) + y_0, log_slope = log S
    du = dv * n.slope;
    g_slope = dv * (u - n.x[0]) + dl / (n.slope + n.log_offset);
    gx[0] = -dv * n.slope;
    gy[0] = dv;
  } else {
    const std::int64_t k = bin_of(n.x, K, u);
    const double w = n.w[k], h = n.h[k], s = h / w, xi = place(n, k, u), q = 1 - xi, r = xi * q, a = n.d[k], b = n.d[k + 1];
    const double num = s * xi * xi + a * r, den = s + (b + a - 2 * s) * r, top = b * xi * xi + 2 * s * r + a * q * q;
    // value = y_k + h num / den;  log_slope = log(s^2 top + offset) - log(den^2 + offset)
    const double g_log = dl / (s * s * top + n.log_offset);
    const double g_num = dv * h / den, g_den = -dv * h * num / (den * den) - 2 * dl * den / (den * den + n.log_offset),
                 g_top = g_log * s * s;
    gy[k] += dv;
    gh[k] += dv * num / den;
    double g_s = g_num * xi * xi + g_den * (1 - 2 * r) + g_top * 2 * r + g_log * 2 * s * top;
    const double g_r = g_num * a + g_den * (b + a - 2 * s) + g_top * 2 * s;
    gd[k] += g_num * r + g_den * r + g_top * q * q;
    gd[k + 1] += g_den * r + g_top * xi * xi;
    const double g_xi = g_num * 2 * s * xi + g_r * (1 - 2 * xi) + g_top * (2 * b * xi - 2 * a * q);
    du = g_xi / w;
    gx[k] -= g_xi / w;
    gw[k] -= g_xi * xi / w + g_s * s / w;
    gh[k] += g_s / w;
  }
  g_slope += gd[0] + gd[K];
  // S = sum h / sum w
  const double sum_w = n.x[K] - n.x[0];
  const double slope_w = -g_slope * n.slope / sum_w, slope_h = g_slope / sum_w;
  const Offsets at(o);
  // x_j = x_0 + sum of the widths before j: widths get the gradients of all later knots.
  double later_x = 0, later_y = 0;
  for (std::int64_t i = K; i-- > 0;) {
    later_x += gx[i + 1];
    later_y += gy[i + 1];
    draw[2 + i] += static_cast<float>((gw[i] + later_x + slope_w) * logistic(static_cast<double>(raw[2 + i]) + at.w));
    draw[2 + K + i] += static_cast<float>((gh[i] + later_y + slope_h) * logistic(static_cast<double>(raw[2 + K + i]) + at.h));
    if (i > 0) draw[2 + 2 * K + i - 1] += static_cast<float>(gd[i] * logistic(static_cast<double>(raw[2 + 2 * K + i - 1]) + at.d));
  }
  draw[0] += static_cast<float>(later_x + gx[0]);
  draw[1] += static_cast<float>(later_y + gy[0]);
  return du;
}

}  // namespace bayesflow::spline
