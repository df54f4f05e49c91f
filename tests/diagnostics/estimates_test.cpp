/// Recovery, contraction, latents, losses, model comparison, log scores, tables.
#include <algorithm>
#include <bit>
#include <charconv>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <sstream>

#include "bayesflow/core/errors.hpp"
#include "bayesflow/diagnostics/latent.hpp"
#include "bayesflow/diagnostics/losses.hpp"
#include "bayesflow/diagnostics/model_comparison.hpp"
#include "bayesflow/diagnostics/recovery.hpp"
#include "diagnostics/support_posterior.hpp"
#include "io/archive.hpp"

namespace bayesflow::diagnostics {
namespace {

TEST(Recovery, BySummaries) {
  const Array draws({2, 4, 1}, std::vector<double>{1, 2, 3, 10, 0, 0, 4, 4}), truths({2, 1}, std::vector<double>{2, 3});
  const Recovery r = recovery(draws, truths, {.point = mean(), .spread = standard_deviation()});
  EXPECT_EQ(r.estimates, Array({2, 1}, std::vector<double>{4, 2}));
  EXPECT_NEAR((*r.spreads)(0, 0), std::sqrt(50.0 / 3), 1e-14);
  EXPECT_NEAR(r.bias[0].value, 0.5, 1e-15);
  EXPECT_NEAR(r.rmse[0].value, std::sqrt(2.5), 1e-15);
  EXPECT_NEAR(r.r2[0].value, 1 - 5 / 0.5, 1e-14);
  EXPECT_NEAR(r.r[0].value, -1, 1e-14);
  EXPECT_NEAR(r.normalized_rmse[0].value, std::sqrt(2.5 / 0.5), 1e-14);
  EXPECT_NEAR(recovery(draws, truths, {.point = quantile(0.25)}).estimates(0, 0), 1.75, 1e-15);  // NumPy's
  EXPECT_NEAR((*recovery(draws, truths, {.spread = central_interval_half_width(0.5)}).spreads)(0, 0), 0.5 * (4.75 - 1.75), 1e-15);
  EXPECT_FALSE(recovery(draws, truths, {.spread = std::nullopt}).spreads.has_value());
  const DrawSummary largest{"largest", [](std::span<double> v) { return *std::max_element(v.begin(), v.end()); }};
  EXPECT_EQ(recovery(draws, truths, {.point = largest}).estimates(0, 0), 10);
}

/// Jackknife errors against the spread of repetitions.
TEST(Recovery, StandardErrorsAreThoseOfRepetition) {
  const int n = 150;
  double sum[5] = {}, squares[5] = {}, reported[5] = {};
  for (int i = 0; i < n; ++i) {
    const Posterior p = quickstart_posterior(100, 20, 1, static_cast<std::uint64_t>(i));
    const Recovery r = recovery(p.draws, p.truths, {.threads = 1});
    const Estimate e[5] = {r.r2[0], r.r[0], r.rmse[0], r.normalized_rmse[0], r.bias[0]};
    for (int k = 0; k < 5; ++k) {
      sum[k] += e[k].value / n;
      squares[k] += e[k].value * e[k].value / n;
      reported[k] += e[k].standard_error / n;
    }
  }
  for (int k = 0; k < 5; ++k) EXPECT_NEAR(reported[k] / std::sqrt(squares[k] - sum[k] * sum[k]), 1, 0.3) << k;
}

TEST(Recovery, OneDataSetOneDrawAndConstantParameters) {
  const Recovery one = recovery(Array({1, 1, 2}, 3.0), Array({1, 2}, 1.0));
  EXPECT_EQ(one.bias[0].value, 2);
  EXPECT_TRUE(std::isnan(one.bias[0].standard_error));
  EXPECT_TRUE(std::isnan(one.r2[0].value));
  Posterior p = quickstart_posterior(20, 10, 2);
  for (std::int64_t b = 0; b < 20; ++b) p.truths(b, 1) = 5;
  const Recovery constant = recovery(p.draws, p.truths);
  EXPECT_TRUE(std::isnan(constant.r2[1].value) && std::isnan(constant.r[1].value) && std::isnan(constant.normalized_rmse[1].value));
  EXPECT_TRUE(std::isfinite(constant.rmse[1].value) && std::isfinite(constant.r2[0].value));
}

TEST(Recovery, BadInput) {
  Posterior p = quickstart_posterior(5, 6, 2);
  p.draws(3, 4, 1) = NAN;
  EXPECT_EQ(
      sentence<ArgumentError>([&] { (void)recovery(p.draws, p.truths); }),
      "recovery: draws must be finite; 1 of 60 numbers are not, the first is nan at data set 3, draw 4, parameter 1 (counted from 0). "
      "Drop these or mend their source");
  EXPECT_EQ(sentence<ConfigurationError>([&] { (void)recovery(p.draws, p.truths, {.point = {}}); }),
            "RecoveryOptions: point has no function; use median(), mean() or one of your own");
  EXPECT_EQ(sentence<ArgumentError>([] { (void)quantile(1.5); }), "quantile: probability is 1.5; it must be between 0 and 1");
}

TEST(Contraction, ExactPosterior) {
  const Posterior p = quickstart_posterior(300, 200, 2);
  const ZScoreContraction z = z_score_contraction(p.draws, p.truths, {.prior_draws = Rng(1).normal({20000, 2})});
  for (std::size_t k = 0; k < 2; ++k) {
    EXPECT_NEAR(z.mean_contraction[k].value, 50.0 / 51, 4 * z.mean_contraction[k].standard_error);
    EXPECT_NEAR(z.mean_z_score[k].value, 0, 4 * z.mean_z_score[k].standard_error);
    EXPECT_NEAR(z.sd_z_score[k].value, 1, 4 * z.sd_z_score[k].standard_error);
    EXPECT_LT(z.mean_contraction[k].standard_error, 0.01);
  }
}

TEST(Contraction, BadInput) {
  const Posterior p = quickstart_posterior(5, 1, 2);
  EXPECT_EQ(sentence<ArgumentError>([&] { (void)z_score_contraction(p.draws, p.truths); }),
            "z_score_contraction: got 1 draw per data set; a posterior's variance needs at least 2");
  const Posterior one = quickstart_posterior(1, 10, 2);
  EXPECT_EQ(sentence<ArgumentError>([&] { (void)z_score_contraction(one.draws, one.truths); }),
            "z_score_contraction: the prior's variance needs at least 2 data sets; give more, or prior_draws in the options");
  EXPECT_NO_THROW((void)z_score_contraction(one.draws, one.truths, {.prior_draws = Rng(1).normal({50, 2})}));
  // A parameter that never varies has no z-score and no contraction, and does not disturb the others.
  const ZScoreContraction c = z_score_contraction(Array({3, 4, 1}, 2.0), Array({3, 1}, 2.0));
  EXPECT_TRUE(std::isnan(c.z_score(0, 0)) && std::isnan(c.contraction(0, 0)));
}

TEST(AggregatedError, ByUsersFunctions) {
  const Posterior p = quickstart_posterior(6, 5, 2);
  const auto inner = [](const Array& truth, const Array& draws) {
    const Array e = draws - truth;
    return std::sqrt((e * e).mean());
  };
  const auto outer = [](std::span<const double> v) {
    double sum = 0;
    for (const double x : v) sum += x / static_cast<double>(v.size());
    return sum;
  };
  EXPECT_NEAR(aggregated_error(p.draws, p.truths, inner, outer), aggregated_rmse(p.draws, p.truths).value, 1e-14);
}

TEST(LatentNormality, KeepsItsLevelAndFindsFaults) {
  int rejected = 0;
  for (std::uint64_t seed = 0; seed < 300; ++seed) rejected += !latent_normality(Rng(seed).normal({100, 4})).normal;
  EXPECT_LE(rejected, 27);  // 15 expected at most
  EXPECT_GE(rejected, 1);
  Rng rng(3);
  Array z = rng.normal({500, 3});
  for (std::int64_t i = 0; i < 500; ++i) z(i, 1) = 0.4 * z(i, 0) + std::sqrt(0.84) * z(i, 1);
  const LatentNormality l = latent_normality(z);
  EXPECT_FALSE(l.normal);
  EXPECT_NEAR(l.correlation(0, 1), 0.4, 0.15);
  EXPECT_LT(l.correlation_p_value(1, 0), 1e-6);
  EXPECT_GT(l.p_value[1], 0.001);
  EXPECT_EQ(l.names[2], "Latent Dim. 3");
  EXPECT_FALSE(latent_normality(Rng(4).normal({500, 3}, 0.0, 1.3)).normal);
  EXPECT_EQ(sentence<ArgumentError>([] {
              (void)latent_normality(Array({2, 2}));
            }),
            "latent_normality: got 2 latents; skewness and correlations need at least 3");
}

History small_history(std::int64_t epochs, std::int64_t steps, double weight_decay) {
  History h;
  for (std::int64_t e = 0; e < epochs; ++e) {
    for (std::int64_t s = 0; s < steps; ++s) {
      StepRecord r;
      r.losses = {{"loss", static_cast<double>(e * steps + s)}, {"weight_decay", weight_decay}};
      h.steps.push_back(r);
    }
    EpochRecord r;
    r.steps = steps;
    r.validated = e > 0;
    r.validation = {{"loss", 100.0 + static_cast<double>(e)}, {"weight_decay", 0.0}};
    h.epochs.push_back(r);
  }
  return h;
}

TEST(LossCurves, MovingAverageAndComponents) {
  const LossCurves c = losses(small_history(3, 10, 0), {.ma_window_fraction = 0.1});
  EXPECT_EQ(c.names, std::vector<std::string>{"Loss"});  // averaged whatever the column is called
  EXPECT_EQ(c.window, 3);
  EXPECT_EQ(c.moving_average(0, 0), 0);
  EXPECT_EQ(c.moving_average(1, 0), 0.5);
  for (std::int64_t i = 2; i < 30; ++i) EXPECT_NEAR(c.moving_average(i, 0), static_cast<double>(i - 1), 1e-12);
  EXPECT_EQ(c.validation_steps, (std::vector<double>{20, 30}));
  EXPECT_EQ(c.validation(1, 0), 102);
  const LossCurves two = losses(small_history(1, 5, 0.5));
  EXPECT_EQ(two.names, (std::vector<std::string>{"Loss", "W.Decay", "Total"}));
  EXPECT_EQ(two.train(2, 2), 2.5);
  History summarized = small_history(1, 5, 0.5);
  for (StepRecord& step : summarized.steps)
    step.losses = {{"loss", step.losses["loss"]}, {"summary_loss", 10}, {"weight_decay", step.losses["weight_decay"]}};
  summarized.epochs.clear();
  const LossCurves three = losses(summarized);
  EXPECT_EQ(three.names, (std::vector<std::string>{"Loss", "Summary Loss", "W.Decay", "Total"}));
  EXPECT_EQ(three.train(2, 0), 12);  // as it is reported during training
  EXPECT_EQ(three.train(2, 3), 12.5);
  // More validation points than training steps, which v1 cannot draw.
  EXPECT_EQ(losses({"Loss"}, Array({2}), Array({3}), {1, 1, 2}).validation.dim(0), 3);
}

TEST(LossCurves, BadInput) {
  EXPECT_EQ(sentence<ArgumentError>([] { (void)losses(History{}); }), "losses: there are no training steps; train first");
  EXPECT_EQ(sentence<ConfigurationError>([] { (void)losses(small_history(1, 5, 0), {.ma_window_fraction = 0}); }),
            "LossesOptions: ma_window_fraction is 0; it must be above 0 and at most 1");
  EXPECT_EQ(sentence<ShapeError>([] { (void)losses({"Loss"}, Array({2}), Array({3}), {1}); }),
            "losses: got 3 validation losses and 1 validation steps; give one step each");
}

TEST(ModelComparison, CalibratedProbabilitiesShowTheNoiseFloor) {
  const std::int64_t n = 300;
  double error = 0, floor = 0;
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    Rng rng(seed);
    Array p({n, 3}), truth({n});
    const double alpha[] = {1, 1, 1};
    for (std::int64_t i = 0; i < n; ++i) {
      const Array row = rng.dirichlet(alpha);
      p.set_row(i, row);
      truth(i) = static_cast<double>(rng.categorical(row.values()));
    }
    const CalibrationCurves c = expected_calibration_error(truth, p);
    error += c.error[1].value / 60;
    floor += c.noise_floor[1] / 60;
  }
  EXPECT_NEAR(error / floor, 1, 0.1);
}

TEST(ModelComparison, ConfusionHasAllModels) {
  // Model 2 never occurs, model 1 is never predicted.
  const Array p = Array::of({{0.8, 0.1, 0.1}, {0.6, 0.2, 0.2}, {0.1, 0.2, 0.7}});
  const ConfusionMatrix m = confusion_matrix(Array::of({0, 1, 1}), p);
  EXPECT_EQ(m.counts, Array::of({{1, 0, 0}, {1, 0, 1}, {0, 0, 0}}));
  EXPECT_EQ(m.normalized(1, 2), 0.5);
  EXPECT_TRUE(std::isnan(m.normalized(2, 0)));
  EXPECT_NEAR(m.accuracy.value, 1.0 / 3, 1e-15);
  EXPECT_EQ(confusion_matrix(Array::of({{1, 0, 0}, {0, 1, 0}, {0, 1, 0}}), p).counts, m.counts);
  EXPECT_EQ(m.model_names[0], "M_1");
}

TEST(ModelComparison, BadInput) {
  const Array p = Array::of({{0.5, 0.5}, {0.9, 0.1}});
  EXPECT_EQ(sentence<ArgumentError>([&] {
              (void)confusion_matrix(Array::of({0, 2}), p);
            }),
            "confusion_matrix: truths must be whole numbers from 0 to 1; got 2 at 1");
  EXPECT_EQ(sentence<ArgumentError>([&] {
              (void)confusion_matrix(Array::of({{1, 0}, {1, 1}}), p);
            }),
            "confusion_matrix: row 1 of truths is not one-hot; it must hold a single 1 and zeros");
  EXPECT_EQ(sentence<ArgumentError>([&] {
              (void)expected_calibration_error(Array::of({0, 1}), p * 2.0);
            }),
            "expected_calibration_error: probabilities must lie between 0 and 1 and add up to 1 in each row; row 0 adds up to 2");
}

TEST(LogScore, GainOverThePrior) {
  const LogScore s = log_score(Array::of({-1, -3, -2}), {.log_prior = Array::of({-5, -5, -5})});
  EXPECT_EQ(s.mean.value, -2);
  EXPECT_NEAR(s.mean.standard_error, 1 / std::sqrt(3.0), 1e-15);
  EXPECT_EQ(s.gain->value, 3);
  EXPECT_EQ(s.worst_data_set, 1);
  EXPECT_EQ(sentence<ArgumentError>([] {
              (void)log_score(Array::of({-1, -INFINITY}));
            }),
            "log_score: log_posterior must be finite; 1 of 2 numbers are not, the first is -inf at data set 1 (counted from 0). "
            "Drop these or mend their source");
}

TEST(Tables, CsvAndJson) {
  const Table t{"na\"me", {{"x, \"y\"", std::vector<double>{0.1, NAN, -INFINITY}}, {"θ", std::vector<std::string>{"a,b", "<b>\n", "\\"}}}};
  EXPECT_EQ(to_csv(t), "\"x, \"\"y\"\"\",θ\n0.1,\"a,b\"\nnan,\"<b>\n\"\n-inf,\\\n");
  EXPECT_EQ(to_json(std::vector<Table>{t}),
            "{\"na\\\"me\":{\"x, \\\"y\\\"\":[0.1,null,null],\"θ\":[\"a,b\",\"\\u003cb>\\n\",\"\\\\\"]}}\n");
  EXPECT_EQ(t.rows(), 3);
  EXPECT_EQ(t.column("θ").size(), 3);
  EXPECT_EQ(sentence<ArgumentError>([&] { (void)t.column("z"); }), "table na\"me has no column z; it has x, \"y\", θ");
  const std::string path = testing::TempDir() + "bayesflow_table.csv";
  write_csv(t, path);
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  EXPECT_EQ(text.str(), to_csv(t));
  std::remove(path.c_str());
  EXPECT_EQ(sentence<IoError>([&] { write_json(std::vector<Table>{t}, "/nowhere/at/all.json"); }),
            "cannot write \"/nowhere/at/all.json\": No such file or directory; check the path, and create the folder if it does not exist");
}

TEST(Tables, NumbersReadBackAsTheyWere) {
  const double v = 1.0 / 3;
  const std::string csv = to_csv({"t", {{"x", std::vector<double>{v}}}});
  EXPECT_EQ(csv, "x\n0.3333333333333333\n");
  double read = 0;
  std::from_chars(csv.data() + 2, csv.data() + csv.size(), read);
  EXPECT_EQ(read, v);
}

/// What io's own reader finds in a file of tables; tests/report/tables_test.py reads one with h5py.
TEST(Tables, Hdf5GivesBackEveryBit) {
  const std::vector<Table> tables{
      {"b", {{"z", std::vector<double>{0.1, NAN, -INFINITY, 1.0 / 3}}, {"a/θ", std::vector<std::string>{"", "a,b", "θ\n", "\\"}}}},
      {"a", {{"", std::vector<double>{}}, {"", std::vector<double>{2}}, {"none", std::vector<std::string>{}}}},
      {"b", {{".", std::vector<double>{3}}}}};
  const std::string path = testing::TempDir() + "bayesflow_tables.h5";
  write_hdf5(tables, path);
  const io::ArchiveReader in(path, {.kind = "tables", .version = 1});
  EXPECT_EQ(in.attribute<std::vector<std::string>>("columns"), (std::vector<std::string>{"b/z", "b/a/θ", "a/", "a/", "a/none", "b/."}));
  const auto datasets = in.attribute<std::vector<std::string>>("datasets");
  EXPECT_EQ(datasets, (std::vector<std::string>{"b/z", "b/a_θ", "a/_", "a/__2", "a/none", "b_2/_"}));
  EXPECT_EQ(in.paths().size(), datasets.size());
  std::size_t d = 0;
  for (const Table& t : tables)
    for (const Column& c : t.columns) {
      const std::string& at = datasets[d++];
      if (const auto* numbers = std::get_if<std::vector<double>>(&c.values)) {
        const std::vector<double> found = in.array<double>(at);
        ASSERT_EQ(found.size(), numbers->size()) << at;
        for (std::size_t i = 0; i < found.size(); ++i)
          EXPECT_EQ(std::bit_cast<std::uint64_t>(found[i]), std::bit_cast<std::uint64_t>((*numbers)[i])) << at;
        continue;
      }
      const auto& texts = std::get<std::vector<std::string>>(c.values);
      const std::vector<std::uint8_t> bytes = in.array<std::uint8_t>(at);
      const auto width = static_cast<std::size_t>(in.shape(at)[1]);
      ASSERT_EQ(bytes.size(), texts.size() * width) << at;
      for (std::size_t i = 0; i < texts.size(); ++i) {
        const std::string cell(reinterpret_cast<const char*>(bytes.data()) + i * width, width);
        EXPECT_EQ(cell.substr(0, cell.find('\0')), texts[i]) << at;
      }
    }
  // Equal tables, equal bytes.
  const auto read = [](const std::string& name) {
    std::ifstream file(name, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(file), {});
  };
  const std::string before = read(path);
  write_hdf5(tables, path);
  EXPECT_EQ(read(path), before);
  std::remove(path.c_str());
  EXPECT_NE(sentence<IoError>([&] { write_hdf5(tables, "/nowhere/at/all.h5"); }).find("/nowhere/at/all.h5"), std::string::npos);
}

}  // namespace
}  // namespace bayesflow::diagnostics
