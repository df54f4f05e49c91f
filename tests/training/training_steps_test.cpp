#include "bayesflow/training/training_steps.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "bayesflow/core/errors.hpp"
#include "support/expect.hpp"
#include "training/support_training.hpp"

namespace bayesflow {
namespace {

const nn::OptimizerOptions kOptimizer{.learning_rate = nn::cosine(1e-2, 50)};

TEST(TrainingSteps, AreThoseOfATrainer) {
  const GenerativeModel model = gaussian_model(2, 5);
  AmortizedPosterior theirs = tiny_posterior(), mine = tiny_posterior();
  Trainer trainer(theirs, model, {.seed = 4, .threads = 1});
  const Simulations simulations = model.simulate(20, 9, "batch", 0);
  const Batch batch = default_configurator(simulations);
  const TrainingSummary run = trainer.train_offline(simulations, {.epochs = 5, .batch_size = 20, .run = {.optimizer = kOptimizer}});
  // An epoch of one batch has its rows in an order of its own, which changes last digits alone.
  TrainingSteps steps(mine, kOptimizer, 4, 1);
  EXPECT_EQ(steps.learning_rate(), 1e-2);
  for (std::size_t i = 0; i < 5; ++i) {
    const LossTerms losses = steps(batch);
    EXPECT_NEAR(losses["loss"], run.history.steps[i].losses["loss"], 1e-5) << i;
  }
  EXPECT_EQ(steps.steps_taken(), 5);
  EXPECT_LT(steps.learning_rate(), 1e-2);
  const std::vector<float> a = weights_of(theirs), b = weights_of(mine);
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 1e-3);
}

TEST(TrainingSteps, AreTheSameForAnyNumberOfThreads) {
  const Batch batch = default_configurator(gaussian_model(2, 5).simulate(64, 9, "batch", 0));
  AmortizedPosterior one = tiny_posterior(), three = tiny_posterior();
  TrainingSteps a(one, kOptimizer, 4, 1), b(three, kOptimizer, 4, 3);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(a(batch).total(), b(batch).total());
  EXPECT_EQ(weights_of(one), weights_of(three));
}

TEST(TrainingSteps, RefuseWhatTheyCannotDo) {
  AmortizedPosterior amortizer = tiny_posterior();
  EXPECT_EQ(sentence<ConfigurationError>([&] { TrainingSteps(amortizer, {}); }),
            "TrainingSteps: the optimizer has no learning rate, and only a Trainer has a default one; give it a constant one, say");
  TrainingSteps steps(amortizer, kOptimizer);
  Batch batch = default_configurator(gaussian_model(2, 5).simulate(8, 9, "batch", 0));
  (void)steps(batch);
  const std::vector<float> before = weights_of(amortizer);
  Array theta = batch.array(roles::parameters);
  theta[3] = std::numeric_limits<double>::infinity();
  batch.set(roles::parameters, theta);
  EXPECT_THROW((void)steps(batch), ArgumentError);
  theta[3] = 1e30;  // the loss overflows
  batch.set(roles::parameters, theta);
  EXPECT_FALSE(std::isfinite(steps(batch).total()));
  EXPECT_EQ(weights_of(amortizer), before);
}

}  // namespace
}  // namespace bayesflow
