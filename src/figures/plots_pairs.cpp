/// Pair grids: posterior, prior, latents.
#include <algorithm>
#include <limits>
#include <numeric>

#include "bayesflow/core/errors.hpp"
#include "figures/plots_common.hpp"

namespace bayesflow {
using namespace figures;
using diagnostics::Pairs, diagnostics::PairsLayer;

namespace {

struct PairsStyle {
  const char* function;
  std::string main_label, reference_label;
  bool scatter = false;  ///< the draws in the upper triangle
};

struct Limits {
  double low = 0, high = 1;
};

bool is_drawable(const std::vector<double>& x) { return x.size() > 1 && x.front() < x.back(); }

/// What both layers cover, by their marginal densities.
Limits limits_of(const Pairs& pairs, std::int64_t parameter) {
  const auto k = static_cast<std::size_t>(parameter);
  Limits limits{std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity()};
  const auto widen = [&](double v) {
    limits.low = std::min(limits.low, v);
    limits.high = std::max(limits.high, v);
  };
  for (const PairsLayer* layer : {&pairs.main, pairs.reference ? &*pairs.reference : nullptr}) {
    if (!layer) continue;
    const auto& edges = layer->histograms[k].edges;
    if (!edges.empty()) widen(edges.front()), widen(edges.back());
    const auto& marginal = layer->marginals[k];
    const double highest = marginal.density.empty() ? 0 : *std::max_element(marginal.density.begin(), marginal.density.end());
    for (std::size_t i = 0; i < marginal.x.size(); ++i)
      if (marginal.density[i] > 0.004 * highest) widen(marginal.x[i]);
  }
  if (pairs.truth) widen((*pairs.truth)[parameter]);
  if (!(limits.low < limits.high)) {
    const double center = std::isfinite(limits.low) ? limits.low : 0;
    const double half = std::max(0.5, 0.05 * std::abs(center));
    return {center - half, center + half};
  }
  const double margin = 0.02 * (limits.high - limits.low);
  return {limits.low - margin, limits.high + margin};
}

double highest_marginal(const Pairs& pairs, std::size_t k) {
  double highest = 0;
  for (const PairsLayer* layer : {&pairs.main, pairs.reference ? &*pairs.reference : nullptr}) {
    if (!layer) continue;
    for (const double d : layer->histograms[k].density) highest = std::max(highest, d);
    if (layer->marginals[k].bandwidth > 0)
      for (const double d : layer->marginals[k].density) highest = std::max(highest, d);
  }
  return highest > 0 ? highest : 1;
}

void draw_marginal(Panel& panel, const PairsLayer& layer, std::size_t k, const std::string& color, const std::string& label) {
  const auto& histogram = layer.histograms[k];
  if (!histogram.density.empty())
    panel.elements.emplace_back(Bars{.left = {histogram.edges.begin(), histogram.edges.end() - 1},
                                     .right = {histogram.edges.begin() + 1, histogram.edges.end()},
                                     .height = histogram.density,
                                     .color = color,
                                     .opacity = 0.35,
                                     .label = label});
  if (const auto& marginal = layer.marginals[k]; marginal.bandwidth > 0)
    panel.elements.emplace_back(Line{.x = marginal.x, .y = marginal.density, .color = color, .width = 1.3});
}

void draw_joint(Panel& panel, const PairsLayer& layer, std::int64_t row, std::int64_t column, const std::string& color, double palest,
                double opacity) {
  static constexpr double kMass[] = {0.95, 0.8, 0.65, 0.5, 0.35, 0.2, 0.08};
  const diagnostics::Density2d& joint = layer.joint(std::max(row, column), std::min(row, column));
  if (!is_drawable(joint.x) || !is_drawable(joint.y)) return;
  Density density{.x_low = joint.x.front(),
                  .x_high = joint.x.back(),
                  .y_low = joint.y.front(),
                  .y_high = joint.y.back(),
                  .columns = static_cast<std::int64_t>(joint.x.size()),
                  .rows = static_cast<std::int64_t>(joint.y.size()),
                  .values = {joint.density.values().begin(), joint.density.values().end()},
                  .levels = joint.levels(kMass),
                  .color = color,
                  .palest = palest,
                  .opacity = opacity};
  std::sort(density.levels.begin(), density.levels.end());
  panel.elements.emplace_back(std::move(density));
}

void draw_scatter(Panel& panel, const PairsLayer& layer, std::int64_t row, std::int64_t column, const std::string& color, double size) {
  panel.elements.emplace_back(
      Points{.x = column_of(layer.draws, column), .y = column_of(layer.draws, row), .color = color, .size = size, .opacity = 0.4});
}

Figure pair_grid(const Pairs& pairs, const PairsPlotOptions& options, const PairsStyle& style) {
  const auto all = static_cast<std::int64_t>(pairs.param_names.size());
  std::vector<std::int64_t> shown = options.parameters;
  if (shown.empty()) {
    shown.resize(pairs.param_names.size());
    std::iota(shown.begin(), shown.end(), 0);
  }
  if (shown.empty()) throw ArgumentError(fmt::format("{}: there is nothing to draw; the numbers are of no parameter", style.function));
  for (const std::int64_t p : shown)
    if (p < 0 || p >= all)
      throw ArgumentError(
          fmt::format("{}: PairsPlotOptions::parameters holds {}; there are parameters 0 to {}", style.function, p, all - 1));
  const auto count = static_cast<std::int64_t>(shown.size());

  Figure figure;
  const double size = options.panel_size > 0 ? options.panel_size
                      : count == 1           ? 160
                                             : std::clamp(480.0 / static_cast<double>(count), 34.0, 110.0);
  figure.panel_width = figure.panel_height = size;
  figure.share_x = figure.share_y = true;
  std::vector<Limits> limits;
  for (const std::int64_t p : shown) limits.push_back(limits_of(pairs, p));
  for (std::int64_t r = 0; r < count; ++r)
    for (std::int64_t c = 0; c < count; ++c) {
      if (c > r && !style.scatter) continue;
      const std::int64_t row = shown[static_cast<std::size_t>(r)], column = shown[static_cast<std::size_t>(c)];
      const Limits& lx = limits[static_cast<std::size_t>(c)];
      const Limits& ly = limits[static_cast<std::size_t>(r)];
      Panel panel;
      panel.row = r;
      panel.column = c;
      panel.grid = size >= 60 && r != c;
      panel.x = {.label = name_markup(pairs.param_names[static_cast<std::size_t>(column)]), .low = lx.low, .high = lx.high};
      panel.y = {.label = name_markup(pairs.param_names[static_cast<std::size_t>(row)]), .low = ly.low, .high = ly.high};
      const PairsLayer* reference = pairs.reference ? &*pairs.reference : nullptr;
      const double dot = std::clamp(size / 40, 1.2, 2.6);
      if (r == c) {
        panel.y.low = 0.0;
        panel.y.high = 1.08 * highest_marginal(pairs, static_cast<std::size_t>(row));
        panel.y.show_ticks = false;
        const auto k = static_cast<std::size_t>(row);
        if (reference) draw_marginal(panel, *reference, k, options.reference_color, style.reference_label);
        draw_marginal(panel, pairs.main, k, options.color, reference || pairs.truth ? style.main_label : "");
      } else if (r > c) {
        if (reference) draw_joint(panel, *reference, row, column, options.reference_color, 0.15, 0.6);
        // Over a grey prior, pale areas would look like holes in it.
        draw_joint(panel, pairs.main, row, column, options.color, reference ? 0.45 : 0.15, reference ? 0.85 : 1);
      } else {
        if (reference) draw_scatter(panel, *reference, row, column, options.reference_color, dot);
        draw_scatter(panel, pairs.main, row, column, options.color, dot);
      }
      if (pairs.truth) {
        const double x = (*pairs.truth)[column], y = (*pairs.truth)[row];
        panel.elements.emplace_back(Rule{.kind = Rule::Kind::vertical, .position = x, .width = 0.9, .label = "Truth"});
        if (r != c) {
          panel.elements.emplace_back(Rule{.position = y, .width = 0.9});
          panel.elements.emplace_back(Points{.x = {x}, .y = {y}, .color = kBlack, .size = 4});
        }
      }
      figure.panels.push_back(std::move(panel));
    }
  if (count == 1) figure.panels.front().y.label = "Density";
  return figure;
}

}  // namespace

Figure plot_posterior_2d(const Pairs& pairs, const PairsPlotOptions& options) {
  Figure figure = pair_grid(pairs, options, {"plot_posterior_2d", "Posterior", "Prior"});
  figure.title = "Posterior";
  figure.description = fmt::format("Marginal and joint posterior densities of one data set, from {}{}.",
                                   counted(pairs.main.num_draws, "draw"), pairs.reference ? ", over the prior in grey" : "");
  return figure;
}

Figure plot_prior2d(const Pairs& pairs, const PairsPlotOptions& options) {
  Figure figure = pair_grid(pairs, options, {"plot_prior2d", "Prior", "Reference", true});
  figure.title = "Prior";
  figure.description = fmt::format("Marginal and joint prior densities, from {}.", counted(pairs.main.num_draws, "draw"));
  return figure;
}

Figure plot_prior2d(const Prior& prior, std::int64_t n_samples, std::uint64_t seed, const PairsPlotOptions& options) {
  if (n_samples < 2) throw ArgumentError(fmt::format("plot_prior2d: n_samples = {}; a density needs at least two draws", n_samples));
  const Array draws = prior(n_samples, seed).prior_draws;
  const Array flat = draws.rank() == 2 ? draws : draws.reshape({draws.size() / draws.dim(-1), draws.dim(-1)});
  return plot_prior2d(diagnostics::pairs(flat, {.param_names = prior.param_names()}), options);
}

Figure plot_latent_space_2d(const Pairs& pairs, const PairsPlotOptions& options) {
  Figure figure = pair_grid(pairs, options, {"plot_latent_space_2d", "Latents", "Reference", true});
  figure.title = "Latent space";
  figure.description = fmt::format(
      "Marginal and joint densities of {} latent vectors. Independent standard normals look like round clouds.", pairs.main.num_draws);
  return figure;
}

}  // namespace bayesflow
