/// Amortizers with an adapter: training, draws and densities of raw data, files, checkpoints.
#include "bayesflow/adapter/adapter.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "bayesflow/amortizers/model_file.hpp"
#include "bayesflow/core/errors.hpp"
#include "io/support_files.hpp"
#include "support/expect.hpp"
#include "training/support_training.hpp"

namespace bayesflow {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// p ~ U(0, 1), sigma ~ LogNormal(0, 0.5); data of a scale that networks do not learn from.
GenerativeModel bounded_model() {
  return GenerativeModel(Prior(
                             [](Rng& rng) {
                               return Array::of({rng.uniform(), std::exp(0.5 * rng.normal())});
                             },
                             {.param_names = {"p", "sigma"}}),
                         Simulator([](const Array& theta, Rng& rng) {
                           Array out({5, 1});
                           for (std::int64_t i = 0; i < 5; ++i) out(i, 0) = 1000 + 100 * (theta[0] + theta[1] * rng.normal());
                           return out;
                         }),
                         {.skip_test = true});
}

Adapter bounded_adapter() {
  Adapter out{adapter::Bounds{.names = {"p"}, .lower = {0.0}, .upper = {1.0}}, adapter::Log{.names = {"sigma"}}, adapter::Standardize{},
              adapter::Standardize{.field = "sim_data"}};
  out.pilot = 200;
  return out;
}

AmortizedPosterior bounded_posterior() { return tiny_posterior(2, {.adapter = bounded_adapter()}); }

OnlineOptions few_steps(std::int64_t epochs = 2) { return {.epochs = epochs, .iterations_per_epoch = 30, .batch_size = 16}; }

TEST(AmortizerWithAdapter, DrawsAreInTheUsersUnitsAndWithinTheSupport) {
  const AmortizedPosterior posterior = bounded_posterior();
  Trainer trainer(posterior, bounded_model(), {.seed = 3, .threads = 1});
  (void)trainer.train_online(few_steps());
  const Simulations s = bounded_model().simulate(20, 5, "test", 0);
  Simulations observed;
  observed.sim_data = s.sim_data;
  const Array draws = posterior.sample(observed, 500, {.seed = 1});
  ASSERT_EQ(draws.shape(), (Shape{20, 500, 2}));
  for (std::int64_t i = 0; i < draws.size(); i += 2) {
    EXPECT_GT(draws[i], 0);
    EXPECT_LT(draws[i], 1);
    EXPECT_GT(draws[i + 1], 0);
  }
  // The same as by hand.
  const Adapted adapted = posterior.adapter()->forward(s);
  const Array by_hand = posterior.adapter()->inverse(posterior.sample(trainer.configure(s), 500, {.seed = 1}), adapted);
  EXPECT_EQ(draws, by_hand);
}

TEST(AmortizerWithAdapter, DensityIntegratesToOneOverTheSupport) {
  const AmortizedPosterior posterior = bounded_posterior();
  Trainer trainer(posterior, bounded_model(), {.seed = 3, .threads = 1});
  (void)trainer.train_online(few_steps());
  const Simulations one = bounded_model().simulate(1, 5, "test", 0);
  constexpr std::int64_t kGrid = 400;
  Simulations grid;
  grid.sim_data = one.sim_data;
  grid.prior_draws = Array({1, kGrid * kGrid, 2});
  // p over its support and beyond it, sigma by its logarithm.
  const double low = -0.05, high = 1.05, from = -6, to = 6;
  for (std::int64_t i = 0; i < kGrid; ++i)
    for (std::int64_t k = 0; k < kGrid; ++k) {
      grid.prior_draws(0, i * kGrid + k, 0) = low + (high - low) * (static_cast<double>(i) + 0.5) / kGrid;
      grid.prior_draws(0, i * kGrid + k, 1) = std::exp(from + (to - from) * (static_cast<double>(k) + 0.5) / kGrid);
    }
  const Array density = posterior.log_posterior(grid);
  ASSERT_EQ(density.shape(), (Shape{1, kGrid * kGrid}));
  double sum = 0;
  for (std::int64_t i = 0; i < density.size(); ++i) {
    const double p = grid.prior_draws[2 * i], sigma = grid.prior_draws[2 * i + 1];
    if (p < 0 || p > 1) {
      EXPECT_EQ(density[i], -kInfinity);
      continue;
    }
    sum += std::exp(density[i]) * sigma;
  }
  EXPECT_NEAR(sum * (high - low) * (to - from) / (kGrid * kGrid), 1, 0.01);
}

TEST(AmortizerWithAdapter, DensityOfDrawsIsThatOfTheNetworkAndTheDeterminant) {
  const AmortizedPosterior posterior = bounded_posterior();
  Trainer trainer(posterior, bounded_model(), {.seed = 3, .threads = 1});
  (void)trainer.train_online(few_steps());
  const Simulations s = bounded_model().simulate(10, 5, "test", 0);
  const Adapted adapted = posterior.adapter()->forward(s);
  EXPECT_EQ(posterior.log_posterior(s), posterior.log_posterior(trainer.configure(s)) + adapted.log_det[0]);
}

TEST(AmortizerWithAdapter, ModelFilesHoldIt) {
  const TemporaryFolder folder;
  const AmortizedPosterior posterior = bounded_posterior();
  Trainer trainer(posterior, bounded_model(), {.seed = 3, .threads = 1});
  (void)trainer.train_online(few_steps(1));
  posterior.save(folder / "model.h5");
  const auto loaded = load_amortizer_file(folder / "model.h5");
  EXPECT_EQ(loaded.format_version, 2U);  // a library without adapters refuses it
  ASSERT_TRUE(loaded.amortizer.adapter());
  EXPECT_EQ(loaded.amortizer.adapter()->to_json(), posterior.adapter()->to_json());
  const Simulations s = bounded_model().simulate(4, 5, "test", 0);
  EXPECT_EQ(loaded.amortizer.sample(s, 50, {.seed = 2}), posterior.sample(s, 50, {.seed = 2}));
  EXPECT_EQ(loaded.amortizer.log_posterior(s), posterior.log_posterior(s));
}

TEST(AmortizerWithAdapter, TrainsToTheSameBitsForAnyNumberOfThreads) {
  std::vector<float> first;
  std::string adapter;
  for (const int threads : {1, 2, 4}) {
    const AmortizedPosterior posterior = bounded_posterior();
    Trainer trainer(posterior, bounded_model(), {.seed = 3, .threads = threads});
    (void)trainer.train_online(few_steps());
    if (first.empty()) {
      first = weights_of(posterior);
      adapter = posterior.adapter()->to_json();
    }
    EXPECT_EQ(weights_of(posterior), first);
    EXPECT_EQ(posterior.adapter()->to_json(), adapter);
  }
}

TEST(AmortizerWithAdapter, GoesOnFromACheckpointToTheSameBits) {
  const TemporaryFolder folder;
  const AmortizedPosterior whole = bounded_posterior();
  (void)Trainer(whole, bounded_model(), {.seed = 3, .threads = 1}).train_online(few_steps(4));
  const auto run = [&](std::int64_t stop_after) {
    const AmortizedPosterior posterior = bounded_posterior();
    std::int64_t steps = 0;
    Trainer trainer(posterior, bounded_model(),
                    {.seed = 3,
                     .threads = 1,
                     .progress = [&](const Progress& p) -> Control {
                       if (!p.epoch_done && ++steps == stop_after) throw SimulationError("stopped");
                       return Control::proceed;
                     },
                     .checkpoint_path = folder / "checkpoints"});
    try {
      (void)trainer.train_online(few_steps(4));
    } catch (const SimulationError&) {
    }
    return posterior;
  };
  (void)run(50);
  const AmortizedPosterior resumed = run(-1);
  EXPECT_EQ(weights_of(resumed), weights_of(whole));
  EXPECT_EQ(resumed.adapter()->to_json(), whole.adapter()->to_json());
}

TEST(AmortizerWithAdapter, ACheckpointOfAnotherAdapterIsRefused) {
  const TemporaryFolder folder;
  const auto train = [&](const std::optional<Adapter>& adapter) {
    return sentence<Error>([&] {
      Trainer trainer(tiny_posterior(2, {.adapter = adapter}), bounded_model(), {.seed = 3, .threads = 1, .checkpoint_path = folder / "c"});
      (void)trainer.train_online(few_steps(1));
    });
  };
  EXPECT_EQ(train(bounded_adapter()), "no exception");
  EXPECT_EQ(train(bounded_adapter()), "no exception");
  Adapter other = bounded_adapter();
  other.add(adapter::Standardize{});
  EXPECT_NE(train(other).find("its adapter had other steps or settings of them than this amortizer's"), std::string::npos);
  EXPECT_NE(train({}).find("its amortizer had an adapter, and this one has none"), std::string::npos);
}

TEST(AmortizerWithAdapter, PriorDrawsOutsideOfBoundsEndTraining) {
  const AmortizedPosterior posterior =
      tiny_posterior(2, {.adapter = Adapter{adapter::Bounds{.names = {"sigma"}, .lower = {0.0}, .upper = {3.0}}}});
  EXPECT_NE(sentence<Error>([&] {
              Trainer trainer(posterior, bounded_model(), {.seed = 3, .threads = 1});
              (void)trainer.train_online({.epochs = 1, .iterations_per_epoch = 300, .batch_size = 64});
            }).find("column 1 (sigma) = 3."),
            std::string::npos);
}

TEST(AmortizerWithAdapter, WrongUsesEndInSentences) {
  const Simulations s = bounded_model().simulate(4, 5, "test", 0);
  AmortizedPosterior plain = tiny_posterior(2);
  plain.build(default_configurator(s));
  EXPECT_NE(sentence<Error>([&] { (void)plain.sample(s, 5); }).find("need an adapter, and this amortizer has none"), std::string::npos);
  EXPECT_EQ(sentence<Error>([] { Trainer trainer(bounded_posterior(), bounded_model(), {.configurator = default_configurator}); }),
            "TrainerOptions::configurator is given, and what is trained has an adapter, which takes its place; leave one of them out");
  EXPECT_NE(sentence<Error>([&] { (void)bounded_posterior().sample(s, 5); }).find("it is not fitted yet"), std::string::npos);
}

TEST(AmortizerWithAdapter, IsFittedToGivenSimulationsWithoutAModel) {
  const Simulations data = bounded_model().simulate(300, 8, "data", 0);
  Adapter by_hand{adapter::Log{.columns = {1}}, adapter::Standardize{}, adapter::Standardize{.field = "sim_data"}};
  const AmortizedPosterior posterior = tiny_posterior(2, {.adapter = by_hand});
  Trainer trainer(posterior, {.seed = 3, .threads = 1});
  (void)trainer.train_offline(data, {.epochs = 1, .batch_size = 32});
  by_hand.fit(data);
  EXPECT_EQ(posterior.adapter()->to_json(), by_hand.to_json());
}

}  // namespace
}  // namespace bayesflow
