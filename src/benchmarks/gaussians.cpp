/// Normal likelihoods: linear with a normal prior, linear with a uniform prior, and a mixture of two widths.
#include <cmath>
#include <numbers>

#include "benchmarks/problem.hpp"

namespace bayesflow::benchmarks {
namespace {

const double kSqrtTenth = std::sqrt(0.1);  // sbibm's scales of 0.1 are variances

/// x ~ N(theta, scale^2 I), (D), or n_obs such rows.
Simulate normal_rows(const Values& v) {
  const double scale = v.number("scale");
  const std::int64_t n = v.has("n_obs") ? v.count("n_obs") : 0;
  return [scale, n](const Array& theta, Rng& rng) { return rng.normal(n ? Shape{n, theta.size()} : Shape{theta.size()}, theta, scale); };
}

std::vector<SettingInfo> normal_rows_settings() { return {{"n_obs", {}, Domain::optional_count}, {"scale", kSqrtTenth, Domain::positive}}; }

}  // namespace

Problem gaussian_linear() {
  return {.name = "gaussian_linear",
          .sbibm_task = "gaussian_linear",
          .prior_settings = {{"D", 10, Domain::count}, {"scale", kSqrtTenth, Domain::positive}},
          .simulator_settings = normal_rows_settings(),
          .param_names = [](const Values& v) { return numbered("theta", v.count("D")); },
          .prior = [](const Values& v) -> DrawParameters {
            return [d = v.count("D"), scale = v.number("scale")](Rng& rng) { return rng.normal({d}, 0.0, scale); };
          },
          .simulator = normal_rows};
}

Problem gaussian_linear_uniform() {
  return {.name = "gaussian_linear_uniform",
          .sbibm_task = "gaussian_linear_uniform",
          .prior_settings = {{"D", 10, Domain::count}, {"lower_bound", -1.0, Domain::number}, {"upper_bound", 1.0, Domain::number}},
          .simulator_settings = normal_rows_settings(),
          .param_names = [](const Values& v) { return numbered("theta", v.count("D")); },
          .prior = [](const Values& v) { return uniform_prior(v, v.count("D")); },
          .simulator = normal_rows};
}

/// x ~ N(theta, s^2 I) with s = scale_c2 with probability prob, else scale_c1. Sisson, Fan, Tanaka (2007), Sequential Monte Carlo
/// without likelihoods.
Problem gaussian_mixture() {
  return {
      .name = "gaussian_mixture",
      .sbibm_task = "gaussian_mixture",
      .prior_settings = {{"lower_bound", -10.0, Domain::number}, {"upper_bound", 10.0, Domain::number}, {"D", 2, Domain::count}},
      .simulator_settings = {{"prob", 0.5, Domain::probability}, {"scale_c1", 1.0, Domain::positive}, {"scale_c2", 0.1, Domain::positive}},
      .param_names = [](const Values& v) { return numbered("mu", v.count("D")); },
      .prior = [](const Values& v) { return uniform_prior(v, v.count("D")); },
      .simulator = [](const Values& v) -> Simulate {
        return [prob = v.number("prob"), c1 = v.number("scale_c1"), c2 = v.number("scale_c2")](const Array& theta, Rng& rng) {
          const double scale = rng.bernoulli(prob) ? c2 : c1;
          return rng.normal({theta.size()}, theta, scale);
        };
      },
      .scale_data = [](const Values&) { return 12.0; }};
}

}  // namespace bayesflow::benchmarks
