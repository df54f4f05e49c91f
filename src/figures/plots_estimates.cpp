/// Losses, recovery, z-scores and contraction.
#include <algorithm>
#include <limits>

#include "figures/plots_common.hpp"

namespace bayesflow {
using namespace figures;

namespace {

/// Early steps may lie far above all others. Then the axis ends above 98 % of them, and a text counts those beyond it.
void limit_losses(Panel& panel, std::vector<double> train, const std::vector<double>& validation) {
  std::erase_if(train, [](double v) { return !std::isfinite(v); });
  if (train.size() < 50) return;
  std::sort(train.begin(), train.end());
  double bulk = train[static_cast<std::size_t>(0.98 * static_cast<double>(train.size() - 1))];
  for (const double v : validation)
    if (std::isfinite(v)) bulk = std::max(bulk, v);
  const double spread = bulk - train.front();
  if (!(spread > 0) || train.back() - bulk < 2 * spread) return;
  const double high = bulk + 0.3 * spread;
  panel.y.high = high;
  panel.y.low = train.front() - 0.07 * spread;
  const auto beyond = train.end() - std::upper_bound(train.begin(), train.end(), high);
  panel.elements.emplace_back(Text{.x = 0.99,
                                   .y = 0.93,
                                   .text = fmt::format("{} above, up to {:.4g}", counted(beyond, "step"), train.back()),
                                   .in_axes = true,
                                   .anchor = Text::Anchor::end,
                                   .size = 8,
                                   .color = "#4d4d4d"});
}

}  // namespace

Figure plot_losses(const diagnostics::LossCurves& losses, const LossesPlotOptions& options) {
  Figure figure;
  figure.title = "Losses";
  figure.panel_width = 430;
  figure.panel_height = 130;
  figure.share_x = true;
  figure.panels = grid_panels(static_cast<std::int64_t>(losses.names.size()), {.columns = 1}, "plot_losses");
  const bool validated = !losses.validation_steps.empty();
  for (std::size_t c = 0; c < losses.names.size(); ++c) {
    Panel& panel = figure.panels[c];
    const auto column = static_cast<std::int64_t>(c);
    panel.y.label = literal_markup(losses.names[c]);
    panel.x.label = "Training step";
    const std::vector<double> train = column_of(losses.train, column);
    const bool average = options.moving_average && losses.window > 1;
    panel.elements.emplace_back(Line{.x = losses.steps,
                                     .y = train,
                                     .color = options.train_color,
                                     .width = average ? 0.6 : 1.2,
                                     .opacity = average ? 0.35 : 1,
                                     .label = "Training"});
    if (average)
      panel.elements.emplace_back(Line{.x = losses.steps,
                                       .y = column_of(losses.moving_average, column),
                                       .color = options.train_color,
                                       .width = 1.8,
                                       .label = fmt::format("Training, mean of {} steps", losses.window)});
    std::vector<double> validation;
    if (validated) {
      validation = column_of(losses.validation, column);
      panel.elements.emplace_back(Line{.x = losses.validation_steps,
                                       .y = validation,
                                       .color = options.val_color,
                                       .width = 1.2,
                                       .dash = Dash::dashed,
                                       .label = "Validation"});
      panel.elements.emplace_back(Points{.x = losses.validation_steps, .y = validation, .color = options.val_color, .size = 4.5});
    }
    panel.x.low = 0;
    panel.x.high = 1.01 * std::max(1.0, losses.steps.empty() ? 1.0 : losses.steps.back());
    limit_losses(panel, train, validation);
  }
  figure.description =
      fmt::format("Training losses of {}{}: {}", counted(static_cast<std::int64_t>(losses.steps.size()), "step"),
                  validated ? " with validation losses" : "", "they level out as the learning rate falls, converged or not.");
  return figure;
}

Figure plot_recovery(const diagnostics::Recovery& recovery, const RecoveryPlotOptions& options) {
  const auto count = static_cast<std::int64_t>(recovery.param_names.size());
  Figure figure = square_panels("Parameter recovery", count, options.grid, "plot_recovery");
  const std::int64_t sets = recovery.truths.dim(0), stride = thinning(sets, options.max_points);
  for (std::int64_t j = 0; j < count; ++j) {
    const auto k = static_cast<std::size_t>(j);
    Panel& panel = figure.panels[k];
    panel.title = name_markup(recovery.param_names[k]);
    if (options.add_r2) panel.subtitle = "$R^2$ = " + decimals(recovery.r2[k].value);
    if (options.add_corr) panel.subtitle += (panel.subtitle.empty() ? "" : "  ·  ") + ("$r$ = " + decimals(recovery.r[k].value));
    panel.x.label = "Ground truth";
    panel.y.label = "Estimated";
    Points points{.x = column_of(recovery.truths, j, stride),
                  .y = column_of(recovery.estimates, j, stride),
                  .color = options.color,
                  .size = sets > 300 ? 3.2 : 4.2,
                  .opacity = sets > 300 ? 0.5 : 0.7,
                  .label = recovery.spread_name.empty() ? recovery.point_name : recovery.point_name + " ± " + recovery.spread_name};
    points.label = literal_markup(points.label);
    if (recovery.spreads) {
      points.low = points.high = points.y;
      const std::vector<double> spread = column_of(*recovery.spreads, j, stride);
      for (std::size_t i = 0; i < spread.size(); ++i) {
        points.low[i] -= spread[i];
        points.high[i] += spread[i];
      }
    }
    double low = std::numeric_limits<double>::infinity(), high = -low;
    for (const auto* values : {&points.x, &points.y})
      for (const double v : *values) {
        low = std::min(low, v);
        high = std::max(high, v);
      }
    const double margin = high > low ? 0.1 * (high - low) : std::max(0.5, 0.05 * std::abs(low));
    panel.x.low = panel.y.low = low - margin;
    panel.x.high = panel.y.high = high + margin;
    panel.elements.emplace_back(std::move(points));
    panel.elements.emplace_back(Rule{.kind = Rule::Kind::diagonal});
  }
  figure.description = fmt::format("Estimates of {} against the true values of {}. Points on the dashed diagonal are right.",
                                   counted(count, "parameter"), counted(sets, "data set"));
  return figure;
}

Figure plot_z_score_contraction(const diagnostics::ZScoreContraction& contraction, const ContractionPlotOptions& options) {
  const auto count = static_cast<std::int64_t>(contraction.param_names.size());
  Figure figure = square_panels("Posterior z-score and contraction", count, options.grid, "plot_z_score_contraction");
  figure.share_x = figure.share_y = true;
  const std::int64_t sets = contraction.z_score.dim(0), stride = thinning(sets, options.max_points);
  double lowest = 0, largest = 3;
  for (const double c : contraction.contraction.values())
    if (std::isfinite(c)) lowest = std::min(lowest, c);
  for (const double z : contraction.z_score.values())
    if (std::isfinite(z)) largest = std::max(largest, std::abs(z));
  const double margin = 0.05 * (1 - lowest);
  for (std::int64_t j = 0; j < count; ++j) {
    const auto k = static_cast<std::size_t>(j);
    Panel& panel = figure.panels[k];
    panel.title = name_markup(contraction.param_names[k]);
    panel.subtitle = fmt::format("contraction {}  ·  sd of $z$ {}", decimals(contraction.mean_contraction[k].value, 2),
                                 decimals(contraction.sd_z_score[k].value, 2));
    panel.x = {.label = "Posterior contraction", .low = lowest - margin, .high = 1 + margin};
    panel.y = {.label = "Posterior z-score", .low = -1.05 * largest, .high = 1.05 * largest};
    panel.elements.emplace_back(Rule{.position = 0, .color = kGrey});
    if (lowest < 0) panel.elements.emplace_back(Rule{.kind = Rule::Kind::vertical, .position = 0, .color = kGrey});
    panel.elements.emplace_back(Points{.x = column_of(contraction.contraction, j, stride),
                                       .y = column_of(contraction.z_score, j, stride),
                                       .color = options.color,
                                       .size = sets > 300 ? 3.2 : 4.2,
                                       .opacity = 0.5});
  }
  figure.description = fmt::format(
      "Posterior z-score against posterior contraction of {} in {}. The best place is the middle of the right edge: narrow and unbiased.",
      counted(count, "parameter"), counted(sets, "data set"));
  return figure;
}

}  // namespace bayesflow
