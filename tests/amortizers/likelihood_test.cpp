/// Likelihoods against an exact one, and what is refused.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "bayesflow/amortizers/amortized_likelihood.hpp"
#include "bayesflow/amortizers/amortized_posterior.hpp"
#include "bayesflow/amortizers/model_file.hpp"
#include "bayesflow/core/errors.hpp"
#include "bayesflow/networks/invertible_network.hpp"
#include "bayesflow/training/trainer.hpp"
#include "io/support_files.hpp"
#include "support/expect.hpp"
#include "support/sanitized.hpp"

namespace bayesflow {
namespace {

constexpr double kSd[] = {0.5, 0.3}, kSlope = 1.5;

/// x_1 = theta_1 + 0.5 e, x_2 = 1.5 theta_2 - theta_1 + 0.3 e.
double mean_of(const double* theta, int k) { return k == 0 ? theta[0] : kSlope * theta[1] - theta[0]; }

GenerativeModel linear_model(std::int64_t n) {
  return GenerativeModel(Prior([](Rng& rng) { return rng.normal({2}); }), Simulator([n](const Array& theta, Rng& rng) {
                           Array x({n, 2});
                           for (std::int64_t i = 0; i < n; ++i)
                             for (int k = 0; k < 2; ++k) x(i, k) = rng.normal(mean_of(theta.data(), k), kSd[k]);
                           return x;
                         }));
}

double exact(const double* theta, const float* x) {
  double out = 0;
  for (int k = 0; k < 2; ++k) {
    const double z = (static_cast<double>(x[k]) - mean_of(theta, k)) / kSd[k];
    out -= 0.5 * z * z + std::log(kSd[k]) + 0.9189385332046727;
  }
  return out;
}

AmortizedLikelihood small_likelihood(int threads = 0) {
  CouplingOptions coupling = unregularized_coupling();
  coupling.dense.units = 32;
  return AmortizedLikelihood(InvertibleNetwork({.num_params = 2, .num_coupling_layers = 4, .coupling = coupling}), {.threads = threads});
}

TEST(Likelihood, IsTheExactOneOfALinearModel) {
  SKIP_TRAINING_TO_TRUTH_IF_SANITIZED();
  const GenerativeModel model = linear_model(5);
  const AmortizedLikelihood likelihood = small_likelihood();
  Trainer trainer(likelihood, model, {.threads = 2});
  (void)trainer.train_online({.epochs = 1, .iterations_per_epoch = 2500, .batch_size = 64});
  const Simulations test = model.simulate(400, 9, "test", 0);
  const Batch batch = trainer.configure(test);
  const Array got = likelihood.log_likelihood(batch);
  ASSERT_EQ(got.shape(), (Shape{400, 5}));
  double gap = 0, worst = 0, wrong = 0;
  for (std::int64_t b = 0; b < 400; ++b)
    for (std::int64_t i = 0; i < 5; ++i) {
      const float* x = batch[roles::observables].data() + (b * 5 + i) * 2;
      const double is = exact(test.prior_draws.data() + 2 * b, x), other = exact(test.prior_draws.data() + 2 * ((b + 1) % 400), x);
      gap += (is - got(b, i)) / 2000;
      worst = std::max(worst, std::fabs(is - got(b, i)));
      wrong += (other - got(b, i)) / 2000;
    }
  EXPECT_LT(std::fabs(gap), 0.02) << "nats per observation; largest difference " << worst;
  EXPECT_LT(wrong, -1) << "conditions of other data sets must not do as well";

  // Draws have the exact mean and spread.
  const std::int64_t draws = 4000;
  const Batch conditions = batch.rows(0, 20).only({roles::conditions});
  const Array x = likelihood.sample(conditions, draws, {.seed = 1});
  ASSERT_EQ(x.shape(), (Shape{20, draws, 2}));
  for (std::int64_t b = 0; b < 20; ++b)
    for (int k = 0; k < 2; ++k) {
      double mean = 0, square = 0;
      for (std::int64_t s = 0; s < draws; ++s) mean += x(b, s, k) / static_cast<double>(draws);
      for (std::int64_t s = 0; s < draws; ++s) square += (x(b, s, k) - mean) * (x(b, s, k) - mean) / static_cast<double>(draws - 1);
      EXPECT_NEAR(mean, mean_of(test.prior_draws.data() + 2 * b, k), 0.15 * kSd[k]) << "data set " << b;
      EXPECT_NEAR(std::sqrt(square), kSd[k], 0.12 * kSd[k]) << "data set " << b;
    }
}

TEST(Likelihood, IsSavedAndLoaded) {
  const TemporaryFolder folder;
  const GenerativeModel model = linear_model(3);
  const AmortizedLikelihood likelihood = small_likelihood(1);
  const Batch batch = likelihood.configure(model.simulate(6, 1, "some", 0));
  AmortizedLikelihood handle = likelihood;
  handle.build(batch, 4);
  likelihood.save(folder / "model.h5");
  const auto again = load_amortizer<AmortizedLikelihood>(folder / "model.h5");
  EXPECT_EQ(again.log_likelihood(batch), likelihood.log_likelihood(batch));
  EXPECT_EQ(again.sample(batch, 7, {.seed = 3}), likelihood.sample(batch, 7, {.seed = 3}));
  EXPECT_EQ(sentence<ConfigurationError>([&] { (void)load_amortizer(folder / "model.h5"); }),
            "AmortizedPosterior: the given amortizer is an AmortizedLikelihood; use that class");
}

TEST(Likelihood, HasTheSameBitsForAnyNumberOfThreads) {
  const GenerativeModel model = linear_model(200);
  std::vector<Array> densities, draws;
  for (const int threads : {1, 2, 4}) {
    const AmortizedLikelihood likelihood = small_likelihood(threads);
    Trainer trainer(likelihood, model, {.threads = threads});
    (void)trainer.train_online({.epochs = 1, .iterations_per_epoch = 3, .batch_size = 8});
    const Batch batch = trainer.configure(model.simulate(5, 9, "test", 0));
    densities.push_back(likelihood.log_likelihood(batch));
    draws.push_back(likelihood.sample(batch, 300, {.seed = 1}));
  }
  for (const std::size_t i : {1, 2}) {
    EXPECT_EQ(densities[i], densities[0]);
    EXPECT_EQ(draws[i], draws[0]);
  }
}

TEST(Likelihood, SaysWhatDoesNotFit) {
  AmortizedLikelihood likelihood = small_likelihood();
  const Batch good{{roles::observables, Array({4, 2}, 0.5)}, {roles::conditions, Array({4, 3}, 0.25)}};
  EXPECT_EQ(sentence<ConfigurationError>([&] { (void)likelihood.sample(good, 2); }),
            "AmortizedLikelihood::sample: the networks have no weights yet; train first (or call build with a first batch)");
  EXPECT_EQ(sentence<ConfigurationError>([&] {
              likelihood.build({{roles::parameters, Array({4, 2})}, {roles::conditions, Array({4, 3})}});
            }),
            "AmortizedLikelihood: reads no parameters; it reads observables, conditions. Leave it out, or correct the name");
  EXPECT_EQ(sentence<SummaryStatsError>([&] {
              likelihood.build({{roles::observables, Array({4, 2})}});
            }),
            "AmortizedLikelihood: there are no conditions; set them in the configurator");
  likelihood.build(good);
  EXPECT_EQ(sentence<ShapeError>([&] {
              (void)likelihood.log_likelihood({{roles::conditions, Array({4, 3})}});
            }),
            "AmortizedLikelihood::log_likelihood: needs observables of shape (batch, 2) or (batch, n, 2); got none");
  EXPECT_EQ(sentence<ShapeError>([&] {
              (void)likelihood.sample({{roles::conditions, Array({4, 5})}}, 2);
            }),
            "AmortizedLikelihood: was built with conditions of width 3; got (4, 5)");
  EXPECT_EQ(
      sentence<ConfigurationError>([] { (void)AmortizedLikelihood(InvertibleNetwork({.num_params = 2}), {.summary_mmd_weight = 1}); }),
      "AmortizedLikelihood: a summary loss needs a summary network; give one or set summary_mmd_weight = 0");
}

TEST(LikelihoodConfigurator, JoinsContextsToTheParameters) {
  Simulations s{.prior_draws = Array({2, 1}, 1.0), .sim_data = Array({2, 5, 3}, 2.0)};
  s.prior_non_batchable_context = Array::scalar(7);
  s.sim_batchable_context = Array({2}, 4.0);
  const Batch batch = likelihood_configurator(s);
  EXPECT_EQ(batch[roles::observables], s.sim_data);
  EXPECT_EQ(batch[roles::conditions], Array::of({{1, 4, 7}, {1, 4, 7}}));
  s.sim_batchable_context = Array({2, 5, 1});
  EXPECT_THROW((void)likelihood_configurator(s), ConfigurationError);
}

}  // namespace
}  // namespace bayesflow
