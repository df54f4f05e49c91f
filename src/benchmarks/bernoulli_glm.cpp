/// Spikes of a neuron that follow a stimulus: a generalized linear model, by its sufficient statistics or by its outcomes.
#include <array>
#include <bit>
#include <cmath>
#include <memory>

#include "benchmarks/legacy_numpy.hpp"
#include "benchmarks/problem.hpp"

namespace bayesflow::benchmarks {
namespace {

constexpr std::int64_t kParams = 10, kFilter = 9;

/// (T, 10): a column of ones, and the stimulus (standard normal of seed 42, float32 as sbibm stores it) now and 1, ..., 8 steps ago.
Array design_matrix(std::int64_t steps) {
  RandomState random(42);
  std::vector<double> stimulus(static_cast<std::size_t>(steps));
  for (double& s : stimulus) s = static_cast<float>(random.normal());
  Array x({steps, kParams});
  for (std::int64_t t = 0; t < steps; ++t) {
    x(t, 0) = 1;
    for (std::int64_t j = 0; j < kFilter && j <= t; ++j) x(t, 1 + j) = stimulus[static_cast<std::size_t>(t - j)];
  }
  return x;
}

/// theta = (beta, f): beta ~ N(0, 2), f ~ N(0, (F^T F)^-1), F of lower triangle with F_ii = 1 + sqrt(i / 9), F_{i,i-1} = -2, F_{i,i-2} = 1
/// (i from 0): F f is standard normal.
Array draw_parameters(Rng& rng) {
  Array theta = uninitialized_array({kParams});
  double* f = theta.data() + 1;
  theta.data()[0] = std::sqrt(2.0) * rng.normal();
  for (std::int64_t i = 0; i < kFilter; ++i) {
    double z = rng.normal();
    if (i >= 1) z += 2 * f[i - 1];
    if (i >= 2) z -= f[i - 2];
    f[i] = z / (1 + std::sqrt(static_cast<double>(i) / kFilter));
  }
  return theta;
}

/// Outcome of step t: 1 with probability 1 / (1 + exp(-x_t . theta)).
bool spikes(const double* row, const Array& theta, Rng& rng) {
  double psi = 0;
  for (std::int64_t j = 0; j < kParams; ++j) psi += row[j] * theta.data()[j];
  return rng.bernoulli(1 / (1 + std::exp(-psi)));
}

std::vector<std::string> names(const Values&) {
  std::vector<std::string> out = numbered("f", kFilter);
  out.insert(out.begin(), "beta");
  return out;
}

/// Each outcome beside its row of the design, without the ones: (batch, T, 1 + 9), from (batch, T).
Array with_design(const Array& outcomes) {
  const Array design = design_matrix(outcomes.dim(1));
  Array out({outcomes.dim(0), outcomes.dim(1), kParams});
  for (std::int64_t b = 0; b < out.dim(0); ++b)
    for (std::int64_t t = 0; t < out.dim(1); ++t) {
      out(b, t, 0) = outcomes(b, t);
      for (std::int64_t j = 1; j < kParams; ++j) out(b, t, j) = design(t, j);
    }
  return out;
}

LikelihoodInputs outcomes_given_design(const Simulations& sims) {
  const Array& z = sims.sim_data;
  const Array design = design_matrix(z.dim(1));
  LikelihoodInputs out{Array({z.dim(0), z.dim(1), 2}), Array({z.dim(0), z.dim(1), kFilter + kParams})};
  for (std::int64_t b = 0; b < z.dim(0); ++b) {
    std::uint64_t key = 0;
    for (const double p : sims.prior_draws.row_values(b)) key = key * 0x9E3779B97F4A7C15u + std::bit_cast<std::uint64_t>(p);
    Rng rng(key, "second dimension of outcomes");
    for (std::int64_t t = 0; t < z.dim(1); ++t) {
      out.observables(b, t, 0) = z(b, t);
      out.observables(b, t, 1) = rng.normal();
      for (std::int64_t j = 0; j < kFilter; ++j) out.conditions(b, t, j) = design(t, 1 + j);
      for (std::int64_t j = 0; j < kParams; ++j) out.conditions(b, t, kFilter + j) = sims.prior_draws(b, j);
    }
  }
  return out;
}

}  // namespace

Problem bernoulli_glm() {
  return {.name = "bernoulli_glm",
          .sbibm_task = "bernoulli_glm",
          .simulator_settings = {{"T", 100, Domain::count}, {"scale_by_T", false, Domain::flag, true}},
          .param_names = names,
          .prior = [](const Values&) -> DrawParameters { return draw_parameters; },
          .simulator = [](const Values& v) -> Simulate {
            const auto design = std::make_shared<const Array>(design_matrix(v.count("T")));
            const double unit = v.flag("scale_by_T") ? v.number("T") : 1;
            return [design, unit](const Array& theta, Rng& rng) {
              Array x({kParams});
              for (std::int64_t t = 0; t < design->dim(0); ++t) {
                const double* row = design->data() + t * kParams;
                if (!spikes(row, theta, rng)) continue;
                for (std::int64_t j = 0; j < kParams; ++j) x.data()[j] += row[j];
              }
              return x /= unit;
            };
          },
          .scale_data = [](const Values& v) { return v.flag("scale_by_T") ? 1.0 : v.number("T"); },
          .from_sbibm = [](const Array& observation,
                           const Values& v) { return v.flag("scale_by_T") ? observation / v.number("T") : observation; }};
}

Problem bernoulli_glm_raw() {
  return {.name = "bernoulli_glm_raw",
          .sbibm_task = "bernoulli_glm",
          .simulator_settings = {{"T", 100, Domain::count}},
          .param_names = names,
          .prior = [](const Values&) -> DrawParameters { return draw_parameters; },
          .simulator = [](const Values& v) -> Simulate {
            return [design = std::make_shared<const Array>(design_matrix(v.count("T")))](const Array& theta, Rng& rng) {
              Array z = uninitialized_array({design->dim(0)});
              for (std::int64_t t = 0; t < z.size(); ++t) z.data()[t] = spikes(design->data() + t * kParams, theta, rng);
              return z;
            };
          },
          .as_set = with_design,
          .likelihood_inputs = outcomes_given_design};
}

}  // namespace bayesflow::benchmarks
