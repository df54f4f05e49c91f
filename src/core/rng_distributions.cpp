/// Distributions that are made from uniforms and normals.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "bayesflow/core/errors.hpp"
#include "bayesflow/core/rng.hpp"

namespace bayesflow {
namespace {

void require_positive(const char* op, const char* name, double value) {
  if (!(value > 0) || !std::isfinite(value))
    throw ArgumentError(fmt::format("Rng::{}: {} must be positive and finite; got {}", op, name, value));
}

void require_probability(const char* op, double p) {
  if (!(p >= 0 && p <= 1)) throw ArgumentError(fmt::format("Rng::{}: probability must lie in [0, 1]; got {}", op, p));
}

/// A Gamma(shape, 1) draw in two factors, value e^log_factor, because a tiny shape's draw itself underflows.
struct GammaDraw {
  double value, log_factor;
};
GammaDraw gamma_draw(Rng& rng, double shape) {
  // Marsaglia and Tsang (2000), "A simple method for generating gamma variables"; shapes below one are lifted by one and
  // brought back with a power of a uniform.
  double log_factor = 0;
  if (shape < 1) {
    log_factor = std::log1p(-rng.uniform()) / shape;
    shape += 1;
  }
  const double d = shape - 1.0 / 3.0, c = 1.0 / (3.0 * std::sqrt(d));
  for (;;) {
    double x, t;
    do {
      x = rng.normal();
      t = 1.0 + c * x;
    } while (t <= 0);
    const double v = t * t * t, u = 1.0 - rng.uniform();
    if (std::log(u) < 0.5 * x * x + d * (1 - v + std::log(v))) return {d * v, log_factor};
  }
}
double log_gamma_draw(Rng& rng, double shape) {
  const GammaDraw g = gamma_draw(rng, shape);
  return std::log(g.value) + g.log_factor;
}

// Probabilities of large counts by Loader (2000), "Fast and accurate computation of binomial probabilities": differences of
// log-factorials would lose all digits where the counts are large.

/// log(n!) - log(sqrt(2 pi n) (n/e)^n)
double stirling_error(double n) {
  if (n < 16) {
    double factorial = 1;
    for (int i = 2; i <= static_cast<int>(n); ++i) factorial *= i;
    return n == 0 ? 0.0 : std::log(factorial) - ((n + 0.5) * std::log(n) - n + 0.91893853320467274178);
  }
  const double r = 1.0 / (n * n);
  return (1.0 / 12 - r * (1.0 / 360 - r * (1.0 / 1260 - r * (1.0 / 1680 - r / 1188)))) / n;
}
/// x log(x / m) + m - x, without cancellation
double deviance(double x, double m) {
  if (std::fabs(x - m) >= 0.1 * (x + m)) return x * std::log(x / m) + m - x;
  const double v = (x - m) / (x + m);
  double sum = (x - m) * v, term = 2 * x * v;
  for (int j = 1; j < 1000; ++j) {
    term *= v * v;
    const double next = sum + term / (2 * j + 1);
    if (next == sum) break;
    sum = next;
  }
  return sum;
}
/// log P(K = k) for Poisson(mean), k >= 0
double log_poisson(double k, double mean) {
  if (k == 0) return -mean;
  return -stirling_error(k) - deviance(k, mean) - 0.5 * std::log(6.28318530717958647693 * k);
}
/// log P(K = k) for Binomial(n, p), 0 <= k <= n, 0 < p < 1
double log_binomial(double k, double n, double p) {
  if (k == 0) return n * std::log1p(-p);
  if (k == n) return n * std::log(p);
  return stirling_error(n) - stirling_error(k) - stirling_error(n - k) - deviance(k, n * p) - deviance(n - k, n * (1 - p)) -
         0.5 * std::log(6.28318530717958647693 * k * ((n - k) / n));
}

/// Inversion by sequential search of a count with a mean below 10: P(0) = first, P(k) = P(k - 1) ratio(k).
template <class Ratio>
std::int64_t small_count(Rng& rng, double first, Ratio ratio) {
  // Where the probabilities have summed to one but for rounding, a uniform may be left over: it is drawn again. Beyond 150
  // there is a probability of less than 1e-110.
  for (;;) {
    double p = first, u = rng.uniform();
    for (std::int64_t k = 0; k <= 150; p *= ratio(static_cast<double>(++k))) {
      if (u < p) return k;
      u -= p;
    }
  }
}

}  // namespace

double Rng::lognormal(double mean, double sigma) {
  if (!(sigma >= 0)) throw ArgumentError(fmt::format("Rng::lognormal: sigma must not be negative; got {}", sigma));
  return std::exp(normal(mean, sigma));
}

double Rng::exponential(double scale) {
  require_positive("exponential", "scale", scale);
  return -scale * std::log1p(-uniform());
}

double Rng::gamma_scalar(double shape, double scale) {
  require_positive("gamma", "shape", shape);
  require_positive("gamma", "scale", scale);
  const GammaDraw g = gamma_draw(*this, shape);
  return scale * (g.value * std::exp(g.log_factor));
}

double Rng::beta(double a, double b) {
  require_positive("beta", "a", a);
  require_positive("beta", "b", b);
  const double x = log_gamma_draw(*this, a), y = log_gamma_draw(*this, b);
  if (std::isinf(x) && std::isinf(y)) return uniform() * (a + b) < a ? 1.0 : 0.0;  // the limit of a, b -> 0
  return 1.0 / (1.0 + std::exp(y - x));
}

double Rng::student_t(double df) {
  require_positive("student_t", "df", df);
  const double z = normal();
  // In logarithms: with few degrees of freedom the chi-square underflows long before the draw overflows.
  const double half = std::max(0.5 * df, std::numeric_limits<double>::min());
  const double log_ratio = log_gamma_draw(*this, half) - std::log(half);
  return z == 0 ? z : std::copysign(std::exp(std::log(std::fabs(z)) - 0.5 * log_ratio), z);
}

double Rng::cauchy(double loc, double scale) {
  require_positive("cauchy", "scale", scale);
  return loc + scale * std::tan(3.14159265358979323846 * (uniform() - 0.5));
}

bool Rng::bernoulli(double probability) {
  require_probability("bernoulli", probability);
  return uniform() < probability;
}

std::int64_t Rng::poisson(double mean) {
  constexpr double kLargest = 9.2e18;  // counts are 64-bit integers
  if (!(mean >= 0 && mean <= kLargest))
    throw ArgumentError(fmt::format("Rng::poisson: mean must lie in [0, {:g}]; got {}", kLargest, mean));
  if (mean < 10) return small_count(*this, std::exp(-mean), [mean](double k) { return mean / k; });
  // PTRS: transformed rejection (Hoermann 1993, "The transformed rejection method for generating Poisson random variables").
  const double b = 0.931 + 2.53 * std::sqrt(mean), a = -0.059 + 0.02483 * b;
  const double inv_alpha = 1.1239 + 1.1328 / (b - 3.4), vr = 0.9277 - 3.6224 / (b - 2);
  for (;;) {
    const double u = uniform() - 0.5, v = 1.0 - uniform(), us = 0.5 - std::fabs(u);
    const double k = std::floor((2 * a / us + b) * u + mean + 0.43);
    if (us >= 0.07 && v <= vr) return static_cast<std::int64_t>(k);
    if (k < 0 || (us < 0.013 && v > us)) continue;
    if (std::log(v * inv_alpha / (a / (us * us) + b)) <= log_poisson(k, mean)) return static_cast<std::int64_t>(k);
  }
}

std::int64_t Rng::binomial(std::int64_t trials, double probability) {
  if (trials < 0) throw ArgumentError(fmt::format("Rng::binomial: trials must not be negative; got {}", trials));
  require_probability("binomial", probability);
  if (probability > 0.5) return trials - binomial(trials, 1.0 - probability);
  const auto n = static_cast<double>(trials);
  if (trials == 0 || probability == 0) return 0;
  const double q = 1.0 - probability, odds = probability / q;
  if (n * probability < 10)
    return small_count(*this, std::exp(n * std::log1p(-probability)),
                       [n, odds](double k) { return std::max(0.0, odds * (n - k + 1) / k); });
  // BTRS: transformed rejection (Hoermann 1993, "The generation of binomial random variates").
  const double spq = std::sqrt(n * probability * q), b = 1.15 + 2.53 * spq, a = -0.0873 + 0.0248 * b + 0.01 * probability;
  const double c = n * probability + 0.5, vr = 0.92 - 4.2 / b, alpha = (2.83 + 5.1 / b) * spq;
  const double at_mode = log_binomial(std::floor((n + 1) * probability), n, probability);
  for (;;) {
    const double u = uniform() - 0.5;
    const double v = 1.0 - uniform(), us = 0.5 - std::fabs(u), k = std::floor((2 * a / us + b) * u + c);
    if (k < 0 || k > n) continue;
    if (us >= 0.07 && v <= vr) return static_cast<std::int64_t>(k);
    if (std::log(v * alpha / (a / (us * us) + b)) <= log_binomial(k, n, probability) - at_mode) return static_cast<std::int64_t>(k);
  }
}

std::int64_t Rng::categorical(std::span<const double> weights) {
  double total = 0;
  for (const double w : weights) {
    if (!(w >= 0) || !std::isfinite(w))
      throw ArgumentError(fmt::format("Rng::categorical: weights must be finite and not negative; got {}", w));
    total += w;
  }
  if (!std::isfinite(total)) throw ArgumentError(fmt::format("Rng::categorical: the sum of the {} weights must be finite", weights.size()));
  if (!(total > 0)) throw ArgumentError(fmt::format("Rng::categorical: at least one of the {} weights must be positive", weights.size()));
  double u = uniform() * total;
  std::int64_t last = 0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    if (weights[i] == 0) continue;
    last = static_cast<std::int64_t>(i);
    if (u < weights[i]) return last;
    u -= weights[i];
  }
  return last;  // rounding left a little of u over
}

Array Rng::dirichlet(std::span<const double> concentration) {
  if (concentration.empty()) throw ArgumentError("Rng::dirichlet: needs at least one concentration");
  Array out({static_cast<std::int64_t>(concentration.size())});
  double top = -std::numeric_limits<double>::infinity(), total = 0;
  for (std::size_t i = 0; i < concentration.size(); ++i) {
    require_positive("dirichlet", "concentration", concentration[i]);
    out.data()[i] = log_gamma_draw(*this, concentration[i]);
    top = std::max(top, out.data()[i]);
  }
  if (std::isinf(top)) {  // all of them below the smallest number: the limit is one component alone, by the concentrations
    for (double& x : out.values()) x = 0;
    out.data()[categorical(concentration)] = 1;
    return out;
  }
  for (double& x : out.values()) total += x = std::exp(x - top);
  for (double& x : out.values()) x /= total;
  return out;
}

}  // namespace bayesflow
