/// Distributions that are made from uniforms and normals.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

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

/// log of a Gamma(shape, 1) draw: stays finite where the draw itself underflows (tiny shapes).
double log_gamma_draw(Rng& rng, double shape) {
  // Marsaglia and Tsang (2000), "A simple method for generating gamma variables"; shapes below one are lifted by one and
  // brought back with a power of a uniform.
  double boost = 0;
  if (shape < 1) {
    boost = std::log1p(-rng.uniform()) / shape;
    shape += 1;
  }
  const double d = shape - 1.0 / 3.0, c = 1.0 / std::sqrt(9.0 * d);
  for (;;) {
    double x, t;
    do {
      x = rng.normal();
      t = 1.0 + c * x;
    } while (t <= 0);
    const double v = t * t * t, u = 1.0 - rng.uniform();
    if (std::log(u) < 0.5 * x * x + d - d * v + d * std::log(v)) return std::log(d * v) + boost;
  }
}

}  // namespace

double Rng::lognormal(double mean, double sigma) { return std::exp(normal(mean, sigma)); }

double Rng::exponential(double scale) {
  require_positive("exponential", "scale", scale);
  return -scale * std::log1p(-uniform());
}

double Rng::gamma_scalar(double shape, double scale) {
  require_positive("gamma", "shape", shape);
  require_positive("gamma", "scale", scale);
  return scale * std::exp(log_gamma_draw(*this, shape));
}

double Rng::beta(double a, double b) {
  require_positive("beta", "a", a);
  require_positive("beta", "b", b);
  const double x = log_gamma_draw(*this, a), y = log_gamma_draw(*this, b);
  return 1.0 / (1.0 + std::exp(y - x));
}

double Rng::student_t(double df) {
  require_positive("student_t", "df", df);
  const double z = normal();
  return z / std::sqrt(2.0 * gamma(0.5 * df) / df);
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
  if (!(mean >= 0) || !std::isfinite(mean)) throw ArgumentError(fmt::format("Rng::poisson: mean must be finite and not negative; got {}", mean));
  if (mean < 10) {
    // Inversion by sequential search.
    double p = std::exp(-mean), u = uniform();
    std::int64_t k = 0;
    while (u >= p && k < 1000) {
      u -= p;
      p *= mean / static_cast<double>(++k);
    }
    return k;
  }
  // PTRS: transformed rejection (Hoermann 1993, "The transformed rejection method for generating Poisson random variables").
  const double slam = std::sqrt(mean), loglam = std::log(mean), b = 0.931 + 2.53 * slam, a = -0.059 + 0.02483 * b;
  const double inv_alpha = 1.1239 + 1.1328 / (b - 3.4), vr = 0.9277 - 3.6224 / (b - 2);
  for (;;) {
    const double u = uniform() - 0.5, v = 1.0 - uniform(), us = 0.5 - std::fabs(u);
    const double k = std::floor((2 * a / us + b) * u + mean + 0.43);
    if (us >= 0.07 && v <= vr) return static_cast<std::int64_t>(k);
    if (k < 0 || (us < 0.013 && v > us)) continue;
    if (std::log(v) + std::log(inv_alpha) - std::log(a / (us * us) + b) <= -mean + k * loglam - std::lgamma(k + 1))
      return static_cast<std::int64_t>(k);
  }
}

std::int64_t Rng::binomial(std::int64_t trials, double probability) {
  if (trials < 0) throw ArgumentError(fmt::format("Rng::binomial: trials must not be negative; got {}", trials));
  require_probability("binomial", probability);
  if (probability > 0.5) return trials - binomial(trials, 1.0 - probability);
  const auto n = static_cast<double>(trials);
  if (trials == 0 || probability == 0) return 0;
  const double q = 1.0 - probability, ratio = probability / q;
  if (n * probability < 10) {
    double p = std::pow(q, n), u = uniform();
    std::int64_t k = 0;
    while (u >= p && k < trials) {
      u -= p;
      ++k;
      p *= ratio * (n - static_cast<double>(k) + 1) / static_cast<double>(k);
    }
    return k;
  }
  // BTRS: transformed rejection (Hoermann 1993, "The generation of binomial random variates").
  const double spq = std::sqrt(n * probability * q), b = 1.15 + 2.53 * spq, a = -0.0873 + 0.0248 * b + 0.01 * probability;
  const double c = n * probability + 0.5, vr = 0.92 - 4.2 / b, alpha = (2.83 + 5.1 / b) * spq;
  const double lpq = std::log(ratio), m = std::floor((n + 1) * probability), h = std::lgamma(m + 1) + std::lgamma(n - m + 1);
  for (;;) {
    const double u = uniform() - 0.5;
    double v = 1.0 - uniform();
    const double us = 0.5 - std::fabs(u), k = std::floor((2 * a / us + b) * u + c);
    if (k < 0 || k > n) continue;
    if (us >= 0.07 && v <= vr) return static_cast<std::int64_t>(k);
    v = std::log(v * alpha / (a / (us * us) + b));
    if (v <= h - std::lgamma(k + 1) - std::lgamma(n - k + 1) + (k - m) * lpq) return static_cast<std::int64_t>(k);
  }
}

std::int64_t Rng::categorical(std::span<const double> weights) {
  double total = 0;
  for (const double w : weights) {
    if (!(w >= 0) || !std::isfinite(w)) throw ArgumentError(fmt::format("Rng::categorical: weights must be finite and not negative; got {}", w));
    total += w;
  }
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
  double top = -INFINITY, total = 0;
  for (std::size_t i = 0; i < concentration.size(); ++i) {
    require_positive("dirichlet", "concentration", concentration[i]);
    out.data()[i] = log_gamma_draw(*this, concentration[i]);
    top = std::max(top, out.data()[i]);
  }
  for (double& x : out.values()) total += x = std::exp(x - top);
  for (double& x : out.values()) x /= total;
  return out;
}

}  // namespace bayesflow
