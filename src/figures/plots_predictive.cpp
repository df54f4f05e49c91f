/// Posterior predictive checks, push-forwards, and the MMD test.
#include <algorithm>
#include <utility>

#include "bayesflow/core/errors.hpp"
#include "figures/plots_common.hpp"

namespace bayesflow {
using namespace figures;

namespace {

void require_data_set(std::int64_t index, std::int64_t count, const char* function) {
  if (index < 0 || index >= count)
    throw ArgumentError(fmt::format("{}: PredictivePlotOptions::data_set = {}; there are data sets 0 to {}", function, index, count - 1));
}

double density_at(const diagnostics::Density1d& density, double x) {
  const auto right = std::upper_bound(density.x.begin(), density.x.end(), x);
  if (right == density.x.begin() || right == density.x.end()) return 0;
  const auto i = static_cast<std::size_t>(right - density.x.begin());
  const double t = (x - density.x[i - 1]) / (density.x[i] - density.x[i - 1]);
  return density.density[i - 1] + t * (density.density[i] - density.density[i - 1]);
}

/// Quantities of which no value is negative (distances, spreads, shares) have no density below 0.
std::optional<double> zero_if_never_below(const std::vector<double>& values) {
  return std::any_of(values.begin(), values.end(), [](double v) { return v < 0; }) ? std::nullopt : std::optional<double>(0.0);
}

}  // namespace

Figure plot_posterior_predictive(const diagnostics::PosteriorPredictive& predictive, const PredictivePlotOptions& options) {
  const auto count = static_cast<std::int64_t>(predictive.statistics.size());
  Figure figure = square_panels("Posterior predictive check", count, options.grid, "plot_posterior_predictive");
  figure.panel_height *= 0.8;
  require_data_set(options.data_set, predictive.observed.dim(0), "plot_posterior_predictive");
  const Array simulated = predictive.simulated.row(options.data_set);
  for (std::int64_t k = 0; k < count; ++k) {
    Panel& panel = figure.panels[static_cast<std::size_t>(k)];
    panel.title = name_markup(predictive.statistics[static_cast<std::size_t>(k)]);
    panel.subtitle = p_value_text(predictive.p_value(options.data_set, k));
    panel.x.label = "Value of the statistic";
    panel.y = {.label = "Density", .low = 0.0, .show_ticks = false};
    std::vector<double> values = column_of(simulated, k);
    std::erase_if(values, [](double v) { return !std::isfinite(v); });
    if (values.size() > 1) {
      const auto density = diagnostics::kde_1d(values, {.points = 256, .bound = zero_if_never_below(values)});
      if (density.bandwidth > 0) {
        panel.elements.emplace_back(Band{.x = density.x,
                                         .low = std::vector<double>(density.x.size(), 0.0),
                                         .high = density.density,
                                         .color = options.color,
                                         .opacity = 0.35,
                                         .label = "Simulated from the posterior"});
        panel.elements.emplace_back(Line{.x = density.x, .y = density.density, .color = options.color});
      } else {
        panel.elements.emplace_back(Rule{.kind = Rule::Kind::vertical,
                                         .position = values.front(),
                                         .color = options.color,
                                         .width = 2,
                                         .dash = Dash::solid,
                                         .label = "Simulated from the posterior"});
      }
    }
    panel.elements.emplace_back(
        Rule{.kind = Rule::Kind::vertical, .position = predictive.observed(options.data_set, k), .width = 1.6, .label = "Observed"});
  }
  figure.description =
      "Statistics of data simulated from the posterior, with the observed value as a dashed line. It should not lie in the tails.";
  return figure;
}

Figure plot_pushforward(const diagnostics::Pushforward& pushforward, const PredictivePlotOptions& options) {
  const Shape& shape = pushforward.data_shape;
  const std::int64_t length = shape.rank() > 0 ? shape[0] : 1;
  const std::int64_t variables = length > 0 ? std::max<std::int64_t>(1, shape.size() / length) : 0;
  const std::int64_t shown = std::min(variables, std::max<std::int64_t>(options.max_panels, 1));
  Figure figure;
  figure.title = "Simulated data";
  if (shown < variables) figure.title += fmt::format(": the first {} of {} variables", shown, variables);
  figure.panel_width = shown == 1 ? 300 : 160;
  figure.panel_height = shown == 1 ? 160 : 110;
  figure.share_x = true;
  figure.panels = grid_panels(length > 0 ? shown : 0, options.grid, "plot_pushforward");
  require_data_set(options.data_set, pushforward.quantiles.dim(0), "plot_pushforward");
  const Array quantiles = pushforward.quantiles.row(options.data_set);  // (Q, values)
  const bool observed = !pushforward.observed.empty();
  std::vector<double> index = options.times;
  if (index.empty())
    for (std::int64_t i = 0; i < length; ++i) index.push_back(static_cast<double>(i));
  if (static_cast<std::int64_t>(index.size()) != length)
    throw ArgumentError(fmt::format("plot_pushforward: PredictivePlotOptions::times has {} numbers; a data set has {} along its first axis",
                                    index.size(), length));
  const auto& names = options.variable_names;
  if (!names.empty() && static_cast<std::int64_t>(names.size()) != variables)
    throw ArgumentError(fmt::format("plot_pushforward: PredictivePlotOptions::variable_names has {} names for {} variables; give one each",
                                    names.size(), variables));
  const auto& levels = pushforward.probabilities;
  for (std::int64_t v = 0; v < shown; ++v) {
    Panel& panel = figure.panels[static_cast<std::size_t>(v)];
    if (!names.empty())
      panel.title = name_markup(names[static_cast<std::size_t>(v)]);
    else if (variables > 1)
      panel.title = fmt::format("Variable {}", v + 1);
    panel.x.label = !options.x_label.empty() ? options.x_label : options.times.empty() ? "Index in the data set" : "Time";
    panel.y.label = options.y_label.empty() ? "Value" : options.y_label;
    const auto curve = [&](const Array& values, std::int64_t row) {
      std::vector<double> out;
      for (std::int64_t i = 0; i < length; ++i) out.push_back(values(row, i * variables + v));
      return out;
    };
    // Symmetric pairs of quantiles are nested bands, the middle one is a line.
    for (std::size_t q = 0; q < levels.size() / 2; ++q) {
      const std::size_t mirror = levels.size() - 1 - q;
      panel.elements.emplace_back(Band{.x = index,
                                       .low = curve(quantiles, static_cast<std::int64_t>(q)),
                                       .high = curve(quantiles, static_cast<std::int64_t>(mirror)),
                                       .color = options.color,
                                       .opacity = 0.22,
                                       .label = fmt::format("{} % of simulations", percent(levels[mirror] - levels[q]))});
    }
    if (levels.size() % 2 == 1)
      panel.elements.emplace_back(
          Line{.x = index,
               .y = curve(quantiles, static_cast<std::int64_t>(levels.size() / 2)),
               .color = options.color,
               .label = levels[levels.size() / 2] == 0.5 ? "Median" : fmt::format("{} % quantile", percent(levels[levels.size() / 2]))});
    if (observed)
      panel.elements.emplace_back(
          Points{.x = index, .y = curve(pushforward.observed, options.data_set), .color = kBlack, .size = 3, .label = "Observed"});
  }
  figure.description = fmt::format("Quantile bands of {} simulated data sets along their first axis{}.", pushforward.num_draws,
                                   observed ? ", with the observed data as dots" : "");
  return figure;
}

Figure plot_mmd_hypothesis_test(const diagnostics::MmdHypothesisTest& test, const MmdPlotOptions& options) {
  Figure figure;
  figure.title = "Are the observed data like simulated ones?";
  figure.panel_width = 300;
  figure.panel_height = 150;
  figure.panels = grid_panels(1, {}, "plot_mmd_hypothesis_test");
  Panel& panel = figure.panels[0];
  panel.x.label = "MMD";
  panel.y = {.label = "Density", .low = 0.0, .show_ticks = false};
  const bool observed = std::isfinite(test.mmd_observed);
  if (observed) panel.subtitle = p_value_text(test.p_value);
  diagnostics::Density1d density;
  if (test.mmd_null.size() > 1)
    density =
        diagnostics::kde_1d(test.mmd_null, {.points = 400, .bw_factor = options.bw_factor, .bound = zero_if_never_below(test.mmd_null)});
  if (density.bandwidth > 0) {
    std::vector<double> zeros(density.x.size(), 0.0);
    panel.elements.emplace_back(Band{.x = density.x,
                                     .low = zeros,
                                     .high = density.density,
                                     .color = options.null_color,
                                     .opacity = 0.25,
                                     .label = "Null: simulated data"});
    // The tail begins at the critical value, between two grid points.
    Band tail{.x = {test.critical_value},
              .low = {0.0},
              .high = {density_at(density, test.critical_value)},
              .color = options.alpha_color,
              .opacity = 0.55,
              .label = fmt::format("Rejection area, {} %", percent(test.alpha_level))};
    for (std::size_t i = 0; i < density.x.size(); ++i)
      if (density.x[i] > test.critical_value) {
        tail.x.push_back(density.x[i]);
        tail.low.push_back(0);
        tail.high.push_back(density.density[i]);
      }
    panel.elements.emplace_back(std::move(tail));
    panel.elements.emplace_back(Line{.x = density.x, .y = density.density, .color = options.null_color});
  }
  const auto vertical = [&](double x, const std::string& color, Dash dash, const std::string& label) {
    if (options.truncate_vlines_at_kde)
      panel.elements.emplace_back(
          Line{.x = {x, x}, .y = {0, density_at(density, x)}, .color = color, .width = 1.8, .dash = dash, .label = label});
    else
      panel.elements.emplace_back(
          Rule{.kind = Rule::Kind::vertical, .position = x, .color = color, .width = 1.8, .dash = dash, .label = label});
  };
  vertical(test.critical_value, options.alpha_color, Dash::dashed, "Critical value");
  if (observed) vertical(test.mmd_observed, options.observed_color, Dash::solid, "Observed");
  figure.description =
      "Distribution of the maximum mean discrepancy between simulated data sets, with the rejection area in its upper tail";
  figure.description += observed ? fmt::format(", and the observed value: p = {:.3f}.", test.p_value) : ".";
  return figure;
}

namespace {

/// Where a value lies on an axis of cells that are centred at 0, 1, 2, ...: linearly between the cells' values, and beyond the outer ones.
double cell_of(const std::vector<double>& values, double v) {
  if (values.size() == 1) return v == values[0] ? 0 : std::nan("");
  std::size_t i = 0;
  while (i + 2 < values.size() && (values[1] > values[0] ? v > values[i + 1] : v < values[i + 1])) ++i;
  return static_cast<double>(i) + (v - values[i]) / (values[i + 1] - values[i]);
}

Axis cell_axis(const diagnostics::SensitivityAxis& axis) {
  Axis out{.label = name_markup(axis.name), .low = -0.5, .high = static_cast<double>(axis.values.size()) - 0.5};
  const std::size_t stride = (axis.values.size() + 9) / 10;
  for (std::size_t i = 0; i < axis.values.size(); i += stride)
    out.ticks.push_back({static_cast<double>(i), fmt::format("{:.3g}", axis.values[i])});
  return out;
}

}  // namespace

Figure plot_sensitivity(const diagnostics::Sensitivity& sensitivity, const SensitivityPlotOptions& options) {
  const Array& values = options.summary_mmd ? sensitivity.summary_mmd : sensitivity.posterior_error;
  if (options.summary_mmd && values.empty())
    throw ArgumentError(
        "plot_sensitivity: there is no summary MMD, because the amortizer has no summary network; draw the posterior error");
  Figure figure;
  figure.title = options.summary_mmd ? "Distance of summaries from those of training" : "Posterior error";
  figure.panel_width = 260;
  figure.panel_height = 190;
  figure.panels = grid_panels(values.empty() ? 0 : 1, {}, "plot_sensitivity");
  Panel& panel = figure.panels[0];
  panel.grid = false;
  const std::int64_t columns = values.dim(0), rows = values.dim(1);
  Cells cells{.rows = rows,
              .columns = columns,
              .values = {},
              .low = values.min(),
              .high = values.max(),
              .color = !options.color.empty() ? options.color
                       : options.summary_mmd  ? kBlue
                                              : kRed};
  for (std::int64_t j = 0; j < rows; ++j)
    for (std::int64_t i = 0; i < columns; ++i) cells.values.push_back(values(i, j));
  panel.subtitle = fmt::format("white {:.3g}, full colour {:.3g}", cells.low, cells.high);
  if (!(cells.high > cells.low)) cells.high = cells.low + 1;
  panel.x = cell_axis(sensitivity.first);
  panel.y = cell_axis(sensitivity.second);
  panel.elements.emplace_back(std::move(cells));
  for (const auto& [axis, kind] : {std::pair{&sensitivity.first, Rule::Kind::vertical}, {&sensitivity.second, Rule::Kind::horizontal}})
    if (axis->well_specified)
      panel.elements.emplace_back(
          Rule{.kind = kind, .position = cell_of(axis->values, *axis->well_specified), .width = 1.4, .label = "Well specified"});
  figure.description = fmt::format("{} for {} along x and {} along y, from white ({:.3g}) to full colour ({:.3g}).", figure.title,
                                   sensitivity.first.name, sensitivity.second.name, values.min(), values.max());
  return figure;
}

}  // namespace bayesflow
