/// Increasing functions of one number, with inverse and derivative in double precision.
#pragma once

#include <cstdint>
#include <limits>
#include <string>

namespace bayesflow::adapter {

/// y = f(x) of one column. `a` and `b` are what the kind says; t is the distance from the only bound.
struct ScalarMap {
  enum class Kind : std::uint8_t {
    affine,            ///< (x - a) / b
    interval_probit,   ///< normal quantile of (x - a) / (b - a)
    interval_logit,    ///< log((x - a) / (b - x))
    interval_barrier,  ///< sqrt(12) (u - 1/2) + kBarrier log(u / (1 - u)), u = (x - a) / (b - a)
    lower_log,         ///< log t, t = x - a
    lower_softplus,    ///< log(exp(t) - 1)
    upper_log,         ///< -log t, t = b - x
    upper_softplus,    ///< -log(exp(t) - 1)
    sqrt,              ///< sqrt(x)
    sqrt_softplus,     ///< log(exp(sqrt(x)) - 1): onto the whole line
    box_cox,           ///< (x^a - 1) / a; log x for a = 0
    box_cox_softplus,  ///< log(exp(x^a / |a|) - 1), with the sign of a: onto the whole line; log x for a = 0
  };
  static constexpr double kBarrier = 0.1;
  Kind kind = Kind::affine;
  double a = 0, b = std::numeric_limits<double>::infinity();

  [[nodiscard]] double forward(double x) const;
  [[nodiscard]] double inverse(double y) const;    ///< strictly between the bounds
  [[nodiscard]] double log_slope(double x) const;  ///< log df/dx
  /// Whether x is in the domain. Bounds belong to it: they are taken for the nearest number inside that makes no difference.
  [[nodiscard]] bool contains(double x) const;
  /// No number is between bounds that came from data or draws.
  [[nodiscard]] bool is_empty() const { return kind != Kind::affine && kind <= Kind::upper_softplus && !(a < b); }
  [[nodiscard]] std::string domain() const;  ///< "above 0", "between 0 and 1"
};

/// x with P(Z <= x) = p for a standard normal Z, 0 < p < 1, to double precision.
[[nodiscard]] double normal_quantile(double p);

}  // namespace bayesflow::adapter
