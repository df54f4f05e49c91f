/// One test of the joint posterior, for faults that no single parameter shows.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bayesflow/core/array.hpp"
#include "bayesflow/diagnostics/table.hpp"

namespace bayesflow::diagnostics {

/// Settings of `joint_test`.
struct JointTestOptions {
  std::optional<Array> log_posterior_draws{};   ///< (B, S) log density of the draws; with the next: its rank is tested
  std::optional<Array> log_posterior_truths{};  ///< (B) log density of the truths
  std::int64_t num_projections = 10;            ///< random directions in the space of standardized parameters
  double error_rate = 0.05;                     ///< of the whole test, all quantities together
  std::uint64_t seed = 0;                       ///< of directions and of ties
  int threads = 0;
  void validate() const;
};

/// Ranks of scalar quantities f(parameters, data) of the truth among the draws. Each is uniform on {0, ..., S} for an exact
/// posterior whatever f, as long as f treats truth and draws alike: parameters are standardized by mean and covariance of all S + 1.
/// Quantities: log posterior (if given), Mahalanobis distance from the mean, random projections. Each rank is tested for location,
/// scale and by its ECDF; p-values are joined by Holm's method, so that the error rate holds for all of them together.
/// Modrák, Moon, Kim, Bürkner, Huurre, Faltejsková, Gelman, Vehtari (2023), Simulation-based calibration checking for Bayesian
/// computation: the choice of test quantities shapes sensitivity.
struct JointTest {
  std::vector<std::string> quantities;  ///< (Q)
  Array ranks;                          ///< (B, Q)
  std::int64_t num_draws = 0;
  std::vector<double> p_value;           ///< (Q) each by itself
  std::vector<double> adjusted_p_value;  ///< (Q) Holm
  double overall_p_value = 1;            ///< smallest adjusted one
  double error_rate = 0;
  bool passed = true;                               ///< overall_p_value > error_rate
  [[nodiscard]] std::vector<Table> tables() const;  ///< "joint_test"
};
[[nodiscard]] JointTest joint_test(const Array& draws, const Array& truths, const JointTestOptions& options = {});

}  // namespace bayesflow::diagnostics
