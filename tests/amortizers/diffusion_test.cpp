/// Diffusion networks: densities integrate to one and are those of the draws, by all schedules and solvers.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "amortizers/support_random_network.hpp"
#include "bayesflow/core/errors.hpp"
#include "bayesflow/networks/diffusion_network.hpp"
#include "support/expect.hpp"

namespace bayesflow {
namespace {

using Random = RandomNetwork<DiffusionNetwork>;

DiffusionOptions small(std::int64_t width, NoiseSchedule schedule = NoiseSchedule::edm) {
  return {.num_params = width,
          .dense = {.units = 16, .activation = Activation::swish},
          .num_dense = 3,
          .time_frequencies = 2,
          .schedule = schedule,
          .solver = OdeSolver::dopri5,
          .tolerance = 1e-4};
}

TEST(Diffusion, DensitiesIntegrateToOne) {
  for (const NoiseSchedule schedule : {NoiseSchedule::edm, NoiseSchedule::cosine}) {
    EXPECT_NEAR(integral_of(Random(small(1, schedule), 0.3), 8, 0.05), 1.0, 0.02);
    EXPECT_NEAR(integral_of(Random(small(2, schedule), 0.2), 8, 0.2), 1.0, 0.02);
  }
}

TEST(Diffusion, DensitiesAreThoseOfTheDraws) {
  const Random random(small(1), 0.3);
  Array draws = random.draws(20000).flatten();
  std::ranges::sort(draws.values());
  Array grid({2000, 1});
  for (std::int64_t i = 0; i < 2000; ++i) grid(i, 0) = -10 + 0.01 * (static_cast<double>(i) + 0.5);
  const Array density = exp(random.log_density(grid));
  double below = 0;
  for (std::int64_t i = 0, at = 0; i < 2000; ++i) {
    below += density[i] * 0.01;
    while (at < draws.size() && draws[at] < grid(i, 0) + 0.005) ++at;
    ASSERT_NEAR(below, static_cast<double>(at) / 20000, 0.02);
  }
}

TEST(Diffusion, SolversAgree) {
  for (const NoiseSchedule schedule : {NoiseSchedule::edm, NoiseSchedule::cosine}) {
    DiffusionOptions strict = small(2, schedule), fixed = strict;
    strict.tolerance = 1e-6;
    fixed.solver = OdeSolver::rk4;
    fixed.steps = 300;
    const Random a(strict, 0.2), b(fixed, 0.2);
    EXPECT_LT(abs(a.draws(50) - b.draws(50)).max(), 5e-3);
  }
}

/// An untrained output of zero is the exact score of N(0, sigma_data^2): both samplers must give it.
TEST(Diffusion, SamplersMakeTheDistributionOfTheirScore) {
  for (const DiffusionSampler sampler : {DiffusionSampler::ode, DiffusionSampler::sde})
    for (const NoiseSchedule schedule : {NoiseSchedule::edm, NoiseSchedule::cosine}) {
      DiffusionOptions options = small(1, schedule);
      options.sampler = sampler;
      options.steps = 200;
      options.sigma_data = 0.5;
      Random random(options);
      std::fill_n(random.store.values(), random.store.size(), 0.0f);
      const Array draws = random.draws(20000);
      EXPECT_NEAR(draws.mean(), 0.0, 0.02);
      EXPECT_NEAR(std::sqrt((draws * draws).mean()), 0.5, 0.015);
      EXPECT_NEAR(random.log_density(Array({1, 1}, 0.3))[0], -0.5 * 0.36 - std::log(0.5 * std::sqrt(2 * 3.141592653589793)), 1e-2);
    }
}

TEST(Diffusion, SaysWhatDoesNotFit) {
  EXPECT_EQ(sentence<ConfigurationError>([] { DiffusionNetwork net({}); }),
            "DiffusionOptions::num_params = 0; it must be the number of parameters, at least 1");
  EXPECT_THROW(DiffusionNetwork({.num_params = 2, .sigma_min = 0}), ConfigurationError);
  EXPECT_THROW(DiffusionNetwork({.num_params = 2, .sigma_max = 1}), ConfigurationError);
  EXPECT_THROW(DiffusionNetwork({.num_params = 2, .steps = 0}), ConfigurationError);
}

}  // namespace
}  // namespace bayesflow
