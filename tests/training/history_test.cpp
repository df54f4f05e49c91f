// What a run tells: history, summary, log, progress callback, the line on the console.
#include <gtest/gtest.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <regex>
#include <sstream>
#include <string>
#include <string_view>

#include "training/support_training.hpp"

namespace bayesflow {
namespace {

TEST(History, HasEveryStepAndTheMeansOfEveryEpoch) {
  CouplingOptions coupling = tiny_coupling();
  coupling.dense.kernel_regularizer = 1e-3;
  AmortizedPosterior amortizer(InvertibleNetwork({.num_params = 2, .coupling = coupling}), tiny_deep_set(), {.summary_mmd_weight = 0.5});
  Trainer trainer(amortizer, gaussian_model(2, 4), {.seed = 3, .threads = 2, .default_lr = 1e-3});
  const TrainingSummary run = trainer.train_online({.epochs = 3, .iterations_per_epoch = 7, .batch_size = 9});
  ASSERT_EQ(run.history.steps.size(), 21U);
  ASSERT_EQ(run.history.epochs.size(), 3U);
  const nn::Schedule rate = nn::cosine(1e-3, 21);
  for (std::size_t e = 0; e < 3; ++e) {
    double loss = 0, summary_loss = 0, weight_decay = 0;  // means of the epoch
    for (std::size_t i = 0; i < 7; ++i) {
      const StepRecord& step = run.history.steps[7 * e + i];
      EXPECT_EQ(step.learning_rate, rate(static_cast<std::int64_t>(7 * e + i)));
      EXPECT_GT(step.gradient_norm, 0);
      EXPECT_GT(step.losses["summary_loss"], 0);
      EXPECT_GT(step.losses["weight_decay"], 0);
      EXPECT_EQ(step.losses.total(), step.losses["loss"] + step.losses["summary_loss"] + step.losses["weight_decay"]);
      EXPECT_EQ(step.losses.objective(), step.losses["loss"] + step.losses["summary_loss"]);
      loss += step.losses["loss"] / 7;
      summary_loss += step.losses["summary_loss"] / 7;
      weight_decay += step.losses["weight_decay"] / 7;
    }
    const EpochRecord& epoch = run.history.epochs[e];
    EXPECT_EQ(epoch.steps, 7);
    EXPECT_NEAR(epoch.train["loss"], loss, 1e-12);
    EXPECT_NEAR(epoch.train["summary_loss"], summary_loss, 1e-12);
    EXPECT_NEAR(epoch.train["weight_decay"], weight_decay, 1e-12);
    EXPECT_FALSE(epoch.validated);
  }
  EXPECT_EQ(run.stop, TrainingSummary::Stop::completed);
  EXPECT_EQ(run.reason, "Training completed.");
  EXPECT_EQ(run.simulations, 21 * 9);
  EXPECT_EQ(run.seed, 3U);
  EXPECT_EQ(run.threads, 2);
  EXPECT_FALSE(run.instruction_set.empty());
  EXPECT_GT(run.simulate_seconds, 0);
  EXPECT_GT(run.gradient_seconds, 0);
  EXPECT_GT(run.update_seconds, 0);
  EXPECT_EQ(run.validate_seconds, 0);
  EXPECT_LE(run.simulate_seconds + run.gradient_seconds + run.update_seconds, run.seconds);
}

TEST(History, ValidatesOnGivenSimulations) {
  const GenerativeModel model = gaussian_model(2, 4);
  AmortizedPosterior amortizer = tiny_posterior();
  Trainer trainer(amortizer, model);
  const Simulations given = model.simulate(30, 5, "given", 0);
  const TrainingSummary run = trainer.train_online({.epochs = 2, .iterations_per_epoch = 5, .run = {.validation_sims = given}});
  for (const EpochRecord& epoch : run.history.epochs) EXPECT_TRUE(epoch.validated);
  EXPECT_NE(run.history.epochs[0].validation["loss"], run.history.epochs[1].validation["loss"]);
  EXPECT_NEAR(run.history.epochs[1].validation["loss"], amortizer.compute_loss(trainer.configure(given))["loss"], 1e-6);
  EXPECT_GT(run.validate_seconds, 0);
}

TEST(History, ValidatesOnANumberOfSimulationsMadeOnce) {
  AmortizedPosterior amortizer = tiny_posterior();
  std::int64_t configured = 0;
  std::vector<std::string> log;
  Trainer trainer(amortizer, gaussian_model(2, 4),
                  {.configurator =
                       [&](const Simulations& s) {
                         configured += s.batch_size() == 33;
                         return default_configurator(s);
                       },
                   .logger = [&](LogLevel, std::string_view line) { log.emplace_back(line); }});
  const TrainingSummary run =
      trainer.train_online({.epochs = 2, .iterations_per_epoch = 5, .batch_size = 4, .run = {.validation_sims = 33}});
  EXPECT_EQ(configured, 1);
  EXPECT_TRUE(run.history.epochs[1].validated);
  ASSERT_GE(log.size(), 5U);
  EXPECT_EQ(log[0], "Performing a consistency check with provided components...");
  EXPECT_EQ(log[1], "Done.");
  EXPECT_EQ(log[2], "Generated 33 simulations for validation.");
  EXPECT_TRUE(std::regex_match(log[3], std::regex(R"(Validation, Epoch: 1, Loss: -?\d+\.\d{3})"))) << log[3];
  EXPECT_TRUE(std::regex_match(log[4], std::regex(R"(Validation, Epoch: 2, Loss: -?\d+\.\d{3})"))) << log[4];
}

TEST(Summary, ReadsWell) {
  Trainer trainer(tiny_posterior(), gaussian_model(2, 4), {.seed = 3, .threads = 1});
  TrainingSummary run = trainer.train_online({.epochs = 2, .iterations_per_epoch = 5, .batch_size = 4, .run = {.validation_sims = 8}});
  run.warnings = {"something"};
  EXPECT_TRUE(std::regex_match(
      run.brief(), std::regex(R"(Training completed\. 10 steps in \d+\.\d s \(\d+ it/s\), average loss of the last epoch -?\d+\.\d{4})")))
      << run.brief();
  const std::string number = R"(-?\d+\.\d{4})", seconds = R"(\d+\.\d\d)";
  EXPECT_TRUE(std::regex_match(run.full(), std::regex(R"([^\n]*
  simulations 40, seed 3, threads 1, instruction set [^
]+
  seconds: simulate )" + seconds + ", gradient " + seconds +
                                                      ", update " + seconds + ", validate " + seconds + R"(
  epoch   1: loss )" + number + ", validation " + number +
                                                      R"(
  epoch   2: loss )" + number + ", validation " + number +
                                                      R"(
  warning: something)")))
      << run.full();
}

TEST(ProgressCallbacks, SeeEveryStepAndTheEndOfEveryEpoch) {
  std::vector<Progress> seen;
  std::vector<double> validation;
  Trainer trainer(tiny_posterior(), gaussian_model(2, 4), {.progress = [&](const Progress& p) {
                    seen.push_back(p);
                    if (p.validation) validation.push_back((*p.validation)["loss"]);
                    return Control::proceed;
                  }});
  const TrainingSummary run =
      trainer.train_online({.epochs = 2, .iterations_per_epoch = 3, .batch_size = 4, .run = {.validation_sims = 5}});
  ASSERT_EQ(seen.size(), 8U);
  double sum = 0;
  for (std::size_t i = 0; i < 8; ++i) {
    const Progress& p = seen[i];
    const std::size_t epoch = i / 4, iteration = std::min<std::size_t>(i % 4, 2), step = 3 * epoch + iteration;
    EXPECT_EQ(p.epoch, static_cast<std::int64_t>(epoch + 1));
    EXPECT_EQ(p.epochs, 2);
    EXPECT_EQ(p.iteration, static_cast<std::int64_t>(iteration + 1));
    EXPECT_EQ(p.iterations, 3);
    EXPECT_EQ(p.epoch_done, i % 4 == 3);
    EXPECT_EQ(p.losses["loss"], run.history.steps[step].losses["loss"]);
    EXPECT_EQ(p.learning_rate, run.history.steps[step].learning_rate);
    if (i % 4 == 0) sum = 0;
    if (!p.epoch_done) sum += p.losses.objective();
    EXPECT_NEAR(p.average_loss, sum / static_cast<double>(iteration + 1), 1e-12);
    EXPECT_GT(p.iterations_per_second, 0);
    EXPECT_NEAR(p.seconds_left * p.iterations_per_second, 5 - static_cast<double>(step), 1e-9);
  }
  ASSERT_EQ(validation.size(), 2U);
  EXPECT_EQ(validation[0], run.history.epochs[0].validation["loss"]);
  EXPECT_EQ(validation[1], run.history.epochs[1].validation["loss"]);
}

TEST(ProgressCallbacks, CanStopARunInAndAfterAnEpoch) {
  for (const bool after_the_epoch : {false, true}) {
    Trainer trainer(tiny_posterior(), gaussian_model(2, 4), {.progress = [&](const Progress& p) {
                      return p.epoch == 2 && (after_the_epoch ? p.epoch_done : p.iteration == 4) ? Control::stop : Control::proceed;
                    }});
    const TrainingSummary run = trainer.train_online({.epochs = 5, .iterations_per_epoch = 6, .batch_size = 4});
    EXPECT_EQ(run.stop, TrainingSummary::Stop::stopped_by_callback);
    EXPECT_EQ(run.reason, "Training was stopped by the progress callback.");
    EXPECT_EQ(run.history.steps.size(), after_the_epoch ? 12U : 10U);
    ASSERT_EQ(run.history.epochs.size(), 2U);
    EXPECT_EQ(run.history.epochs[1].steps, after_the_epoch ? 6 : 4);
  }
}

/// What `console_progress` writes into a file.
template <class F>
std::string written(F&& use) {
  std::FILE* file = std::tmpfile();
  use(console_progress(file));
  std::string text(static_cast<std::size_t>(std::ftell(file)), '\0');
  std::rewind(file);
  EXPECT_EQ(std::fread(text.data(), 1, text.size(), file), text.size());
  std::fclose(file);
  return text;
}

TEST(ConsoleProgress, WritesOneLinePerEpochIntoAFile) {
  const std::string text = written([](const ProgressCallback& callback) {
    Progress p;
    p.epoch = 3;
    p.iteration = 119;
    EXPECT_EQ(callback(p), Control::proceed);  // in the middle of an epoch: nothing
    p.iteration = 120;
    p.losses = {{"loss", -2.1234}};
    p.average_loss = -2.0456;
    p.learning_rate = 3.9123e-4;
    p.iterations_per_second = 431.6;
    p.seconds_left = 83.4;
    p.epoch_done = true;
    EXPECT_EQ(callback(p), Control::proceed);
    const LossTerms validation{{"loss", -2.5}};
    p.validation = &validation;
    p.losses = {{"loss", -2.1234}, {"weight_decay", 0.25}};
    p.seconds_left = 7384;
    EXPECT_EQ(callback(p), Control::proceed);
  });
  EXPECT_EQ(
      text,
      "Epoch: 3, Iter: 120, Loss: -2.123, Avg.Loss: -2.046, LR: 3.91E-04 | 432 it/s, 01:23 left\n"
      "Epoch: 3, Iter: 120, Loss: -2.123, Avg.Loss: -2.046, W.Decay: 0.250, LR: 3.91E-04 | 432 it/s, 2:03:04 left | Val.Loss: -2.500\n");
}

TEST(ConsoleProgress, FitsIntoTheTerminal) {
  for (const unsigned short columns : {20, 40, 60, 80, 120, 200}) {
    int controller = -1, terminal = -1;
    winsize size{};
    size.ws_row = 24;
    size.ws_col = columns;
    ASSERT_EQ(openpty(&controller, &terminal, nullptr, nullptr, &size), 0);
    std::FILE* out = fdopen(terminal, "w");
    const ProgressCallback callback = console_progress(out);
    Progress p;
    p.epoch = 12;
    p.iteration = 12345;
    p.losses = {{"loss", -1234.5678}, {"weight_decay", 0.25}};
    p.learning_rate = 3.9e-4;
    p.seconds_left = 7384;
    EXPECT_EQ(callback(p), Control::proceed);
    p.epoch_done = true;
    const LossTerms validation{{"loss", -2.5}};
    p.validation = &validation;
    EXPECT_EQ(callback(p), Control::proceed);
    std::string text;
    while (text.find('\n') == std::string::npos) {
      char part[4096];
      const ssize_t size_read = read(controller, part, sizeof part);
      ASSERT_GT(size_read, 0);
      text.append(part, static_cast<std::size_t>(size_read));
    }
    std::fclose(out);
    close(controller);
    std::istringstream stream(text);
    int lines = 0;
    for (std::string line; std::getline(stream, line, '\r');) {
      constexpr std::string_view kClear = "\033[K";
      if (!line.starts_with(kClear)) continue;
      line = line.substr(kClear.size());
      ++lines;
      EXPECT_LE(line.size(), std::max<std::size_t>(columns - 1U, 32)) << line;  // epoch and loss are always there
      EXPECT_TRUE(line.starts_with("Epoch: 12")) << line;
      EXPECT_NE(line.find("Loss: -1234.568"), std::string::npos) << line;
      if (columns >= 60 && lines == 2) {
        EXPECT_NE(line.find("Val.Loss: -2.500"), std::string::npos) << line;
      }
    }
    EXPECT_EQ(lines, 2) << text;
  }
}

TEST(ConsoleProgress, IsWhatARunWrites) {
  const std::string text = written([](const ProgressCallback& callback) {
    Trainer trainer(tiny_posterior(), gaussian_model(2, 4), {.progress = callback});
    (void)trainer.train_online({.epochs = 2, .iterations_per_epoch = 3, .batch_size = 4, .run = {.validation_sims = 5}});
  });
  const std::string line =
      R"(Epoch: \d, Iter: 3, Loss: -?\d+\.\d{3}, Avg\.Loss: -?\d+\.\d{3}, LR: \d\.\d\dE-\d\d \| \d+ it/s, \d\d:\d\d left \| Val\.Loss: -?\d+\.\d{3}\n)";
  EXPECT_TRUE(std::regex_match(text, std::regex(line + line))) << text;
}

}  // namespace
}  // namespace bayesflow
