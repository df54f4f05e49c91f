/// How well point estimates recover the true parameters; z-scores and posterior contraction.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "bayesflow/core/array.hpp"
#include "bayesflow/diagnostics/table.hpp"

namespace bayesflow::diagnostics {

/// A number computed from the draws of one parameter for one data set. The function may reorder the draws that it is
/// given; it is called on several threads.
struct DrawSummary {
  std::string name;
  std::function<double(std::span<double>)> function;
};
[[nodiscard]] DrawSummary median();
[[nodiscard]] DrawSummary mean();
[[nodiscard]] DrawSummary standard_deviation();                             ///< divisor S - 1
[[nodiscard]] DrawSummary median_absolute_deviation();                      ///< unscaled, as in v1's recovery figure
[[nodiscard]] DrawSummary quantile(double probability);                     ///< linear interpolation, as NumPy
[[nodiscard]] DrawSummary central_interval_half_width(double probability);  ///< half the distance of the interval's end points

/// Settings of `recovery`.
struct RecoveryOptions {
  std::vector<std::string> param_names{};                           ///< empty: theta_1, theta_2, ...
  DrawSummary point = median();                                     ///< the point estimate
  std::optional<DrawSummary> spread = median_absolute_deviation();  ///< the error bar; absent: none
  /// (B), numbers of clusters of data sets that are not independent of each other, side by side: the jackknife leaves out whole clusters.
  /// Empty: each data set is one of its own.
  std::vector<std::int64_t> clusters{};
  int threads = 0;        ///< 0: as many as the machine has
  void validate() const;  ///< throws ConfigurationError
};

/// Point estimates against truths. Per parameter, with e = estimate - truth over the B data sets:
///   R^2 = 1 - sum e^2 / sum (truth - mean truth)^2;  r = Pearson correlation of truth and estimate;  rmse = sqrt(mean e^2);
///   normalized rmse = rmse / standard deviation of the truths (1: no better than the truths' mean);  bias = mean e.
/// Standard errors: jackknife over data sets, or clusters of them. R^2, r and normalized rmse of a parameter that never varies are NaN.
struct Recovery {
  std::vector<std::string> param_names;
  std::string point_name, spread_name;                       ///< spread_name is empty if there is no spread
  Array truths;                                              ///< (B, P)
  Array estimates;                                           ///< (B, P)
  std::optional<Array> spreads;                              ///< (B, P)
  std::vector<Estimate> r2, r, rmse, normalized_rmse, bias;  ///< (P)
  [[nodiscard]] std::vector<Table> tables() const;  ///< "recovery" (a row per parameter), "recovery_points" (per data set and parameter)
};

/// draws (B, S, P), truths (B, P). Throws ShapeError, and ArgumentError naming the first number that is not finite.
[[nodiscard]] Recovery recovery(const Array& draws, const Array& truths, const RecoveryOptions& options = {});

/// Settings of `z_score_contraction`.
struct ContractionOptions {
  std::vector<std::string> param_names{};
  std::optional<Array> prior_draws{};  ///< (N, P): the prior's variance is taken from these instead of the B truths
  int threads = 0;
  void validate() const;
};

/// z = (posterior mean - truth) / posterior sd;  contraction = 1 - posterior variance / prior variance (divisor S - 1; N - 1).
/// 1: the data determine the parameter, 0: the posterior is as wide as the prior, negative: wider.
/// Schad, Betancourt, Vasishth (2021), Toward a principled Bayesian workflow in cognitive science.
struct ZScoreContraction {
  std::vector<std::string> param_names;
  Array z_score;                                    ///< (B, P)
  Array contraction;                                ///< (B, P)
  std::vector<double> prior_variance;               ///< (P)
  std::vector<Estimate> mean_z_score;               ///< (P) 0 if unbiased
  std::vector<Estimate> sd_z_score;                 ///< (P) 1 for Gaussian posteriors of the right width
  std::vector<Estimate> mean_contraction;           ///< (P); its error holds the prior variance's
  [[nodiscard]] std::vector<Table> tables() const;  ///< "contraction", "contraction_points"
};

/// Needs at least two draws (the posterior's variance) and two truths or prior draws; ArgumentError otherwise.
[[nodiscard]] ZScoreContraction z_score_contraction(const Array& draws, const Array& truths, const ContractionOptions& options = {});

/// Mean over data sets of the root mean squared distance of all draws from the truth, over draws and parameters (v1's aggregated_rmse).
[[nodiscard]] Estimate aggregated_rmse(const Array& draws, const Array& truths);
/// v1's aggregated_error: `inner` maps (truth (P), draws (S, P)) of a data set to a number, `outer` joins the B numbers.
[[nodiscard]] double aggregated_error(const Array& draws, const Array& truths,
                                      const std::function<double(const Array&, const Array&)>& inner,
                                      const std::function<double(std::span<const double>)>& outer);

}  // namespace bayesflow::diagnostics
