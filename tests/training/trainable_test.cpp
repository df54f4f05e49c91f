/// A Trainable that the library does not know: posterior means by least squares, its loss made of two named terms.
#include "bayesflow/training/trainable.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <csignal>

#include "bayesflow/autodiff/ops.hpp"
#include "bayesflow/core/errors.hpp"
#include "bayesflow/nn/layers.hpp"
#include "io/support_files.hpp"
#include "training/support_training.hpp"

namespace bayesflow {
namespace {

/// f(mean of the data); the terms are mean squared error and 0.1 times the mean square of f.
class PointEstimator : public Trainable {
 public:
  PointEstimator() : state_(std::make_shared<State>()) {}

  void build(const Batch& first, std::optional<std::uint64_t> seed) override {
    if (state_->built) return;
    state_->net.build(nn::Builder(state_->store, seed.value_or(0)).scope("net"), first[roles::summary_conditions].dim(-1));
    state_->built = true;
  }
  nn::ParameterStore& store() override { return state_->store; }
  const nn::ParameterStore& store() const override { return state_->store; }
  std::vector<std::string> loss_names() const override { return {"squared_error", "size"}; }

  Tensor estimate(Tape& tape, const Batch& batch) const {
    return state_->net(tape, ops::mean_pool(batch[roles::summary_conditions].on(tape)));
  }
  LossTensors loss(Tape& tape, const Batch& batch) const override {
    const Tensor f = estimate(tape, batch), error = ops::subtract(f, batch[roles::parameters].on(tape));
    LossTensors out;
    out.terms[0] = ops::mean(ops::sum_columns(ops::multiply(error, error)));
    out.terms[1] = ops::scale(ops::mean(ops::sum_columns(ops::multiply(f, f))), 0.1F);
    out.total = ops::add(out.terms[0], out.terms[1]);
    return out;
  }
  std::vector<std::string> review(const Batch& held_out, const std::vector<std::string>& names) const override {
    return {"looked at " + std::to_string(held_out.batch_size()) + " data sets of " + std::to_string(names.size()) + " parameters"};
  }

 private:
  struct State {
    nn::Mlp net{
        {{.units = 8, .activation = Activation::tanh, .kernel_regularizer = 1e-4}, {.units = 2, .activation = Activation::identity}}};
    nn::ParameterStore store;
    bool built = false;
  };
  std::shared_ptr<State> state_;
};

std::vector<float> weights(const Trainable& trained) {
  return {trained.store().values(), trained.store().values() + trained.store().size()};
}

TrainingSummary train(Trainer& trainer, std::int64_t iterations = 50) {
  return trainer.train_online({.epochs = 4, .iterations_per_epoch = iterations, .batch_size = 16, .run = {.validation_sims = 100}});
}

TEST(Trainable, IsTrainedThroughTheHandleThatTheUserKeeps) {
  PointEstimator estimator;
  const GenerativeModel model(Prior([](Rng& rng) { return rng.normal({2}); }, {.param_names = {"a", "b"}}),
                              Simulator([](const Array& theta, Rng& rng) {
                                return rng.normal({4, 2}, theta);
                              }));
  Trainer trainer(estimator, model, {.seed = 1, .default_lr = 1e-2});
  const TrainingSummary run = train(trainer, 500);
  EXPECT_EQ(run.stop, TrainingSummary::Stop::completed);
  ASSERT_EQ(run.warnings, std::vector<std::string>{"looked at 100 data sets of 2 parameters"});
  // The best estimate is that with the smallest error + 0.1 size, which is the posterior mean 0.8 x over 1.1.
  const Batch test = trainer.configure(model.simulate(500, 9, "test", 0));
  Tape tape;
  tape.reset({.gradients = false, .training = false});
  const Tensor f = estimator.estimate(tape, test);
  const Array best = test.array(roles::summary_conditions).mean(1) * (0.8 / 1.1);
  double square = 0;
  for (std::int64_t i = 0; i < best.size(); ++i) square += std::pow(static_cast<double>(f.data()[i]) - best.data()[i], 2) / 1000;
  EXPECT_LT(std::sqrt(square), 0.1);
  EXPECT_EQ(weights(trainer.trained<PointEstimator>()), weights(estimator));
}

TEST(Trainable, TermsGoByTheirNamesThroughHistoryAndProgress) {
  std::vector<std::string> seen;
  Trainer trainer(PointEstimator(), gaussian_model(2, 4), {.progress = [&](const Progress& p) {
                    seen = *p.losses.names();
                    return Control::proceed;
                  }});
  const TrainingSummary run = train(trainer);
  const std::vector<std::string> names{"squared_error", "size", "weight_decay"};
  EXPECT_EQ(seen, names);
  for (const LossTerms& losses : {run.history.steps[7].losses, run.history.epochs[1].train, run.history.epochs[1].validation}) {
    EXPECT_EQ(*losses.names(), names);
    for (const std::string& name : names) EXPECT_GT(losses[name], 0) << name;
    EXPECT_EQ(losses.total(), losses["squared_error"] + losses["size"] + losses["weight_decay"]);
    EXPECT_EQ(losses.objective(), losses["squared_error"] + losses["size"]);
    EXPECT_EQ(losses["summary_loss"], 0);
  }
}

TEST(Trainable, GoesOnFromACheckpointBitForBit) {
  const TemporaryFolder folder;
  Trainer straight(PointEstimator(), gaussian_model(2, 4), {.threads = 1});
  const TrainingSummary whole = train(straight);
  const auto trainer = [&](ProgressCallback progress) {
    return Trainer(PointEstimator(), gaussian_model(2, 4),
                   {.threads = 2, .progress = std::move(progress), .checkpoint_path = folder.path() / "run"});
  };
  {
    Trainer first = trainer([](const Progress& p) {
      if (p.epoch == 2 && p.iteration == 20 && !p.epoch_done) std::raise(SIGINT);
      return Control::proceed;
    });
    EXPECT_EQ(train(first).stop, TrainingSummary::Stop::interrupted);
  }
  Trainer second = trainer({});
  const TrainingSummary run = train(second);
  EXPECT_EQ(run.resumed, 1);
  EXPECT_EQ(weights(second.trainable()), weights(straight.trainable()));
  ASSERT_EQ(run.history.steps.size(), whole.history.steps.size());
  for (std::size_t i = 0; i < whole.history.steps.size(); ++i)
    EXPECT_TRUE(std::ranges::equal(run.history.steps[i].losses.values(), whole.history.steps[i].losses.values())) << i;
  EXPECT_EQ(*run.history.steps[0].losses.names(), *whole.history.steps[0].losses.names());
}

TEST(Trainable, IsAskedForByItsClass) {
  class Other : public PointEstimator {};
  Trainer trainer(PointEstimator(), gaussian_model(2, 4));
  EXPECT_NO_THROW((void)trainer.trained<PointEstimator>());
  EXPECT_THROW((void)trainer.trained<Other>(), ArgumentError);
  EXPECT_THROW(Trainer(std::shared_ptr<Trainable>()), ArgumentError);
}

TEST(LossTerms, AreReadByNameAndMovedToOtherNames) {
  const LossTerms losses{{"loss", 1.5}, {"weight_decay", 0.25}};
  EXPECT_EQ(losses["loss"], 1.5);
  EXPECT_EQ(losses["summary_loss"], 0);
  EXPECT_EQ(losses.total(), 1.75);
  EXPECT_EQ(losses.objective(), 1.5);
  const LossTerms three =
      losses.under(std::make_shared<std::vector<std::string>>(std::vector<std::string>{"weight_decay", "other", "loss"}));
  EXPECT_EQ(three.value(0), 0.25);
  EXPECT_EQ(three.value(1), 0);
  EXPECT_EQ(three.value(2), 1.5);
  EXPECT_EQ(LossTerms().total(), 0);
  EXPECT_THROW((LossTerms{{"a", 0}, {"b", 0}, {"c", 0}, {"d", 0}, {"e", 0}, {"f", 0}, {"g", 0}}), ArgumentError);
}

}  // namespace
}  // namespace bayesflow
