/// Flow matching: densities against the change of variables and exact posteriors, draws against exact draws.
#include "bayesflow/networks/flow_matching.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "bayesflow/amortizers/amortized_posterior.hpp"
#include "bayesflow/core/errors.hpp"
#include "bayesflow/diagnostics/two_sample.hpp"
#include "bayesflow/diagnostics/verdict.hpp"
#include "bayesflow/networks/deep_set.hpp"
#include "bayesflow/nn/gradient_check.hpp"
#include "bayesflow/nn/parameters.hpp"
#include "bayesflow/training/trainer.hpp"
#include "support/expect.hpp"
#include "support/sanitized.hpp"
#include "training/support_training.hpp"

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

/// theta ~ N(0, I), x = A theta + noise of four observations: Gaussian posteriors with correlated parameters.
TEST(FlowMatching, LearnsAGaussianPosterior) {
  SKIP_TRAINING_TO_TRUTH_IF_SANITIZED();
  const auto model = GenerativeModel(Prior([](Rng& rng) { return rng.normal({2}); }), Simulator([](const Array& theta, Rng& rng) {
                                       return Array::of({theta[0] + theta[1] + 0.5 * rng.normal(), theta[1] + rng.normal()});
                                     }));
  const auto configurator = [](const Simulations& s) {
    return Batch{{roles::parameters, s.prior_draws}, {roles::direct_conditions, s.sim_data}};
  };
  // Precision I + A' S^-1 A with A = [[1, 1], [0, 1]], S = diag(0.25, 1).
  const double a = 1 + 4, b = 4, d = 1 + 4 + 1, det = a * d - b * b;
  const auto mean_of = [&](double x, double y) {
    const double r0 = 4 * x, r1 = 4 * x + y;
    return std::pair{(d * r0 - b * r1) / det, (a * r1 - b * r0) / det};
  };
  AmortizedPosterior amortizer{FlowMatchingNetwork(small(2))};
  Trainer trainer(amortizer, model, {.configurator = configurator, .threads = 2});
  (void)trainer.train_online({.epochs = 1,
                              .iterations_per_epoch = 5000,
                              .batch_size = 128,
                              .optimizer = nn::OptimizerOptions{.learning_rate = nn::cosine(1e-3, 5000)}});
  const Batch test = configurator(model.simulate(300, 9, "test", 0));
  const Array theta = test.array(roles::parameters), x = test.array(roles::direct_conditions), q = amortizer.log_posterior(test);
  double gap = 0, upside_down = 0;
  for (std::int64_t i = 0; i < 300; ++i) {
    const auto [m0, m1] = mean_of(x(i, 0), x(i, 1));
    const double u = theta(i, 0) - m0, v = theta(i, 1) - m1;
    const double exact = 0.5 * std::log(det) - std::log(2 * std::numbers::pi) - 0.5 * (a * u * u + 2 * b * u * v + d * v * v);
    gap += (exact - q(i)) / 300;
    upside_down += std::fabs(exact + q(i)) / 300;
  }
  RecordProperty("gap", std::to_string(gap));
  EXPECT_LT(std::fabs(gap), 0.05) << "nats";
  EXPECT_GT(upside_down, 0.5);
  constexpr std::int64_t kDraws = 2000;
  const Array draws = amortizer.sample(test.rows(0, 3), kDraws, {.seed = 1});
  for (std::int64_t i = 0; i < 3; ++i) {
    Rng rng(5, "exact", static_cast<std::uint64_t>(i));
    Array exact({kDraws, 2});
    const auto [m0, m1] = mean_of(x(i, 0), x(i, 1));
    for (std::int64_t s = 0; s < kDraws; ++s) {
      const double second = rng.normal(0, std::sqrt(a / det));  // marginal of theta_1, then theta_0 given it
      exact(s, 1) = m1 + second;
      exact(s, 0) = m0 - b / a * second + rng.normal(0, std::sqrt(1 / a));
    }
    EXPECT_LT(diagnostics::c2st(draws.row(i), exact, {.max_epochs = 30}).accuracy.value, 0.55);
  }
  const Array many = amortizer.sample(test, 300, {.seed = 2});
  EXPECT_LE(diagnostics::verdict(many, theta, test).severity, diagnostics::Severity::harmless);
  Array narrow = many;
  for (std::int64_t i = 0; i < 300; ++i) {
    const Array mean = many.row(i).mean(0, true);
    narrow.set_row(i, mean + (many.row(i) - mean) * 0.6);
  }
  EXPECT_GE(diagnostics::verdict(narrow, theta, test).severity, diagnostics::Severity::serious);
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
