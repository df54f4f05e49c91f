/// Simple likelihood, complex posterior; alone, and among distractors.
#include <algorithm>
#include <cmath>
#include <memory>

#include "bayesflow/core/errors.hpp"
#include "benchmarks/legacy_numpy.hpp"
#include "benchmarks/problem.hpp"

namespace bayesflow::benchmarks {
namespace {

/// n_obs points of N(m, S) into out: m = (t1, t2), S = [[s1^2 + e, r s1 s2], [r s1 s2, s2^2 + e]], s1 = t3^2, s2 = t4^2, r = tanh t5,
/// e = 1e-6 (sbibm's, by which S has an inverse for every theta). With u, v standard normal
///   x_1 = t1 + l11 u,   x_2 = t2 + l21 u + l22 v,   S = L L^T.
void draw_points(const Array& t, std::int64_t n_obs, Rng& rng, double* out) {
  constexpr double kEpsilon = 1e-6;
  const double s1 = t[2] * t[2], s2 = t[3] * t[3];
  const double l11 = std::sqrt(s1 * s1 + kEpsilon), l21 = std::tanh(t[4]) * s1 * s2 / l11;
  const double l22 = std::sqrt(std::max(s2 * s2 + kEpsilon - l21 * l21, 0.0));
  for (std::int64_t i = 0; i < n_obs; ++i) {
    const double u = rng.normal(), v = rng.normal();
    out[2 * i] = t[0] + l11 * u;
    out[2 * i + 1] = t[1] + l21 * u + l22 * v;
  }
}

constexpr std::int64_t kComponents = 20;

/// sbibm's distractors: a mixture of 20 equally likely Student-t distributions (2 degrees of freedom) of `width` dimensions, with means
/// mu_scale z and scale matrices L L^T, L = 3 (lower triangle of z + diag(exp z)), z standard normal of seed 42; and a permutation of
/// the informative columns and these.
struct Distractors {
  std::int64_t width;
  std::vector<double> mean, factor;       // (20, width), (20, width, width)
  std::vector<std::int64_t> permutation;  // column j of the data is column permutation[j] of (informative, distractors)

  Distractors(std::int64_t informative, std::int64_t w, double mu_scale) : width(w) {
    RandomState random(42);
    mean.resize(static_cast<std::size_t>(kComponents * w));
    for (double& m : mean) m = mu_scale * random.normal();
    factor.resize(static_cast<std::size_t>(kComponents * w * w));
    for (std::int64_t k = 0; k < kComponents; ++k) {
      double* l = factor.data() + k * w * w;
      for (std::int64_t i = 0; i < w; ++i)
        for (std::int64_t j = 0; j < w; ++j) {
          const double z = random.normal();
          l[i * w + j] = j <= i ? 3 * z : 0;
        }
      for (std::int64_t i = 0; i < w; ++i) l[i * w + i] += 3 * std::exp(random.normal());
    }
    permutation = random.permutation(informative + w);
  }
  void draw(Rng& rng, double* out) const {
    const std::int64_t k = rng.integers(0, kComponents);
    Array z = uninitialized_array({width});
    rng.fill_normal(z.values());
    const double chi2 = rng.gamma(1.0, 2.0);  // chi-square of 2 degrees of freedom
    const double scale = std::sqrt(2 / chi2);
    const double* l = factor.data() + k * width * width;
    for (std::int64_t i = 0; i < width; ++i) {
      double sum = 0;
      for (std::int64_t j = 0; j <= i; ++j) sum += l[i * width + j] * z.data()[j];
      out[i] = mean[static_cast<std::size_t>(k * width + i)] + scale * sum;
    }
  }
};

std::vector<SettingInfo> bounds() { return {{"lower_bound", -3.0, Domain::number}, {"upper_bound", 3.0, Domain::number}}; }

}  // namespace

Problem slcp() {
  return {.name = "slcp",
          .sbibm_task = "slcp",
          .prior_settings = bounds(),
          .simulator_settings = {{"n_obs", 4, Domain::count}, {"flatten", true, Domain::flag, true}},
          .param_names = [](const Values&) { return numbered("theta", 5); },
          .prior = [](const Values& v) { return uniform_prior(v, 5); },
          .simulator = [](const Values& v) -> Simulate {
            return [n = v.count("n_obs"), flat = v.flag("flatten")](const Array& theta, Rng& rng) {
              Array x = uninitialized_array(flat ? Shape{2 * n} : Shape{n, 2});
              draw_points(theta, n, rng, x.data());
              return x;
            };
          },
          .scale_data = [](const Values&) { return 30.0; },
          .as_set =
              [](const Array& data) {
                return data.reshape({data.dim(0), data.dim(1) / 2, 2});
              }};
}

Problem slcp_distractors() {
  return {
      .name = "slcp_distractors",
      .sbibm_task = "slcp",
      .prior_settings = bounds(),
      .simulator_settings = {{"n_obs", 4, Domain::count},
                             {"n_dist", 46, Domain::count},
                             {"dim", 2, Domain::count},
                             {"mu_scale", 15.0, Domain::number},
                             {"flatten", true, Domain::flag, true}},
      .param_names = [](const Values&) { return numbered("theta", 5); },
      .prior = [](const Values& v) { return uniform_prior(v, 5); },
      .simulator = [](const Values& v) -> Simulate {
        const std::int64_t n = v.count("n_obs"), pairs = v.count("n_dist"), dim = v.count("dim");
        const bool flat = v.flag("flatten");
        if (!flat && dim != 2)
          throw ConfigurationError(
              "Benchmark \"slcp_distractors\": with flatten = false each row is a point of the plane, so dim must be 2; got " +
              std::to_string(dim));
        constexpr std::int64_t kMost = 2000;  // the mixture has 20 width^2 numbers
        if (pairs * dim > kMost)
          throw ConfigurationError("Benchmark \"slcp_distractors\": n_dist * dim must be at most 2000; got " + std::to_string(pairs * dim));
        const auto distractors = std::make_shared<const Distractors>(2 * n, pairs * dim, v.number("mu_scale"));
        return [n, flat, distractors](const Array& theta, Rng& rng) {
          const std::int64_t size = 2 * n + distractors->width;
          Array columns = uninitialized_array(flat ? Shape{size} : Shape{size / 2, 2});
          draw_points(theta, n, rng, columns.data());
          distractors->draw(rng, columns.data() + 2 * n);
          if (!flat) return columns;  // a set has no order: the points stay points
          Array x = uninitialized_array({size});
          for (std::int64_t j = 0; j < size; ++j) x.data()[j] = columns.data()[distractors->permutation[static_cast<std::size_t>(j)]];
          return x;
        };
      },
      .scale_data = [](const Values&) { return 50.0; },
      .from_sbibm =
          [](const Array& observation, const Values& v) {
            if (v.flag("flatten")) return observation;
            const Distractors distractors(8, 92, v.number("mu_scale"));
            Array x({50, 2});
            for (std::int64_t j = 0; j < 100; ++j) x[distractors.permutation[static_cast<std::size_t>(j)]] = observation[j];
            return x;
          }};
}

}  // namespace bayesflow::benchmarks
