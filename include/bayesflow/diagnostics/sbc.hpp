/// Simulation-based calibration: ranks, histograms, and ECDFs with simultaneous bands.
/// Talts, Betancourt, Simpson, Vehtari, Gelman (2018), Validating Bayesian inference algorithms with simulation-based calibration;
/// Säilynoja, Bürkner, Vehtari (2022), Graphical test for discrete uniformity and its applications in goodness-of-fit evaluation
/// and multiple sample comparison.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bayesflow/core/array.hpp"
#include "bayesflow/diagnostics/table.hpp"

namespace bayesflow::diagnostics {

/// Settings of `sbc_ranks`.
struct SbcRankOptions {
  std::vector<std::string> param_names{};
  std::uint64_t seed = 0;  ///< of the ranks among draws equal to the truth (discrete parameters)
  int threads = 0;
  void validate() const;
};

/// rank = number of draws below the truth, 0 ... S. Draws equal to the truth are put below or above it at random, so that the
/// ranks of an exact posterior are uniform on {0, ..., S} for discrete parameters too; without such ties they are v1's.
struct SbcRanks {
  std::vector<std::string> param_names;
  Array ranks;                                      ///< (B, P), whole numbers
  std::int64_t num_draws = 0;                       ///< S
  [[nodiscard]] std::vector<Table> tables() const;  ///< "sbc_ranks"
};
/// draws (B, S, P), truths (B, P). Throws ShapeError, and ArgumentError naming the first number that is not finite.
[[nodiscard]] SbcRanks sbc_ranks(const Array& draws, const Array& truths, const SbcRankOptions& options = {});

/// Settings of `sbc_histograms`.
struct SbcHistogramOptions {
  std::int64_t num_bins = 0;            ///< 0: at most 20 bins with 10 expected counts or more; bins that divide S + 1 are preferred
  double binomial_interval = 0.99;      ///< of each bar by itself
  double simultaneous_interval = 0.95;  ///< of all bars of a histogram together
  void validate() const;
};

/// Bin k holds the whole ranks [first_rank[k], first_rank[k + 1]); its count is Binomial(B, width / (S + 1)) for an exact
/// posterior, so `expected` and the intervals are right also where the number of bins does not divide S + 1.
struct SbcHistograms {
  std::vector<std::string> param_names;
  std::int64_t num_draws = 0, num_data_sets = 0, num_bins = 0;
  std::vector<std::int64_t> first_rank;  ///< (num_bins + 1), from 0 to S + 1
  Array counts;                          ///< (P, num_bins)
  std::vector<double> expected;          ///< (num_bins)
  std::vector<double> lower, upper;      ///< (num_bins) central binomial interval of each count by itself, ends included
  std::vector<double> simultaneous_lower, simultaneous_upper;  ///< (num_bins) all counts of a histogram together
  double binomial_interval = 0;                                ///< as asked for
  double simultaneous_interval = 0;                            ///< the exact probability that all counts of an exact posterior are inside
  std::vector<bool> inside;                                    ///< (P) all bars within the simultaneous limits
  [[nodiscard]] std::vector<Table> tables() const;  ///< "sbc_histograms" (a row per bin), "sbc_histogram_verdicts" (per parameter)
};
[[nodiscard]] SbcHistograms sbc_histograms(const SbcRanks& ranks, const SbcHistogramOptions& options = {});
[[nodiscard]] SbcHistograms sbc_histograms(const Array& draws, const Array& truths, const SbcHistogramOptions& options = {},
                                           const SbcRankOptions& rank_options = {});

/// A simultaneous band for the ECDF of B independent draws at given points: the exact probability that the whole ECDF is
/// inside is `coverage`, the smallest reachable one that is at least as asked (counts are discrete).
struct EcdfBand {
  std::vector<double> points;        ///< (K) probabilities of the cumulated cells, the last is 1
  std::vector<double> lower, upper;  ///< (K) fractions of B, ends included
  double coverage = 0;               ///< exact, for data sets of an exact posterior
  double gamma = 0;                  ///< level of the two-sided binomial test at each point
};
/// Probability that Binomial counts at increasing `points` (in (0, 1]) all stay where both tails exceed gamma / 2, by the Markov
/// recursion over the points.
[[nodiscard]] EcdfBand ecdf_band(std::int64_t num_data_sets, std::vector<double> points, double confidence = 0.95);
/// Exact probability that an ECDF of B independent draws leaves the binomial limits of level gamma at one of the points or more.
[[nodiscard]] double ecdf_exit_probability(std::int64_t num_data_sets, const std::vector<double>& points, double gamma);
/// The rank cuts at which ECDFs of ranks 0 ... S are compared: at most `max_points`, evenly spread, each a whole rank + 1; last S + 1.
[[nodiscard]] std::vector<std::int64_t> rank_cuts(std::int64_t num_draws, std::int64_t max_points = 100);

/// Settings of `sbc_ecdf`.
struct SbcEcdfOptions {
  double confidence = 0.95;          ///< that an exact posterior's ECDF stays inside the band everywhere
  bool over_all_parameters = false;  ///< true: the confidence holds for all P ECDFs together (Bonferroni)
  bool difference = false;           ///< subtract the diagonal from ECDFs and band
  std::int64_t max_points = 100;     ///< points of comparison; more are of little use and cost time
  void validate() const;
};

/// ECDFs of fractional ranks. At point k, ecdf = share of data sets with rank < cuts[k], to be compared with points[k] = cuts[k] / (S + 1).
struct SbcEcdf {
  std::vector<std::string> param_names;
  Array ranks;                                 ///< (B, P), whole numbers
  std::int64_t num_draws = 0;                  ///< S
  bool difference = false;                     ///< ecdf, band_lower and band_upper have the diagonal subtracted
  std::vector<double> points;                  ///< (K + 1) from 0 to 1: fractional rank (x axis)
  Array ecdf;                                  ///< (P, K + 1)
  std::vector<double> band_lower, band_upper;  ///< (K + 1), both 0 at 0
  double confidence = 0;                       ///< as asked for, of one ECDF unless over_all_parameters
  double coverage = 0;                         ///< exact coverage of one ECDF by the band
  bool over_all_parameters = false;
  std::vector<bool> inside;                         ///< (P) the ECDF is inside the band everywhere
  std::vector<double> p_value;                      ///< (P) exact: how often an exact posterior strays as far at its worst point
  [[nodiscard]] std::vector<Table> tables() const;  ///< "sbc_ecdf" (a row per point), "sbc_ecdf_verdicts" (a row per parameter)
};
[[nodiscard]] SbcEcdf sbc_ecdf(const SbcRanks& ranks, const SbcEcdfOptions& options = {});
[[nodiscard]] SbcEcdf sbc_ecdf(const Array& draws, const Array& truths, const SbcEcdfOptions& options = {},
                               const SbcRankOptions& rank_options = {});

/// v1's statistic behind its bands: for each row of uniforms u (M, N), 2 min over points z (K) of the binomial tail probabilities
/// of the ECDF at z. (M)
[[nodiscard]] Array coverage_probs(const Array& points, const Array& uniforms);

}  // namespace bayesflow::diagnostics
