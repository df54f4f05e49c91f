// What a trainer says by itself: scales before the first step, what was not learnt after the last, what the networks have seen, what
// further steps would gain.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>

#include "bayesflow/amortizers/model_file.hpp"
#include "bayesflow/core/errors.hpp"
#include "io/support_files.hpp"
#include "training/support_training.hpp"

namespace bayesflow {
namespace {

std::string warning_with(const TrainingSummary& run, const std::string& text) {
  for (const std::string& w : run.warnings)
    if (w.find(text) != std::string::npos) return w;
  return {};
}

/// theta ~ N(0, 1), data = offset + scale (theta + noise); parameters times `unit`.
GenerativeModel scaled_model(double unit, double scale, double offset) {
  return GenerativeModel(Prior([unit](Rng& rng) { return rng.normal({2}) * unit; }), Simulator([=](const Array& theta, Rng& rng) {
                           return rng.normal({8, 2}, theta * (1 / unit)) * scale + offset;
                         }));
}

TrainingSummary short_run(const GenerativeModel& model, std::int64_t steps = 60, TrainerOptions options = {.threads = 1}) {
  Trainer trainer(tiny_posterior(), model, std::move(options));
  return trainer.train_online({.epochs = 1, .iterations_per_epoch = steps, .batch_size = 32});
}

TEST(Scale, IsLookedAtBeforeTheFirstStep) {
  std::vector<std::string> before_first_step;
  bool stepped = false;
  TrainerOptions options{.threads = 1};
  options.logger = [&](LogLevel level, std::string_view line) {
    if (level == LogLevel::warning && !stepped) before_first_step.emplace_back(line);
  };
  options.progress = [&](const Progress&) {
    stepped = true;
    return Control::proceed;
  };
  const TrainingSummary tiny = short_run(scaled_model(1e-9, 1, 0), 60, options);
  ASSERT_EQ(before_first_step.size(), 1U);
  EXPECT_EQ(before_first_step[0], tiny.warnings[0]);
  EXPECT_EQ(tiny.warnings[0].find("theta_1 has mean "), 0U) << tiny.warnings[0];
  EXPECT_NE(tiny.warnings[0].find("In the configurator write parameters = (parameters - ["), std::string::npos) << tiny.warnings[0];
  EXPECT_NE(tiny.warnings[0].find(", and bring draws back by draws * ["), std::string::npos) << tiny.warnings[0];

  const std::string small = warning_with(short_run(scaled_model(1, 1e-3, 0)), "column 1 of summary_conditions has mean ");
  EXPECT_NE(small.find("write summary_conditions = (summary_conditions - ["), std::string::npos) << small;
  EXPECT_NE(warning_with(short_run(scaled_model(1, 1, 1e4)), "column 1 of summary_conditions has mean 1e+04 and standard deviation 1."),
            "");
  EXPECT_EQ(warning_with(short_run(scaled_model(1, 1, 0)), "In the configurator"), "");
  EXPECT_EQ(warning_with(short_run(scaled_model(1, 3, 2)), "In the configurator"), "");
}

TEST(Scale, SkewAndConstantColumnsAreNamed) {
  const GenerativeModel model(Prior(
                                  [](Rng& rng) {
                                    Array out = rng.normal({3});
                                    out[1] = std::exp(2 * out[1]);
                                    out[2] = 4;
                                    return out;
                                  },
                                  {.param_names = {"mu", "tau", "k"}}),
                              Simulator([](const Array& theta, Rng& rng) {
                                Array out = rng.normal({10, 2}) + theta[0];
                                for (std::int64_t i = 0; i < 10; ++i) out(i, 1) = -2;
                                return out;
                              }));
  Trainer trainer(tiny_posterior(3), model, {.threads = 1});
  const TrainingSummary run = trainer.train_online({.epochs = 1, .iterations_per_epoch = 4, .batch_size = 256});
  EXPECT_NE(warning_with(run, "tau is positive, "), "");
  EXPECT_NE(warning_with(run, "in the configurator take the logarithm of such parameters, and of their draws the exponential."), "");
  EXPECT_NE(warning_with(run, "k is always 4 in the first 256 values: leave it out, or check the prior."), "");
  EXPECT_NE(warning_with(run, "column 2 of summary_conditions is always -2 in the first 2560 values: it tells nothing"), "");
}

TEST(LookingBack, NeedsNoValidationData) {
  // 2,000 steps of 1e-9 teach nothing about scales.
  const TrainingSummary run = short_run(scaled_model(1e-9, 1, 0), 100);
  EXPECT_NE(warning_with(run, "theta_1 has not the scale of its values in training: half of all draws lie within "), "");
  const TrainingSummary nothing = short_run(scaled_model(1, 1e-3, 0), 100);
  EXPECT_NE(warning_with(nothing, "theta_1 was not learnt"), "");
  // Given data serve as well, and nothing is said twice.
  const GenerativeModel model = scaled_model(1, 1e-3, 0);
  std::vector<std::string> log;
  Trainer offline(tiny_posterior(),
                  TrainerOptions{.threads = 1, .logger = [&](LogLevel, std::string_view line) { log.emplace_back(line); }});
  const TrainingSummary given = offline.train_offline(model.simulate(300, 1, "data", 0), {.epochs = 3});
  const std::string said = warning_with(given, "theta_1 was not learnt");
  EXPECT_NE(said, "");
  EXPECT_EQ(std::count(log.begin(), log.end(), said), 1);
}

TEST(LookingBack, AParameterWithoutSignIsLearnt) {
  const GenerativeModel model(Prior([](Rng& rng) { return rng.normal({1}); }), Simulator([](const Array& theta, Rng& rng) {
                                return rng.normal({8, 1}, 0.0, 0.1) + theta[0] * theta[0];
                              }));
  Trainer trainer(
      AmortizedPosterior(InvertibleNetwork({.num_params = 1, .num_coupling_layers = 3, .coupling_design = CouplingDesign::spline}),
                         tiny_deep_set()),
      model, {.seed = 1, .threads = 2, .default_lr = 2e-3});
  const TrainingSummary run = trainer.train_online({.epochs = 1, .iterations_per_epoch = 1500});
  EXPECT_EQ(warning_with(run, "was not learnt"), "");
}

TEST(Seen, IsKeptInFilesAndCheckedAtEachCall) {
  const TemporaryFolder folder;
  std::vector<std::string> told;
  AmortizedPosterior amortizer(tiny_flow(2), tiny_deep_set(),
                               {.logger = [&](LogLevel, std::string_view line) { told.emplace_back(line); }});
  const GenerativeModel model = gaussian_model(2, 6);
  Trainer trainer(amortizer, model, {.threads = 1});
  (void)trainer.train_online({.epochs = 1, .iterations_per_epoch = 60});
  const Batch fresh = default_configurator(model.simulate(4, 9, "fresh", 0));
  (void)amortizer.sample(fresh, 50);
  (void)amortizer.log_posterior(fresh);
  EXPECT_TRUE(told.empty()) << told[0];
  Batch other = fresh;
  other.set(roles::summary_conditions, other.array(roles::summary_conditions) * 1000.0);
  (void)amortizer.log_posterior(other);
  ASSERT_EQ(told.size(), 2U);  // values and summaries
  EXPECT_EQ(told[0].find("Values of column "), 0U) << told[0];
  EXPECT_NE(told[1].find("of the summary network is "), std::string::npos) << told[1];

  amortizer.save(folder / "model.h5");
  const AmortizedPosterior loaded = load_amortizer(folder / "model.h5");
  std::vector<Foreign> before, after;
  EXPECT_EQ(amortizer.sample(other, 20, {.seed = 1, .foreign = &before}), loaded.sample(other, 20, {.seed = 1, .foreign = &after}));
  ASSERT_GE(before.size(), 2U);
  ASSERT_EQ(before.size(), after.size());
  for (std::size_t i = 0; i < before.size(); ++i) EXPECT_EQ(before[i].sentence, after[i].sentence);
  EXPECT_EQ(told.size(), 2U);
  EXPECT_EQ(loaded.foreign(default_configurator(gaussian_model(2, 3).simulate(4, 9, "fresh", 0)))[0].kind, Foreign::Kind::size);
}

TEST(Seen, GoesOnFromACheckpoint) {
  const GenerativeModel model = gaussian_model(2, 6);
  const auto train = [&](const std::filesystem::path& folder, std::int64_t stop_after) {
    TrainerOptions options{.threads = 1, .checkpoint_path = folder};
    std::int64_t steps = 0;
    options.progress = [&](const Progress&) {
      if (++steps == stop_after) throw std::runtime_error("stop");
      return Control::proceed;
    };
    AmortizedPosterior amortizer = tiny_posterior();
    Trainer trainer(amortizer, model, options);
    const TrainingSummary run = trainer.train_online({.epochs = 2, .iterations_per_epoch = 150});
    return std::pair(*amortizer.seen(), run.convergence);
  };
  const TemporaryFolder whole, parts;
  const auto [seen, convergence] = train(whole.path(), -1);
  EXPECT_THROW((void)train(parts.path(), 75), std::runtime_error);
  EXPECT_THROW((void)train(parts.path(), 120), std::runtime_error);
  const auto [again, convergence_again] = train(parts.path(), -1);
  EXPECT_EQ(seen.data_sets, again.data_sets);
  ASSERT_EQ(seen.of(roles::summary_conditions).size(), again.of(roles::summary_conditions).size());
  for (std::size_t j = 0; j < 2; ++j) {
    EXPECT_EQ(seen.of(roles::summary_conditions)[j].square, again.of(roles::summary_conditions)[j].square);
    EXPECT_EQ(seen.of(roles::parameters)[j].low, again.of(roles::parameters)[j].low);
    EXPECT_EQ(seen.summaries[j].high, again.summaries[j].high);
  }
  EXPECT_TRUE(std::isfinite(convergence.gain_per_doubling));
  EXPECT_EQ(convergence.gain_per_doubling, convergence_again.gain_per_doubling);
  EXPECT_EQ(convergence.sentence, convergence_again.sentence);
  // A call that had ended returns it as well.
  EXPECT_EQ(train(whole.path(), -1).second.sentence, convergence.sentence);
}

TEST(Convergence, IsToldUnderAnySchedule) {
  const GenerativeModel model = gaussian_model(2, 6);
  const Batch fresh = default_configurator(model.simulate(1000, 5, "fresh", 0));
  struct Result {
    Convergence told;
    double loss;
  };
  const auto run = [&](std::int64_t steps, nn::Schedule rate) {
    AmortizedPosterior amortizer = tiny_posterior();
    Trainer trainer(amortizer, model, {.seed = 2, .threads = 2});
    const TrainingSummary summary = trainer.train_online(
        {.epochs = 1, .iterations_per_epoch = steps, .run = {.optimizer = nn::OptimizerOptions{.learning_rate = std::move(rate)}}});
    return Result{summary.convergence, amortizer.compute_loss(fresh)["loss"]};
  };
  for (const bool cosine : {true, false}) {
    const auto rate = [&](double peak, std::int64_t steps) { return cosine ? nn::cosine(peak, steps) : nn::constant(peak); };
    const Result soon = run(250, rate(7e-4, 250)), twice = run(500, rate(7e-4, 500));
    const double gain = soon.loss - twice.loss;
    EXPECT_GT(gain, 0.1);
    EXPECT_GT(soon.told.gain_per_doubling, 0.2 * gain) << soon.told.sentence;
    EXPECT_LT(soon.told.gain_per_doubling, 5 * gain) << soon.told.sentence;
    EXPECT_NE(soon.told.sentence.find("Training has not converged: train longer."), std::string::npos) << soon.told.sentence;
    const Convergence late = run(6000, rate(2e-3, 6000)).told;
    EXPECT_LT(late.gain_per_doubling, 0.05) << late.sentence;
    EXPECT_GT(late.standard_error, 0);
    EXPECT_NE(late.sentence.find("A run of twice as many steps would gain about "), std::string::npos) << late.sentence;
  }
  EXPECT_EQ(run(20, nn::constant(1e-3)).told.sentence, "");
}

struct Tails {
  double wild = 0;   ///< draws more than ten exact standard deviations from the exact mean, in 10,000
  double stray = 0;  ///< draws more than ten of their own standard deviations, by their quartiles, from their median, in 10,000
  double loss = 0;
};

/// theta ~ N(0, 1), four observations N(theta, 0.05), after 1,500 steps of 128.
Tails tails(const CouplingOptions& coupling, std::uint64_t seed) {
  AmortizedPosterior amortizer(
      InvertibleNetwork({.num_params = 1, .num_coupling_layers = 4, .coupling_design = CouplingDesign::spline, .coupling = coupling}));
  const GenerativeModel model(Prior([](Rng& rng) { return rng.normal({1}); }),
                              Simulator([](const Array& theta, Rng& rng) { return rng.normal({4}, theta[0], 0.05); }));
  const Configurator configurator = [](const Simulations& s) {
    return Batch{{roles::parameters, s.prior_draws}, {roles::direct_conditions, s.sim_data}};
  };
  Trainer trainer(amortizer, model, {.configurator = configurator, .seed = seed, .threads = 2});
  (void)trainer.train_online({.epochs = 1, .iterations_per_epoch = 1500, .batch_size = 128});
  const Batch fresh = configurator(model.simulate(100, 7, "fresh", 0));
  Tails out{.loss = amortizer.compute_loss(fresh)["loss"]};
  const Array draws = amortizer.sample(fresh, 5000);
  const double sd = 1 / std::sqrt(1 + 4 / 0.0025);
  for (std::int64_t b = 0; b < 100; ++b) {
    double mean = 0;
    for (std::int64_t i = 0; i < 4; ++i) mean += (fresh[roles::direct_conditions])(b, i) / 0.0025 * sd * sd;
    std::vector<double> x(draws.data() + b * 5000, draws.data() + (b + 1) * 5000);
    std::ranges::sort(x);
    const double median = x[2500], own = (x[3750] - x[1250]) / 1.349;
    for (const double v : x) {
      out.wild += std::abs(v - mean) > 10 * sd ? 0.02 : 0;
      out.stray += std::abs(v - median) > 10 * own ? 0.02 : 0;
    }
  }
  return out;
}

TEST(SlowSplines, HaveNoWildTails) {
  CouplingOptions of_v1 = unregularized_coupling();
  of_v1.location_scale = false;
  const Tails old = tails(of_v1, 1);
  EXPECT_GT(old.wild, 5);  // the fault, which the default does not have
  for (const std::uint64_t seed : {1U, 2U}) {
    const Tails plain = tails(unregularized_coupling(), seed);
    EXPECT_EQ(plain.wild, 0);
    EXPECT_LT(plain.loss, old.loss + 0.02);
    // Dropout and weight decay widen the posterior of data far out, of affine flows too; draws do not stray from the others.
    const Tails regularized = tails(CouplingOptions{}, seed);
    EXPECT_LE(regularized.stray, 0.05);
    EXPECT_LE(regularized.wild, 25);
  }
}

TEST(Splines, WithAScaleAndAShiftAreInvertibleAndKeptInFiles) {
  const CouplingOptions coupling = tiny_coupling();
  CouplingOptions v1 = tiny_coupling(), half = tiny_coupling();
  v1.location_scale = false;
  half.scale_gain = 0.5;
  const auto flow = [&](CouplingOptions c) {
    return InvertibleNetwork({.num_params = 3, .num_coupling_layers = 2, .coupling_design = CouplingDesign::spline, .coupling = c});
  };
  AmortizedPosterior amortizer(flow(coupling), tiny_deep_set()), plain(flow(v1), tiny_deep_set()), slower(flow(half), tiny_deep_set());
  const GenerativeModel model = gaussian_model(3, 6);
  for (AmortizedPosterior* a : {&amortizer, &plain, &slower}) {
    Trainer trainer(*a, model, {.threads = 1, .default_lr = 5e-3});
    (void)trainer.train_online({.epochs = 1, .iterations_per_epoch = 100});
  }
  EXPECT_GT(amortizer.num_weights(), plain.num_weights());
  const Batch fresh = default_configurator(model.simulate(5, 3, "fresh", 0));
  const AmortizedPosterior::Forward there = amortizer.forward(fresh);
  const Array back = amortizer.sample_from_latent(fresh, there.z.expand_dims(1));
  for (std::int64_t i = 0; i < 15; ++i) EXPECT_NEAR(back.data()[i], fresh.array(roles::parameters).data()[i], 1e-4);
  // The log-determinant is that of the map: the determinant of differences.
  constexpr double kStep = 2e-3;  // splines bend at their knots
  for (std::int64_t b = 0; b < 5; ++b) {
    double j[3][3];
    for (std::int64_t k = 0; k < 3; ++k) {
      Batch up = fresh, down = fresh;
      up.update(roles::parameters, [&](Array& a) { a(b, k) += kStep; });
      down.update(roles::parameters, [&](Array& a) { a(b, k) -= kStep; });
      const Array high = amortizer.forward(up).z, low = amortizer.forward(down).z;
      for (std::int64_t i = 0; i < 3; ++i) j[i][k] = (high(b, i) - low(b, i)) / (2 * kStep);
    }
    const double det = j[0][0] * (j[1][1] * j[2][2] - j[1][2] * j[2][1]) - j[0][1] * (j[1][0] * j[2][2] - j[1][2] * j[2][0]) +
                       j[0][2] * (j[1][0] * j[2][1] - j[1][1] * j[2][0]);
    EXPECT_NEAR(there.log_det_J[b], std::log(std::abs(det)), 0.05);
  }
  const TemporaryFolder folder;
  for (const AmortizedPosterior* a : {&amortizer, &plain, &slower}) {
    a->save(folder / "model.h5");
    EXPECT_EQ(load_amortizer(folder / "model.h5").sample(fresh, 10), a->sample(fresh, 10));
  }
}

TEST(ValidationSplit, HoldsAShareOutOfGivenSimulations) {
  const Simulations data = gaussian_model(2, 4).simulate(200, 1, "data", 0);
  const auto run = [&](OfflineOptions options) {
    AmortizedPosterior amortizer = tiny_posterior();
    Trainer trainer(amortizer, TrainerOptions{.threads = 1});
    return trainer.train_offline(data, options);
  };
  const TrainingSummary split = run({.epochs = 2, .batch_size = 10, .validation_split = 0.1});
  EXPECT_EQ(split.history.steps.size(), 36U);
  EXPECT_TRUE(split.history.epochs[1].validated);
  EXPECT_NE(split.call.find(", validation_split = 0.1, "), std::string::npos) << split.call;
  const auto refused = [&](OfflineOptions options) {
    try {
      (void)run(std::move(options));
      return std::string();
    } catch (const ConfigurationError& error) {
      return std::string(error.what());
    }
  };
  EXPECT_EQ(refused({.validation_split = 1}), "OfflineOptions::validation_split = 1; it must be at least 0 and less than 1");
  EXPECT_EQ(refused({.validation_split = 0.001}),
            "OfflineOptions::validation_split = 0.001; of 200 simulations 0 would be held out; give more, or another share");
  EXPECT_EQ(refused({.validation_split = 0.1, .run = {.validation_sims = data}}),
            "OfflineOptions::validation_split = 0.1; with validation_sims there is no need of it: leave one of them out");
}

}  // namespace
}  // namespace bayesflow
