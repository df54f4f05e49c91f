#include "bayesflow/workflow/fit.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "bayesflow/core/errors.hpp"
#include "support/expect.hpp"
#include "workflow/look.hpp"

namespace bayesflow {
namespace {

Prior prior() {
  return Prior([](Rng& rng) { return Array::of({rng.normal({1}).item(), rng.uniform(-1.0, 1.0)}); }, {.param_names = {"mu", "nu"}});
}
Simulator simulator() {
  return Simulator([](const Array& theta, Rng& rng) {
    const Array noise = rng.normal({3}, 0.0, 0.2);
    return Array::of({theta[0] + noise[0], theta[1] + noise[1], theta[0] - theta[1] + noise[2]});
  });
}

TEST(Fit, LearnsTheSameForAnyNumberOfThreadsAndInFiles) {
  const FitOptions options{.simulations = 400, .seed = 5, .threads = 2, .max_members = 2};
  const Posterior posterior = fit(prior(), simulator(), options);
  EXPECT_GT(posterior.record().log_score, posterior.record().prior_log_score + 1.5);
  const Array x = Array::of({0.3, 0.2, 0.1});
  const Array draws = posterior.sample(x, 500);
  ASSERT_EQ(draws.shape(), Shape({1, 500, 2}));
  EXPECT_NEAR(draws.mean(1)(0, 0), 0.3, 0.2);
  for (std::int64_t s = 0; s < 500; ++s) EXPECT_LE(std::abs(draws(0, s, 1)), 1.0);
  EXPECT_EQ(posterior.log_prob(Array::of({0.3, 1.5}), x)[0], -INFINITY);
  for (const AmortizedPosterior& member : posterior.members()) EXPECT_EQ(member.options().threads, 2);
  // Where most draws lie outside of the bounds they are replaced, and densities allow for it.
  const Array edge = Array::of({0.3, 1.3, -1.0}), kept = posterior.sample(edge, 300);
  for (std::int64_t s = 0; s < 300; ++s) EXPECT_LE(std::abs(kept(0, s, 1)), 1.0);
  EXPECT_GT(kept.mean(1)(0, 1), 0.8);
  Array grid({6000, 2}), same({6000, 3});
  for (std::int64_t i = 0; i < 6000; ++i) {
    grid.set_row(i, Array::of({-1.5 + 0.03 * (static_cast<double>(i % 100) + 0.5), -1 + (static_cast<double>(i / 100) + 0.5) / 30}));
    same.set_row(i, edge);
  }
  EXPECT_NEAR(exp(posterior.log_prob(grid, same)).sum() * 0.03 / 30, 1, 0.05);

  FitOptions one = options;
  one.threads = 1;
  EXPECT_EQ(fit(prior(), simulator(), one).sample(x, 50), posterior.sample(x, 50));

  const auto path = std::filesystem::temp_directory_path() / "bayesflow_fit_test.h5";
  posterior.save(path);
  const Posterior loaded = load_posterior(path);
  EXPECT_EQ(loaded.sample(x, 50), posterior.sample(x, 50));
  EXPECT_EQ(loaded.story(), posterior.story());
  std::filesystem::remove(path);
}

TEST(Fit, RefusesWhatItCannotLearnFrom) {
  EXPECT_THROW((void)fit(prior(), simulator(), {}), ConfigurationError);
  Simulations few;
  few.prior_draws = Array({20, 1}, 1.0);
  few.sim_data = Array({20, 1}, 1.0);
  EXPECT_THROW((void)fit(few), ArgumentError);
  Simulations images;
  images.prior_draws = Array({200, 1}, 1.0);
  images.sim_data = Array({200, 3, 3, 1}, 1.0);
  EXPECT_THROW((void)fit(images), ShapeError);
}

TEST(Look, FindsBoundsAndLogarithms) {
  Rng rng(1, "look");
  Simulations s;
  const Array normal = rng.normal({2000, 1}), uniform = rng.uniform({2000, 1}, -3.0, 3.0);
  s.prior_draws = concatenate({normal, uniform, exp(rng.normal({2000, 1})), rng.uniform({2000, 1}, 0.0, 1.0)}, 1);
  s.sim_data = concatenate(
      {rng.normal({2000, 1}), exp(rng.normal({2000, 1})), exp(rng.normal({2000, 1})).map([](double v) { return std::floor(3 * v); }),
       exp(4.0 * rng.normal({2000, 1})).map([](double v) { return std::floor(v); })},
      1);
  const FitPlan plan = workflow::look(s, DataKind::automatic);
  EXPECT_EQ(plan.data, DataKind::vector);
  EXPECT_FALSE(plan.lower[0] || plan.upper[0]);
  EXPECT_EQ(plan.lower[1], -3.0);
  EXPECT_EQ(plan.upper[1], 3.0);
  EXPECT_EQ(plan.log_parameters, std::vector<std::int64_t>{2});
  EXPECT_FALSE(plan.lower[2] || plan.upper[2]);
  EXPECT_EQ(plan.lower[3], 0.0);
  EXPECT_EQ(plan.upper[3], 1.0);
  EXPECT_EQ(plan.log_data, std::vector<std::int64_t>{1});
  EXPECT_EQ(plan.sqrt_data, std::vector<std::int64_t>{2});
  EXPECT_EQ(plan.log1p_data, std::vector<std::int64_t>{3});
}

TEST(Look, TellsSeriesFromSets) {
  Rng rng(2, "look");
  const Array set = rng.normal({500, 20, 2}) + rng.normal({500, 1, 2});
  EXPECT_FALSE(workflow::is_ordered(set));
  Array walk = set;
  for (std::int64_t s = 0; s < 500; ++s)
    for (std::int64_t t = 1; t < 20; ++t) walk(s, t, 1) = 0.5 * walk(s, t - 1, 1) + set(s, t, 1);
  EXPECT_TRUE(workflow::is_ordered(walk));
  Array trend = set;
  for (std::int64_t s = 0; s < 500; ++s)
    for (std::int64_t t = 0; t < 20; ++t) trend(s, t, 0) += 0.1 * static_cast<double>(t);
  EXPECT_TRUE(workflow::is_ordered(trend));
}

}  // namespace
}  // namespace bayesflow
