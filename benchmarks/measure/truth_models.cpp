#include "measure/truth_models.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numbers>
#include <stdexcept>

namespace bf = bayesflow;
using bf::Array;

namespace bench {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

double log_normal_density(double x, double mean, double variance) {
  return -0.5 * ((x - mean) * (x - mean) / variance + std::log(2 * std::numbers::pi * variance));
}
double log_gamma_density(double x, double shape, double rate) {
  return x > 0 ? shape * std::log(rate) - std::lgamma(shape) + (shape - 1) * std::log(x) - rate * x : -kInfinity;
}
double log_inverse_gamma_density(double x, double shape, double scale) {
  return x > 0 ? shape * std::log(scale) - std::lgamma(shape) - (shape + 1) * std::log(x) - scale / x : -kInfinity;
}

bf::CouplingOptions coupling_options(bf::nn::Initializer initializer) {
  bf::CouplingOptions o = bf::unregularized_coupling();
  o.dense.kernel_initializer = initializer;
  return o;
}

class Gaussian final : public TruthModel {
 public:
  Gaussian() {
    shift_.assign(kParams, 0.0);
    scale_.assign(kParams, 1.0);
  }
  std::string name() const override { return "gaussian"; }
  std::int64_t num_params() const override { return kParams; }
  bf::GenerativeModel generative_model() const override {
    return bf::GenerativeModel(bf::Prior([](bf::Rng& rng) { return rng.normal({kParams}); }),
                               bf::Simulator([](const Array& theta, bf::Rng& rng) {
                                 return rng.normal({kObservations, kParams}, theta);
                               }));
  }
  double log_posterior(std::span<const double> theta, std::span<const double> data) const override {
    const Moments m = moments(data);
    double sum = 0;
    for (std::size_t j = 0; j < theta.size(); ++j) sum += log_normal_density(theta[j], m.mean[j], m.sd[j] * m.sd[j]);
    return sum;
  }
  Moments moments(std::span<const double> data) const override {
    Moments m{std::vector<double>(kParams, 0.0), std::vector<double>(kParams, 1 / std::sqrt(kObservations + 1.0))};
    for (std::size_t i = 0; i < data.size(); ++i) m.mean[i % kParams] += data[i] / (kObservations + 1.0);
    return m;
  }
  bf::AmortizedPosterior amortizer(const NetworkChoice& choice) const override {
    return bf::AmortizedPosterior(
        bf::InvertibleNetwork({.num_params = kParams, .num_coupling_layers = 4, .coupling = coupling_options(choice.initializer)}),
        bf::DeepSet({.summary_dim = 10, .linear_path = choice.linear_path}), {.precision = choice.precision});
  }

 private:
  static constexpr std::int64_t kParams = 4, kObservations = 50;
};

/// x = (r cos a + 1/4 - |s|, r sin a + d), with s = (theta_1 + theta_2) / sqrt 2, d = (theta_2 - theta_1) / sqrt 2, a uniform on
/// (-pi/2, pi/2), r ~ N(0.1, 0.01^2).
///
/// Given a and r, x determines |s| = r cos a + 1/4 - x_1 and d = x_2 - r sin a, and theta lies in the prior's square if |s| >= 0 and
/// |s| + |d| <= sqrt 2. The map (a, r) -> (|s|, d) has the Jacobian r, so with u = (|s| + x_1 - 1/4, x_2 - d) = (r cos a, r sin a)
///   p(x | theta) = N(|u|; 0.1, 0.01^2) / (pi |u|),    p(theta | x) = p(x | theta) / (2 Z(x)),
///   Z(x) = mean over a of P(r in I(a, x)),
/// where the interval I holds the r that the conditions allow: they are linear in r. The sign of s is free, hence the 2. What is left is
/// an integral over a of normal probabilities; moments of s and d follow from truncated moments of r in the same way.
class TwoMoons final : public TruthModel {
 public:
  TwoMoons() {
    shift_.assign(2, 0.0);
    scale_.assign(2, 1.0);
  }
  std::string name() const override { return "two_moons"; }
  std::int64_t num_params() const override { return 2; }
  bf::GenerativeModel generative_model() const override { return bf::benchmarks::Benchmark("two_moons").generative_model(); }
  double log_posterior(std::span<const double> theta, std::span<const double> data) const override {
    if (std::abs(theta[0]) > 1 || std::abs(theta[1]) > 1) return -kInfinity;
    const double s = (theta[0] + theta[1]) / std::numbers::sqrt2, d = (theta[1] - theta[0]) / std::numbers::sqrt2;
    const double u1 = std::abs(s) + data[0] - kOffset, u2 = data[1] - d, r = std::hypot(u1, u2);
    if (!(u1 > 0)) return -kInfinity;
    return log_normal_density(r, kRadius, kWidth * kWidth) - std::log(std::numbers::pi * r) - std::log(2 * integrals(data).mass);
  }
  Moments moments(std::span<const double> data) const override {
    const Integrals i = integrals(data);
    const double d = i.d / i.mass, square = (i.ss + i.dd) / i.mass / 2;  // E[theta_1^2] = E[theta_2^2]: the sign of s is even
    const double sd = std::sqrt(square - d * d / 2);
    return {{-d / std::numbers::sqrt2, d / std::numbers::sqrt2}, {sd, sd}};
  }
  bf::Batch configure(const bf::Simulations& simulations) const override {
    bf::Batch inputs;
    inputs.set(bf::roles::parameters, simulations.prior_draws);
    inputs.set(bf::roles::direct_conditions, simulations.sim_data);
    return inputs;
  }
  bf::AmortizedPosterior amortizer(const NetworkChoice& choice) const override {
    return bf::AmortizedPosterior(bf::InvertibleNetwork({.num_params = 2,
                                                         .num_coupling_layers = 6,
                                                         .coupling_design = bf::CouplingDesign::spline,
                                                         .coupling = coupling_options(choice.initializer)}),
                                  {.precision = choice.precision});
  }

 private:
  static constexpr double kRadius = 0.1, kWidth = 0.01, kOffset = 0.25;
  struct Integrals {
    double mass = 0, d = 0, ss = 0, dd = 0;  // of 1, d, s^2, d^2
  };
  static Integrals integrals(std::span<const double> x) {
    constexpr int kNodes = 400;
    const auto density = [](double t) { return std::isinf(t) ? 0.0 : std::exp(-0.5 * t * t) / std::sqrt(2 * std::numbers::pi); };
    const auto below = [](double t) { return 0.5 * std::erfc(-t / std::numbers::sqrt2); };
    Integrals sum;
    for (int k = 0; k < kNodes; ++k) {
      const double a = std::numbers::pi * ((k + 0.5) / kNodes - 0.5), c = std::cos(a), s = std::sin(a);
      double low = -kInfinity, high = kInfinity;
      const auto require_at_most = [&](double slope, double bound) {  // slope r <= bound
        if (slope > 0)
          high = std::min(high, bound / slope);
        else if (slope < 0)
          low = std::max(low, bound / slope);
        else if (bound < 0)
          high = -kInfinity;
      };
      require_at_most(-c, kOffset - x[0]);                                  // |s| >= 0
      require_at_most(c - s, std::numbers::sqrt2 - kOffset + x[0] - x[1]);  // |s| + d <= sqrt 2
      require_at_most(c + s, std::numbers::sqrt2 - kOffset + x[0] + x[1]);  // |s| - d <= sqrt 2
      if (!(low < high)) continue;
      const double t0 = (low - kRadius) / kWidth, t1 = (high - kRadius) / kWidth;
      const double m0 = below(t1) - below(t0), m1 = density(t0) - density(t1);
      const double m2 = m0 + (std::isinf(t0) ? 0 : t0 * density(t0)) - (std::isinf(t1) ? 0 : t1 * density(t1));
      const double r1 = kRadius * m0 + kWidth * m1;
      const double r2 = kRadius * kRadius * m0 + 2 * kRadius * kWidth * m1 + kWidth * kWidth * m2;
      const double e = kOffset - x[0];
      sum.mass += m0 / kNodes;
      sum.d += (x[1] * m0 - s * r1) / kNodes;
      sum.ss += (c * c * r2 + 2 * c * e * r1 + e * e * m0) / kNodes;
      sum.dd += (s * s * r2 - 2 * s * x[1] * r1 + x[1] * x[1] * m0) / kNodes;
    }
    return sum;
  }
};

/// Conjugate pairs. Each row of the data: a waiting time, a count, a normal value.
///   time ~ Exponential(theta_1),   theta_1 ~ Gamma(4, rate 400);
///   count ~ Poisson(theta_2),      theta_2 ~ Gamma(4, rate 0.04);
///   value ~ N(theta_3, theta_4),   theta_4 ~ InverseGamma(5, 4), theta_3 | theta_4 ~ N(0, theta_4 / 0.2).
class Skewed final : public TruthModel {
 public:
  explicit Skewed(bool raw) {
    shift_.assign(kParams, 0.0);
    scale_.assign(kParams, 1.0);
    data_shift_ = Array({kColumns});
    data_scale_ = Array({kColumns}, 1.0);
    if (raw) return;
    constexpr std::int64_t kPilot = 10'000;
    const bf::Simulations pilot = generative_model().simulate(kPilot, 0, "pilot", 0);
    const auto copy = [](const Array& from, std::vector<double>& to) { to.assign(from.data(), from.data() + from.size()); };
    copy(pilot.prior_draws.mean(0), shift_);
    copy(pilot.prior_draws.std_along(0), scale_);
    const Array rows = pilot.sim_data.reshape({kPilot * kObservations, kColumns});
    data_shift_ = rows.mean(0);
    data_scale_ = rows.std_along(0);
  }
  std::string name() const override { return "skewed"; }
  std::int64_t num_params() const override { return kParams; }
  bf::GenerativeModel generative_model() const override {
    return bf::GenerativeModel(bf::Prior([](bf::Rng& rng) {
                                 const double rate = rng.gamma(kShape, 1 / kRateOfRate), mean_count = rng.gamma(kShape, 1 / kRateOfCount);
                                 const double variance = kBeta / rng.gamma(kAlpha);
                                 return Array::of({rate, mean_count, rng.normal(0.0, std::sqrt(variance / kKappa)), variance});
                               }),
                               bf::Simulator([](const Array& theta, bf::Rng& rng) {
                                 Array x({kObservations, kColumns});
                                 for (std::int64_t i = 0; i < kObservations; ++i) {
                                   x(i, 0) = rng.exponential(1 / theta[0]);
                                   x(i, 1) = static_cast<double>(rng.poisson(theta[1]));
                                   x(i, 2) = rng.normal(theta[2], std::sqrt(theta[3]));
                                 }
                                 return x;
                               }));
  }
  double log_posterior(std::span<const double> theta, std::span<const double> data) const override {
    if (!(theta[0] > 0 && theta[1] > 0 && theta[3] > 0)) return -kInfinity;
    const Posterior p = posterior(data);
    return log_gamma_density(theta[0], p.shape1, p.rate1) + log_gamma_density(theta[1], p.shape2, p.rate2) +
           log_normal_density(theta[2], p.mean, theta[3] / p.kappa) + log_inverse_gamma_density(theta[3], p.alpha, p.beta);
  }
  Moments moments(std::span<const double> data) const override {
    const Posterior p = posterior(data);
    const double variance = p.beta / (p.alpha - 1);
    return {
        {p.shape1 / p.rate1, p.shape2 / p.rate2, p.mean, variance},
        {std::sqrt(p.shape1) / p.rate1, std::sqrt(p.shape2) / p.rate2, std::sqrt(variance / p.kappa), variance / std::sqrt(p.alpha - 2)}};
  }
  bf::Batch configure(const bf::Simulations& simulations) const override {
    bf::Batch inputs = TruthModel::configure(simulations);
    inputs.set(bf::roles::summary_conditions, (simulations.sim_data - data_shift_) / data_scale_);
    return inputs;
  }
  bf::AmortizedPosterior amortizer(const NetworkChoice& choice) const override {
    return bf::AmortizedPosterior(
        bf::InvertibleNetwork({.num_params = kParams, .num_coupling_layers = 6, .coupling = coupling_options(choice.initializer)}),
        bf::DeepSet({.summary_dim = 10, .linear_path = choice.linear_path}), {.precision = choice.precision});
  }

 private:
  static constexpr std::int64_t kParams = 4, kObservations = 10, kColumns = 3;
  static constexpr double kShape = 4, kRateOfRate = 400, kRateOfCount = 0.04, kKappa = 0.2, kAlpha = 5, kBeta = 4;
  struct Posterior {
    double shape1, rate1, shape2, rate2, mean, kappa, alpha, beta;
  };
  static Posterior posterior(std::span<const double> data) {
    constexpr double n = kObservations;
    std::array<double, kColumns> sum{};
    double square = 0;
    for (std::size_t i = 0; i < data.size(); ++i) sum[i % kColumns] += data[i];
    const double average = sum[2] / n;
    for (std::size_t i = 2; i < data.size(); i += kColumns) square += (data[i] - average) * (data[i] - average);
    return {kShape + n,
            kRateOfRate + sum[0],
            kShape + sum[1],
            kRateOfCount + n,
            sum[2] / (kKappa + n),
            kKappa + n,
            kAlpha + n / 2,
            kBeta + 0.5 * square + 0.5 * kKappa * n * average * average / (kKappa + n)};
  }
  Array data_shift_, data_scale_;
};

}  // namespace

bf::Batch TruthModel::configure(const bf::Simulations& simulations) const {
  bf::Batch inputs = bf::default_configurator(simulations);
  const bf::Shape width{num_params()};
  inputs.set(bf::roles::parameters, (inputs.array(bf::roles::parameters) - Array(width, shift_)) / Array(width, scale_));
  return inputs;
}

std::unique_ptr<TruthModel> truth_model(const std::string& name, bool raw) {
  if (name == "gaussian") return std::make_unique<Gaussian>();
  if (name == "two_moons") return std::make_unique<TwoMoons>();
  if (name == "skewed") return std::make_unique<Skewed>(raw);
  throw std::invalid_argument("no model is called " + name);
}

const std::vector<std::string>& truth_model_names() {
  static const std::vector<std::string> names{"gaussian", "two_moons", "skewed"};
  return names;
}

}  // namespace bench
