#include "adapter/scalar_map.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

namespace bayesflow::adapter {
namespace {

using Kind = ScalarMap::Kind;
constexpr double kInfinity = std::numeric_limits<double>::infinity();
/// A number at its bound is taken for one this share of the scale away from it.
constexpr double kNear = 0x1p-53;

double softplus(double y) { return std::max(y, 0.0) + std::log1p(std::exp(-std::abs(y))); }
double inverse_softplus(double t) { return t + std::log(-std::expm1(-t)); }
double log_slope_of_inverse_softplus(double t) { return -std::log(-std::expm1(-t)); }

double inside(double x, double low, double high) { return std::clamp(x, std::nextafter(low, kInfinity), std::nextafter(high, -kInfinity)); }

/// Distance from a bound, not zero.
double distance(double t, double scale) { return t > 0 ? t : kNear * scale; }

/// x^a / |a|, which box_cox_softplus goes on from.
double power(double x, double a) { return std::exp(a * std::log(x)) / std::abs(a); }

}  // namespace

double normal_quantile(double p) {
  const auto ratio = [](const double(&a)[8], const double(&b)[8], double r) {
    double up = a[7], down = b[7];
    for (int i = 6; i >= 0; --i) {
      up = up * r + a[i];
      down = down * r + b[i];
    }
    return up / down;
  };
  static constexpr double kA[8] = {3.3871328727963666080,   1.3314166789178437745e2, 1.9715909503065514427e3, 1.3731693765509461125e4,
                                   4.5921953931549871457e4, 6.7265770927008700853e4, 3.3430575583588128105e4, 2.5090809287301226727e3};
  static constexpr double kB[8] = {1.0,
                                   4.2313330701600911252e1,
                                   6.8718700749205790830e2,
                                   5.3941960214247511077e3,
                                   2.1213794301586595867e4,
                                   3.9307895800092710610e4,
                                   2.8729085735721942674e4,
                                   5.2264952788528545610e3};
  static constexpr double kC[8] = {1.42343711074968357734, 4.63033784615654529590,    5.76949722146069140550,    3.64784832476320460504,
                                   1.27045825245236838258, 2.41780725177450611770e-1, 2.27238449892691845833e-2, 7.74545014278341407640e-4};
  static constexpr double kD[8] = {1.0,
                                   2.05319162663775882187,
                                   1.67638483018380384940,
                                   6.89767334985100004550e-1,
                                   1.48103976427480074590e-1,
                                   1.51986665636164571966e-2,
                                   5.47593808499534494600e-4,
                                   1.05075007164441684324e-9};
  static constexpr double kE[8] = {6.65790464350110377720,    5.46378491116411436990,    1.78482653991729133580,
                                   2.96560571828504891230e-1, 2.65321895265761230930e-2, 1.24266094738807843860e-3,
                                   2.71155556874348757815e-5, 2.01033439929228813265e-7};
  static constexpr double kF[8] = {1.0,
                                   5.99832206555887937690e-1,
                                   1.36929880922735805310e-1,
                                   1.48753612908506148525e-2,
                                   7.86869131145613259100e-4,
                                   1.84631831751005468180e-5,
                                   1.42151175831644588870e-7,
                                   2.04426310338993978564e-15};
  const double q = p - 0.5;
  if (std::abs(q) <= 0.425) return q * ratio(kA, kB, 0.180625 - q * q);
  const double r = std::sqrt(-std::log(q < 0 ? p : 1 - p));
  const double x = r <= 5 ? ratio(kC, kD, r - 1.6) : ratio(kE, kF, r - 5);
  return q < 0 ? -x : x;
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
