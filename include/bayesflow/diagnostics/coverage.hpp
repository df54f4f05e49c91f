/// Do central credible intervals contain the truth as often as they say?
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bayesflow/core/array.hpp"
#include "bayesflow/diagnostics/sbc.hpp"
#include "bayesflow/diagnostics/table.hpp"

namespace bayesflow::diagnostics {

/// Settings of `coverage`.
struct CoverageOptions {
  std::int64_t num_levels = 20;  ///< levels of central intervals, evenly spread
  double confidence = 0.95;      ///< of the band, all levels together
  void validate() const;
};

/// The central interval of level (S + 1 - 2 j) / (S + 1) lies between the j-th smallest and the j-th largest draw; that many
/// of an exact posterior's truths are inside, whatever S. Levels are the whole-j ones nearest to those asked for.
struct Coverage {
  std::vector<std::string> param_names;
  std::int64_t num_data_sets = 0, num_draws = 0;
  std::vector<double> levels;                       ///< (L) nominal, exact for S draws
  Array coverage;                                   ///< (P, L) share of truths inside
  Array standard_error;                             ///< (P, L) binomial
  std::vector<double> band_lower, band_upper;       ///< (L) simultaneous over the levels, exact
  double band_coverage = 0;                         ///< exact probability of the band
  std::vector<bool> inside;                         ///< (P)
  std::vector<Estimate> calibration_error;          ///< (P) mean over levels of |coverage - level|; jackknife error
  double expected_calibration_error = 0;            ///< what an exact posterior shows with B data sets on average (the noise floor)
  std::vector<Estimate> excess;                     ///< (P) mean over levels of coverage - level: negative is overconfident
  [[nodiscard]] std::vector<Table> tables() const;  ///< "coverage" (a row per level), "calibration_error" (a row per parameter)
};
[[nodiscard]] Coverage coverage(const SbcRanks& ranks, const CoverageOptions& options = {});
[[nodiscard]] Coverage coverage(const Array& draws, const Array& truths, const CoverageOptions& options = {},
                                const SbcRankOptions& rank_options = {});

/// Settings of `posterior_calibration_error`; defaults are v1's.
struct CalibrationErrorOptions {
  std::int64_t alpha_resolution = 20;  ///< levels of central intervals
  double min_quantile = 0.005;         ///< smallest level
  double max_quantile = 0.995;         ///< largest level
  std::uint64_t bootstrap_seed = 0;    ///< of the resamples behind the standard error
  std::int64_t bootstrap = 200;        ///< resamples; 0: no standard error (NaN)
  int threads = 0;
  void validate() const;
};
/// v1's number: intervals between linearly interpolated quantiles of the draws, |coverage - level|, median over levels. (P)
[[nodiscard]] std::vector<Estimate> posterior_calibration_error(const Array& draws, const Array& truths,
                                                                const CalibrationErrorOptions& options = {});
/// The errors before the median (v1's aggregator None): (levels, P).
[[nodiscard]] Array posterior_calibration_errors(const Array& draws, const Array& truths, const CalibrationErrorOptions& options = {});

}  // namespace bayesflow::diagnostics
