// Several processes that train together (here threads) give the bits of one, and rank 0 decides for all.
#include "core/ranks.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <fstream>
#include <functional>
#include <string>

#include "support/ranks_in_threads.hpp"
#include "training/support_resume.hpp"

namespace bayesflow {
namespace {

using Options = TrainerOptions;
using Program = std::function<Outcome(Options)>;

/// What the program gives on each of so many ranks, which must be the same.
Outcome on(int ranks, const Program& program) {
  std::vector<Outcome> outcomes(static_cast<std::size_t>(ranks));
  RanksInThreads(ranks).run([&](const std::shared_ptr<Communicator>& communicator) {
    outcomes[static_cast<std::size_t>(communicator->rank())] = program({.seed = 11, .threads = 1, .communicator = communicator});
  });
  for (const Outcome& o : outcomes) EXPECT_TRUE(o == outcomes[0]) << "ranks differ, of " << ranks;
  return outcomes[0];
}

void expect_same_bits(const Program& program) {
  const Outcome one = program({.seed = 11, .threads = 1});
  EXPECT_TRUE(std::isfinite(one.steps.at(0)));
  for (const int ranks : {1, 2, 3, 4, 9}) EXPECT_TRUE(on(ranks, program) == one) << ranks << " ranks";
}

const OnlineOptions kOnline{.epochs = 2, .iterations_per_epoch = 3, .batch_size = 40, .run = {.validation_sims = 50}};

Program online(const InvertibleNetworkOptions& flow, const AmortizedPosteriorOptions& options = {}, Overlap overlap = Overlap::automatic) {
  return [=](Options with) {
    const GenerativeModel model = gaussian_model(3, 30);
    with.overlap = overlap;
    Trainer trainer(AmortizedPosterior(InvertibleNetwork(flow), DeepSet({.summary_dim = 6}), options), model, with);
    return outcome_of(trainer, trainer.train_online(kOnline), model);
  };
}

TEST(TrainingOnRanks, OfOnlineTrainingGivesTheSameBits) {
  expect_same_bits(online({.num_params = 3, .num_coupling_layers = 2}));  // dropout and weight decay
}
TEST(TrainingOnRanks, OfSplinesWithSummaryLossGivesTheSameBits) {
  expect_same_bits(online({.num_params = 3, .num_coupling_layers = 2, .coupling_design = CouplingDesign::spline}, {.summary_mmd_weight = 1},
                          Overlap::on));
}

TEST(TrainingOnRanks, OfOtherModesGivesTheSameBits) {
  expect_same_bits([](const Options& with) {
    const GenerativeModel model = gaussian_model(2, 10);
    Trainer trainer(tiny_posterior(), model, with);
    return outcome_of(trainer, trainer.train_experience_replay({.epochs = 2, .iterations_per_epoch = 4, .batch_size = 20}), model);
  });
  expect_same_bits([](const Options& with) {
    const GenerativeModel model = gaussian_model(2, 10);
    Trainer trainer(tiny_posterior(), model, with);
    return outcome_of(trainer, trainer.train_rounds({.rounds = 2, .sim_per_round = 50, .epochs = 2, .batch_size = 20}), model);
  });
  expect_same_bits([](const Options& with) {
    const GenerativeModel model = gaussian_model(2, 10);
    Trainer trainer(tiny_posterior(), model, with);
    const RunOptions run{.early_stopping = EarlyStoppingOptions{.patience = 2}};
    return outcome_of(
        trainer,
        trainer.train_offline(model.simulate(101, 3, "given", 0), {.epochs = 6, .batch_size = 25, .validation_split = 0.2, .run = run}),
        model);
  });
}

TEST(TrainingOnRanks, ModelsThatMakeBatchesGiveTheSameBits) {
  for (const bool batched : {true, false}) {
    // A batch's simulations depend on its size; or each batch draws its number of observations.
    const auto make = [batched](const BatchRequest& request) {
      Rng rng = request.streams.at(request.first_index);
      const std::int64_t n = batched ? 10 : 5 + static_cast<std::int64_t>(rng.integers(0, 10));
      Simulations out;
      out.prior_draws = rng.normal({request.batch_size, 2});
      out.sim_data = rng.normal({request.batch_size, n, 2});
      if (!batched) out.set("sim_non_batchable_context", Array({1}, {static_cast<double>(n)}));
      return out;
    };
    const GenerativeModel model(make, {.one_context_per_batch = !batched, .depends_on_batch = batched}, {.skip_test = true});
    expect_same_bits([&](const Options& with) {
      Trainer trainer(tiny_posterior(), model, with);
      return outcome_of(trainer, trainer.train_online(kOnline), model);
    });
  }
}

TEST(TrainingOnRanks, ValuesThatAreNotFiniteAreCountedOverAll) {
  for (const NonFinite action : {NonFinite::drop, NonFinite::redraw}) {
    std::atomic<std::int64_t> changed = -1;
    expect_same_bits([&](Options with) {
      const GenerativeModel model(Prior([](Rng& rng) { return rng.normal({2}); }), Simulator([](const Array& theta, Rng& rng) {
                                    Array x = rng.normal({10, 2}, theta);
                                    if (theta[0] > 1.5) x.data()[3] = std::numeric_limits<double>::quiet_NaN();
                                    return x;
                                  }),
                                  {.skip_test = true});
      with.nonfinite = {.action = action, .max_share = 0.5};
      Trainer trainer(tiny_posterior(), model, with);
      const TrainingSummary run = trainer.train_online({.epochs = 1, .iterations_per_epoch = 6, .batch_size = 30});
      const std::int64_t now = run.dropped + run.redrawn;
      EXPECT_GT(now, 3);
      std::int64_t before = -1;
      EXPECT_TRUE(changed.compare_exchange_strong(before, now) || now == before);
      Outcome out;
      out.weights = weights_of(trainer.trained<AmortizedPosterior>());
      for (const StepRecord& s : run.history.steps) out.steps.push_back(s.losses.total());
      return out;
    });
  }
}

TEST(TrainingOnRanks, ResumesOnAnyNumberOfRanks) {
  const GenerativeModel model = gaussian_model(2, 10);
  const OnlineOptions options{.epochs = 3, .iterations_per_epoch = 4, .batch_size = 40, .run = {.validation_sims = 20}};
  const auto program = [&](const Options& with) {
    Trainer trainer(tiny_posterior(), model, with);
    return outcome_of(trainer, trainer.train_online(options), model);
  };
  const Outcome expected = program({.seed = 11, .threads = 1});
  for (const int first : {1, 3})
    for (const int then : {1, 2, 4}) {
      const TemporaryFolder folder;
      // The callback of rank 0 throws in epoch 2: a checkpoint has what was done.
      RanksInThreads(first).run([&](const std::shared_ptr<Communicator>& communicator) {
        Options with{.seed = 11, .threads = 1, .checkpoint_path = folder.path(), .communicator = communicator};
        with.progress = [](const Progress& p) -> Control {
          if (p.epoch == 2 && p.iteration == 2) throw Error("no more paper");
          return Control::proceed;
        };
        Trainer trainer(tiny_posterior(), model, with);
        const std::string text = error_text([&] { (void)trainer.train_online(options); });
        EXPECT_EQ(text, communicator->rank() == 0 ? "no more paper" : "rank 0 of 3 failed: no more paper");
      });
      const Outcome got = on(then, [&](Options with) {
        with.checkpoint_path = folder.path();
        return program(with);
      });
      EXPECT_TRUE(got == expected) << "from " << first << " to " << then << " ranks";
    }
}

TEST(TrainingOnRanks, Rank0DecidesForAll) {
  const GenerativeModel model = gaussian_model(2, 10);
  std::atomic<int> logged = 0, asked = 0;
  const Outcome out = on(3, [&](Options with) {
    const int rank = with.communicator->rank();
    with.progress = [&, rank](const Progress& p) {
      ++asked;
      EXPECT_EQ(rank, 0);
      return p.epoch == 2 && p.iteration == 2 ? Control::stop : Control::proceed;
    };
    with.logger = [&, rank](LogLevel, std::string_view) {
      ++logged;
      EXPECT_EQ(rank, 0);
    };
    Trainer trainer(tiny_posterior(), model, with);
    const TrainingSummary run = trainer.train_online(kOnline);
    EXPECT_EQ(run.stop, TrainingSummary::Stop::stopped_by_callback);
    EXPECT_EQ(run.history.steps.size(), 5U);
    return outcome_of(trainer, run, model);
  });
  EXPECT_GT(logged, 0);
  EXPECT_GT(asked, 4);
}

TEST(TrainingOnRanks, OneThatFailsEndsAllWithItsSentence) {
  RanksInThreads(3).run([](const std::shared_ptr<Communicator>& communicator) {
    std::atomic<int> calls = 0;
    const GenerativeModel model(Prior([](Rng& rng) { return rng.normal({2}); }),
                                Simulator([&, rank = communicator->rank()](const Array& theta, Rng& rng) {
                                  if (rank == 1 && ++calls > 40) throw Error("out of ink");
                                  return rng.normal({10, 2}, theta);
                                }));
    Trainer trainer(tiny_posterior(), model, {.threads = 1, .communicator = communicator});
    const std::string text = error_text([&] { (void)trainer.train_online(kOnline); });
    EXPECT_NE(text.find("out of ink"), std::string::npos) << text;
    EXPECT_EQ(text.starts_with("rank 1 of 3 failed: "), communicator->rank() != 1) << text;
  });
}

TEST(TrainingOnRanks, ThatDifferIsAnError) {
  const GenerativeModel model = gaussian_model(2, 10);
  RanksInThreads(2).run([&](const std::shared_ptr<Communicator>& communicator) {
    Trainer trainer(tiny_posterior(), model, {.threads = 1, .communicator = communicator});
    EXPECT_EQ(error_text([&] { (void)trainer.train_online({.epochs = 1, .batch_size = 10 + communicator->rank()}); }).substr(0, 93),
              "Trainer: rank 1 of 2 calls another training function, or with other options or data, than ran");
  });
  RanksInThreads(2).run([&](const std::shared_ptr<Communicator>& communicator) {
    Trainer trainer(tiny_posterior(), model, {.threads = 1, .communicator = communicator});
    if (communicator->rank() == 1) trainer.trainable().store().values()[0] += 1;
    EXPECT_EQ(
        error_text([&] { (void)trainer.train_online(kOnline); }),
        "Trainer: rank 1 of 2 begins with other weights than rank 0; all ranks must make the same calls with the same options, data and "
        "networks");
  });
  RanksInThreads(2).run([&](const std::shared_ptr<Communicator>& communicator) {
    Trainer trainer(tiny_posterior(), model,
                    {.configurator =
                         [rank = communicator->rank(), calls = 0](const Simulations& s) mutable {
                           Simulations other = s;
                           if (++calls > 2 && rank == 1) other.sim_data.data()[0] += 1;
                           return default_configurator(other);
                         },
                     .threads = 1,
                     .communicator = communicator});
    EXPECT_NE(
        error_text([&] { (void)trainer.train_online({.epochs = 1, .iterations_per_epoch = 9, .batch_size = 40}); }).find("gradient norm"),
        std::string::npos);
  });
}

}  // namespace
}  // namespace bayesflow
