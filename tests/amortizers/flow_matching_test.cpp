/// Flow matching: densities against the change of variables and exact posteriors, draws against exact draws.
#include "bayesflow/networks/flow_matching.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "bayesflow/core/errors.hpp"
#include "bayesflow/nn/gradient_check.hpp"
#include "bayesflow/nn/parameters.hpp"
#include "support/expect.hpp"

namespace bayesflow {
namespace {

FlowMatchingOptions small(std::int64_t width, std::int64_t units = 64) {
  return {.num_params = width, .dense = {.units = units, .activation = Activation::swish}, .num_dense = 3, .time_frequencies = 4};
}

/// A network with random weights, so that its flow is far from the identity.
struct Random {
  nn::ParameterStore store;
  FlowMatchingNetwork net;
  explicit Random(FlowMatchingOptions options, double scale = 0.3) : net(std::move(options)) {
    net.build(nn::Builder(store, 1), net.options().num_params, 0);
    nn::randomize(store, 2, scale);
  }
  [[nodiscard]] Array log_density(const Array& y) const {
    Tape tape;
    tape.reset({.gradients = false, .training = false});
    const Tensor out = net.log_density(tape, tape.input(y), {});
    Array values({out.size()});
    for (std::int64_t i = 0; i < out.size(); ++i) values[i] = static_cast<double>(out.data()[i]);
    return values;
  }
  [[nodiscard]] Array draws(std::int64_t count, std::uint64_t seed = 0) const {
    Tape tape;
    tape.reset({.gradients = false, .training = false});
    std::vector<Rng> streams;
    for (std::int64_t first = 0; first < count; first += DrawStreams::kBlock)
      streams.push_back(Rng(seed, "draws").at(static_cast<std::uint64_t>(first)));
    DrawStreams numbers(count, std::move(streams));
    const Tensor out = net.sample(tape, numbers, {});
    Array values({count, net.target_width()});
    for (std::int64_t i = 0; i < out.size(); ++i) values.data()[i] = static_cast<double>(out.data()[i]);
    return values;
  }
};

TEST(FlowMatching, DensitiesIntegrateToOne) {
  for (const std::int64_t width : {1, 2}) {
    const Random random(small(width, 16), width == 1 ? 0.4 : 0.25);
    const double half = 7, step = 0.1;
    const auto n = static_cast<std::int64_t>(2 * half / step);
    Array grid({width == 1 ? n : n * n, width});
    for (std::int64_t i = 0; i < grid.dim(0); ++i) {
      grid(i, 0) = -half + step * (static_cast<double>(width == 1 ? i : i / n) + 0.5);
      if (width == 2) grid(i, 1) = -half + step * (static_cast<double>(i % n) + 0.5);
    }
    EXPECT_NEAR(exp(random.log_density(grid)).sum() * std::pow(step, width), 1.0, 0.01) << width;
    // It is no standard normal that integrates to one here.
    Array normal = grid.map([](double x) { return -0.5 * x * x - 0.5 * std::log(2 * std::numbers::pi); });
    EXPECT_GT(abs(random.log_density(grid.slice(n / 2 - 5, n / 2 + 5)) - normal.slice(n / 2 - 5, n / 2 + 5).sum(1)).max(), 0.1);
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
