/// Point estimates against exact ones, and what is refused.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "bayesflow/amortizers/amortized_point_estimator.hpp"
#include "bayesflow/amortizers/model_file.hpp"
#include "bayesflow/core/errors.hpp"
#include "bayesflow/networks/deep_set.hpp"
#include "bayesflow/networks/invertible_network.hpp"
#include "bayesflow/training/trainer.hpp"
#include "io/support_files.hpp"
#include "support/expect.hpp"
#include "support/sanitized.hpp"
#include "training/support_training.hpp"

namespace bayesflow {
namespace {

PointNetworkOptions small(std::int64_t num_params, PointEstimate estimate) {
  return {.num_params = num_params, .estimate = estimate, .hidden = {.dense = {.units = 32}, .num_dense = 2, .dropout_prob = 0}};
}
DeepSet small_set(Pooling pooling = Pooling::mean) {
  const DenseOptions dense{.units = 32};
  return DeepSet({.summary_dim = 6, .num_equiv = 0, .dense_s1 = dense, .dense_s2 = dense, .pooling = pooling, .linear_path = true});
}

AmortizedPointEstimator trained(const PointNetworkOptions& options, const GenerativeModel& model, const DeepSet& set, std::int64_t steps) {
  AmortizedPointEstimator amortizer(PointNetwork(options), set);
  Trainer trainer(amortizer, model, {.threads = 2});
  (void)trainer.train_online({.epochs = 1, .iterations_per_epoch = steps, .batch_size = 64});
  return amortizer;
}

// theta ~ Pareto(4, 1), five observations ~ U(0, theta), v1's example: the posterior is Pareto(9, max(1, largest x)).
constexpr double kShape = 4;
constexpr std::int64_t kUniforms = 5;
GenerativeModel pareto_uniform() {
  return GenerativeModel(Prior([](Rng& rng) { return Array::of({std::pow(1 - rng.uniform(), -1 / kShape)}); }),
                         Simulator([](const Array& theta, Rng& rng) {
                           return rng.uniform({kUniforms, 1}, 0.0, theta[0]);
                         }));
}

/// Mean over test sets of (estimate - exact) / exact, and its root mean square.
struct Gap {
  double mean = 0, rms = 0;
};
/// factor: exact estimate in units of max(1, largest x).
Gap pareto_gap(const AmortizedPointEstimator& amortizer, double factor) {
  constexpr std::int64_t kSets = 1000;
  const Simulations test = pareto_uniform().simulate(kSets, 9, "test", 0);
  const Array got = amortizer.estimate(amortizer.configure(test).only({roles::summary_conditions}));
  EXPECT_EQ(got.shape(), (Shape{kSets, 1}));
  Gap gap;
  for (std::int64_t b = 0; b < kSets; ++b) {
    const double relative = got(b, 0) / (factor * std::max(1.0, test.sim_data.row(b).max())) - 1;
    gap.mean += relative / kSets;
    gap.rms += relative * relative / kSets;
  }
  gap.rms = std::sqrt(gap.rms);
  return gap;
}

TEST(PointEstimator, IsTheBayesEstimatorOfParetoUniform) {
  SKIP_TRAINING_TO_TRUTH_IF_SANITIZED();
  constexpr double kPosterior = kShape + kUniforms;
  const double mean = kPosterior / (kPosterior - 1), median = std::pow(2.0, 1 / kPosterior);  // 1.125, 1.080
  struct Case {
    PointEstimate estimate;
    double factor, other;
  };
  for (const Case& c : {Case{PointEstimate::mean, mean, median}, Case{PointEstimate::norm_1, median, mean},
                        Case{PointEstimate::norm_2, median, mean}, Case{PointEstimate::norm_max, median, mean}}) {
    const AmortizedPointEstimator amortizer = trained(small(1, c.estimate), pareto_uniform(), small_set(Pooling::max), 2500);
    const Gap right = pareto_gap(amortizer, c.factor), wrong = pareto_gap(amortizer, c.other);
    EXPECT_LT(std::fabs(right.mean), 0.012) << static_cast<int>(c.estimate);
    EXPECT_LT(right.rms, 0.035) << static_cast<int>(c.estimate);
    EXPECT_GT(std::fabs(wrong.mean), 0.025) << "the mean is not the median";
  }
}

TEST(PointEstimator, GivesQuantilesOfNormals) {
  SKIP_TRAINING_TO_TRUTH_IF_SANITIZED();
  // The posterior is N(n mean / (n + 1), 1 / (n + 1)).
  constexpr std::int64_t kN = 10, kSets = 500;
  const GenerativeModel model = gaussian_model(2, kN);
  const AmortizedPointEstimator amortizer = trained(small(2, PointEstimate::quantiles), model, small_set(), 10000);
  const double sd = 1 / std::sqrt(kN + 1.0), z[] = {-1.6448536269514722, -0.6744897501960817, 0, 0.6744897501960817, 1.6448536269514722};
  const Simulations test = model.simulate(kSets, 9, "test", 0);
  const Array got = amortizer.quantiles(amortizer.configure(test));
  ASSERT_EQ(got.shape(), (Shape{kSets, 5, 2}));
  EXPECT_EQ(got, amortizer.estimate(amortizer.configure(test)));
  double error = 0, below[5] = {};
  for (std::int64_t b = 0; b < kSets; ++b)
    for (std::int64_t j = 0; j < 2; ++j) {
      double mean = 0;
      for (std::int64_t i = 0; i < kN; ++i) mean += test.sim_data(b, i, j) / (kN + 1);
      for (std::int64_t k = 0; k < 5; ++k) {
        error += std::fabs(got(b, k, j) - mean - z[k] * sd) / sd / (kSets * 10);
        below[k] += test.prior_draws(b, j) < got(b, k, j) ? 1.0 / (2 * kSets) : 0;
        EXPECT_TRUE(k == 0 || got(b, k, j) >= got(b, k - 1, j)) << "quantiles cross";
      }
    }
  EXPECT_LT(error, 0.1) << "posterior standard deviations";
  const double levels[] = {0.05, 0.25, 0.5, 0.75, 0.95};
  for (int k = 0; k < 5; ++k) EXPECT_NEAR(below[k], levels[k], 4 * std::sqrt(levels[k] * (1 - levels[k]) / (2 * kSets)) + 0.01);
}

TEST(PointEstimator, QuantilesNeverCrossEvenUntrained) {
  AmortizedPointEstimator amortizer(PointNetwork(small(3, PointEstimate::quantiles)));
  Rng rng(1);
  const Batch batch{{roles::parameters, rng.normal({50, 3})}, {roles::direct_conditions, rng.normal({50, 4}) * 30.0}};
  amortizer.build(batch, 2);
  const Array q = amortizer.quantiles(batch);
  for (std::int64_t b = 0; b < 50; ++b)
    for (std::int64_t k = 1; k < 5; ++k)
      for (std::int64_t j = 0; j < 3; ++j) EXPECT_GE(q(b, k, j), q(b, k - 1, j));
}

TEST(PointEstimator, GivesMeansAndStandardDeviations) {
  SKIP_TRAINING_TO_TRUTH_IF_SANITIZED();
  constexpr std::int64_t kN = 10, kSets = 500;
  const GenerativeModel model = gaussian_model(2, kN);
  const AmortizedPointEstimator amortizer = trained(small(2, PointEstimate::mean_and_sd), model, small_set(), 2500);
  const Simulations test = model.simulate(kSets, 9, "test", 0);
  const Batch batch = amortizer.configure(test);
  const Array mean = amortizer.mean(batch), sd = amortizer.sd(batch), all = amortizer.estimate(batch);
  ASSERT_EQ(all.shape(), (Shape{kSets, 2, 2}));
  const double exact_sd = 1 / std::sqrt(kN + 1.0);
  double error = 0, worst = 0;
  for (std::int64_t b = 0; b < kSets; ++b)
    for (std::int64_t j = 0; j < 2; ++j) {
      double exact = 0;
      for (std::int64_t i = 0; i < kN; ++i) exact += test.sim_data(b, i, j) / (kN + 1);
      error += std::fabs(mean(b, j) - exact) / exact_sd / (2 * kSets);
      worst += std::fabs(sd(b, j) / exact_sd - 1) / (2 * kSets);
      EXPECT_EQ(all(b, 0, j), mean(b, j));
      EXPECT_EQ(all(b, 1, j), sd(b, j));
    }
  EXPECT_LT(error, 0.1);
  EXPECT_LT(worst, 0.07);
  EXPECT_EQ(
      sentence<ConfigurationError>([&] { (void)amortizer.quantiles(batch); }),
      "AmortizedPointEstimator::quantiles: the inference network does not estimate it; use a PointNetwork with estimate = quantiles, or "
      "estimate()");
}

/// |e| of the second parameter counts three times; files need it for training only.
Tensor own_loss(Tensor estimates, Tensor targets) {
  const Tensor e = ops::subtract(estimates, targets);
  const Tensor both[] = {ops::columns(e, 0, 1), ops::scale(ops::columns(e, 1, 2), 3)};
  return ops::norm(ops::concat(both), ops::Norm::one);
}

TEST(PointEstimator, TakesALossOfAUsersOwn) {
  const TemporaryFolder folder;
  PointNetworkOptions options = small(2, PointEstimate::own);
  options.loss_fun = own_loss;
  const GenerativeModel model = gaussian_model(2, 5);
  const AmortizedPointEstimator amortizer = trained(options, model, small_set(), 300);
  const Batch batch = amortizer.configure(model.simulate(200, 9, "test", 0));
  const Array got = amortizer.estimate(batch);
  double loss = 0;
  for (std::int64_t b = 0; b < 200; ++b)
    for (int j = 0; j < 2; ++j) loss += (j == 1 ? 3 : 1) * std::fabs(got(b, j) - static_cast<double>(batch[roles::parameters](b, j))) / 200;
  EXPECT_NEAR(amortizer.compute_loss(batch)["loss"], loss, 1e-4);
  EXPECT_LT(loss, 2.2) << "of the prior's median: 3.2";
  amortizer.save(folder / "model.h5");
  const auto without = load_amortizer<AmortizedPointEstimator>(folder / "model.h5");
  EXPECT_EQ(without.estimate(batch), got);
  EXPECT_EQ(sentence<ConfigurationError>([&] { (void)without.compute_loss(batch); }),
            "PointNetwork: its loss is one of your own, which is not there; give it as PointNetworkOptions::loss_fun, or as "
            "LoadAmortizerOptions::loss_fun if the network comes from a file");
  const auto with = load_amortizer<AmortizedPointEstimator>(folder / "model.h5", {.loss_fun = own_loss});
  EXPECT_EQ(with.compute_loss(batch)["loss"], amortizer.compute_loss(batch)["loss"]);
}

TEST(PointEstimator, SpeaksOfNatsWhereTheLossIsALogScore) {
  const GenerativeModel model = gaussian_model(2, 5);
  for (const PointEstimate estimate : {PointEstimate::mean, PointEstimate::mean_and_sd}) {
    AmortizedPointEstimator amortizer(PointNetwork(small(2, estimate)), small_set());
    Trainer trainer(amortizer, model, {.threads = 1});
    const TrainingSummary run = trainer.train_online({.epochs = 1, .iterations_per_epoch = 200, .batch_size = 32});
    EXPECT_EQ(run.convergence.sentence.find("nats") == std::string::npos, estimate == PointEstimate::mean) << run.convergence.sentence;
  }
}

TEST(PointEstimator, SaysWhatDoesNotFit) {
  EXPECT_EQ(
      sentence<ConfigurationError>([] { (void)AmortizedPointEstimator(InvertibleNetwork({.num_params = 2})); }),
      "AmortizedPointEstimator: needs an inference network that gives estimates; use a PointNetwork, or give your own class has_outputs "
      "and outputs");
  EXPECT_EQ(sentence<ConfigurationError>([] { (void)PointNetwork({}); }),
            "PointNetworkOptions::num_params = 0; it must be the number of parameters, at least 1");
  EXPECT_EQ(sentence<ConfigurationError>([] {
              (void)PointNetwork({.num_params = 1, .estimate = PointEstimate::quantiles, .levels = {0.5, 0.5}});
            }),
            "PointNetworkOptions::levels = {0.5, 0.5}; there must be at least one, and they must ascend");
  EXPECT_EQ(sentence<ConfigurationError>([] {
              (void)PointNetwork({.num_params = 1, .estimate = PointEstimate::quantiles, .levels = {0.5, 1}});
            }).find("PointNetworkOptions::levels = 1; it must be"),
            0U);
  PointNetworkOptions unused = small(2, PointEstimate::mean);
  unused.loss_fun = own_loss;
  EXPECT_EQ(sentence<ConfigurationError>([&] { (void)PointNetwork(unused); }),
            "PointNetworkOptions::loss_fun is set, but would not be used; set estimate to own as well, or leave it out");
  AmortizedPointEstimator amortizer(PointNetwork(small(2, PointEstimate::mean)));
  Rng rng(1);
  EXPECT_EQ(sentence<ConfigurationError>([&] {
              amortizer.build({{roles::parameters, rng.normal({4, 3})}, {roles::direct_conditions, rng.normal({4, 1})}});
            }),
            "PointNetworkOptions::num_params = 2, but the targets have a width of 3; set it to 3");
  AmortizedPointEstimator good(PointNetwork(small(2, PointEstimate::mean)));
  good.build({{roles::parameters, rng.normal({4, 2})}, {roles::direct_conditions, rng.normal({4, 1})}});
  EXPECT_EQ(sentence<ConfigurationError>([&] {
              (void)good.sd({{roles::direct_conditions, rng.normal({4, 1})}});
            }),
            "AmortizedPointEstimator::sd: the inference network does not estimate it; use a PointNetwork with estimate = mean_and_sd, or "
            "estimate()");
  EXPECT_EQ(sentence<ShapeError>([&] {
              (void)good.estimate({{roles::direct_conditions, rng.normal({4, 2})}});
            }),
            "AmortizedPointEstimator: was built with direct_conditions of width 1; got (4, 2)");
}

}  // namespace
}  // namespace bayesflow
