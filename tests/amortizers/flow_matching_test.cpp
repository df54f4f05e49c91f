/// Flow matching: densities against the change of variables and exact posteriors, draws against exact draws.
#include "bayesflow/networks/flow_matching.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "amortizers/support_random_network.hpp"
#include "bayesflow/core/errors.hpp"
#include "bayesflow/nn/parameters.hpp"
#include "support/expect.hpp"

namespace bayesflow {
namespace {

FlowMatchingOptions small(std::int64_t width, std::int64_t units = 64) {
  return {.num_params = width, .dense = {.units = units, .activation = Activation::swish}, .num_dense = 3, .time_frequencies = 4};
}

using Random = RandomNetwork<FlowMatchingNetwork>;

TEST(FlowMatching, DensitiesIntegrateToOne) {
  for (const std::int64_t width : {1, 2}) {
    const Random random(small(width, 16), width == 1 ? 0.4 : 0.25);
    EXPECT_NEAR(integral_of(random, 7, 0.1), 1.0, 0.01) << width;
    // It is no standard normal that integrates to one here.
    Array near({10, width}, 0.05);
    for (std::int64_t i = 0; i < 10; ++i) near(i, 0) = -0.45 + 0.1 * static_cast<double>(i);
    Array normal = near.map([](double x) { return -0.5 * x * x - 0.5 * std::log(2 * std::numbers::pi); });
    EXPECT_GT(abs(random.log_density(near) - normal.sum(1)).max(), 0.1);
  }
}

TEST(FlowMatching, DensitiesAreThoseOfTheDraws) {
  const Random random(small(1, 16), 0.4);
  const Array draws = random.draws(20000), sorted = [&] {
    Array out = draws.flatten();
    std::ranges::sort(out.values());
    return out;
  }();
  // The share of draws below some points, and the integral of the density up to there.
  Array grid({2000, 1});
  for (std::int64_t i = 0; i < 2000; ++i) grid(i, 0) = -10 + 0.01 * (static_cast<double>(i) + 0.5);
  const Array density = exp(random.log_density(grid));
  double below = 0;
  std::int64_t at = 0;
  for (std::int64_t i = 0; i < 2000; ++i) {
    below += density[i] * 0.01;
    while (at < sorted.size() && sorted[at] < grid(i, 0) + 0.005) ++at;
    ASSERT_NEAR(below, static_cast<double>(at) / 20000, 0.015);  // Kolmogorov's distance, 2 standard errors
  }
}

TEST(FlowMatching, FinerStepsChangeLittle) {
  FlowMatchingOptions fine = small(2, 16);
  fine.steps = 200;
  FlowMatchingOptions euler = fine;
  euler.solver = OdeSolver::euler;
  euler.steps = 4000;
  const Random a(small(2, 16)), b(fine), c(euler);
  const Array points = Rng(3, "points").normal({20, 2});
  EXPECT_LT(abs(a.log_density(points) - b.log_density(points)).max(), 1e-3);
  EXPECT_LT(abs(a.log_density(points) - c.log_density(points)).max(), 5e-3);
  EXPECT_LT(abs(a.draws(50) - b.draws(50)).max(), 1e-3);
}

TEST(FlowMatching, AdaptiveStepsKeepTheirTolerance) {
  FlowMatchingOptions fine = small(2, 16), loose = fine, strict = fine;
  fine.steps = 200;
  loose.solver = strict.solver = OdeSolver::dopri5;
  loose.tolerance = 1e-2;
  strict.tolerance = 1e-6;
  const Random a(fine), b(loose), c(strict);
  const Array points = Rng(3, "points").normal({20, 2});
  const double off = abs(a.draws(300) - b.draws(300)).max(), close = abs(a.draws(300) - c.draws(300)).max();
  EXPECT_LT(close, 2e-5);
  EXPECT_LT(off, 0.5);
  EXPECT_GT(off, close);
  EXPECT_LT(abs(a.log_density(points) - c.log_density(points)).max(), 1e-4);
  // A draw is the same among more of them.
  EXPECT_EQ(b.draws(300).slice(0, 17), b.draws(17));
}

TEST(FlowMatching, EstimatedTracesAreNearExactOnes) {
  FlowMatchingOptions one = small(1, 16), exact = small(3, 16), estimated = exact;
  one.trace_probes = 1;  // of one dimension the estimate is exact
  const Array line = Rng(3, "points").normal({20, 1}), points = Rng(3, "points").normal({200, 3});
  EXPECT_LT(abs(Random(one).log_density(line) - Random(small(1, 16)).log_density(line)).max(), 1e-5);
  estimated.trace_probes = 64;
  const Array difference = Random(estimated).log_density(points) - Random(exact).log_density(points);
  EXPECT_LT(abs(difference).mean(), 0.1);
  EXPECT_GT(abs(difference).max(), 1e-5);
}

TEST(FlowMatching, SaysWhatDoesNotFit) {
  EXPECT_THROW(FlowMatchingNetwork({}), ConfigurationError);
  EXPECT_THROW(FlowMatchingNetwork({.num_params = 2, .steps = 0}), ConfigurationError);
  EXPECT_THROW(FlowMatchingNetwork({.num_params = 2, .time_power = -1}), ConfigurationError);
  nn::ParameterStore store;
  FlowMatchingNetwork net(small(2));
  EXPECT_EQ(sentence<ConfigurationError>([&] { net.build(nn::Builder(store, 1), 3, 1); }),
            "FlowMatchingOptions::num_params = 2, but the targets have a width of 3; set it to 3");
  net.build(nn::Builder(store, 1), 2, 1);
  Tape tape;
  tape.reset({.gradients = true, .training = false});
  const Array y({4, 2}), c({4, 1});
  EXPECT_EQ(sentence<ShapeError>([&] { (void)net.log_density(tape, tape.input(y), {}); }),
            "FlowMatchingNetwork: was built for conditions of width 1, and targets are (4, 2); got conditions none");
  EXPECT_EQ(sentence<ShapeError>([&] {
              (void)net.loss(tape, tape.input(Array({4, 3})), tape.input(c));
            }),
            "FlowMatchingNetwork: targets must have shape (batch, 2) or (batch, n, 2); got (4, 3)");
  EXPECT_NE(sentence<ConfigurationError>([&] { (void)net.log_density(tape, tape.input(y), tape.input(c, true)); }).find("no derivatives"),
            std::string::npos);
}

}  // namespace
}  // namespace bayesflow
