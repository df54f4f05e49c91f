/// Ranks, coverage, and model probabilities.
#include <algorithm>

#include "bayesflow/core/errors.hpp"
#include "figures/plots_common.hpp"

namespace bayesflow {
using namespace figures;

namespace {

/// A curve that is constant within each bin.
Band stepped_band(const std::vector<std::int64_t>& edges, const std::vector<double>& low, const std::vector<double>& high) {
  Band band;
  for (std::size_t k = 0; k < low.size(); ++k)
    for (const std::int64_t edge : {edges[k], edges[k + 1]}) {
      band.x.push_back(static_cast<double>(edge));
      band.low.push_back(low[k]);
      band.high.push_back(high[k]);
    }
  return band;
}

// After the main colour: hues that stay apart for colour-blind readers (Okabe and Ito 2008), darkened for thin lines on white; every
// round through them has another dash.
constexpr const char* kCycle[] = {"#8f2727", "#0072b2", "#e08a1e", "#00785a", "#b0538e", "#4d4d4d"};

/// Few parameters have a colour each. Of many, those inside of the band are pale and nameless; the others are what matters.
void stack_curves(Panel& panel, const diagnostics::SbcEcdf& ecdf, const std::string& first_color) {
  constexpr std::size_t kFew = 12, kNamed = 9;
  constexpr Dash kDashes[] = {Dash::solid, Dash::dashed, Dash::dotted};
  const std::size_t count = ecdf.param_names.size();
  std::size_t inside = 0, next = 0;
  for (const bool in : ecdf.inside) inside += in;
  for (const bool pale : {true, false})
    for (std::size_t j = 0; j < count; ++j) {
      if ((count > kFew && ecdf.inside[j]) != pale) continue;
      Line line{.x = ecdf.points, .y = row_of(ecdf.ecdf, static_cast<std::int64_t>(j))};
      if (pale) {
        line.color = kGrey;
        line.width = 0.8;
        line.label = counted(static_cast<std::int64_t>(inside), "parameter") + " inside of the band";
      } else if (count > kFew && next >= kNamed) {
        line.color = kBlack;
        line.width = 0.8;
        line.label = counted(static_cast<std::int64_t>(count - inside - kNamed), "more parameter") + " outside";
      } else {
        line.color = next == 0 ? first_color : kCycle[next % std::size(kCycle)];
        line.dash = kDashes[next / std::size(kCycle) % 3];
        line.label = name_markup(ecdf.param_names[j]);
        ++next;
      }
      panel.elements.emplace_back(std::move(line));
    }
}

}  // namespace

Figure plot_sbc_histograms(const diagnostics::SbcHistograms& histograms, const SbcHistogramPlotOptions& options) {
  const auto count = static_cast<std::int64_t>(histograms.param_names.size());
  Figure figure = square_panels("Simulation-based calibration: ranks", count, options.grid, "plot_sbc_histograms");
  figure.panel_height *= 0.8;
  figure.share_x = figure.share_y = true;
  double highest = 0;
  for (const double c : histograms.counts.values()) highest = std::max(highest, c);
  for (const double c : histograms.simultaneous_upper) highest = std::max(highest, c);
  for (std::int64_t j = 0; j < count; ++j) {
    const auto k = static_cast<std::size_t>(j);
    Panel& panel = figure.panels[k];
    panel.title = name_markup(histograms.param_names[k]);
    panel.subtitle = histograms.inside[k] ? "inside of the limits" : "outside of the limits";
    panel.x = {.label = "Rank statistic", .low = 0, .high = static_cast<double>(histograms.num_draws + 1)};
    panel.y = {.label = "Data sets", .low = 0, .high = 1.08 * std::max(highest, 1.0)};
    Band band = stepped_band(histograms.first_rank, histograms.lower, histograms.upper);
    band.opacity = 0.3;
    band.label = fmt::format("{} % interval of each bar", percent(histograms.binomial_interval));
    panel.elements.emplace_back(std::move(band));
    Bars bars{.left = {},
              .right = {},
              .height = row_of(histograms.counts, j),
              .color = options.hist_color,
              .opacity = 0.85,
              .label = "Data sets"};
    for (std::size_t b = 0; b + 1 < histograms.first_rank.size(); ++b) {
      bars.left.push_back(static_cast<double>(histograms.first_rank[b]));
      bars.right.push_back(static_cast<double>(histograms.first_rank[b + 1]));
    }
    panel.elements.emplace_back(std::move(bars));
    const Band expected = stepped_band(histograms.first_rank, histograms.expected, histograms.expected);
    panel.elements.emplace_back(Line{.x = expected.x, .y = expected.low, .color = kBlack, .width = 1, .label = "Expected"});
    const Band all = stepped_band(histograms.first_rank, histograms.simultaneous_lower, histograms.simultaneous_upper);
    const std::string label = fmt::format("{} % limits of all bars together", percent(histograms.simultaneous_interval));
    panel.elements.emplace_back(Line{.x = all.x, .y = all.low, .color = kBlack, .width = 0.8, .dash = Dash::dashed, .label = label});
    panel.elements.emplace_back(Line{.x = all.x, .y = all.high, .color = kBlack, .width = 0.8, .dash = Dash::dashed, .label = label});
  }
  figure.description =
      fmt::format("Histograms of the ranks of true values among {} posterior draws, over {}. Flat within the grey interval is calibrated.",
                  histograms.num_draws, counted(histograms.num_data_sets, "data set"));
  return figure;
}

Figure plot_sbc_ecdf(const diagnostics::SbcEcdf& ecdf, const SbcEcdfPlotOptions& options) {
  Figure figure;
  figure.title = "Simulation-based calibration: rank ECDF";
  figure.share_x = figure.share_y = true;
  const auto count = static_cast<std::int64_t>(ecdf.param_names.size());
  figure.panel_width = figure.panel_height = panel_size(count);
  figure.panels = grid_panels(options.stacked ? std::min<std::int64_t>(count, 1) : count, options.stacked ? PanelGrid{} : options.grid,
                              "plot_sbc_ecdf");
  if (options.stacked) figure.panel_width = figure.panel_height = 240;
  double reach = 0;
  if (ecdf.difference) {
    for (const double v : ecdf.ecdf.values()) reach = std::max(reach, std::abs(v));
    for (const auto* side : {&ecdf.band_lower, &ecdf.band_upper})
      for (const double v : *side) reach = std::max(reach, std::abs(v));
  }
  const bool band_of_all = ecdf.over_all_parameters && count > 1;
  for (std::size_t k = 0; k < figure.panels.size(); ++k) {
    Panel& panel = figure.panels[k];
    panel.x = {.label = "Fractional rank statistic", .low = 0, .high = 1};
    if (ecdf.difference)
      panel.y = {.label = "ECDF difference", .low = -1.1 * reach, .high = 1.1 * reach};
    else
      panel.y = {.label = "ECDF", .low = 0, .high = 1};
    panel.elements.emplace_back(
        Band{.x = ecdf.points,
             .low = ecdf.band_lower,
             .high = ecdf.band_upper,
             .color = options.fill_color,
             .opacity = 0.25,
             .label = fmt::format("{} % confidence band{}", percent(ecdf.confidence), band_of_all ? " of all parameters" : "")});
    if (!options.stacked) {
      panel.title = name_markup(ecdf.param_names[k]);
      panel.subtitle = p_value_text(ecdf.p_value[k]) + (ecdf.inside[k] ? "" : "  ·  outside");
      panel.elements.emplace_back(Line{.x = ecdf.points,
                                       .y = row_of(ecdf.ecdf, static_cast<std::int64_t>(k)),
                                       .color = options.rank_ecdf_color,
                                       .width = 1.6,
                                       .label = "Rank ECDF"});
      continue;
    }
    stack_curves(panel, ecdf, options.rank_ecdf_color);
  }
  figure.description = fmt::format(
      "Empirical distribution of the ranks of true values among posterior draws, of {} over {}. Curves inside of the grey band are "
      "calibrated within Monte-Carlo error.",
      counted(count, "parameter"), counted(ecdf.ranks.dim(0), "data set"));
  return figure;
}

Figure plot_coverage(const diagnostics::Coverage& coverage, const CoveragePlotOptions& options) {
  const auto count = static_cast<std::int64_t>(coverage.param_names.size());
  Figure figure = square_panels("Coverage of central credible intervals", count, options.grid, "plot_coverage");
  figure.share_x = figure.share_y = true;
  for (std::int64_t j = 0; j < count; ++j) {
    const auto k = static_cast<std::size_t>(j);
    Panel& panel = figure.panels[k];
    panel.title = name_markup(coverage.param_names[k]);
    panel.subtitle = fmt::format("error {} ± {}{}", decimals(coverage.calibration_error[k].value),
                                 decimals(coverage.calibration_error[k].standard_error), coverage.inside[k] ? "" : "  ·  outside");
    panel.x = {.label = "Level of the interval", .low = 0, .high = 1};
    panel.y = {.label = "Truths inside", .low = 0, .high = 1};
    panel.elements.emplace_back(
        Band{.x = coverage.levels,
             .low = coverage.band_lower,
             .high = coverage.band_upper,
             .opacity = 0.25,
             .label = fmt::format("{} % band of an exact posterior, all levels together", percent(coverage.band_coverage))});
    panel.elements.emplace_back(Rule{.kind = Rule::Kind::diagonal, .color = "#4d4d4d", .width = 0.8});
    panel.elements.emplace_back(Line{.x = coverage.levels, .y = row_of(coverage.coverage, j), .color = options.color, .width = 1.6});
    panel.elements.emplace_back(Points{
        .x = coverage.levels, .y = row_of(coverage.coverage, j), .color = options.color, .size = 3.2, .label = "Share of truths inside"});
  }
  figure.description = fmt::format(
      "Share of {} whose true value lies in the central credible interval, against the interval's level. Curves below the diagonal "
      "are overconfident, above it underconfident.",
      counted(coverage.num_data_sets, "data set"));
  return figure;
}

Figure plot_tarp(const diagnostics::Tarp& tarp, const TarpPlotOptions& options) {
  Figure figure = square_panels("Coverage around random points", 1, {}, "plot_tarp");
  Panel& panel = figure.panels[0];
  panel.subtitle = p_value_text(tarp.p_value) + (tarp.inside ? "" : "  ·  outside");
  panel.x = {.label = "Credibility level", .low = 0, .high = 1};
  panel.y = {.label = "Expected coverage", .low = 0, .high = 1};
  panel.elements.emplace_back(Band{.x = tarp.credibility,
                                   .low = tarp.band_lower,
                                   .high = tarp.band_upper,
                                   .opacity = 0.25,
                                   .label = fmt::format("{} % band of an exact posterior", percent(tarp.confidence))});
  panel.elements.emplace_back(Rule{.kind = Rule::Kind::diagonal, .color = "#4d4d4d", .width = 0.8});
  panel.elements.emplace_back(
      Line{.x = tarp.credibility, .y = tarp.expected_coverage, .color = options.color, .width = 1.6, .label = "Truths inside"});
  figure.description = fmt::format(
      "Share of {} whose true values lie in the ball around a random point that holds a share of the draws, against that share. Above the "
      "diagonal on the left and below on the right is overconfident, the other way round underconfident.",
      counted(tarp.ranks.size(), "data set"));
  return figure;
}

Figure plot_lc2st(const diagnostics::Lc2st& test, const Lc2stPlotOptions& options) {
  const auto count = static_cast<std::int64_t>(test.p_value.size());
  std::vector<std::int64_t> sets = options.data_sets;
  if (sets.empty())
    for (std::int64_t b = 0; b < std::min<std::int64_t>(count, 12); ++b) sets.push_back(b);
  for (const std::int64_t b : sets)
    if (b < 0 || b >= count)
      throw ArgumentError(fmt::format("plot_lc2st: Lc2stPlotOptions::data_sets has {}; there are data sets 0 to {}", b, count - 1));
  Figure figure = square_panels("Local classifier test", static_cast<std::int64_t>(sets.size()), options.grid, "plot_lc2st");
  figure.share_x = figure.share_y = true;
  for (std::size_t k = 0; k < sets.size(); ++k) {
    Panel& panel = figure.panels[k];
    const std::int64_t b = sets[k];
    panel.title = fmt::format("Data set {}", b);
    panel.subtitle = p_value_text(test.p_value[static_cast<std::size_t>(b)]);
    panel.x = {.label = "Probability of the truth's class", .low = 0, .high = 1};
    panel.y = {.label = "Share of draws below", .low = 0, .high = 1};
    panel.elements.emplace_back(
        Band{.x = test.levels,
             .low = row_of(test.band_lower, b),
             .high = row_of(test.band_upper, b),
             .opacity = 0.3,
             .label = fmt::format("{} % of classifiers under an exact posterior, at each level", percent(test.confidence))});
    panel.elements.emplace_back(Rule{.kind = Rule::Kind::vertical, .position = 0.5, .color = "#4d4d4d", .width = 0.8});
    panel.elements.emplace_back(
        Line{.x = test.levels, .y = row_of(test.ecdf, b), .color = options.color, .width = 1.6, .label = "Classifier of truths and draws"});
  }
  figure.description =
      "Distribution of the class probability that a classifier gives the posterior's draws, for each observed data set. Curves inside of "
      "the "
      "grey band cannot be told from those of an exact posterior, which rise at one half.";
  return figure;
}

namespace {

/// The panels of `below` under those of `figure`.
Figure stacked(Figure figure, const Figure& below, std::string title) {
  std::int64_t rows = 0;
  for (const Panel& panel : figure.panels) rows = std::max(rows, panel.row + 1);
  for (Panel panel : below.panels) {
    panel.row += rows;
    figure.panels.push_back(std::move(panel));
  }
  figure.title = std::move(title);
  figure.panel_width = std::min(figure.panel_width, below.panel_width);
  figure.panel_height = std::min(figure.panel_height, below.panel_height);
  return figure;
}

}  // namespace

Figure plot_two_level_recovery(const diagnostics::TwoLevelRecovery& recovery, const RecoveryPlotOptions& options) {
  Figure figure = stacked(plot_recovery(recovery.global, options), plot_recovery(recovery.local, options), "Recovery of both levels");
  figure.description =
      fmt::format("Estimates against true values: of {} in the first rows, a point for each data set, then of {}, a point for each group.",
                  counted(static_cast<std::int64_t>(recovery.global.param_names.size()), "global parameter"),
                  counted(static_cast<std::int64_t>(recovery.local.param_names.size()), "local parameter"));
  return figure;
}

Figure plot_two_level_sbc(const diagnostics::TwoLevelSbc& sbc, const SbcEcdfPlotOptions& options) {
  Figure figure = stacked(plot_sbc_ecdf(sbc.global, options), plot_sbc_ecdf(sbc.local, options), "Calibration of both levels: rank ECDF");
  figure.share_y = false;  // bands of different numbers of data sets may differ
  figure.description = fmt::format(
      "Empirical distribution of the ranks of true values among posterior draws: of {} in the first rows, then of {}, of one group of each "
      "data set. Curves inside of the grey band are calibrated within Monte-Carlo error.",
      counted(static_cast<std::int64_t>(sbc.global.param_names.size()), "global parameter"),
      counted(static_cast<std::int64_t>(sbc.local.param_names.size()), "local parameter"));
  return figure;
}

Figure plot_calibration_curves(const diagnostics::CalibrationCurves& curves, const CalibrationPlotOptions& options) {
  const auto count = static_cast<std::int64_t>(curves.model_names.size());
  Figure figure = square_panels("Calibration of model probabilities", count, options.grid, "plot_calibration_curves");
  figure.share_x = figure.share_y = true;
  std::vector<Tick> ticks;
  for (int i = 0; i <= 5; ++i) ticks.push_back({0.2 * i, fmt::format("{:.1f}", 0.2 * i)});
  for (std::size_t k = 0; k < figure.panels.size(); ++k) {
    Panel& panel = figure.panels[k];
    const diagnostics::CalibrationCurve& curve = curves.curves[k];
    panel.title = name_markup(curves.model_names[k]);
    panel.subtitle = fmt::format("ECE = {}  ·  {} by chance", decimals(curves.error[k].value), decimals(curves.noise_floor[k]));
    panel.x = {.label = "Predicted probability", .low = -options.epsilon, .high = 1 + options.epsilon, .ticks = ticks};
    panel.y = {.label = "Observed frequency", .low = -options.epsilon, .high = 1 + options.epsilon, .ticks = ticks};
    Bars bars{.left = {}, .right = {}, .height = curve.histogram, .color = kGrey, .opacity = 0.35, .label = "Share of predictions"};
    for (std::size_t b = 0; b < curve.histogram.size(); ++b) {
      bars.left.push_back(static_cast<double>(b) / static_cast<double>(curve.histogram.size()));
      bars.right.push_back(static_cast<double>(b + 1) / static_cast<double>(curve.histogram.size()));
    }
    panel.elements.emplace_back(std::move(bars));
    panel.elements.emplace_back(Rule{.kind = Rule::Kind::diagonal});
    panel.elements.emplace_back(Line{.x = curve.mean_prediction, .y = curve.frequency, .color = options.color, .width = 1.6});
    panel.elements.emplace_back(Points{.x = curve.mean_prediction,
                                       .y = curve.frequency,
                                       .low = curve.lower,
                                       .high = curve.upper,
                                       .color = options.color,
                                       .size = 4.5,
                                       .label = "Observed frequency"});
  }
  figure.description = fmt::format("Observed frequency against predicted probability of {}. Points on the dashed diagonal are calibrated.",
                                   counted(count, "model"));
  return figure;
}

Figure plot_confusion_matrix(const diagnostics::ConfusionMatrix& confusion, const ConfusionPlotOptions& options) {
  Figure figure;
  const Array& values = options.normalize ? confusion.normalized : confusion.counts;
  const std::int64_t count = values.dim(0);
  figure.panels = grid_panels(std::min<std::int64_t>(count, 1), {}, "plot_confusion_matrix");
  if (options.title) figure.title = "Confusion matrix";
  figure.panel_width = figure.panel_height = std::clamp(34.0 * static_cast<double>(count), 120.0, 560.0);
  Panel& panel = figure.panels[0];
  panel.grid = false;
  panel.subtitle = fmt::format("accuracy {} ± {}", decimals(confusion.accuracy.value), decimals(confusion.accuracy.standard_error));
  Cells cells{
      .rows = count, .columns = count, .values = {values.values().begin(), values.values().end()}, .high = 1, .color = options.color};
  if (!options.normalize) cells.high = std::max(1.0, values.max());
  const double edge = static_cast<double>(count) - 0.5;
  panel.x = {.label = "Predicted model", .low = -0.5, .high = edge};
  panel.y = {.label = "True model", .low = edge, .high = -0.5};
  for (std::int64_t i = 0; i < count; ++i) {
    const std::string name = name_markup(confusion.model_names[static_cast<std::size_t>(i)]);
    panel.x.ticks.push_back({static_cast<double>(i), name});
    panel.y.ticks.push_back({static_cast<double>(i), name});
  }
  const double half = (cells.low + cells.high) / 2;
  std::vector<Element> texts;
  for (std::int64_t i = 0; i < count; ++i)
    for (std::int64_t j = 0; j < count; ++j) {
      const double v = values(i, j);
      texts.emplace_back(Text{.x = static_cast<double>(j),
                              .y = static_cast<double>(i),
                              .text = !std::isfinite(v)   ? "–"
                                      : options.normalize ? fmt::format("{:.2f}", v)
                                                          : fmt::format("{:.0f}", v),
                              .size = std::clamp(0.3 * figure.panel_width / static_cast<double>(count), 5.0, 10.0),
                              .color = v > half ? "#ffffff" : kBlack});
    }
  panel.elements.emplace_back(std::move(cells));
  for (Element& text : texts) panel.elements.push_back(std::move(text));
  figure.description = fmt::format("Confusion matrix of {}: rows are true models, columns the most probable ones. Accuracy {}.",
                                   counted(count, "model"), decimals(confusion.accuracy.value));
  return figure;
}

}  // namespace bayesflow
