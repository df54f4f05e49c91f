/// Coverage of regions around random points: one test of the joint posterior that needs no density.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "bayesflow/core/array.hpp"
#include "bayesflow/diagnostics/table.hpp"

namespace bayesflow::diagnostics {

/// Settings of `tarp`.
struct TarpOptions {
  std::optional<Array>
      references{};               ///< (B, P); may depend on the data, not on the truths. Absent: uniform in the box that the truths span
  double confidence = 0.95;       ///< that the whole curve of an exact posterior is inside of the band
  std::int64_t max_points = 100;  ///< levels of credibility
  std::uint64_t seed = 0;         ///< of the references and of ties
  int threads = 0;
  void validate() const;
};

/// With a reference point r_b of each data set, and distances in units of the range of the truths of each parameter:
///   rank_b = #{s: |theta_bs - r_b| < |truth_b - r_b|}, uniform on {0, ..., S} if the posterior is exact, whatever r_b;
///   expected coverage at credibility c = share of data sets with rank_b < c (S + 1).
/// The ball around r_b that holds the share c of the draws is a credible region of level c, so the curve is the diagonal for an exact
/// posterior. Too narrow: above it on the left and below on the right; too wide: the other way round; shifted: on one side. The band is
/// exact (`ecdf_band`), because data sets are independent.
/// Lemos, Coogan, Hezaveh, Perreault-Levasseur (2023), Sampling-based accuracy testing of posterior estimators for general inference.
struct Tarp {
  Array references;                                 ///< (B, P)
  Array ranks;                                      ///< (B), whole numbers
  std::int64_t num_draws = 0;                       ///< S
  std::vector<double> credibility;                  ///< (K + 1) from 0 to 1
  std::vector<double> expected_coverage;            ///< (K + 1)
  std::vector<double> band_lower, band_upper;       ///< (K + 1)
  double confidence = 0, band_coverage = 0;         ///< as asked for; exact
  bool inside = false;                              ///< the curve is in the band everywhere
  double p_value = 1;                               ///< exact: how often an exact posterior strays as far at its worst point
  Estimate upper_excess;                            ///< mean of coverage - credibility above 1/2: negative is overconfident
  [[nodiscard]] std::vector<Table> tables() const;  ///< "tarp" (a row per level), "tarp_verdict"
};
/// draws (B, S, P), truths (B, P). Throws ShapeError, and ArgumentError naming the first number that is not finite.
[[nodiscard]] Tarp tarp(const Array& draws, const Array& truths, const TarpOptions& options = {});

}  // namespace bayesflow::diagnostics
