#include "diagnostics/special.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <numeric>

namespace bayesflow::diagnostics {
namespace {

constexpr double kTiny = 1e-300;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

}  // namespace

double log_gamma(double x) {
  // Stirling's series from 10 on; smaller arguments are moved up by the recurrence.
  double shift = 1;
  while (x < 10) shift *= x++;
  const double r = 1 / (x * x);
  const double series = (1.0 / 12 - r * (1.0 / 360 - r * (1.0 / 1260 - r * (1.0 / 1680 - r * (1.0 / 1188 - r * 691.0 / 360360))))) / x;
  return (x - 0.5) * std::log(x) - x + 0.5 * std::log(2 * std::numbers::pi) + series - std::log(shift);
}

double normal_pdf(double x) { return std::exp(-0.5 * x * x) / std::sqrt(2 * std::numbers::pi); }
double normal_cdf(double x) { return 0.5 * std::erfc(-x / std::numbers::sqrt2); }
double two_sided_normal(double z) { return std::erfc(std::fabs(z) / std::numbers::sqrt2); }

double normal_quantile(double p) {
  if (p <= 0) return -kInfinity;
  if (p >= 1) return kInfinity;
  if (p > 0.5) return -normal_quantile(1 - p);
  // A rough start (Abramowitz and Stegun 26.2.23), then Newton steps with a curvature term.
  const double t = std::sqrt(-2 * std::log(p));
  double x = -(t - (2.515517 + t * (0.802853 + t * 0.010328)) / (1 + t * (1.432788 + t * (0.189269 + t * 0.001308))));
  for (int i = 0; i < 3; ++i) {
    const double u = (normal_cdf(x) - p) / std::max(normal_pdf(x), kTiny);
    x -= u / (1 + 0.5 * x * u);
  }
  return x;
}

double incomplete_beta(double a, double b, double x) {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  if (x > (a + 1) / (a + b + 2)) return 1 - incomplete_beta(b, a, 1 - x);
  const double front = std::exp(log_gamma(a + b) - log_gamma(a) - log_gamma(b) + a * std::log(x) + b * std::log1p(-x)) / a;
  // Lentz's continued fraction; about sqrt(max(a, b)) terms.
  double c = 1, d = 1 - (a + b) * x / (a + 1);
  d = 1 / (std::fabs(d) < kTiny ? kTiny : d);
  double h = d;
  for (int m = 1; m < 20000; ++m) {
    for (const bool even : {true, false}) {
      const double term =
          even ? m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)) : -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
      d = 1 + term * d;
      d = 1 / (std::fabs(d) < kTiny ? kTiny : d);
      c = 1 + term / c;
      if (std::fabs(c) < kTiny) c = kTiny;
      h *= c * d;
    }
    if (std::fabs(c * d - 1) < 1e-15) break;
  }
  return front * h;
}

double incomplete_gamma(double a, double x) {
  if (x <= 0) return 0;
  const double front = std::exp(a * std::log(x) - x - log_gamma(a));
  if (x < a + 1) {
    double term = 1 / a, sum = term;
    for (int n = 1; n < 100000 && term > sum * 1e-16; ++n) sum += term *= x / (a + n);
    return front * sum;
  }
  double b = x + 1 - a, c = 1 / kTiny, d = 1 / b, h = d;
  for (int n = 1; n < 100000; ++n) {
    const double t = -n * (n - a);
    b += 2;
    d = 1 / (std::fabs(t * d + b) < kTiny ? kTiny : t * d + b);
    c = b + t / c;
    if (std::fabs(c) < kTiny) c = kTiny;
    h *= c * d;
    if (std::fabs(c * d - 1) < 1e-15) break;
  }
  return 1 - front * h;
}

double chi_squared_cdf(double x, double df) { return incomplete_gamma(df / 2, x / 2); }
double f_cdf(double x, double df1, double df2) { return x <= 0 ? 0 : incomplete_beta(df1 / 2, df2 / 2, df1 * x / (df1 * x + df2)); }

double binomial_cdf(std::int64_t k, std::int64_t n, double p) {
  if (k < 0) return 0;
  if (k >= n) return 1;
  return incomplete_beta(static_cast<double>(n - k), static_cast<double>(k + 1), 1 - p);
}

double binomial_pmf(std::int64_t k, std::int64_t n, double p) {
  if (k < 0 || k > n) return 0;
  if (p <= 0) return k == 0 ? 1 : 0;
  if (p >= 1) return k == n ? 1 : 0;
  const auto a = static_cast<double>(k), b = static_cast<double>(n - k);
  return std::exp(log_gamma(a + b + 1) - log_gamma(a + 1) - log_gamma(b + 1) + a * std::log(p) + b * std::log1p(-p));
}

std::int64_t binomial_quantile(double q, std::int64_t n, double p) {
  std::int64_t low = 0, high = n;
  while (low < high) {
    const std::int64_t middle = low + (high - low) / 2;
    if (binomial_cdf(middle, n, p) >= q)
      high = middle;
    else
      low = middle + 1;
  }
  return low;
}

double anderson_darling(const std::vector<double>& u) {
  const std::size_t n = u.size();
  double sum = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const double low = std::max(u[i], kTiny), high = std::max(1 - u[n - 1 - i], kTiny);
    sum += static_cast<double>(2 * i + 1) * (std::log(low) + std::log(high));
  }
  return -static_cast<double>(n) - sum / static_cast<double>(n);
}

double anderson_darling_p_value(double z, std::int64_t count) {
  if (!(z > 0)) return 1;
  // Beyond the range of the fit the upper tail falls like exp(-z): the largest eigenvalue of the limit's kernel is 1 / 2.
  constexpr double kFitted = 6;
  if (z > kFitted) return anderson_darling_p_value(kFitted, count) * std::exp(kFitted - z);
  const auto n = static_cast<double>(count);
  // Limit distribution, and its correction for finite n.
  const double limit = z < 2
                           ? std::exp(-1.2337141 / z) / std::sqrt(z) *
                                 (2.00012 + (0.247105 - (0.0649821 - (0.0347962 - (0.011672 - 0.00168691 * z) * z) * z) * z) * z)
                           : std::exp(-std::exp(1.0776 - (2.30695 - (0.43424 - (0.082433 - (0.008056 - 0.0003146 * z) * z) * z) * z) * z));
  double fix = 0;
  const double c = 0.01265 + 0.1757 / n;
  if (limit > 0.8) {
    fix = (-130.2137 + (745.2337 - (1705.091 - (1950.646 - (1116.360 - 255.7844 * limit) * limit) * limit) * limit) * limit) / n;
  } else if (limit < c) {
    const double v = limit / c;
    fix = std::sqrt(v) * (1 - v) * (49 * v - 102) * (0.0037 / (n * n * n) + 0.00078 / (n * n) + 0.00006 / n);
  } else {
    const double v = (limit - c) / (0.8 - c);
    fix = (-0.00022633 + (6.54034 - (14.6538 - (14.458 - (8.259 - 1.91864 * v) * v) * v) * v) * v) * (0.04213 / n + 0.01365 / (n * n));
  }
  return std::clamp(1 - (limit + fix), 0.0, 1.0);
}

std::vector<double> holm(const std::vector<double>& p, const std::vector<double>& weights) {
  const std::size_t n = p.size();
  std::vector<double> w = weights.empty() ? std::vector<double>(n, 1.0) : weights;
  std::vector<std::size_t> order(n);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return p[a] / w[a] < p[b] / w[b]; });
  double left = std::accumulate(w.begin(), w.end(), 0.0), worst = 0;
  std::vector<double> adjusted(n);
  for (const std::size_t i : order) {
    worst = std::max(worst, std::min(1.0, p[i] / w[i] * left));
    adjusted[i] = worst;
    left -= w[i];
  }
  return adjusted;
}

}  // namespace bayesflow::diagnostics
