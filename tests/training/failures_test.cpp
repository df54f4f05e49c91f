// Runs that do not end as planned: Ctrl-C, divergence, user functions that fail. Each must leave good weights and a usable trainer.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <csignal>
#include <limits>
#include <regex>
#include <stdexcept>

#include "bayesflow/core/errors.hpp"
#include "io/json_numbers.hpp"
#include "support/expect.hpp"
#include "training/support_training.hpp"

namespace bayesflow {
namespace {

const double kNan = std::numeric_limits<double>::quiet_NaN();

bool all_finite(const std::vector<float>& values) {
  return std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); });
}

// --- Ctrl-C ---

volatile std::sig_atomic_t own_handler_calls = 0;
void own_handler(int) { own_handler_calls = own_handler_calls + 1; }

TEST(Interrupt, EndsTheRunAfterTheStepAndPutsTheHandlerBack) {
  own_handler_calls = 0;
  const auto former = std::signal(SIGINT, own_handler);
  const auto weights_after = [](std::int64_t iterations, bool interrupt) {
    AmortizedPosterior amortizer = tiny_posterior();
    Trainer trainer(amortizer, gaussian_model(2, 4), {.progress = [&](const Progress& p) {
                      if (interrupt && !p.epoch_done && p.epoch == 2 && p.iteration == 3) std::raise(SIGINT);
                      return Control::proceed;
                    }});
    const TrainingSummary run = trainer.train_online(
        {.epochs = 4, .iterations_per_epoch = iterations, .batch_size = 4, .run = {.optimizer = {{.learning_rate = nn::constant(1e-3)}}}});
    if (interrupt) {
      EXPECT_EQ(run.stop, TrainingSummary::Stop::interrupted);
      EXPECT_EQ(run.reason, "Training was interrupted after epoch 2, iteration 3; the weights are those of this step.");
      EXPECT_EQ(run.history.steps.size(), 8U);
      EXPECT_EQ(run.history.epochs.size(), 2U);
    }
    return weights_of(amortizer);
  };
  EXPECT_EQ(weights_after(5, true), weights_after(2, false));  // eight steps each
  EXPECT_EQ(own_handler_calls, 0);
  std::raise(SIGINT);
  EXPECT_EQ(own_handler_calls, 1);
  std::signal(SIGINT, former);
}

TEST(Interrupt, CanBeLeftToTheProgram) {
  own_handler_calls = 0;
  const auto former = std::signal(SIGINT, own_handler);
  Trainer trainer(tiny_posterior(), gaussian_model(2, 4),
                  {.progress =
                       [](const Progress& p) {
                         if (p.iteration == 2 && !p.epoch_done) std::raise(SIGINT);
                         return Control::proceed;
                       },
                   .handle_interrupt = false});
  EXPECT_EQ(trainer.train_online({.epochs = 1, .iterations_per_epoch = 4, .batch_size = 4}).stop, TrainingSummary::Stop::completed);
  EXPECT_EQ(own_handler_calls, 1);
  std::signal(SIGINT, former);
}

// --- divergence ---

const nn::OptimizerOptions kAbsurd{.learning_rate = nn::constant(1e30)};

TEST(Divergence, AtOncePutsTheFirstWeightsBack) {
  AmortizedPosterior amortizer = tiny_posterior();
  std::vector<std::string> warnings;
  Trainer trainer(amortizer, gaussian_model(2, 4), {.logger = [&](LogLevel level, std::string_view text) {
                    if (level == LogLevel::warning) warnings.emplace_back(text);
                  }});
  const std::vector<float> before = weights_of(amortizer);
  const TrainingSummary run =
      trainer.train_online({.epochs = 2, .iterations_per_epoch = 50, .run = {.validation_sims = 10, .optimizer = kAbsurd}});
  EXPECT_EQ(run.stop, TrainingSummary::Stop::diverged);
  EXPECT_EQ(run.reason,
            "Training diverged in epoch 1, iteration 2: the loss is not finite. The weights from before training were put back. Lower the "
            "learning rate, or standardize parameters and data.");
  EXPECT_EQ(warnings, std::vector<std::string>{run.reason});
  EXPECT_EQ(weights_of(amortizer), before);
  ASSERT_EQ(run.history.steps.size(), 2U);
  EXPECT_FALSE(std::isfinite(run.history.steps[1].losses.total()));
  // Products use transposes that are kept beside the weights; they must have come back too.
  const Batch inputs = trainer.configure(gaussian_model(2, 4).simulate(20, 1, "test", 0));
  AmortizedPosterior untouched = tiny_posterior();
  const Trainer other(untouched, gaussian_model(2, 4));
  EXPECT_EQ(amortizer.log_posterior(inputs), untouched.log_posterior(inputs));
  // And the trainer goes on.
  EXPECT_EQ(trainer.train_online({.epochs = 1, .iterations_per_epoch = 5}).stop, TrainingSummary::Stop::completed);
}

TEST(Divergence, PutsTheBestWeightsBack) {
  AmortizedPosterior amortizer = tiny_posterior();
  std::vector<std::vector<float>> after;
  Trainer trainer(amortizer, gaussian_model(2, 4), {.progress = [&](const Progress& p) {
                    if (!p.epoch_done) after.push_back(weights_of(amortizer));
                    return Control::proceed;
                  }});
  const TrainingSummary run = trainer.train_online({.epochs = 3,
                                                    .iterations_per_epoch = 150,
                                                    .batch_size = 16,
                                                    .run = {.optimizer = {{.learning_rate = nn::piecewise({250}, {2e-3, 1e30})}}}});
  EXPECT_EQ(run.stop, TrainingSummary::Stop::diverged);
  // Stretches of 100 steps are compared, and the second one has the lower loss; its last loss was computed with the weights that
  // 199 updates had made.
  EXPECT_EQ(run.reason,
            "Training diverged in epoch 2, iteration 102: the loss is not finite. The best weights so far, those after 199 steps, were put "
            "back. Lower the learning rate, or standardize parameters and data.");
  EXPECT_TRUE(all_finite(weights_of(amortizer)));
  EXPECT_EQ(weights_of(amortizer), after[198]);
}

TEST(Divergence, OfTheLastUpdateIsFound) {
  AmortizedPosterior amortizer = tiny_posterior();
  Trainer trainer(amortizer, gaussian_model(2, 4));
  const std::vector<float> before = weights_of(amortizer);
  const TrainingSummary run =
      trainer.train_online({.epochs = 1, .iterations_per_epoch = 1, .run = {.optimizer = {{.learning_rate = nn::constant(1e39)}}}});
  EXPECT_EQ(run.stop, TrainingSummary::Stop::diverged);
  EXPECT_EQ(run.reason,
            "Training diverged in its last step: a weight is not finite. The weights from before training were put back. Lower the "
            "learning rate.");
  EXPECT_EQ(weights_of(amortizer), before);
}

TEST(Divergence, NamesValuesOfTheConfiguratorThatAreNotFinite) {
  AmortizedPosterior amortizer = tiny_posterior();
  std::int64_t calls = 0;
  Trainer trainer(amortizer, gaussian_model(2, 4), {.configurator = [&](const Simulations& s) {
                    Batch inputs = default_configurator(s);
                    if (++calls == 8) inputs.update(roles::parameters, [&](Array& a) { a(3, 1) = kNan; });
                    return inputs;
                  }});
  const TrainingSummary run = trainer.train_online({.epochs = 1, .iterations_per_epoch = 20, .batch_size = 4});
  EXPECT_EQ(run.stop, TrainingSummary::Stop::diverged);
  EXPECT_EQ(
      run.reason,
      "Training diverged in epoch 1, iteration 7: the loss is not finite, because the configurator returned nan in parameters of data "
      "set 3, column 1. The weights from before training were put back. Let the configurator drop, replace or scale such values.");
  EXPECT_TRUE(all_finite(weights_of(amortizer)));
}

TEST(Divergence, NamesValuesBeyondFloat32) {
  AmortizedPosterior amortizer = tiny_posterior();
  const auto trained = [&](double value) {
    std::int64_t calls = 0;
    Trainer trainer(amortizer, gaussian_model(2, 4), {.configurator = [&](const Simulations& s) {
                      Batch inputs = default_configurator(s);
                      if (++calls == 8) inputs.update(roles::summary_conditions, [&](Array& a) { a(3, 2, 1) = value; });
                      return inputs;
                    }});
    return trainer.train_online({.epochs = 1, .iterations_per_epoch = 20, .batch_size = 4}).reason;
  };
  EXPECT_EQ(trained(-1e39),
            "Training diverged in epoch 1, iteration 7: the loss is not finite, because the configurator returned -1e+39 in "
            "summary_conditions of data set 3, column 1, which is beyond the range of float32 (3.4e+38). The weights from before training "
            "were put back. Let the configurator drop, replace or scale such values.");
  // A network may make a finite loss of an infinity (a ReLU of minus infinity is 0); it is refused all the same.
  EXPECT_EQ(trained(-std::numeric_limits<double>::infinity()).substr(0, 110),
            "Training diverged in epoch 1, iteration 7: the loss is not finite, because the configurator returned -inf in s");
}

TEST(Consistency, NamesWhatTheConfiguratorMadeThatIsNotFinite) {
  const auto message = [](double value) {
    return sentence<ConfigurationError>([&] {
      const Trainer trainer(tiny_posterior(), gaussian_model(2, 4), {.configurator = [&](const Simulations& s) {
                              Batch inputs = default_configurator(s);
                              inputs.update(roles::summary_conditions, [&](Array& a) { a(1, 2, 0) = value; });
                              return inputs;
                            }});
    });
  };
  const std::string begin = "Trainer: the consistency check failed, so model, configurator and networks do not fit together. Cause: ";
  EXPECT_EQ(
      message(kNan),
      begin + "the configurator returned nan in summary_conditions of data set 1, column 0; let it drop, replace or scale such values");
  EXPECT_EQ(message(1e39), begin +
                               "the configurator returned 1e+39 in summary_conditions of data set 1, column 0, which is beyond the range "
                               "of float32 (3.4e+38); let it drop, replace or scale such values");
}

// --- prior and simulator ---

/// Trains until the exception, checks that the trainer can go on, and returns the sentence.
template <class E>
std::string sentence_of_a_run(const Prior& prior, const Simulator& simulator, std::atomic<bool>& armed) {
  AmortizedPosterior amortizer = tiny_posterior();
  armed = false;
  std::int64_t steps = 0;
  Trainer trainer(amortizer, GenerativeModel(prior, simulator), {.threads = 2, .progress = [&](const Progress& p) {
                                                                   if (!p.epoch_done && ++steps == 3) armed = true;
                                                                   return Control::proceed;
                                                                 }});
  std::string text = sentence<E>([&] { (void)trainer.train_online({.epochs = 1, .iterations_per_epoch = 10, .batch_size = 8}); });
  EXPECT_EQ(steps, 3);
  armed = false;
  const TrainingSummary run = trainer.train_online({.epochs = 1, .iterations_per_epoch = 2, .batch_size = 8});
  EXPECT_EQ(run.stop, TrainingSummary::Stop::completed);
  EXPECT_EQ(steps, 5);
  EXPECT_TRUE(all_finite(weights_of(amortizer)));
  return text;
}

std::atomic<bool> armed{false};
const Prior kPrior([](Rng& rng) { return rng.normal({2}); });

TEST(UserFunctions, NanFromTheSimulatorNamesTheSimulation) {
  const Simulator simulator([](const Array& theta, Rng& rng) {
    Array x = rng.normal({4, 2}, theta);
    if (armed && theta[0] > 0.5) x(2, 1) = kNan;
    return x;
  });
  const std::string text = sentence_of_a_run<SimulationError>(kPrior, simulator, armed);
  std::smatch match;
  ASSERT_TRUE(std::regex_match(
      text, match, std::regex(R"(simulator: simulation (\d+) returned nan at entry 5 with parameters \[([^,]+), ([^,]+)\]; .*)")))
      << text;
  // The named simulation is one of the fourth batch, and can be made again from its index.
  const std::uint64_t index = std::stoull(match[1]);
  EXPECT_GE(index, 24U);
  EXPECT_LT(index, 32U);
  const Array theta = gaussian_model(2, 4).simulate(1, 0, "train", index).prior_draws;
  EXPECT_NEAR(theta[0], io::number_from(match[2].str()), 1e-5);
  EXPECT_NEAR(theta[1], io::number_from(match[3].str()), 1e-5);
  EXPECT_GT(theta[0], 0.5);
}

TEST(UserFunctions, NanFromThePriorNamesTheSimulation) {
  const Prior prior([](Rng& rng) {
    Array theta = rng.normal({2});
    if (armed) theta[1] = -std::numeric_limits<double>::infinity();
    return theta;
  });
  const Simulator simulator([](const Array& theta, Rng& rng) { return rng.normal({4, 2}, theta); });
  const std::string text = sentence_of_a_run<SimulationError>(prior, simulator, armed);
  EXPECT_TRUE(text.starts_with("prior: simulation 24 returned -inf at entry 1; every value must be finite")) << text;
}

TEST(UserFunctions, ASimulatorThatThrowsOnAWorkerThread) {
  const Simulator simulator([](const Array& theta, Rng& rng) {
    if (armed && theta[0] > 0) throw std::runtime_error("the solver gave up");
    return rng.normal({4, 2}, theta);
  });
  const std::string text = sentence_of_a_run<SimulationError>(kPrior, simulator, armed);
  EXPECT_TRUE(std::regex_match(text, std::regex(R"(simulator: simulation \d+ with parameters \[[^\]]+\] failed: the solver gave up)")))
      << text;
}

TEST(UserFunctions, ASimulatorWhoseShapesVary) {
  const Simulator simulator([](const Array& theta, Rng& rng) { return rng.normal({armed && theta[0] > 0 ? 5 : 4, 2}, theta); });
  const std::string text = sentence_of_a_run<SimulationError>(kPrior, simulator, armed);
  EXPECT_TRUE(std::regex_match(
      text, std::regex(R"(simulator: simulation \d+ returned shape \(\d, 2\), but simulation 24 returned \(\d, 2\); return one shape .*)")))
      << text;
}

TEST(UserFunctions, ASimulatorWhoseWidthChanges) {
  const Simulator simulator([](const Array& theta, Rng& rng) { return rng.normal({4, armed ? 1 : 2}, theta.slice(0, 1)); });
  EXPECT_EQ(sentence_of_a_run<ShapeError>(kPrior, simulator, armed),
            "DeepSet: was built for data (batch, ..., observations, 2); got (8, 4, 1)");
}

// --- configurators ---

std::string sentence_of_a_configurator(const std::function<void(Batch&)>& change) {
  AmortizedPosterior amortizer = tiny_posterior();
  std::int64_t calls = 0;
  Trainer trainer(amortizer, gaussian_model(2, 4), {.configurator = [&](const Simulations& s) {
                    Batch inputs = default_configurator(s);
                    if (++calls == 5) change(inputs);
                    return inputs;
                  }});
  std::string text;
  try {
    (void)trainer.train_online({.epochs = 2, .iterations_per_epoch = 10, .batch_size = 6});
  } catch (const std::exception& error) {
    text = error.what();
  }
  EXPECT_EQ(trainer.train_online({.epochs = 1, .iterations_per_epoch = 2}).stop, TrainingSummary::Stop::completed);
  EXPECT_TRUE(all_finite(weights_of(amortizer)));
  return text;
}

TEST(Configurators, ThatThrow) {
  EXPECT_EQ(sentence_of_a_configurator([](Batch&) { throw std::logic_error("no such column"); }), "no such column");
}

TEST(Configurators, ThatDropAllRows) {
  EXPECT_EQ(sentence_of_a_configurator([](Batch& inputs) {
              inputs = Batch{{roles::parameters, inputs[roles::parameters].slice(0, 0)},
                             {roles::summary_conditions, inputs[roles::summary_conditions].slice(0, 0)}};
            }),
            "Trainer: the configurator kept none of the 6 simulations of epoch 1, iteration 4; it may drop some, but one at least must "
            "remain: simulate larger batches or drop fewer");
}

TEST(Configurators, ThatDropRowsOfOneFieldOnly) {
  EXPECT_EQ(sentence_of_a_configurator([](Batch& inputs) { inputs.set(roles::parameters, inputs.array(roles::parameters).slice(0, 4)); }),
            "AmortizedPosterior: needs one row of parameters per data set (6); got shape (4, 2)");
}

TEST(Configurators, ThatChangeWidths) {
  EXPECT_EQ(sentence_of_a_configurator([](Batch& inputs) { inputs.set(roles::parameters, inputs.array(roles::parameters).columns(0, 1)); }),
            "InvertibleNetwork: targets must have shape (batch, 2) or (batch, n, 2); got (6, 1)");
  EXPECT_EQ(sentence_of_a_configurator(
                [](Batch& inputs) { inputs.set(roles::summary_conditions, inputs[roles::summary_conditions].columns(0, 1)); }),
            "DeepSet: was built for data (batch, ..., observations, 2); got (6, 4, 1)");
  EXPECT_EQ(sentence_of_a_configurator([](Batch& inputs) {
              inputs.set(roles::direct_conditions, Array({6, 3}));
            }),
            "AmortizedPosterior: was built with direct_conditions of width 0; got (6, 3)");
  EXPECT_EQ(sentence_of_a_configurator([](Batch& inputs) {
              inputs.set(roles::summary_conditions, {});
              inputs.set(roles::direct_conditions, Array({6, 3}));
            }),
            "AmortizedPosterior: there is a summary network but no summary_conditions; set them in the configurator");
  EXPECT_EQ(sentence_of_a_configurator([](Batch& inputs) { inputs.set(roles::summary_conditions, {}); }),
            "AmortizedPosterior: there is a summary network but no summary_conditions; set them in the configurator");
}

TEST(Configurators, MayDropRows) {
  AmortizedPosterior amortizer = tiny_posterior();
  std::vector<std::int64_t> sizes;
  Trainer trainer(amortizer, gaussian_model(2, 4), {.configurator = [&](const Simulations& s) {
                    std::vector<std::int64_t> rows;
                    for (std::int64_t i = 0; i < s.batch_size(); ++i)
                      if (s.prior_draws(i, 0) > -1) rows.push_back(i);
                    sizes.push_back(static_cast<std::int64_t>(rows.size()));
                    return default_configurator(s.take(rows));
                  }});
  const TrainingSummary run = trainer.train_online({.epochs = 1, .iterations_per_epoch = 20, .batch_size = 16});
  EXPECT_EQ(run.stop, TrainingSummary::Stop::completed);
  EXPECT_GT(*std::max_element(sizes.begin() + 1, sizes.end()), *std::min_element(sizes.begin() + 1, sizes.end()));
}

TEST(Configurators, MayStandardizeAndOneHot) {
  // Two groups with means far from zero; the configurator makes everything small and says which group.
  const Prior prior([](Rng& rng) { return rng.normal({1}, 1000.0, 50.0); });
  const Simulator simulator(
      [](const Array& theta, const Context& c, Rng& rng) {
        return rng.normal({3, 1}, theta, c.batchable->item() > 0 ? 1.0 : 50.0);
      },
      {.context = ContextGenerator({.batchable = [](Rng& rng) { return Array({1}, rng.bernoulli(0.5) ? 1.0 : 0.0); }})});
  const Prior::Moments moments = prior.estimate_means_and_stds(1000, 1);
  AmortizedPosterior amortizer(tiny_flow(1), tiny_deep_set());
  Trainer trainer(amortizer, GenerativeModel(prior, simulator), {.configurator = [&](const Simulations& s) {
                    Batch inputs;
                    inputs.set(roles::parameters, (s.prior_draws - moments.means) / moments.stds);
                    inputs.set(roles::summary_conditions, (s.sim_data - 1000.0) / 50.0);
                    Array group({s.batch_size(), 2});
                    for (std::int64_t i = 0; i < s.batch_size(); ++i) group(i, (*s.sim_batchable_context)[i] > 0 ? 1 : 0) = 1;
                    inputs.set(roles::direct_conditions, group);
                    return inputs;
                  }});
  const TrainingSummary run =
      trainer.train_online({.epochs = 3, .iterations_per_epoch = 200, .run = {.optimizer = {{.learning_rate = nn::cosine(5e-3, 600)}}}});
  EXPECT_LT(run.history.epochs.back().train["loss"], 0.3);  // knowing nothing, it would be 1.42
}

// --- parameters that are not learnt ---

TEST(Unlearnt, AParameterThatDataSayNothingAboutIsNamed) {
  const Prior prior([](Rng& rng) { return rng.normal({2}); }, {.param_names = {"mu", "nuisance"}});
  const Simulator simulator([](const Array& theta, Rng& rng) { return rng.normal({5, 1}, theta[0]); });
  std::vector<std::string> warnings;
  Trainer trainer(tiny_posterior(), GenerativeModel(prior, simulator),
                  {.default_lr = 5e-3, .logger = [&](LogLevel level, std::string_view text) {
                     if (level == LogLevel::warning) warnings.emplace_back(text);
                   }});
  const TrainingSummary run = trainer.train_online({.epochs = 1, .iterations_per_epoch = 400, .run = {.validation_sims = 100}});
  ASSERT_EQ(run.warnings.size(), 1U);
  EXPECT_TRUE(std::regex_match(
      run.warnings[0],
      std::regex(
          R"(nuisance was not learnt: its posterior is about as wide as its prior \(contraction -?0\.\d\d\); train longer, try another seed, or check that the data say anything about it)")))
      << run.warnings[0];
  EXPECT_EQ(warnings, run.warnings);
}

TEST(Unlearnt, AParameterWhoseSignDataCannotTellIsLearnt) {
  const Prior prior([](Rng& rng) { return rng.normal({1}); }, {.param_names = {"a"}});
  const Simulator simulator([](const Array& theta, Rng& rng) { return rng.normal({20, 1}, theta[0] * theta[0]); });
  Trainer trainer(tiny_posterior(1), GenerativeModel(prior, simulator), {.default_lr = 5e-3});
  const TrainingSummary run = trainer.train_online({.epochs = 1, .iterations_per_epoch = 400, .run = {.validation_sims = 100}});
  EXPECT_EQ(run.warnings, std::vector<std::string>());
}

}  // namespace
}  // namespace bayesflow
