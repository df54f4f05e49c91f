// What each mode trains on.
#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "bayesflow/core/errors.hpp"
#include "bayesflow/simulation/simulation_store.hpp"
#include "training/support_resume.hpp"

namespace bayesflow {
namespace {

/// Simulation i has the parameters (i, i), and its data say so too.
GenerativeModel& counted() {
  static GenerativeModel m = gaussian_model(2, 3);
  return m;
}
Simulations numbered(std::int64_t n, std::int64_t first = 0) {
  Simulations s{.prior_draws = Array({n, 2}), .sim_data = Array({n, 3, 2})};
  for (std::int64_t i = 0; i < n; ++i) {
    for (double& v : std::span(s.prior_draws.data() + 2 * i, 2)) v = 0.01 * static_cast<double>(first + i);
    for (double& v : std::span(s.sim_data.data() + 6 * i, 6)) v = 0.01 * static_cast<double>(first + i);
  }
  return s;
}

/// What the configurator was given, batch by batch.
struct Seen {
  std::vector<std::vector<int>> batches;
  TrainerOptions options(int threads = 1) {
    TrainerOptions o{.threads = threads};
    o.configurator = [this](const Simulations& s) {
      std::vector<int> rows;
      for (std::int64_t i = 0; i < s.batch_size(); ++i) rows.push_back(static_cast<int>(std::lround(100 * s.prior_draws(i, 0))));
      batches.push_back(rows);
      return default_configurator(s);
    };
    return o;
  }
};

TEST(Offline, EachEpochIsEveryRowOnceInANewOrder) {
  Seen seen;
  Trainer trainer(tiny_posterior(), counted(), seen.options());
  seen.batches.clear();
  const TrainingSummary run = trainer.train_offline(numbered(50), {.epochs = 3, .batch_size = 8});
  ASSERT_EQ(seen.batches.size(), 3U * 7);
  EXPECT_EQ(run.history.epochs.size(), 3U);
  std::set<std::vector<int>> orders;
  for (std::size_t e = 0; e < 3; ++e) {
    std::vector<int> all;
    for (std::size_t b = 0; b < 7; ++b) {
      EXPECT_EQ(seen.batches[7 * e + b].size(), b == 6 ? 2U : 8U) << "the last batch is kept";
      all.insert(all.end(), seen.batches[7 * e + b].begin(), seen.batches[7 * e + b].end());
    }
    orders.insert(all);
    std::sort(all.begin(), all.end());
    for (int i = 0; i < 50; ++i) EXPECT_EQ(all[static_cast<std::size_t>(i)], i);
  }
  EXPECT_EQ(orders.size(), 3U);
  // The next call has orders of its own.
  seen.batches.clear();
  (void)trainer.train_offline(numbered(50), {.batch_size = 50});
  EXPECT_FALSE(orders.contains(seen.batches[0]));
}

// All 24 orders of four rows, 960 epochs: chi-square with 23 degrees of freedom exceeds 70.5 with probability 1e-6.
TEST(Offline, AllOrdersAreEquallyLikely) {
  Seen seen;
  Trainer trainer(tiny_posterior(), counted(), seen.options());
  seen.batches.clear();
  (void)trainer.train_offline(numbered(4), {.epochs = 960, .batch_size = 4});
  std::map<std::vector<int>, int> counts;
  for (const auto& b : seen.batches) ++counts[b];
  double chi = 0;
  for (const auto& [order, count] : counts) chi += (count - 40) * (count - 40) / 40.0;
  EXPECT_EQ(counts.size(), 24U);
  EXPECT_LT(chi, 70.5);
}

TEST(Offline, PartsWithAContextStayApart) {
  std::vector<Simulations> parts;
  for (std::int64_t n : {3, 5}) {
    Simulations s{.prior_draws = Array({10, 2}, 0.1), .sim_data = Array({10, n, 2}, 0.2)};
    s.sim_non_batchable_context = Array::scalar(static_cast<double>(n));
    parts.push_back(s);
  }
  std::vector<std::int64_t> lengths;
  TrainerOptions options{.threads = 1};
  options.configurator = [&](const Simulations& s) {
    lengths.push_back(s.sim_data.dim(1));
    EXPECT_EQ(s.sim_non_batchable_context->item(), static_cast<double>(s.sim_data.dim(1)));
    return default_configurator(s);
  };
  Trainer trainer(tiny_posterior(), options);
  (void)trainer.train_offline(parts, {.epochs = 8, .batch_size = 4});
  ASSERT_EQ(lengths.size(), 1U + 8 * 6);
  EXPECT_EQ(std::count(lengths.begin() + 1, lengths.end(), 3), 8 * 3);
  EXPECT_FALSE(std::is_sorted(lengths.begin() + 1, lengths.end()));
  // Without one they are a single pool and must agree.
  for (Simulations& s : parts) s.sim_non_batchable_context.reset();
  EXPECT_THROW((void)trainer.train_offline(parts, {.epochs = 1}), ShapeError);
}

TEST(Offline, RefusesDropsAndCountsWhatIsNotFinite) {
  Simulations data = numbered(40);
  data.sim_data(7, 1, 0) = std::nan("");
  Seen seen;
  {
    Trainer trainer(tiny_posterior(), counted(), seen.options());
    try {
      (void)trainer.train_offline(data, {});
      FAIL();
    } catch (const SimulationError& error) {
      EXPECT_EQ(std::string(error.what()),
                "Trainer: simulation 7 of the training data holds nan at entry 2 of sim_data with parameters [0.07, 0.07]; every value "
                "must be finite: mend the data, "
                "or set TrainerOptions::nonfinite to NonFinite::drop");
    }
  }
  TrainerOptions options = seen.options();
  options.nonfinite.action = NonFinite::drop;
  Trainer trainer(tiny_posterior(), counted(), options);
  seen.batches.clear();
  const TrainingSummary run = trainer.train_offline(data, {.batch_size = 40});
  EXPECT_EQ(run.dropped, 1);
  EXPECT_EQ(seen.batches[0].size(), 39U);
  for (std::int64_t i = 0; i < 10; ++i) data.sim_data(i, 0, 0) = INFINITY;
  EXPECT_THROW((void)trainer.train_offline(data, {}), SimulationError);
}

TEST(Online, DropsAndRedrawsAndSaysSo) {
  const GenerativeModel sick(Prior([](Rng& rng) { return rng.normal({2}); }), Simulator([](const Array& theta, Rng& rng) {
                               Array x = rng.normal({3, 2}, theta);
                               if (theta[0] > 1.7) x(1, 1) = std::nan("");
                               return x;
                             }),
                             {.skip_test = true});
  for (const NonFinite action : {NonFinite::drop, NonFinite::redraw}) {
    std::int64_t rows = 0;
    TrainerOptions options{.threads = 2};
    options.nonfinite.action = action;
    options.configurator = [&](const Simulations& s) {
      rows += s.batch_size();
      EXPECT_TRUE(s.sim_data.all_finite());
      return default_configurator(s);
    };
    Trainer trainer(tiny_posterior(), sick, options);
    rows = 0;
    const TrainingSummary run = trainer.train_online({.epochs = 1, .iterations_per_epoch = 40, .batch_size = 16});
    EXPECT_EQ(rows, action == NonFinite::drop ? 640 - run.dropped : 640);
    EXPECT_GT(run.dropped + run.redrawn, 10);  // 4.5 % of 640 are expected
    EXPECT_EQ(action == NonFinite::drop ? run.redrawn : run.dropped, 0);
    ASSERT_EQ(run.warnings.size(), 1U);
    EXPECT_NE(run.warnings[0].find("simulations were not finite and were"), std::string::npos);
    options.nonfinite.max_share = 0.01;
    Trainer strict(tiny_posterior(), sick, options);
    EXPECT_THROW((void)strict.train_online({.epochs = 1, .iterations_per_epoch = 40, .batch_size = 16}), SimulationError);
  }
}

TEST(Replay, TrainsOnStoredBatchesAllEquallyLikely) {
  // With one epoch and a full buffer each of the newest `capacity` batches is drawn with probability 1 / capacity.
  std::map<double, std::int64_t> made;  // first parameter -> batch
  TrainerOptions options{.threads = 1};
  options.configurator = [&](const Simulations& s) {
    made.emplace(s.prior_draws[0], static_cast<std::int64_t>(made.size()));
    return default_configurator(s);
  };
  Trainer trainer(tiny_posterior(), counted(), options);
  made.clear();
  const TrainingSummary run =
      trainer.train_experience_replay({.epochs = 2, .iterations_per_epoch = 50, .batch_size = 4, .buffer_capacity = 5});
  EXPECT_EQ(made.size(), 100U);
  EXPECT_EQ(run.simulations, 400);
  EXPECT_EQ(run.history.steps.size(), 100U);
}

TEST(Rounds, PassOverAllDataSoFarWithOneScheduleOfTheRightLength) {
  Seen seen;
  Trainer trainer(tiny_posterior(), counted(), seen.options());
  seen.batches.clear();
  const TrainingSummary run = trainer.train_rounds({.rounds = 3, .sim_per_round = 20, .epochs = 2, .batch_size = 8});
  std::vector<std::size_t> steps;
  for (const EpochRecord& e : run.history.epochs) steps.push_back(static_cast<std::size_t>(e.steps));
  EXPECT_EQ(steps, (std::vector<std::size_t>{3, 3, 5, 5, 8, 8}));  // ceil(20 r / 8)
  EXPECT_EQ(run.simulations, 60);
  // The cosine ends with the last step: half of it is done in the middle.
  EXPECT_NEAR(run.history.steps[16].learning_rate, 0.5 * 5e-4, 1e-9);
}

TEST(Presimulation, FilesInTheOrderOfTheirNumbersBatchesAsStored) {
  const TemporaryFolder folder;
  for (const int i : {10, 9, 2}) save_simulations(numbered(5, 100 * i), folder / ("sims_" + std::to_string(i) + ".h5"));
  Seen seen;
  Trainer trainer(tiny_posterior(), seen.options());
  const TrainingSummary run = trainer.train_from_presimulation(folder.path(), {.batch_size = 3, .max_epochs = 4});
  ASSERT_EQ(seen.batches.size(), 9U);  // the first is the consistency check
  EXPECT_EQ(seen.batches[1], (std::vector<int>{200, 201, 202}));
  EXPECT_EQ(seen.batches[2], (std::vector<int>{203, 204}));
  EXPECT_EQ(seen.batches[3][0], 900);
  EXPECT_EQ(seen.batches[5][0], 1000);
  EXPECT_EQ(seen.batches[7][0], 200) << "round and round";
  EXPECT_EQ(run.history.epochs.size(), 4U);
  EXPECT_EQ(run.simulations, 15);
  EXPECT_EQ(trainer.train_from_presimulation(folder.path(), {.batch_size = 3, .max_epochs = 2}).simulations, 10);
  EXPECT_EQ(trainer.train_offline(folder / "sims_9.h5", {.epochs = 2, .batch_size = 3}).simulations, 5);
  EXPECT_THROW((void)trainer.train_from_presimulation(folder / "none", {}), IoError);
}

TEST(ModelLess, TrainersSaySoWhereTheyWouldHaveToSimulate) {
  Trainer trainer(tiny_posterior(), TrainerOptions{.threads = 1});
  EXPECT_THROW((void)trainer.train_online({}), ConfigurationError);
  const TrainingSummary run = trainer.train_offline(numbered(20), {.epochs = 2, .batch_size = 8});
  EXPECT_EQ(run.history.steps.size(), 6U);
  EXPECT_EQ(run.simulations, 20);
}

TEST(EarlyStopping, FiresAtThePatienceThNonImprovementAndPutsTheBestWeightsBack) {
  EarlyStopper stopper({.patience = 2, .min_improvement = 0.1});
  EXPECT_FALSE(stopper.update_and_recommend(1.0));
  EXPECT_FALSE(stopper.update_and_recommend(0.95));  // too little, alone
  EXPECT_FALSE(stopper.update_and_recommend(0.89));  // but gains add up
  EXPECT_FALSE(stopper.update_and_recommend(0.88));
  EXPECT_TRUE(stopper.update_and_recommend(std::nan("")));

  std::vector<std::vector<float>> weights;
  std::vector<double> losses;
  TrainerOptions options{.threads = 1};
  AmortizedPosterior amortizer = tiny_posterior();
  options.progress = [&](const Progress& p) {
    if (p.epoch_done) {
      weights.push_back(weights_of(amortizer));
      losses.push_back(p.validation->objective());
    }
    return Control::proceed;
  };
  Trainer trainer(amortizer, counted(), options);
  const TrainingSummary run = trainer.train_online({.epochs = 200,
                                                    .iterations_per_epoch = 5,
                                                    .batch_size = 8,
                                                    .run = {.validation_sims = 50,
                                                            .optimizer = nn::OptimizerOptions{.learning_rate = nn::constant(0.1)},
                                                            .early_stopping = EarlyStoppingOptions{.patience = 3}}});
  ASSERT_EQ(run.stop, TrainingSummary::Stop::stopped_early) << run.reason;
  const auto best = static_cast<std::size_t>(std::min_element(losses.begin(), losses.end()) - losses.begin());
  ASSERT_LT(best, losses.size() - 1);
  EXPECT_EQ(weights_of(amortizer), weights[best]);
  EXPECT_THROW((void)trainer.train_online({.run = {.early_stopping = EarlyStoppingOptions{}}}), ConfigurationError);
}

TEST(EarlyStopping, JudgesTheLossThatIsReported) {
  // Weight decay falls in every epoch, and far more than the loss: with it no epoch would fail to improve.
  CouplingOptions coupling = tiny_coupling();
  coupling.dense.kernel_regularizer = 0.5f;
  std::vector<std::vector<float>> weights;
  std::vector<double> reported, with_decay;
  AmortizedPosterior amortizer(InvertibleNetwork({.num_params = 2, .num_coupling_layers = 2, .coupling = coupling}), tiny_deep_set(),
                               {.summary_mmd_weight = 0.5});
  TrainerOptions options{.threads = 1};
  options.progress = [&](const Progress& p) {
    if (p.epoch_done) {
      weights.push_back(weights_of(amortizer));
      reported.push_back((*p.validation)["loss"] + (*p.validation)["summary_loss"]);
      with_decay.push_back(p.validation->total());
    }
    return Control::proceed;
  };
  std::vector<std::string> log;
  options.logger = [&](LogLevel, std::string_view line) { log.emplace_back(line); };
  Trainer trainer(amortizer, gaussian_model(2, 4), options);
  const Simulations few = gaussian_model(2, 4).simulate(30, 1, "few", 0);
  const TrainingSummary run = trainer.train_offline(few, {.epochs = 120,
                                                          .batch_size = 10,
                                                          .run = {.validation_sims = 100,
                                                                  .optimizer = nn::OptimizerOptions{.learning_rate = nn::constant(0.003)},
                                                                  .early_stopping = EarlyStoppingOptions{.patience = 4}}});
  const auto lowest = [](const std::vector<double>& v) {
    return static_cast<std::size_t>(std::min_element(v.begin(), v.end()) - v.begin());
  };
  ASSERT_NE(lowest(reported), lowest(with_decay));  // the test can tell
  EXPECT_EQ(run.stop, TrainingSummary::Stop::stopped_early) << run.reason;
  EXPECT_EQ(run.kept_epoch, static_cast<std::int64_t>(lowest(reported)) + 1);
  EXPECT_EQ(weights_of(amortizer), weights[lowest(reported)]);
  const std::string epoch = std::to_string(lowest(reported) + 1);
  EXPECT_NE(run.reason.find("weights of epoch " + epoch), std::string::npos) << run.reason;
  char line[80];
  std::snprintf(line, sizeof line, "Validation, Epoch: %s, Loss: %.3f", epoch.c_str(), reported[lowest(reported)]);
  EXPECT_NE(std::find(log.begin(), log.end(), line), log.end()) << line;
  EXPECT_NE(run.full().find(", validation " + std::to_string(reported[0]).substr(0, 5)), std::string::npos) << run.full();
}

TEST(BestEpoch, LongBeforeTheEndIsRemarkedUpon) {
  const Simulations few = gaussian_model(2, 4).simulate(20, 1, "few", 0);
  const auto run = [&](std::optional<EarlyStoppingOptions> early, double rate) {
    AmortizedPosterior amortizer = tiny_posterior();
    Trainer trainer(amortizer, gaussian_model(2, 4), {.threads = 1});
    return trainer.train_offline(
        few,
        {.epochs = 200,
         .batch_size = 10,
         .run = {.validation_sims = 100, .optimizer = nn::OptimizerOptions{.learning_rate = nn::constant(rate)}, .early_stopping = early}});
  };
  const auto remarks = [](const TrainingSummary& s) {
    std::string out;
    for (const std::string& w : s.warnings)
      if (w.starts_with("The validation loss was lowest")) out += w;
    return out;
  };
  const std::string without = remarks(run({}, 0.02)), with = remarks(run(EarlyStoppingOptions{.patience = 10}, 0.02));
  EXPECT_NE(without.find("; the weights are those of the last step."), std::string::npos) << without;
  EXPECT_NE(without.find(", or early_stopping"), std::string::npos) << without;
  EXPECT_NE(with.find("of 200, and is "), std::string::npos) << with;
  EXPECT_NE(with.find("; the weights of the former were kept. The learning rate was 100 % of its highest then"), std::string::npos) << with;
  EXPECT_EQ(remarks(run({}, 1e-5)), "");
}

TEST(LRAdjuster, SlopesAreRobustAndReductionsEnd) {
  std::vector<double> scratch, y;
  for (int i = 0; i < 101; ++i) y.push_back(3 - 2 * i / 100.0 + 0.01 * ((i * 37) % 11 - 5));
  const double clean = huber_slope(y, scratch);
  EXPECT_NEAR(clean, -2, 0.02);
  y[90] = 1e6;
  EXPECT_NEAR(huber_slope(y, scratch), -2, 0.05);

  RegressionLRAdjuster adjuster({.period = 10, .wait_between_fits = 1, .patience = 3, .cooldown_factor = 1, .num_resets = 2});
  std::vector<int> drops;
  for (int i = 1; i <= 100 && !adjuster.stopping_issued(); ++i) {
    const double before = adjuster.factor();
    adjuster.update(1.0);
    if (adjuster.factor() != before) drops.push_back(i);
    if (adjuster.stopping_issued()) drops.push_back(i);
  }
  // Fits from the tenth loss on, the third plateau reduces, ten losses rest.
  EXPECT_EQ(drops, (std::vector<int>{12, 24, 36}));
  EXPECT_DOUBLE_EQ(adjuster.factor(), 0.0625);
  adjuster.reset();
  EXPECT_DOUBLE_EQ(adjuster.factor(), 1);
}

}  // namespace
}  // namespace bayesflow
