/// From numbers to figures: a function for each diagnostic. None of them computes anything that a result struct does not hold.
#pragma once

#include <cstdint>
#include <string>

#include "bayesflow/diagnostics/conditional.hpp"
#include "bayesflow/diagnostics/coverage.hpp"
#include "bayesflow/diagnostics/density.hpp"
#include "bayesflow/diagnostics/losses.hpp"
#include "bayesflow/diagnostics/model_comparison.hpp"
#include "bayesflow/diagnostics/posterior_predictive.hpp"
#include "bayesflow/diagnostics/recovery.hpp"
#include "bayesflow/diagnostics/sbc.hpp"
#include "bayesflow/diagnostics/sensitivity.hpp"
#include "bayesflow/diagnostics/tarp.hpp"
#include "bayesflow/diagnostics/two_level.hpp"
#include "bayesflow/diagnostics/two_sample.hpp"
#include "bayesflow/figures/figure.hpp"
#include "bayesflow/simulation/prior.hpp"

namespace bayesflow {

/// Panels of a figure with a panel per parameter: v1's rule is rows = ceil(P / 6), columns = ceil(P / rows).
struct PanelGrid {
  std::int64_t rows = 0, columns = 0;  ///< 0: by the rule; one of them given: the other follows; both: ArgumentError if too few
};

/// Settings of `plot_losses`.
struct LossesPlotOptions {
  bool moving_average = true;  ///< draw it over the losses of the steps, which are then pale
  std::string train_color = figures::kRed;
  std::string val_color = figures::kBlack;
};
/// A panel per loss component: loss of each step, its moving average, and validation losses with their markers.
[[nodiscard]] Figure plot_losses(const diagnostics::LossCurves& losses, const LossesPlotOptions& options = {});

/// Settings of `plot_recovery`.
struct RecoveryPlotOptions {
  bool add_r2 = true, add_corr = true;  ///< R^2 and Pearson's r above each panel
  std::string color = figures::kRed;
  PanelGrid grid{};
  std::int64_t max_points = 2000;  ///< drawn per panel, evenly thinned; the numbers come from all
};
/// Point estimates with error bars against truths, over the diagonal.
[[nodiscard]] Figure plot_recovery(const diagnostics::Recovery& recovery, const RecoveryPlotOptions& options = {});

/// Settings of `plot_z_score_contraction`.
struct ContractionPlotOptions {
  std::string color = figures::kRed;
  PanelGrid grid{};
  std::int64_t max_points = 2000;
};
/// Posterior z-score against posterior contraction of every data set. The axis reaches down to negative contractions.
[[nodiscard]] Figure plot_z_score_contraction(const diagnostics::ZScoreContraction& contraction,
                                              const ContractionPlotOptions& options = {});

/// Settings of `plot_sbc_histograms`.
struct SbcHistogramPlotOptions {
  std::string hist_color = figures::kLightRed;
  PanelGrid grid{};
};
/// Histograms of ranks with the binomial interval of each bar (grey) and the limits of all bars together (dashed).
[[nodiscard]] Figure plot_sbc_histograms(const diagnostics::SbcHistograms& histograms, const SbcHistogramPlotOptions& options = {});

/// Settings of `plot_sbc_ecdf`.
struct SbcEcdfPlotOptions {
  bool stacked = false;                              ///< all parameters in one panel
  std::string rank_ecdf_color = figures::kLightRed;  ///< stacked: of the first parameter, others have their own
  std::string fill_color = figures::kGrey;
  PanelGrid grid{};
};
/// ECDFs of fractional ranks in their simultaneous band; as differences from the diagonal if the numbers are.
[[nodiscard]] Figure plot_sbc_ecdf(const diagnostics::SbcEcdf& ecdf, const SbcEcdfPlotOptions& options = {});

/// Settings of `plot_coverage`.
struct CoveragePlotOptions {
  std::string color = figures::kRed;
  PanelGrid grid{};
};
/// Share of truths in central credible intervals against the intervals' level, with the band of an exact posterior.
[[nodiscard]] Figure plot_coverage(const diagnostics::Coverage& coverage, const CoveragePlotOptions& options = {});

/// Settings of `plot_tarp`.
struct TarpPlotOptions {
  std::string color = figures::kRed;
};
/// Expected coverage of balls around random points against their credibility, with the band of an exact posterior.
[[nodiscard]] Figure plot_tarp(const diagnostics::Tarp& tarp, const TarpPlotOptions& options = {});

/// Settings of `plot_lc2st`.
struct Lc2stPlotOptions {
  std::string color = figures::kRed;
  std::vector<std::int64_t> data_sets{};  ///< those to draw, by index; empty: the first 12
  PanelGrid grid{};
};
/// A panel per observed data set: distribution of the classifier's probability of "truth" over the posterior's draws, with the band of
/// classifiers under an exact posterior. Right of the band: draws that look like truths are too few there; left of it: too many.
[[nodiscard]] Figure plot_lc2st(const diagnostics::Lc2st& test, const Lc2stPlotOptions& options = {});

/// Panels of `plot_recovery`: global parameters in the first rows, then local ones.
[[nodiscard]] Figure plot_two_level_recovery(const diagnostics::TwoLevelRecovery& recovery, const RecoveryPlotOptions& options = {});
/// Panels of `plot_sbc_ecdf`, in the same order.
[[nodiscard]] Figure plot_two_level_sbc(const diagnostics::TwoLevelSbc& sbc, const SbcEcdfPlotOptions& options = {});

/// Settings of the pair grids. For many parameters panels become smaller.
struct PairsPlotOptions {
  double panel_size = 0;  ///< points; 0: by the number of parameters
  std::string color = figures::kRed;
  std::string reference_color = figures::kGrey;
  std::vector<std::int64_t> parameters{};  ///< those to draw, by index; empty: all
};
/// Posterior of one data set: marginals on the diagonal, joint densities below it; over the prior and with the truth, if given.
[[nodiscard]] Figure plot_posterior_2d(const diagnostics::Pairs& pairs, const PairsPlotOptions& options = {});
/// Prior draws: as above, with the draws themselves in the upper triangle.
[[nodiscard]] Figure plot_prior2d(const diagnostics::Pairs& pairs, const PairsPlotOptions& options = {});
[[nodiscard]] Figure plot_prior2d(const Prior& prior, std::int64_t n_samples = 2000, std::uint64_t seed = 0,
                                  const PairsPlotOptions& options = {});
/// Latents (or summaries): like the prior's; they should look like independent standard normals.
[[nodiscard]] Figure plot_latent_space_2d(const diagnostics::Pairs& pairs, const PairsPlotOptions& options = {});

/// Settings of `plot_posterior_predictive` and `plot_pushforward`.
struct PredictivePlotOptions {
  std::int64_t data_set = 0;  ///< which of the B data sets
  std::string color = figures::kRed;
  PanelGrid grid{};
  std::int64_t max_panels = 12;  ///< of plot_pushforward: variables of the data, the first ones; the title says if there are more
  std::vector<double> times{};   ///< of plot_pushforward: of the first axis of a data set; empty: 0, 1, 2, ...
  std::vector<std::string> variable_names{};  ///< of plot_pushforward; empty: Variable 1, ...
  std::string x_label = {}, y_label = {};     ///< of plot_pushforward; empty: "Time" with times, else "Index in the data set"; "Value"
};
/// A panel per statistic: its values in simulated data, and the observed one.
[[nodiscard]] Figure plot_posterior_predictive(const diagnostics::PosteriorPredictive& predictive,
                                               const PredictivePlotOptions& options = {});
/// A panel per variable: quantile bands of simulated data along the first axis of a data set, with the observed data if given.
[[nodiscard]] Figure plot_pushforward(const diagnostics::Pushforward& pushforward, const PredictivePlotOptions& options = {});

/// Settings of `plot_calibration_curves`.
struct CalibrationPlotOptions {
  std::string color = figures::kRed;
  double epsilon = 0.02;  ///< the axes reach this far beyond [0, 1]
  PanelGrid grid{};
};
/// Observed frequency against predicted model probability, with the distribution of predictions beneath.
[[nodiscard]] Figure plot_calibration_curves(const diagnostics::CalibrationCurves& curves, const CalibrationPlotOptions& options = {});

/// Settings of `plot_confusion_matrix`.
struct ConfusionPlotOptions {
  bool normalize = true;  ///< shares of each true model; false: counts
  bool title = true;
  std::string color = figures::kRed;
};
[[nodiscard]] Figure plot_confusion_matrix(const diagnostics::ConfusionMatrix& confusion, const ConfusionPlotOptions& options = {});

/// Settings of `plot_mmd_hypothesis_test`.
struct MmdPlotOptions {
  std::string null_color = figures::kBlue;
  std::string observed_color = figures::kRed;
  std::string alpha_color = figures::kOrange;
  bool truncate_vlines_at_kde = false;  ///< vertical lines end at the density
  double bw_factor = 1.5;               ///< times Scott's bandwidth
};
/// The null distribution, its rejection area, and the observed MMD (left out if it is not finite).
[[nodiscard]] Figure plot_mmd_hypothesis_test(const diagnostics::MmdHypothesisTest& test, const MmdPlotOptions& options = {});

/// Settings of `plot_sensitivity`.
struct SensitivityPlotOptions {
  bool summary_mmd = false;  ///< false: the posterior error
  std::string color = {};    ///< empty: red for errors, blue for summaries
};
/// The grid as colours, the first quantity along x, from white (the smallest value) to full colour (the largest); dashed: well specified.
[[nodiscard]] Figure plot_sensitivity(const diagnostics::Sensitivity& sensitivity, const SensitivityPlotOptions& options = {});

}  // namespace bayesflow
