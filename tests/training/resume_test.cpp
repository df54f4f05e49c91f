// A run that was stopped anywhere and taken up by another trainer ends with the same bits as one that was not: weights, history,
// draws, and whatever a further call with the same moments makes of them.
#include <csignal>

#include "bayesflow/core/errors.hpp"
#include "bayesflow/simulation/simulation_store.hpp"
#include "training/support_resume.hpp"

namespace bayesflow {
namespace {

using Call = std::function<TrainingSummary(Trainer&)>;

const GenerativeModel& model() {
  static const GenerativeModel m = gaussian_model(2, 5);
  return m;
}

AmortizedPosterior posterior() {
  CouplingOptions coupling = tiny_coupling();
  coupling.spec_norm = true;    // has a state of its own
  coupling.dropout_prob = 0.1;  // has noise
  coupling.dense.kernel_regularizer = 1e-4;
  return AmortizedPosterior(InvertibleNetwork({.num_params = 2, .num_coupling_layers = 2, .coupling = coupling}), tiny_deep_set());
}

/// The call, stopped by SIGINT after each of these numbers of further steps, every time in a new trainer.
Outcome train(const Call& call, int threads, const std::vector<int>& stops, Overlap overlap = Overlap::off,
              const GenerativeModel& m = model()) {
  const TemporaryFolder folder;
  for (std::size_t i = 0; i <= stops.size(); ++i) {
    int steps = 0;
    TrainerOptions options{.threads = threads};
    options.overlap = overlap;
    options.checkpoint_path = folder / "checkpoints";
    options.progress = [&](const Progress& p) {
      if (!p.epoch_done && i < stops.size() && ++steps == stops[i]) std::raise(SIGINT);
      return Control::proceed;
    };
    Trainer trainer(posterior(), m, options);
    const TrainingSummary first = call(trainer);
    if (i < stops.size()) {
      EXPECT_EQ(first.stop, TrainingSummary::Stop::interrupted) << first.reason;
      continue;
    }
    EXPECT_NE(first.stop, TrainingSummary::Stop::interrupted);
    EXPECT_EQ(first.resumed, static_cast<std::int64_t>(stops.size()));
    // Moments and counters show in what comes after.
    const TrainingSummary second = trainer.train_online({.epochs = 1, .iterations_per_epoch = 3, .batch_size = 4});
    Outcome out = outcome_of(trainer, first, m);
    const Outcome after = outcome_of(trainer, second, m);
    out.steps.insert(out.steps.end(), after.steps.begin(), after.steps.end());
    return out;
  }
  return {};
}

void expect_same_bits(const Call& call, const GenerativeModel& m = model()) {
  const Outcome straight = train(call, 1, {}, Overlap::off, m);
  ASSERT_GE(straight.epochs.size(), 2U * 3);
  EXPECT_EQ(straight, train(call, 2, {}, Overlap::on, m)) << "not even without a stop";
  for (const int stop : {1, 4, 5, 6, 9})
    EXPECT_EQ(straight, train(call, 1 + stop % 2, {stop}, stop > 5 ? Overlap::on : Overlap::off, m)) << "stop after " << stop;
  EXPECT_EQ(straight, train(call, 2, {2, 1, 3}, Overlap::on, m)) << "three stops";
}

// The calls of every mode: two or three epochs of five steps each, or so.

TrainingSummary online(Trainer& t) {
  return t.train_online({.epochs = 3, .iterations_per_epoch = 5, .batch_size = 8, .run = {.validation_sims = 30, .reuse_optimizer = true}});
}

TrainingSummary online_with_stopper_and_adjuster(Trainer& t) {
  return t.train_online(
      {.epochs = 30,
       .iterations_per_epoch = 5,
       .batch_size = 8,
       .run = {.validation_sims = 30,
               .optimizer = nn::OptimizerOptions{.learning_rate = nn::constant(0.05)},
               .reuse_optimizer = true,
               .early_stopping = EarlyStoppingOptions{.patience = 2},
               .lr_adjuster = LRAdjusterOptions{.period = 4, .wait_between_fits = 2, .patience = 1, .cooldown_factor = 0.5}}});
}

TrainingSummary offline(Trainer& t) {
  static const Simulations data = model().simulate(37, 3, "data", 0);
  return t.train_offline(data, {.epochs = 3, .batch_size = 8, .run = {.validation_sims = 30, .reuse_optimizer = true}});
}

TrainingSummary replay(Trainer& t) {
  return t.train_experience_replay({.epochs = 3,
                                    .iterations_per_epoch = 5,
                                    .batch_size = 8,
                                    .buffer_capacity = 4,
                                    .run = {.validation_sims = 30, .reuse_optimizer = true}});
}

TrainingSummary rounds(Trainer& t) {
  return t.train_rounds(
      {.rounds = 3, .sim_per_round = 20, .epochs = 2, .batch_size = 8, .run = {.validation_sims = 30, .reuse_optimizer = true}});
}

/// The modes that read files need some, in a folder that lives as long as they.
Call offline_from(const TemporaryFolder& folder, std::int64_t buffer_bytes = OfflineOptions().buffer_bytes) {
  (void)model().presimulate(folder / "simulations.h5", 37, {.batch_size = 6});
  return [&folder, buffer_bytes](Trainer& t) {
    return t.train_offline(folder / "simulations.h5",
                           {.epochs = 3, .batch_size = 8, .buffer_bytes = buffer_bytes, .run = {.reuse_optimizer = true}});
  };
}

Call presimulation_from(const TemporaryFolder& folder) {
  for (const int i : {2, 10, 1})
    (void)model().presimulate(folder / ("part" + std::to_string(i) + ".h5"), 20 + i, {.seed = static_cast<std::uint64_t>(i)});
  return [&](Trainer& t) { return t.train_from_presimulation(folder.path(), {.batch_size = 6, .run = {.reuse_optimizer = true}}); };
}

TEST(Resume, Online) { expect_same_bits(online); }
TEST(Resume, OnlineWithEarlyStoppingAndAdjuster) { expect_same_bits(online_with_stopper_and_adjuster); }
TEST(Resume, Offline) { expect_same_bits(offline); }
TEST(Resume, OfflineFromAFile) {
  const TemporaryFolder folder;
  expect_same_bits(offline_from(folder));
}
TEST(Resume, OfflineFromAFileThatTheBufferCannotHold) {
  const TemporaryFolder folder;
  expect_same_bits(offline_from(folder, 2000));  // two batches of six simulations of 12 numbers each
}
TEST(Resume, ExperienceReplay) { expect_same_bits(replay); }
TEST(Resume, Rounds) { expect_same_bits(rounds); }
TEST(Resume, Presimulation) {
  const TemporaryFolder folder;
  expect_same_bits(presimulation_from(folder));
}

/// Stops after every single step but the last one, with one thread and with two, and once after all of them.
void expect_same_bits_after_every_step(const Call& call) {
  const Outcome straight = train(call, 1, {});
  const auto steps = static_cast<int>(straight.steps.size() / 5) - 3;  // without those of the second call
  ASSERT_GE(steps, 10);
  for (int stop = 1; stop < steps; ++stop)
    for (const int threads : {1, 2})
      EXPECT_EQ(straight, train(call, threads, {stop}, Overlap::on)) << "stop after " << stop << ", " << threads;
  EXPECT_EQ(straight, train(call, 2, std::vector<int>(static_cast<std::size_t>(steps) - 1, 1))) << "stops after every step";
}

TEST(SlowResume, OnlineAtEveryStep) { expect_same_bits_after_every_step(online); }
TEST(SlowResume, OnlineWithEarlyStoppingAndAdjusterAtEveryStep) { expect_same_bits_after_every_step(online_with_stopper_and_adjuster); }
TEST(SlowResume, OfflineAtEveryStep) { expect_same_bits_after_every_step(offline); }
TEST(SlowResume, OfflineFromAFileAtEveryStep) {
  const TemporaryFolder folder;
  expect_same_bits_after_every_step(offline_from(folder, 2000));
}
TEST(SlowResume, ExperienceReplayAtEveryStep) { expect_same_bits_after_every_step(replay); }
TEST(SlowResume, RoundsAtEveryStep) { expect_same_bits_after_every_step(rounds); }
TEST(SlowResume, PresimulationAtEveryStep) {
  const TemporaryFolder folder;
  expect_same_bits_after_every_step(presimulation_from(folder));
}

// Each batch has a number of observations of its own.
TEST(Resume, RoundsWithVaryingNumbersOfObservations) {
  const ContextGenerator context({.non_batchable = [](Rng& rng) { return Array::scalar(static_cast<double>(rng.integers(3, 7))); }});
  const GenerativeModel ragged(Prior([](Rng& rng) { return rng.normal({2}); }),
                               Simulator(
                                   [](const Array& theta, const Context& c, Rng& rng) {
                                     return rng.normal({static_cast<std::int64_t>(c.non_batchable->item()), 2}, theta);
                                   },
                                   {.context = context}));
  expect_same_bits(
      [](Trainer& t) {
        return t.train_rounds({.rounds = 2, .sim_per_round = 20, .epochs = 2, .batch_size = 8, .run = {.reuse_optimizer = true}});
      },
      ragged);
}

// A mask is a field beyond v1's six: rounds keep it in their files, offline data and the replay buffer in memory.
TEST(Resume, SimulationsWithAMask) {
  const auto function = [](const BatchRequest& request) {
    Simulations out;
    Array theta({request.batch_size, 2}), x({request.batch_size, 6, 2}), mask({request.batch_size, 6}, 1.0);
    for (std::int64_t i = 0; i < request.batch_size; ++i) {
      Rng rng = request.streams.at(request.first_index + static_cast<std::uint64_t>(i));
      theta.set_row(i, rng.normal({2}));
      x.set_row(i, rng.normal({6, 2}, theta.row(i)));
      for (std::int64_t k = rng.integers(2, 7); k < 6; ++k) mask(i, k) = 0;
    }
    out.prior_draws = std::move(theta);
    out.sim_data = std::move(x);
    out.set(fields::sim_data_mask, std::move(mask));
    return out;
  };
  const GenerativeModel masked(function, {.depends_on_batch = false});
  expect_same_bits(rounds, masked);
  expect_same_bits(replay, masked);
  expect_same_bits(
      [&](Trainer& t) {
        return t.train_offline(masked.simulate(37, 3, "data", 0),
                               {.epochs = 3, .batch_size = 8, .run = {.validation_sims = 30, .reuse_optimizer = true}});
      },
      masked);
}

// A configurator that keeps nothing, or a callback that throws at the end of an epoch, ends a call by an exception in the middle of its
// bookkeeping.
TEST(Resume, AfterExceptions) {
  for (const bool at_end_of_epoch : {false, true}) {
    std::vector<Outcome> outcomes;
    for (const bool fails : {false, true}) {
      const TemporaryFolder folder;
      for (int start = 0; start <= (fails ? 1 : 0); ++start) {
        int batches = 0;
        TrainerOptions options{.threads = 1};
        options.checkpoint_path = folder / "checkpoints";
        options.configurator = [&](const Simulations& s) {
          Batch inputs = default_configurator(s);
          if (fails && start == 0 && !at_end_of_epoch && ++batches == 9)
            inputs = Batch{{roles::parameters, inputs[roles::parameters].slice(0, 0)},
                           {roles::summary_conditions, inputs[roles::summary_conditions].slice(0, 0)}};
          return inputs;
        };
        options.progress = [&](const Progress& p) -> Control {
          if (fails && start == 0 && at_end_of_epoch && p.epoch_done && p.epoch == 2)
            throw std::runtime_error("the disk of the plots is full");
          return Control::proceed;
        };
        Trainer trainer(posterior(), model(), options);
        const auto call = [&] {
          return trainer.train_experience_replay({.epochs = 3, .iterations_per_epoch = 5, .batch_size = 8, .buffer_capacity = 4});
        };
        if (fails && start == 0) {
          EXPECT_THROW((void)call(), std::exception);
          continue;
        }
        outcomes.push_back(outcome_of(trainer, call(), model()));
      }
    }
    EXPECT_EQ(outcomes[0], outcomes[1]) << at_end_of_epoch;
  }
}

// --- what a program that is started again sees ---

TrainerOptions in(const std::filesystem::path& folder, Resume resume = Resume::program) {
  TrainerOptions options{.threads = 1};
  options.checkpoint_path = folder;
  options.resume = resume;
  return options;
}
const OnlineOptions kShort{.epochs = 2, .iterations_per_epoch = 3, .batch_size = 4};

TEST(ResumedProgram, CallsThatHadEndedReturnWhatTheyReturned) {
  const TemporaryFolder folder;
  std::vector<float> weights;
  std::vector<double> steps;
  for (int start = 0; start < 2; ++start) {
    Trainer trainer(tiny_posterior(), model(), in(folder.path()));
    (void)trainer.train_online(kShort);
    const TrainingSummary second = trainer.train_experience_replay({.epochs = 1, .iterations_per_epoch = 3, .batch_size = 4});
    EXPECT_EQ(trainer.runs().size(), 2U);
    const Outcome out = outcome_of(trainer, second, model());
    if (start == 0) {
      weights = out.weights;
      steps = out.steps;
    }
    EXPECT_EQ(out.weights, weights);
    EXPECT_EQ(out.steps, steps);
  }
}

TEST(ResumedProgram, TrainsOnIfItsCallsAreNew) {
  const TemporaryFolder folder;
  std::vector<float> weights;
  {
    Trainer trainer(tiny_posterior(), model(), in(folder.path()));
    (void)trainer.train_online(kShort);
    weights = weights_of(trainer.trained<AmortizedPosterior>());
  }
  Trainer trainer(tiny_posterior(), model(), in(folder.path(), Resume::state));
  EXPECT_EQ(weights_of(trainer.trained<AmortizedPosterior>()), weights);
  (void)trainer.train_online(kShort);
  EXPECT_NE(weights_of(trainer.trained<AmortizedPosterior>()), weights);
  EXPECT_EQ(trainer.runs().size(), 2U);
}

TEST(ResumedProgram, AnotherCallThanTheUnfinishedOneIsRefused) {
  const TemporaryFolder folder;
  {
    TrainerOptions options = in(folder.path());
    options.progress = [](const Progress& p) {
      if (p.iteration == 1 && !p.epoch_done) std::raise(SIGTERM);
      return Control::proceed;
    };
    Trainer trainer(tiny_posterior(), model(), options);
    EXPECT_EQ(trainer.train_online(kShort).stop, TrainingSummary::Stop::interrupted);
  }
  Trainer trainer(tiny_posterior(), model(), in(folder.path()));
  EXPECT_EQ(error_text([&] { (void)trainer.train_online({.epochs = 3, .iterations_per_epoch = 3, .batch_size = 4}); }),
            "Trainer: this call is not the checkpoint's unfinished run. epochs: the checkpoint has 2, this call 3; repeat the call as it "
            "was, set TrainerOptions::resume = Resume::state to begin a new one, or use another folder");
  EXPECT_EQ(trainer.train_online(kShort).stop, TrainingSummary::Stop::completed);
}

}  // namespace
}  // namespace bayesflow
