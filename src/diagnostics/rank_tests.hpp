/// Tests of ranks that are uniform on {0, ..., S} if all is well: smooth tests by orthonormal scores with exact tails, and a fit
/// that says how far off a posterior is.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "bayesflow/diagnostics/table.hpp"

namespace bayesflow::diagnostics {

/// Scores of ranks. w(r) = Phi^-1((r + 1/2) / (S + 1)); h_1, h_2, ... are polynomials in w made orthonormal under the uniform
/// distribution of r, so that sum h_k(r_b) / sqrt(B) has mean 0 and variance 1 exactly, and its terms of other degree are
/// uncorrelated with it. h_1 answers to a shift, h_2 to a wrong width, h_3 to skewness, h_4 to tails (Neyman's smooth test).
class RankScores {
 public:
  explicit RankScores(std::int64_t num_draws);
  [[nodiscard]] std::int64_t num_draws() const { return static_cast<std::int64_t>(w_.size()) - 1; }
  [[nodiscard]] int degrees() const { return static_cast<int>(h_.size()); }  ///< 4, or fewer with fewer than 4 draws
  [[nodiscard]] double w(std::int64_t rank) const { return w_[static_cast<std::size_t>(rank)]; }
  [[nodiscard]] double h(int degree, std::int64_t rank) const {
    return h_[static_cast<std::size_t>(degree - 1)][static_cast<std::size_t>(rank)];
  }
  /// Normal quantile of rank / (S + 1): where the cell of a rank begins (-inf for 0, inf for S + 1).
  [[nodiscard]] double edge(std::int64_t rank) const { return edges_[static_cast<std::size_t>(rank)]; }
  /// sqrt(B) times the mean score.
  [[nodiscard]] double statistic(int degree, std::span<const std::int64_t> ranks) const;
  /// Two-sided p-value of a statistic of `count` ranks by the saddlepoint approximation of the exact distribution (Lugannani and
  /// Rice 1980): relative errors of about 1 % where a normal approximation is off by factors.
  [[nodiscard]] double p_value(int degree, double statistic, std::int64_t count) const;

 private:
  std::vector<double> w_, edges_;
  std::vector<std::vector<double>> h_;
};

/// Truths that are Normal(location, scale^2) in the standard units of their posteriors, fitted to ranks by maximum likelihood: the
/// cell of rank r has probability Phi((e_{r+1} - location) / scale) - Phi((e_r - location) / scale).
struct ProbitFit {
  Estimate location;            ///< 0 if all is well
  Estimate log_scale;           ///< 0 if all is well; posterior sd / exact sd = exp(-log_scale)
  double h3 = 0, h4 = 0;        ///< mean scores of degree 3 and 4 that the fit expects
  double h3_sd = 1, h4_sd = 1;  ///< standard deviations of the scores under the fit
};
ProbitFit fit_probit(const RankScores& scores, std::span<const std::int64_t> ranks);

/// How far a shift and a wrong width have to go to be found with probability `power` by two-sided tests of size `alpha`.
double detectable_shift(const RankScores& scores, std::int64_t data_sets, double alpha, double power = 0.8);
double detectable_width_ratio(const RankScores& scores, std::int64_t data_sets, double alpha, double power = 0.8);

}  // namespace bayesflow::diagnostics
