// Optimizers given to a run, and what several runs in a row keep.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "training/support_training.hpp"

namespace bayesflow {
namespace {

const GenerativeModel& model() {
  static const GenerativeModel m = gaussian_model(2, 4);
  return m;
}

struct Trained {
  std::vector<float> weights;
  History history;
};
Trained one_run(const std::optional<nn::OptimizerOptions>& optimizer, std::int64_t iterations) {
  AmortizedPosterior amortizer = tiny_posterior();
  Trainer trainer(amortizer, model());
  const TrainingSummary run =
      trainer.train_online({.epochs = 1, .iterations_per_epoch = iterations, .batch_size = 8, .run = {.optimizer = optimizer}});
  return {weights_of(amortizer), run.history};
}

std::vector<float> initial_weights() {
  AmortizedPosterior amortizer = tiny_posterior();
  const Trainer trainer(amortizer, model());
  return weights_of(amortizer);
}

TEST(GivenOptimizers, SgdWalksAlongTheGradient) {
  const Trained run = one_run({{.kind = nn::OptimizerKind::sgd, .learning_rate = nn::constant(0.25), .global_clipnorm = 0}}, 1);
  const std::vector<float> before = initial_weights();
  double square = 0;
  for (std::size_t i = 0; i < before.size(); ++i) square += std::pow(static_cast<double>(run.weights[i] - before[i]), 2);
  EXPECT_NEAR(std::sqrt(square), 0.25 * run.history.steps[0].gradient_norm, 1e-5);
  EXPECT_EQ(run.history.steps[0].learning_rate, 0.25);
}

TEST(GivenOptimizers, ClippingBoundsTheStep) {
  const Trained run = one_run({{.kind = nn::OptimizerKind::sgd, .learning_rate = nn::constant(1), .global_clipnorm = 0.01}}, 1);
  const std::vector<float> before = initial_weights();
  double square = 0;
  for (std::size_t i = 0; i < before.size(); ++i) square += std::pow(static_cast<double>(run.weights[i] - before[i]), 2);
  EXPECT_GT(run.history.steps[0].gradient_norm, 0.01);  // before clipping
  EXPECT_NEAR(std::sqrt(square), 0.01, 1e-6);
}

TEST(GivenOptimizers, AdamWShrinksWeightsInAddition) {
  const double rate = 1e-2, decay = 0.5;
  const Trained adam = one_run({{.learning_rate = nn::constant(rate)}}, 1);
  const Trained adamw = one_run({{.kind = nn::OptimizerKind::adamw, .learning_rate = nn::constant(rate), .weight_decay = decay}}, 1);
  const std::vector<float> before = initial_weights();
  double largest = 0;
  for (std::size_t i = 0; i < before.size(); ++i) {
    EXPECT_NEAR(adamw.weights[i], adam.weights[i] - rate * decay * before[i], 1e-6);
    largest = std::max(largest, std::abs(static_cast<double>(adamw.weights[i] - adam.weights[i])));
  }
  EXPECT_GT(largest, 1e-3);
}

TEST(GivenOptimizers, AnEmptyScheduleIsTheDefaultCosine) {
  const Trained run = one_run({{.kind = nn::OptimizerKind::adamw}}, 8);
  for (std::int64_t t = 0; t < 8; ++t) EXPECT_EQ(run.history.steps[static_cast<std::size_t>(t)].learning_rate, nn::cosine(5e-4, 8)(t));
  const Trained own = one_run({{.learning_rate = nn::piecewise({3}, {1e-3, 1e-4})}}, 5);
  EXPECT_EQ(own.history.steps[2].learning_rate, 1e-3);
  EXPECT_EQ(own.history.steps[3].learning_rate, 1e-4);
}

TEST(CallsInARow, AKeptOptimizerGoesOnWhereItWas) {
  // A constant rate does not tell calls apart, so two halves must be the whole, bit for bit.
  const nn::OptimizerOptions constant{.learning_rate = nn::constant(1e-3)};
  const Trained whole = one_run(constant, 10);
  const auto halves = [&](bool reuse) {
    AmortizedPosterior amortizer = tiny_posterior();
    Trainer trainer(amortizer, model());
    (void)trainer.train_online(
        {.epochs = 1, .iterations_per_epoch = 5, .batch_size = 8, .run = {.optimizer = constant, .reuse_optimizer = reuse}});
    OnlineOptions second{.epochs = 1, .iterations_per_epoch = 5, .batch_size = 8};
    if (!reuse) second.run.optimizer = constant;
    (void)trainer.train_online(second);
    return weights_of(amortizer);
  };
  EXPECT_EQ(halves(true), whole.weights);
  EXPECT_NE(halves(false), whole.weights);  // moments start from zero again
}

TEST(CallsInARow, SchedulesStartAnew) {
  Trainer trainer(tiny_posterior(), model());
  const auto rates = [&](std::int64_t iterations, const std::optional<nn::OptimizerOptions>& optimizer = {}) {
    const TrainingSummary run = trainer.train_online(
        {.epochs = 1, .iterations_per_epoch = iterations, .batch_size = 4, .run = {.optimizer = optimizer, .reuse_optimizer = true}});
    std::vector<double> out;
    for (const StepRecord& step : run.history.steps) out.push_back(step.learning_rate);
    return out;
  };
  const auto values = [](const nn::Schedule& schedule, std::int64_t steps) {
    std::vector<double> out;
    for (std::int64_t t = 0; t < steps; ++t) out.push_back(schedule(t));
    return out;
  };
  EXPECT_EQ(rates(6), values(nn::cosine(5e-4, 6), 6));
  EXPECT_EQ(rates(3), values(nn::cosine(5e-4, 3), 3));  // the default fits the length of each call
  const nn::Schedule own = nn::exponential(1e-3, 0.5, 2);
  EXPECT_EQ(rates(4, {{.learning_rate = own}}), values(own, 4));
  EXPECT_EQ(rates(5), values(own, 5));  // an optimizer that is kept keeps its schedule
}

TEST(CallsInARow, SimulationsAreNeverRepeated) {
  std::vector<double> first_parameters;
  Trainer trainer(tiny_posterior(), model(), {.configurator = [&](const Simulations& s) {
                    first_parameters.push_back(s.prior_draws[0]);
                    return default_configurator(s);
                  }});
  for (int call = 0; call < 3; ++call)
    (void)trainer.train_online({.epochs = 1, .iterations_per_epoch = 4, .batch_size = 4, .run = {.validation_sims = 4}});
  std::sort(first_parameters.begin(), first_parameters.end());
  EXPECT_EQ(std::adjacent_find(first_parameters.begin(), first_parameters.end()), first_parameters.end());
  EXPECT_EQ(first_parameters.size(), 1U + 3 * 5);
}

TEST(CallsInARow, TrainFurther) {
  AmortizedPosterior amortizer(tiny_flow(1), tiny_deep_set());
  Trainer trainer(amortizer, gaussian_model(1, 5));
  std::vector<double> loss;
  for (int call = 0; call < 3; ++call)
    loss.push_back(
        trainer.train_online({.epochs = 1, .iterations_per_epoch = 100, .run = {.optimizer = {{.learning_rate = nn::constant(2e-3)}}}})
            .history.epochs[0]
            .train["loss"]);
  EXPECT_LT(loss[1], loss[0] - 0.1);
  EXPECT_LT(loss[2], loss[1]);
}

}  // namespace
}  // namespace bayesflow
