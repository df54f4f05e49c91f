#include "adapter/scalar_map.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/math/special_functions/erf.hpp>
#include <cmath>
#include <limits>
#include <numbers>

namespace bayesflow::adapter {
namespace {

using Kind = ScalarMap::Kind;
constexpr double kInfinity = std::numeric_limits<double>::infinity();
/// A number at its bound is taken for one this share of the scale away from it.
constexpr double kNear = 0x1p-53;
constexpr double kRoot12 = 3.4641016151377544;

double softplus(double y) { return std::max(y, 0.0) + std::log1p(std::exp(-std::abs(y))); }
double inverse_softplus(double t) { return t + std::log(-std::expm1(-t)); }
double log_slope_of_inverse_softplus(double t) { return -std::log(-std::expm1(-t)); }

double inside(double x, double low, double high) { return std::clamp(x, std::nextafter(low, kInfinity), std::nextafter(high, -kInfinity)); }

/// Distance from a bound, not zero.
double distance(double t, double scale) { return t > 0 ? t : kNear * scale; }

/// The share u < 1/2 with sqrt(12) (1/2 - u) + kBarrier log((1 - u) / u) = y >= 0, by Newton's method for v = log((1 - u) / u), of which
/// the function is concave: from below it rises to the root.
double barrier_tail(double y) {
  double v = y / (kRoot12 / 4 + ScalarMap::kBarrier);  // the slope at 0 is the steepest
  for (int i = 0; i < 60; ++i) {
    const double u = 1 / (1 + std::exp(v));
    const double step = (y - kRoot12 * (0.5 - u) - ScalarMap::kBarrier * v) / (kRoot12 * u * (1 - u) + ScalarMap::kBarrier);
    v += step;
    if (std::abs(step) <= 1e-15 * v) break;
  }
  return 1 / (1 + std::exp(v));
}

/// x^a / |a|, which box_cox_softplus goes on from.
double power(double x, double a) { return std::exp(a * std::log(x)) / std::abs(a); }

}  // namespace

double normal_quantile(double p) {
  using namespace boost::math::policies;
  constexpr policy<promote_double<false>, domain_error<ignore_error>, overflow_error<ignore_error>> kPolicy;
  return p > 0.5 ? -normal_quantile(1 - p) : -std::numbers::sqrt2 * boost::math::erfc_inv(2 * p, kPolicy);
}

double ScalarMap::forward(double x) const {
  const double scale = std::max(1.0, std::abs(kind == Kind::upper_log || kind == Kind::upper_softplus ? b : a));
  switch (kind) {
    case Kind::affine:
      return (x - a) / b;
    case Kind::interval_probit: {
      const double low = distance(x - a, b - a), high = distance(b - x, b - a);
      return low < high ? normal_quantile(low / (b - a)) : -normal_quantile(high / (b - a));
    }
    case Kind::interval_logit:
      return std::log(distance(x - a, b - a)) - std::log(distance(b - x, b - a));
    case Kind::interval_barrier: {
      const double low = distance(x - a, b - a), high = distance(b - x, b - a);
      return kRoot12 * ((low < high ? low : b - a - high) / (b - a) - 0.5) + kBarrier * (std::log(low) - std::log(high));
    }
    case Kind::lower_log:
      return std::log(distance(x - a, scale));
    case Kind::lower_softplus:
      return inverse_softplus(distance(x - a, scale));
    case Kind::upper_log:
      return -std::log(distance(b - x, scale));
    case Kind::upper_softplus:
      return -inverse_softplus(distance(b - x, scale));
    case Kind::sqrt:
      return std::sqrt(x);
    case Kind::sqrt_softplus:
      return inverse_softplus(std::sqrt(distance(x, 1)));
    case Kind::box_cox:
      return a == 0 ? std::log(x) : std::expm1(a * std::log(x)) / a;
    case Kind::box_cox_softplus:
      return a == 0 ? std::log(x) : std::copysign(1.0, a) * inverse_softplus(power(x, a));
  }
  return x;
}

double ScalarMap::inverse(double y) const {
  switch (kind) {
    case Kind::affine:
      return y * b + a;
    case Kind::interval_probit: {
      const double tail = 0.5 * std::erfc(std::abs(y) / std::numbers::sqrt2);
      return inside(y < 0 ? a + (b - a) * tail : b - (b - a) * tail, a, b);
    }
    case Kind::interval_logit: {
      const double tail = 1 / (1 + std::exp(std::abs(y)));
      return inside(y < 0 ? a + (b - a) * tail : b - (b - a) * tail, a, b);
    }
    case Kind::interval_barrier: {
      const double tail = barrier_tail(std::abs(y));
      return inside(y < 0 ? a + (b - a) * tail : b - (b - a) * tail, a, b);
    }
    case Kind::lower_log:
      return inside(a + std::exp(y), a, kInfinity);
    case Kind::lower_softplus:
      return inside(a + softplus(y), a, kInfinity);
    case Kind::upper_log:
      return inside(b - std::exp(-y), -kInfinity, b);
    case Kind::upper_softplus:
      return inside(b - softplus(-y), -kInfinity, b);
    case Kind::sqrt:
      return y * y;
    case Kind::sqrt_softplus: {
      const double root = softplus(y);
      return inside(root * root, 0, kInfinity);
    }
    case Kind::box_cox:
      return a == 0 ? std::exp(y) : std::exp(std::log1p(a * y) / a);
    case Kind::box_cox_softplus:
      return inside(a == 0 ? std::exp(y) : std::exp(std::log(std::abs(a) * softplus(std::copysign(1.0, a) * y)) / a), 0, kInfinity);
  }
  return y;
}

double ScalarMap::log_slope(double x) const {
  const double scale = std::max(1.0, std::abs(kind == Kind::upper_log || kind == Kind::upper_softplus ? b : a));
  switch (kind) {
    case Kind::affine:
      return -std::log(b);
    case Kind::interval_probit: {
      const double y = forward(x);
      return 0.5 * y * y + 0.5 * std::log(2 * std::numbers::pi) - std::log(b - a);
    }
    case Kind::interval_logit:
      return std::log(b - a) - std::log(distance(x - a, b - a)) - std::log(distance(b - x, b - a));
    case Kind::interval_barrier: {
      const double low = distance(x - a, b - a), high = distance(b - x, b - a), range = b - a;
      return std::log(kRoot12 / range + kBarrier * range / low / high);
    }
    case Kind::lower_log:
      return -std::log(distance(x - a, scale));
    case Kind::lower_softplus:
      return log_slope_of_inverse_softplus(distance(x - a, scale));
    case Kind::upper_log:
      return -std::log(distance(b - x, scale));
    case Kind::upper_softplus:
      return log_slope_of_inverse_softplus(distance(b - x, scale));
    case Kind::sqrt:
      return -std::log(2.0) - 0.5 * std::log(x);
    case Kind::sqrt_softplus: {
      const double root = std::sqrt(distance(x, 1));
      return log_slope_of_inverse_softplus(root) - std::log(2 * root);
    }
    case Kind::box_cox:
      return (a - 1) * std::log(x);
    case Kind::box_cox_softplus:
      return (a - 1) * std::log(x) + (a == 0 ? 0 : log_slope_of_inverse_softplus(power(x, a)));
  }
  return 0;
}

bool ScalarMap::contains(double x) const {
  switch (kind) {
    case Kind::affine:
      return std::isfinite(x);
    case Kind::interval_probit:
    case Kind::interval_logit:
    case Kind::interval_barrier:
      return a <= x && x <= b;
    case Kind::lower_log:
    case Kind::lower_softplus:
      return a <= x && x < kInfinity;
    case Kind::upper_log:
    case Kind::upper_softplus:
      return -kInfinity < x && x <= b;
    case Kind::sqrt:
    case Kind::sqrt_softplus:
      return 0 <= x && x < kInfinity;
    case Kind::box_cox:
    case Kind::box_cox_softplus:
      return 0 < x && x < kInfinity;
  }
  return false;
}

std::string ScalarMap::domain() const {
  switch (kind) {
    case Kind::affine:
      return "finite";
    case Kind::interval_probit:
    case Kind::interval_logit:
    case Kind::interval_barrier:
      return fmt::format("between {} and {}", a, b);
    case Kind::lower_log:
    case Kind::lower_softplus:
      return fmt::format("above {}", a);
    case Kind::upper_log:
    case Kind::upper_softplus:
      return fmt::format("below {}", b);
    case Kind::sqrt:
    case Kind::sqrt_softplus:
      return "at least 0";
    case Kind::box_cox:
    case Kind::box_cox_softplus:
      return "above 0";
  }
  return {};
}

}  // namespace bayesflow::adapter
