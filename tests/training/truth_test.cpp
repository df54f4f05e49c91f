// Short trainings whose posterior is known exactly. All with fixed seeds: the bounds are a good deal wider than what these runs
// reach, and far tighter than what an untrained or wrongly trained network gives.
#include <gtest/gtest.h>

#include <cmath>

#include "support/sanitized.hpp"
#include "training/support_training.hpp"

namespace bayesflow {
namespace {

struct Distance {
  double mean;   ///< rms error of posterior means, in exact standard deviations
  double ratio;  ///< mean posterior standard deviation over the exact one
};

/// Posterior draws against N(means, sd^2), means (sets, P).
Distance distance(const Array& draws, const Array& means, double sd) {
  const Array error = (draws.mean(1) - means) / sd;
  return {std::sqrt((error * error).mean()), draws.std_along(1, 1).mean() / sd};
}

AmortizedPosterior small_posterior(std::int64_t params, CouplingDesign design = CouplingDesign::affine) {
  CouplingOptions coupling = unregularized_coupling();
  coupling.dense.units = 32;
  const DenseOptions dense{.units = 32};
  return AmortizedPosterior(
      InvertibleNetwork({.num_params = params, .num_coupling_layers = 2, .coupling_design = design, .coupling = coupling}),
      DeepSet({.summary_dim = 4, .num_equiv = 1, .dense_s1 = dense, .dense_s2 = dense, .dense_s3 = dense}));
}

OnlineOptions steps(std::int64_t iterations, double rate = 3e-3) {
  return {.epochs = 1,
          .iterations_per_epoch = iterations,
          .batch_size = 64,
          .run = {.optimizer = {{.learning_rate = nn::cosine(rate, iterations)}}}};
}

class Truth : public testing::Test {
  void SetUp() override {
    if (support::kSanitized) GTEST_SKIP() << "minutes of training, by the code that the other tests of training run for a few steps";
  }
};

TEST_F(Truth, MeansOfAGaussian) {
  // mu ~ N(0, 1), ten observations N(mu, 1): N(sum(x) / 11, 1 / 11); expected loss 1/2 + ln(2 pi)/2 - ln(11)/2 = 0.220.
  const GenerativeModel model = gaussian_model(1, 10);
  for (const CouplingDesign design : {CouplingDesign::affine, CouplingDesign::spline}) {
    AmortizedPosterior amortizer = small_posterior(1, design);
    Trainer trainer(amortizer, model);
    (void)trainer.train_online(steps(600));
    const Batch test = trainer.configure(model.simulate(500, 1, "test", 0));
    const Distance d = distance(amortizer.sample(test, 400), test.array(roles::summary_conditions).sum(1) / 11.0, 1 / std::sqrt(11.0));
    EXPECT_LT(d.mean, 0.2);
    EXPECT_NEAR(d.ratio, 1, 0.06);
    // 500 data sets scatter around the optimum with a standard deviation of sqrt(1/2 / 500) = 0.03.
    EXPECT_NEAR(amortizer.compute_loss(test)["loss"], 0.220, 0.12);
  }
}

TEST_F(Truth, TwoMeansThatAreTiedTogether) {
  // theta ~ N(0, I), eight observations N(A theta, I): precision P = I + 8 A^T A, mean P^-1 A^T sum(x). The correlation must be learnt.
  const Prior prior([](Rng& rng) { return rng.normal({2}); });
  const Simulator simulator([](const Array& theta, Rng& rng) {
    return rng.normal({8, 2}, Array::of({theta[0] + theta[1], 0.5 * theta[1]}));
  });
  const GenerativeModel model(prior, simulator);
  AmortizedPosterior amortizer = small_posterior(2);
  Trainer trainer(amortizer, model);
  (void)trainer.train_online(steps(800));
  const Batch test = trainer.configure(model.simulate(300, 1, "test", 0));
  const Array draws = amortizer.sample(test, 400);
  // P = [[9, 8], [8, 11]], det = 35; covariance [[11, -8], [-8, 9]] / 35.
  const double var1 = 11.0 / 35, var2 = 9.0 / 35, correlation = -8 / std::sqrt(99.0);
  const Array sums = test.array(roles::summary_conditions).sum(1);
  Array means({300, 2});
  double mean_correlation = 0;
  for (std::int64_t b = 0; b < 300; ++b) {
    const double s1 = sums(b, 0), s2 = sums(b, 0) + 0.5 * sums(b, 1);
    means(b, 0) = (11 * s1 - 8 * s2) / 35;
    means(b, 1) = (-8 * s1 + 9 * s2) / 35;
    const Array x = draws.row(b).columns(0, 1).flatten(), y = draws.row(b).columns(1, 2).flatten();
    mean_correlation += ((x - x.mean()) * (y - y.mean())).mean() / (x.std() * y.std()) / 300;
  }
  const Distance first = distance(draws.columns(0, 1), means.columns(0, 1), std::sqrt(var1));
  const Distance second = distance(draws.columns(1, 2), means.columns(1, 2), std::sqrt(var2));
  EXPECT_LT(first.mean, 0.25);
  EXPECT_LT(second.mean, 0.25);
  EXPECT_NEAR(first.ratio, 1, 0.08);
  EXPECT_NEAR(second.ratio, 1, 0.08);
  EXPECT_NEAR(mean_correlation, correlation, 0.05);
}

TEST_F(Truth, AnyNumberOfObservations) {
  // The number of observations is a context that a batch shares; the default configurator makes it a direct condition.
  const ContextGenerator sizes(
      {.non_batchable = [](Rng& rng) { return Array::scalar(std::log(static_cast<double>(rng.integers(2, 21)))); }});
  const Prior prior([](Rng& rng) { return rng.normal({1}); });
  const Simulator simulator(
      [](const Array& theta, const Context& c, Rng& rng) {
        return rng.normal({std::llround(std::exp(c.non_batchable->item())), 1}, theta);
      },
      {.context = sizes});
  AmortizedPosterior amortizer = small_posterior(1);
  Trainer trainer(amortizer, GenerativeModel(prior, simulator));
  (void)trainer.train_online(steps(1500));
  for (const std::int64_t n : {2, 6, 20}) {
    const Array theta = Rng(3, "parameters").normal({300, 1, 1});
    Simulations sims;
    sims.sim_data = Rng(4, "data", static_cast<std::uint64_t>(n)).normal({300, n, 1}, theta);
    sims.sim_non_batchable_context = Array::scalar(std::log(static_cast<double>(n)));
    const Array draws = amortizer.sample(trainer.configure(sims), 400);
    const double precision = static_cast<double>(n) + 1;
    const Distance d = distance(draws, sims.sim_data.sum(1) / precision, 1 / std::sqrt(precision));
    EXPECT_LT(d.mean, 0.3) << n << " observations";
    EXPECT_NEAR(d.ratio, 1, 0.12) << n << " observations";
  }
}

TEST_F(Truth, AnyPriorOfAFamily) {
  // The prior's scale is a context of each simulation; the default configurator repeats it over the observations.
  const ContextGenerator scales({.batchable = [](Rng& rng) { return Array({1}, std::exp(rng.uniform(-1.0, 1.0))); }});
  const Prior prior([](const Context& c, Rng& rng) { return rng.normal({1}, 0.0, c.batchable->item()); }, {.context = scales});
  const Simulator simulator([](const Array& theta, Rng& rng) { return rng.normal({4, 1}, theta); });
  const GenerativeModel model(prior, simulator);
  AmortizedPosterior amortizer = small_posterior(1);
  Trainer trainer(amortizer, model);
  EXPECT_EQ(trainer.configure(model(2))[roles::summary_conditions].shape(), (Shape{2, 4, 2}));
  (void)trainer.train_online(steps(800));
  for (const double scale : {0.5, 1.0, 2.0}) {
    const Array theta = Rng(3, "parameters").normal({300, 1, 1}, 0.0, scale);
    Simulations sims;
    sims.sim_data = Rng(4, "data").normal({300, 4, 1}, theta);
    sims.prior_batchable_context = Array({300, 1}, scale);
    const Array draws = amortizer.sample(trainer.configure(sims), 400);
    const double precision = 4 + 1 / (scale * scale);
    const Distance d = distance(draws, sims.sim_data.sum(1) / precision, 1 / std::sqrt(precision));
    EXPECT_LT(d.mean, 0.3) << "scale " << scale;
    EXPECT_NEAR(d.ratio, 1, 0.12) << "scale " << scale;
  }
}

}  // namespace
}  // namespace bayesflow
