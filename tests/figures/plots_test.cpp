#include "bayesflow/figures/plots.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "bayesflow/core/errors.hpp"
#include "figures/plots_common.hpp"
#include "figures/support_cases.hpp"
#include "support/expect.hpp"
#include "support/sanitized.hpp"

namespace bayesflow {
namespace {

using namespace figures;

/// Something that shows data, not only a line of reference or a text.
bool shows_data(const Panel& panel) {
  for (const Element& e : panel.elements)
    if (!std::holds_alternative<Text>(e) && !std::holds_alternative<Rule>(e) && !std::holds_alternative<Band>(e)) return true;
  return false;
}

TEST(Plots, NoFigureHasAnEmptyPanel) {
  for (const std::int64_t parameters : support::cases({2, 1, 5, 7, 13})) {
    const auto figures = test::all_figures(parameters);
    EXPECT_EQ(figures.size(), 23U);
    for (const auto& [name, figure] : figures) {
      std::set<std::pair<std::int64_t, std::int64_t>> places;
      for (const Panel& panel : figure.panels) {
        EXPECT_TRUE(shows_data(panel)) << name << " " << parameters;
        EXPECT_TRUE(places.emplace(panel.row, panel.column).second);
      }
      EXPECT_FALSE(figure.title.empty()) << name;
      EXPECT_FALSE(figure.description.empty()) << name;
      const std::string svg = figure.svg();
      EXPECT_EQ(svg.find("nan"), std::string::npos) << name;
      EXPECT_EQ(svg.find("<B>"), std::string::npos) << name;
    }
  }
}

TEST(Plots, GridFollowsV1sRuleForOneToFortyParameters) {
  for (std::int64_t count = 1; count <= 40; ++count) {
    const std::int64_t rows = (count + 5) / 6, columns = (count + rows - 1) / rows;
    const auto panels = grid_panels(count, {}, "f");
    ASSERT_EQ(panels.size(), static_cast<std::size_t>(count));
    for (std::int64_t i = 0; i < count; ++i) {
      EXPECT_EQ(panels[static_cast<std::size_t>(i)].row, i / columns);
      EXPECT_EQ(panels[static_cast<std::size_t>(i)].column, i % columns);
    }
    EXPECT_LT(panels.back().row, rows);
  }
}

TEST(Plots, GridMayBeChosen) {
  EXPECT_EQ(grid_panels(5, {.columns = 1}, "f").back().row, 4);
  EXPECT_EQ(grid_panels(5, {.rows = 1}, "f").back().column, 4);
  try {
    (void)grid_panels(5, {.rows = 2, .columns = 2}, "plot_recovery");
    FAIL();
  } catch (const ArgumentError& e) {
    EXPECT_STREQ(e.what(), "plot_recovery: a PanelGrid of 2 rows and 2 columns has no room for 5 panels");
  }
}

TEST(Plots, FortyParametersFit) {
  const auto data = test::example(50, 19, 40);
  const auto ranks = diagnostics::sbc_ranks(data.draws, data.truths);
  for (const Figure& figure :
       {plot_recovery(diagnostics::recovery(data.draws, data.truths)), plot_sbc_histograms(diagnostics::sbc_histograms(ranks)),
        plot_sbc_ecdf(diagnostics::sbc_ecdf(ranks)), plot_coverage(diagnostics::coverage(ranks))}) {
    EXPECT_EQ(figure.panels.size(), 40U);
    EXPECT_GT(figure.svg().size(), 10000U);
  }
}

TEST(Plots, RecoveryShowsItsNumbers) {
  const auto data = test::example(80, 19, 2);
  const auto numbers = diagnostics::recovery(data.draws, data.truths);
  Figure figure = plot_recovery(numbers);
  EXPECT_EQ(figure.panels[1].subtitle, "$R^2$ = " + decimals(numbers.r2[1].value) + "  ·  $r$ = " + decimals(numbers.r[1].value));
  const auto& points = std::get<Points>(figure.panels[1].elements[0]);
  for (std::size_t i = 0; i < 80; ++i) {
    const auto b = static_cast<std::int64_t>(i);
    EXPECT_EQ(points.x[i], numbers.truths(b, 1));
    EXPECT_EQ(points.y[i], numbers.estimates(b, 1));
    EXPECT_EQ(points.low[i], numbers.estimates(b, 1) - (*numbers.spreads)(b, 1));
    EXPECT_EQ(points.high[i], numbers.estimates(b, 1) + (*numbers.spreads)(b, 1));
  }
  EXPECT_EQ(plot_recovery(numbers, {.add_r2 = false, .add_corr = false}).panels[0].subtitle, "");
  EXPECT_EQ(std::get<Points>(plot_recovery(numbers, {.max_points = 40}).panels[0].elements[0]).x.size(), 40U);
}

TEST(Plots, EarlyLossesDoNotHideTheRest) {
  Array train({1000, 1}, 1.0);
  for (std::int64_t i = 0; i < 1000; ++i) train(i, 0) = i < 5 ? 1e6 : 0.001 * static_cast<double>(i % 7);
  const Figure figure = plot_losses(diagnostics::losses({"Loss"}, train, Array({0, 1}), {}));
  ASSERT_TRUE(figure.panels[0].y.high.has_value());
  EXPECT_LT(*figure.panels[0].y.high, 1);
  EXPECT_NE(figure.svg().find("5 steps above, up to 1e+06"), std::string::npos);
}

TEST(Plots, NegativeContractionIsSeen) {
  auto data = test::example(50, 49, 1);
  for (double& v : data.draws.values()) v *= 4;  // wider than the prior
  const auto numbers = diagnostics::z_score_contraction(data.draws, data.truths);
  ASSERT_LT(numbers.contraction.min(), -0.5);
  EXPECT_LT(*plot_z_score_contraction(numbers).panels[0].x.low, numbers.contraction.min());
}

TEST(Plots, MmdWithoutAnObservationDoesNotListIt) {
  diagnostics::MmdHypothesisTest test;
  for (int i = 0; i < 50; ++i) test.mmd_null.push_back(0.1 + 0.001 * i);
  test.critical_value = 0.14;
  test.alpha_level = 0.29;
  test.mmd_observed = std::nan("");
  EXPECT_EQ(plot_mmd_hypothesis_test(test).svg().find(">Observed<"), std::string::npos);
  EXPECT_NE(plot_mmd_hypothesis_test(test).svg().find("Rejection area, 29 %"), std::string::npos);  // not 28 %
  test.mmd_observed = 0.2;
  EXPECT_NE(plot_mmd_hypothesis_test(test).svg().find(">Observed<"), std::string::npos);
}

TEST(Plots, QuantitiesThatAreNeverNegativeHaveNoDensityBelowZero) {
  diagnostics::MmdHypothesisTest test;  // as unbiased estimates are, half of them cut off at 0
  for (int i = 0; i < 100; ++i) test.mmd_null.push_back(i < 50 ? 0.0 : 0.01 * (i - 49));
  test.critical_value = 0.45;
  test.mmd_observed = 0.3;
  const auto lowest = [](const Figure& figure) {
    double low = 1e9;
    for (const auto& element : figure.panels[0].elements)
      if (const auto* line = std::get_if<Line>(&element)) low = std::min(low, *std::min_element(line->x.begin(), line->x.end()));
    return low;
  };
  EXPECT_EQ(lowest(plot_mmd_hypothesis_test(test)), 0);
  diagnostics::PosteriorPredictive predictive;
  predictive.statistics = {"sd"};
  predictive.simulated = Array({1, 100, 1});
  for (int i = 0; i < 100; ++i) predictive.simulated(0, i, 0) = 0.01 * (i % 30);
  predictive.observed = Array({1, 1}, 0.1);
  predictive.p_value = Array({1, 1}, 0.5);
  EXPECT_EQ(lowest(plot_posterior_predictive(predictive)), 0);
  predictive.simulated(0, 0, 0) = -0.1;  // a quantity that may be negative
  EXPECT_LT(lowest(plot_posterior_predictive(predictive)), -0.1);
}

TEST(Plots, ConfusionMatrixMarksModelsThatNeverOccur) {
  const Array truths = Array::of({0, 0, 1}), probabilities = Array::of({{0.8, 0.1, 0.1}, {0.6, 0.2, 0.2}, {0.1, 0.9, 0.0}});
  EXPECT_NE(plot_confusion_matrix(diagnostics::confusion_matrix(truths, probabilities)).svg().find(">–<"), std::string::npos);
}

TEST(Plots, StackedEcdfOfManyNamesOnlyThoseOutside) {
  const auto data = test::example(100, 49, 30);
  const auto ecdf = diagnostics::sbc_ecdf(diagnostics::sbc_ranks(data.draws, data.truths), {.over_all_parameters = true});
  const Figure figure = plot_sbc_ecdf(ecdf, {.stacked = true});
  ASSERT_EQ(figure.panels.size(), 1U);
  EXPECT_EQ(figure.panels[0].elements.size(), 31U);  // band and every curve
  EXPECT_NE(figure.svg().find("parameters inside of the band"), std::string::npos);
}

TEST(Plots, PairsOfSomeParameters) {
  const auto pairs = diagnostics::pairs(Rng(1).normal({200, 5}));
  const Figure figure = plot_posterior_2d(pairs, {.parameters = {4, 0}});
  EXPECT_EQ(figure.panels.size(), 3U);
  EXPECT_EQ(figure.panels[1].x.label, "$\\theta_{5}$");
  EXPECT_THROW((void)plot_posterior_2d(pairs, {.parameters = {5}}), ArgumentError);
}

TEST(Plots, BandsOfSeriesHaveTimesAndNames) {
  const Simulator simulator([](const Array& theta, Rng&) { return Array({5, 2}, theta[0]); });
  const auto bands = diagnostics::pushforward(Rng(1).normal({20, 1}), simulator);
  const Figure figure = plot_pushforward(bands, {.times = {2000, 2001, 2002, 2003, 2004}, .variable_names = {"cases", "deaths"}});
  EXPECT_EQ(figure.panels[1].title, "deaths");
  EXPECT_EQ(figure.panels[0].x.label, "Time");
  EXPECT_EQ(std::get<Band>(figure.panels[0].elements[0]).x.front(), 2000);
  EXPECT_EQ(sentence<ArgumentError>([&] { (void)plot_pushforward(bands, {.times = {1}}); }),
            "plot_pushforward: PredictivePlotOptions::times has 1 numbers; a data set has 5 along its first axis");
  EXPECT_EQ(sentence<ArgumentError>([&] { (void)plot_pushforward(bands, {.variable_names = {"cases"}}); }),
            "plot_pushforward: PredictivePlotOptions::variable_names has 1 names for 2 variables; give one each");
}

TEST(Plots, LocalTestsMayBeChosen) {
  diagnostics::Lc2st test;
  test.p_value = test.statistic = std::vector<double>(20, 0.5);
  test.levels = {0, 1};
  test.ecdf = test.band_lower = test.band_upper = Array({20, 2}, 1.0);
  EXPECT_EQ(plot_lc2st(test).panels.size(), 12U);
  EXPECT_EQ(plot_lc2st(test, {.data_sets = {19}}).panels[0].title, "Data set 19");
  EXPECT_EQ(sentence<ArgumentError>([&] { (void)plot_lc2st(test, {.data_sets = {20}}); }),
            "plot_lc2st: Lc2stPlotOptions::data_sets has 20; there are data sets 0 to 19");
}

TEST(Plots, LinesOfSensitivityLieBetweenCells) {
  diagnostics::Sensitivity grid{{"a", {1, 2, 4}, 3.0}, {"b", {0, 1}, {}}, Array({3, 2}, 1.0), {}};
  const Figure figure = plot_sensitivity(grid);
  EXPECT_EQ(std::get<Rule>(figure.panels[0].elements[1]).position, 1.5);
  EXPECT_EQ(figure.panels[0].elements.size(), 2U);
  EXPECT_EQ(sentence<ArgumentError>([&] { (void)plot_sensitivity(grid, {.summary_mmd = true}); }),
            "plot_sensitivity: there is no summary MMD, because the amortizer has no summary network; draw the posterior error");
}

}  // namespace
}  // namespace bayesflow
