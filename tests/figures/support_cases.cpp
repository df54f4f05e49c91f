#include "figures/support_cases.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "bayesflow/core/rng.hpp"

namespace bayesflow::test {

Example example(std::int64_t sets, std::int64_t draws, std::int64_t parameters) {
  Rng rng(7);
  Example e{Array({sets, draws, parameters}), Array({sets, parameters})};
  for (std::int64_t b = 0; b < sets; ++b)
    for (std::int64_t j = 0; j < parameters; ++j) {
      const double scale = j % 5 == 4 ? 1e6 : 1, sd = 0.3 * scale;
      e.truths(b, j) = rng.normal(0, scale);
      const double center = e.truths(b, j) + rng.normal(0, sd), width = j % 3 == 2 ? 0.6 * sd : sd;
      for (std::int64_t s = 0; s < draws; ++s) e.draws(b, s, j) = rng.normal(center, width);
    }
  return e;
}

std::vector<std::string> names(std::int64_t parameters) {
  std::vector<std::string> out;
  for (std::int64_t j = 0; j < parameters; ++j) out.push_back(fmt::format("theta_{}", j + 1));
  if (parameters > 1) out[1] = "$\\sigma_{\\text{noise}}^2$";
  if (parameters > 2) out[2] = "drift rate of \"condition A\" & <B>, it's a long name";
  if (parameters > 5) out[5] = "größe 漢字";
  return out;
}

namespace {

diagnostics::LossCurves loss_curves(std::int64_t components) {
  Rng rng(3);
  const std::int64_t steps = 3000, validations = 6;
  std::vector<std::string> labels{"Loss"};
  for (std::int64_t c = 1; c < components; ++c) labels.push_back(fmt::format("Component {}", c));
  Array train({steps, components}), validation({validations, components});
  for (std::int64_t c = 0; c < components; ++c) {
    for (std::int64_t i = 0; i < steps; ++i)
      train(i, c) = -2 + (i < 20 ? 50 : 4) * std::exp(-static_cast<double>(i) / 300) + rng.normal(0, 0.4);
    for (std::int64_t v = 0; v < validations; ++v) validation(v, c) = -2 + 4 * std::exp(-static_cast<double>(v + 1) * 500 / 300);
  }
  std::vector<double> at;
  for (std::int64_t v = 0; v < validations; ++v) at.push_back(static_cast<double>(500 * (v + 1)));
  return diagnostics::losses(labels, train, validation, at);
}

/// Curves of classifiers that find every second posterior wrong.
diagnostics::Lc2st local_test(std::int64_t data_sets) {
  constexpr std::int64_t kLevels = 101;
  diagnostics::Lc2st out;
  out.ecdf = out.band_lower = out.band_upper = Array({data_sets, kLevels});
  out.confidence = 0.95;
  const auto curve = [](double level, double middle) { return 1 / (1 + std::exp(-25 * (level - middle))); };
  for (std::int64_t k = 0; k < kLevels; ++k) out.levels.push_back(static_cast<double>(k) / (kLevels - 1));
  for (std::int64_t b = 0; b < data_sets; ++b) {
    out.statistic.push_back(b % 2 ? 0.05 : 0.005);
    out.p_value.push_back(b % 2 ? 0.02 : 0.6);
    for (std::int64_t k = 0; k < kLevels; ++k) {
      const double level = out.levels[static_cast<std::size_t>(k)];
      out.ecdf(b, k) = curve(level, b % 2 ? 0.3 : 0.49);
      out.band_lower(b, k) = curve(level, 0.55);
      out.band_upper(b, k) = curve(level, 0.45);
    }
  }
  return out;
}

}  // namespace

std::vector<std::pair<std::string, Figure>> all_figures(std::int64_t parameters) {
  std::vector<std::pair<std::string, Figure>> out;
  const auto add = [&](std::string name, Figure figure) { out.emplace_back(std::move(name), std::move(figure)); };
  const Example data = example(200, 99, parameters);
  const auto labels = names(parameters);
  const auto ranks = diagnostics::sbc_ranks(data.draws, data.truths, {.param_names = labels});

  add("plot_recovery", plot_recovery(diagnostics::recovery(data.draws, data.truths, {.param_names = labels})));
  add("plot_z_score_contraction",
      plot_z_score_contraction(diagnostics::z_score_contraction(data.draws, data.truths, {.param_names = labels})));
  add("plot_sbc_histograms", plot_sbc_histograms(diagnostics::sbc_histograms(ranks)));
  add("plot_sbc_ecdf", plot_sbc_ecdf(diagnostics::sbc_ecdf(ranks)));
  const auto difference = diagnostics::sbc_ecdf(ranks, {.over_all_parameters = true, .difference = true});
  add("plot_sbc_ecdf_difference", plot_sbc_ecdf(difference));
  add("plot_sbc_ecdf_stacked", plot_sbc_ecdf(difference, {.stacked = true}));
  add("plot_coverage", plot_coverage(diagnostics::coverage(ranks)));
  add("plot_losses", plot_losses(loss_curves(std::min<std::int64_t>(parameters, 4))));

  Rng rng(11);
  Array posterior({1500, parameters}), prior({1500, parameters}), truth({parameters}), latents = rng.normal({800, parameters});
  for (std::int64_t i = 0; i < 1500; ++i) {
    double previous = 0;
    for (std::int64_t j = 0; j < parameters; ++j) {
      prior(i, j) = rng.normal(0, 1);
      previous = posterior(i, j) = 0.4 + 0.7 * previous + (j % 4 == 3 ? std::abs(rng.normal(0, 0.3)) : rng.normal(0, 0.3));
      truth[j] = 0.5;
    }
  }
  add("plot_posterior_2d", plot_posterior_2d(diagnostics::pairs(posterior, {.param_names = labels})));
  diagnostics::PairsOptions with_prior{.param_names = labels};
  with_prior.truth = truth;
  add("plot_posterior_2d_prior", plot_posterior_2d(diagnostics::posterior_2d(posterior, prior, with_prior)));
  add("plot_prior2d", plot_prior2d(Prior([parameters](Rng& r) { return r.normal({parameters}); }, {.param_names = labels}), 1000));
  add("plot_latent_space_2d", plot_latent_space_2d(diagnostics::latent_space_2d(latents)));

  std::vector<diagnostics::DataStatistic> statistics;
  for (std::int64_t k = 0; k < parameters; ++k)
    statistics.push_back({fmt::format("quantile {} of $x$", k + 1), [k](const Array& x) { return x[k % x.size()]; }});
  const Simulator simulator([](const Array& theta, Rng& r) {
    Array x({40, 2});
    for (std::int64_t t = 0; t < 40; ++t)
      for (std::int64_t v = 0; v < 2; ++v) x(t, v) = (v ? 3 : 1) * std::sin(0.2 * static_cast<double>(t) + theta[0]) + r.normal(0, 0.2);
    return x;
  });
  Array observed({1, 40, 2});
  const Array once = simulator(prior.slice(0, 1), Rng(5)).sim_data;
  std::copy(once.values().begin(), once.values().end(), observed.values().begin());
  const auto predictive = diagnostics::posterior_predictive(posterior.slice(0, 200).expand_dims(0), observed, simulator, statistics);
  add("plot_posterior_predictive", plot_posterior_predictive(predictive));
  add("plot_pushforward", plot_pushforward(predictive.bands));

  const std::int64_t models = std::max<std::int64_t>(parameters, 2), n = 500;
  Array chosen({n}), probabilities({n, models});
  for (std::int64_t i = 0; i < n; ++i) {
    chosen[i] = static_cast<double>(rng.integers(0, models));
    double total = 0;
    for (std::int64_t m = 0; m < models; ++m)
      total += probabilities(i, m) = std::exp(rng.normal(m == static_cast<std::int64_t>(chosen[i]) ? 2 : 0, 1));
    for (std::int64_t m = 0; m < models; ++m) probabilities(i, m) /= total;
  }
  std::vector<std::string> model_names;
  for (std::int64_t m = 0; m < models; ++m) model_names.push_back(m == 1 ? "a model with a long name" : fmt::format("M_{}", m + 1));
  add("plot_calibration_curves",
      plot_calibration_curves(diagnostics::expected_calibration_error(chosen, probabilities, {.model_names = model_names})));
  add("plot_confusion_matrix", plot_confusion_matrix(diagnostics::confusion_matrix(chosen, probabilities, {.model_names = model_names})));
  const auto mmd = diagnostics::mmd_hypothesis_test(rng.normal({20, 2}, 0.4, 1.0), rng.normal({200, 2}));
  add("plot_mmd_hypothesis_test", plot_mmd_hypothesis_test(mmd));
  add("plot_tarp", plot_tarp(diagnostics::tarp(data.draws, data.truths)));
  add("plot_lc2st", plot_lc2st(local_test(parameters)));
  add("plot_two_level_recovery", plot_two_level_recovery(diagnostics::TwoLevelRecovery{
                                     .global = diagnostics::recovery(data.draws, data.truths, {.param_names = labels}),
                                     .local = diagnostics::recovery(data.draws, data.truths),
                                     .data_set = {},
                                     .group = {}}));
  add("plot_two_level_sbc", plot_two_level_sbc(diagnostics::TwoLevelSbc{.global_ranks = ranks,
                                                                        .local_ranks = ranks,
                                                                        .global = diagnostics::sbc_ecdf(ranks),
                                                                        .local = diagnostics::sbc_ecdf(ranks),
                                                                        .data_set = {},
                                                                        .group = {}}));
  diagnostics::Sensitivity grid{
      {"prior sd", {}, 1.0}, {"noise", {0.5, 1, 1.5, 2}, 1.25}, Array({parameters + 1, 4}), Array({parameters + 1, 4})};
  for (std::int64_t i = 0; i <= parameters; ++i) {
    grid.first.values.push_back(0.5 + static_cast<double>(i));
    for (std::int64_t j = 0; j < 4; ++j)
      grid.posterior_error(i, j) = grid.summary_mmd(i, j) = std::hypot(static_cast<double>(i) - 0.5, static_cast<double>(j) - 1.5);
  }
  add("plot_sensitivity", plot_sensitivity(grid));
  add("plot_sensitivity_summaries", plot_sensitivity(grid, {.summary_mmd = true}));
  return out;
}

}  // namespace bayesflow::test
