#include "diagnostics/special.hpp"

#include <algorithm>
#include <boost/math/special_functions/beta.hpp>
#include <boost/math/special_functions/erf.hpp>
#include <boost/math/special_functions/gamma.hpp>
#include <cmath>
#include <limits>
#include <numbers>
#include <numeric>

namespace bayesflow::diagnostics {
namespace {

constexpr double kTiny = 1e-300;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// Doubles throughout, results out of range become 0 or infinity, and nothing throws or sets errno.
using namespace boost::math::policies;
constexpr policy<domain_error<ignore_error>, pole_error<ignore_error>, overflow_error<ignore_error>, underflow_error<ignore_error>,
                 denorm_error<ignore_error>, evaluation_error<ignore_error>, promote_double<false>>
    kPolicy;

}  // namespace

double log_gamma(double x) { return boost::math::lgamma(x, kPolicy); }

double normal_pdf(double x) { return std::exp(-0.5 * x * x) / std::sqrt(2 * std::numbers::pi); }
double normal_cdf(double x) { return 0.5 * std::erfc(-x / std::numbers::sqrt2); }
double two_sided_normal(double z) { return std::erfc(std::fabs(z) / std::numbers::sqrt2); }

double normal_quantile(double p) {
  if (p <= 0) return -kInfinity;
  if (p >= 1) return kInfinity;
  return -std::numbers::sqrt2 * boost::math::erfc_inv(2 * p, kPolicy);
}

double incomplete_beta(double a, double b, double x) {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  return boost::math::ibeta(a, b, x, kPolicy);
}

double incomplete_gamma(double a, double x) { return x <= 0 ? 0 : boost::math::gamma_p(a, x, kPolicy); }

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
  // The derivative of the incomplete beta function holds the same product of powers and binomial coefficient.
  return boost::math::ibeta_derivative(static_cast<double>(k + 1), static_cast<double>(n - k + 1), p, kPolicy) / static_cast<double>(n + 1);
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
