/// Are the latents of the training distribution standard normal, as the loss wants them?
#pragma once

#include <string>
#include <vector>

#include "bayesflow/core/array.hpp"
#include "bayesflow/diagnostics/table.hpp"

namespace bayesflow::diagnostics {

/// Settings of `latent_normality`.
struct LatentNormalityOptions {
  std::vector<std::string> names{};  ///< empty: "Latent Dim. 1", ...
  double error_rate = 0.05;          ///< of all tests together (Holm)
  void validate() const;
};

/// Moments and tests of latents z (B, P). Per dimension: mean 0, standard deviation 1, skewness 0, excess kurtosis 0 are expected;
/// Anderson-Darling tests against N(0, 1); per pair a correlation; of all together the squared length against chi-squared(P).
/// For a figure of the pairs see `pairs`.
struct LatentNormality {
  std::vector<std::string> names;                             ///< (P)
  std::vector<Estimate> mean, sd, skewness, excess_kurtosis;  ///< (P), errors under normality
  std::vector<double> anderson_darling, p_value;              ///< (P)
  Array correlation;                                          ///< (P, P)
  Array correlation_p_value;                                  ///< (P, P), 1 on the diagonal
  Estimate mean_squared_length;                               ///< of z, divided by P: 1 expected
  double squared_length_p_value = 1;                          ///< Anderson-Darling against chi-squared(P)
  double overall_p_value = 1;                                 ///< smallest Holm-adjusted p-value of all these tests
  bool normal = true;                                         ///< overall_p_value > error_rate
  [[nodiscard]] std::vector<Table> tables() const;            ///< "latent_normality", "latent_correlation", "latent_summary"
};
[[nodiscard]] LatentNormality latent_normality(const Array& z, const LatentNormalityOptions& options = {});

}  // namespace bayesflow::diagnostics
