/// Inference networks with densities and draws, trained on problems whose posterior is known: Gaussian with correlated parameters, and one
/// that bends and has two arms, by quadrature.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <numbers>
#include <tuple>

#include "bayesflow/bayesflow.hpp"
#include "support/sanitized.hpp"
#include "training/support_training.hpp"

namespace bayesflow {
namespace {

struct Learner {
  std::string name;
  std::function<std::shared_ptr<InferenceNetwork>()> make;
  std::int64_t steps = 2000;
  double rate = 2e-3;
  double gap = 0.05, bent_gap = 0.1;  ///< nats above the exact posterior, at most
};
void PrintTo(const Learner& l, std::ostream* out) { *out << l.name; }

std::vector<Learner> learners() {
  const auto flow = [](const char* name, CouplingDesign design) {
    return Learner{name, [design] {
                     return std::make_shared<AutoregressiveFlow>(
                         AutoregressiveFlowOptions{.num_params = 2, .num_layers = 3, .design = design, .dense = {.units = 32}});
                   }};
  };
  std::vector<Learner> out{flow("AutoregressiveFlowAffine", CouplingDesign::affine), flow("AutoregressiveFlow", CouplingDesign::spline)};
  out[0].bent_gap = 0.3;  // no affine flow of three layers bends so far
  out.push_back({"MixtureDensityNetwork", [] { return std::make_shared<MixtureDensityNetwork>(MixtureDensityOptions{.num_params = 2}); }});
  const auto matching = [](FlowCoupling coupling, OdeSolver solver) {
    return [=] {
      return std::make_shared<FlowMatchingNetwork>(FlowMatchingOptions{.num_params = 2,
                                                                       .dense = {.units = 64, .activation = Activation::swish},
                                                                       .num_dense = 3,
                                                                       .time_frequencies = 4,
                                                                       .solver = solver,
                                                                       .coupling = coupling});
    };
  };
  out.push_back({"FlowMatchingNetwork", matching(FlowCoupling::independent, OdeSolver::rk4), 5000, 1e-3});
  out.push_back({"FlowMatchingNetworkOptimalTransport", matching(FlowCoupling::optimal_transport, OdeSolver::dopri5), 5000, 1e-3});
  for (const auto& [name, schedule, sampler] : {std::tuple{"DiffusionNetwork", NoiseSchedule::edm, DiffusionSampler::ode},
                                                std::tuple{"DiffusionNetworkStochastic", NoiseSchedule::cosine, DiffusionSampler::sde}})
    out.push_back({name,
                   [schedule = schedule, sampler = sampler] {
                     return std::make_shared<DiffusionNetwork>(DiffusionOptions{.num_params = 2,
                                                                                .dense = {.units = 64, .activation = Activation::swish},
                                                                                .num_dense = 3,
                                                                                .time_frequencies = 4,
                                                                                .schedule = schedule,
                                                                                .sampler = sampler,
                                                                                .solver = OdeSolver::dopri5,
                                                                                .steps = 60});
                   },
                   5000, 1e-3});
  out.push_back({"ShortcutNetwork",
                 [] {
                   return std::make_shared<ShortcutNetwork>(ShortcutOptions{.num_params = 2,
                                                                            .dense = {.units = 64, .activation = Activation::swish},
                                                                            .num_dense = 3,
                                                                            .time_frequencies = 4,
                                                                            .finest = 32,
                                                                            .steps = 4});
                 },
                 5000, 1e-3});
  return out;
}

/// theta ~ N(0, I), two data given theta with independent normal noise.
struct Problem {
  std::function<std::pair<double, double>(double, double)> mean;
  double sd0, sd1;

  [[nodiscard]] GenerativeModel model() const {
    return GenerativeModel(Prior([](Rng& rng) { return rng.normal({2}); }), Simulator([p = *this](const Array& theta, Rng& rng) {
                             const auto [a, b] = p.mean(theta[0], theta[1]);
                             return Array::of({a + p.sd0 * rng.normal(), b + p.sd1 * rng.normal()});
                           }));
  }
  [[nodiscard]] double log_joint(double u, double v, double x, double y) const {
    const auto [a, b] = mean(u, v);
    const double r = (x - a) / sd0, s = (y - b) / sd1;
    return -0.5 * (u * u + v * v + r * r + s * s);
  }
  /// log p(theta | x): by a grid, whose error is far below what is asked for.
  [[nodiscard]] double log_posterior(double u, double v, double x, double y) const {
    constexpr double kStep = 0.025, kHalf = 5;
    double sum = 0;
    for (double i = -kHalf; i < kHalf; i += kStep)
      for (double j = -kHalf; j < kHalf; j += kStep) sum += std::exp(log_joint(i, j, x, y));
    return log_joint(u, v, x, y) - std::log(sum * kStep * kStep);
  }
};
const Problem kGaussian{[](double u, double v) { return std::pair{u + v, v}; }, 0.5, 1.0};
const Problem kBent{[](double u, double v) { return std::pair{u * u - v, 0.3 * u}; }, 0.3, 0.5};

Batch configured(const Simulations& s) { return Batch{{roles::parameters, s.prior_draws}, {roles::direct_conditions, s.sim_data}}; }

AmortizedPosterior trained(const Learner& learner, const Problem& problem) {
  AmortizedPosterior amortizer(learner.make(), std::shared_ptr<SummaryNetwork>());
  Trainer trainer(amortizer, problem.model(), {.configurator = configured, .seed = 1, .threads = 2});
  (void)trainer.train_online({.epochs = 1,
                              .iterations_per_epoch = learner.steps,
                              .batch_size = 128,
                              .run = {.optimizer = nn::OptimizerOptions{.learning_rate = nn::cosine(learner.rate, learner.steps)}}});
  return amortizer;
}

/// Mean of log p - log q over data sets and their true parameters: the divergence, plus a sampling error of its standard deviation.
struct Gap {
  double mean = 0, upside_down = 0;
};
Gap gap_of(const AmortizedPosterior& amortizer, const Problem& problem, const Batch& test) {
  const Array theta = test.array(roles::parameters), x = test.array(roles::direct_conditions), q = amortizer.log_posterior(test);
  Gap out;
  for (std::int64_t i = 0; i < q.size(); ++i) {
    const double exact = problem.log_posterior(theta(i, 0), theta(i, 1), x(i, 0), x(i, 1));
    out.mean += (exact - q[i]) / static_cast<double>(q.size());
    out.upside_down += std::fabs(exact + q[i]) / static_cast<double>(q.size());
  }
  return out;
}

Array narrowed(const Array& draws, double factor) {
  Array out = draws;
  for (std::int64_t i = 0; i < draws.dim(0); ++i) {
    const Array mean = draws.row(i).mean(0, true);
    out.set_row(i, mean + (draws.row(i) - mean) * factor);
  }
  return out;
}

class ExactPosteriorsSlowCase : public testing::TestWithParam<Learner> {};

TEST_P(ExactPosteriorsSlowCase, GaussianIsLearnt) {
  SKIP_TRAINING_TO_TRUTH_IF_SANITIZED();
  const AmortizedPosterior amortizer = trained(GetParam(), kGaussian);
  const Batch test = configured(kGaussian.model().simulate(300, 9, "test", 0));
  const Gap gap = gap_of(amortizer, kGaussian, test);
  RecordProperty("gap", std::to_string(gap.mean));
  EXPECT_LT(std::fabs(gap.mean), GetParam().gap) << "nats";
  EXPECT_GT(gap.upside_down, 0.5);
  // Precision I + A' S^-1 A with A = [[1, 1], [0, 1]], S = diag(0.25, 1).
  const double a = 1 + 4, b = 4, d = 1 + 4 + 1, det = a * d - b * b;
  const Array x = test.array(roles::direct_conditions), theta = test.array(roles::parameters);
  constexpr std::int64_t kDraws = 2000;
  const Array draws = amortizer.sample(test.rows(0, 3), kDraws, {.seed = 1});
  for (std::int64_t i = 0; i < 3; ++i) {
    Rng rng(5, "exact", static_cast<std::uint64_t>(i));
    Array exact({kDraws, 2});
    const double r0 = 4 * x(i, 0), r1 = r0 + x(i, 1), m0 = (d * r0 - b * r1) / det, m1 = (a * r1 - b * r0) / det;
    for (std::int64_t s = 0; s < kDraws; ++s) {
      const double second = rng.normal(0, std::sqrt(a / det));  // marginal of theta_1, then theta_0 given it
      exact(s, 1) = m1 + second;
      exact(s, 0) = m0 - b / a * second + rng.normal(0, std::sqrt(1 / a));
    }
    EXPECT_LT(diagnostics::c2st(draws.row(i), exact, {.max_epochs = 30}).accuracy.value, 0.55);
    const Array shifted = draws.row(i) + 0.3;
    EXPECT_GT(diagnostics::c2st(shifted, exact, {.max_epochs = 30}).accuracy.value, 0.6) << "another posterior is told apart";
  }
  const Array many = amortizer.sample(test, 300, {.seed = 2});
  EXPECT_LE(diagnostics::verdict(many, theta, test).severity, diagnostics::Severity::harmless);
  EXPECT_GE(diagnostics::verdict(narrowed(many, 0.6), theta, test).severity, diagnostics::Severity::serious);
}

TEST_P(ExactPosteriorsSlowCase, BentIsLearnt) {
  SKIP_TRAINING_TO_TRUTH_IF_SANITIZED();
  const AmortizedPosterior amortizer = trained(GetParam(), kBent);
  const Batch test = configured(kBent.model().simulate(300, 9, "test", 0));
  const Gap gap = gap_of(amortizer, kBent, test);
  RecordProperty("gap", std::to_string(gap.mean));
  EXPECT_LT(std::fabs(gap.mean), GetParam().bent_gap) << "nats";
  if (GetParam().bent_gap > 0.15) return;
  const Array theta = test.array(roles::parameters), many = amortizer.sample(test, 300, {.seed = 2});
  EXPECT_LE(diagnostics::verdict(many, theta, test).severity, diagnostics::Severity::harmless);
  EXPECT_GE(diagnostics::verdict(narrowed(many, 0.6), theta, test).severity, diagnostics::Severity::serious);
}

/// What the weight of conditions in optimal transport is for: without it starts depend on conditions, and the posterior is biased.
TEST(ExactPosteriorsSlow, ExchangesBetweenConditionsAreFound) {
  SKIP_TRAINING_TO_TRUTH_IF_SANITIZED();
  const Learner biased{
      "biased",
      [] {
        return std::make_shared<FlowMatchingNetwork>(FlowMatchingOptions{.num_params = 2,
                                                                         .dense = {.units = 64, .activation = Activation::swish},
                                                                         .num_dense = 3,
                                                                         .coupling = FlowCoupling::optimal_transport,
                                                                         .condition_weight = 0});
      },
      2000, 1e-3};
  const Batch test = configured(kGaussian.model().simulate(300, 9, "test", 0));
  EXPECT_GT(gap_of(trained(biased, kGaussian), kGaussian, test).mean, 0.2);
}

/// Mean ratio of the draws' standard deviations to those of the exact posterior, which all data sets share.
double width_of_draws(const AmortizedPosterior& amortizer, const Batch& test) {
  const double a = 1 + 4, b = 4, d = 1 + 4 + 1, det = a * d - b * b;
  const Array draws = amortizer.sample(test, 1000, {.seed = 3});
  double sum = 0;
  for (std::int64_t i = 0; i < draws.dim(0); ++i) {
    const Array centred = draws.row(i) - draws.row(i).mean(0, true), variance = (centred * centred).mean(0);
    sum += std::sqrt(variance[0] / (d / det)) / 2 + std::sqrt(variance[1] / (a / det)) / 2;
  }
  return sum / static_cast<double>(draws.dim(0));
}

TEST(ExactPosteriorsSlow, FewStepsTakeANetworkThatHasLearntThem) {
  SKIP_TRAINING_TO_TRUTH_IF_SANITIZED();
  const Batch test = configured(kGaussian.model().simulate(50, 9, "test", 0));
  const DenseOptions dense{.units = 64, .activation = Activation::swish};
  for (const std::int64_t steps : {1, 4}) {
    const Learner learner{"",
                          [&] {
                            return std::make_shared<ShortcutNetwork>(
                                ShortcutOptions{.num_params = 2, .dense = dense, .num_dense = 3, .finest = 32, .steps = steps});
                          },
                          4000, 1e-3};
    EXPECT_NEAR(width_of_draws(trained(learner, kGaussian), test), 1, 0.03) << steps << " steps";
  }
  const Learner euler{"",
                      [&] {
                        return std::make_shared<FlowMatchingNetwork>(
                            FlowMatchingOptions{.num_params = 2, .dense = dense, .num_dense = 3, .solver = OdeSolver::euler, .steps = 4});
                      },
                      4000, 1e-3};
  EXPECT_LT(width_of_draws(trained(euler, kGaussian), test), 0.85) << "the same steps of an equation";
}

INSTANTIATE_TEST_SUITE_P(Networks, ExactPosteriorsSlowCase, testing::ValuesIn(learners()), [](const auto& l) { return l.param.name; });

}  // namespace
}  // namespace bayesflow
