/// How a posterior fares on data of other models than that of its training.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "bayesflow/amortizers/amortized_posterior.hpp"
#include "bayesflow/diagnostics/table.hpp"
#include "bayesflow/simulation/generative_model.hpp"

namespace bayesflow::diagnostics {

/// A quantity of the model that is varied.
struct SensitivityAxis {
  std::string name;
  std::vector<double> values;
  std::optional<double> well_specified{};  ///< its value in training, drawn as a dashed line
};

/// Settings of `sensitivity`; numbers are v1's.
struct SensitivityOptions {
  std::int64_t n_sim = 200;                ///< data sets of each pair of values
  std::int64_t n_posterior_samples = 500;  ///< draws for each of them
  Configurator configurator = default_configurator;
  NonFinitePolicy nonfinite = {};  ///< of what is simulated
  std::uint64_t seed = 0;          ///< pairs of values have the same random numbers, so that their differences are of the model
  void validate() const;
};

/// v1's misspecification experiment, on the grid of two quantities:
///   posterior error = mean over data sets of the rms distance of draws from the truth (`aggregated_rmse`);
///   summary MMD = square root of the biased MMD^2 of the data sets' summaries to those of the well-specified model.
/// Large where the summaries have not been seen in training: there the posterior is not to be trusted, whether or not its error is large.
/// Schmitt, Bürkner, Köthe, Radev (2023), Detecting model misspecification in amortized Bayesian inference with neural networks.
struct Sensitivity {
  SensitivityAxis first, second;
  Array posterior_error;                            ///< (n1, n2)
  Array summary_mmd;                                ///< (n1, n2); empty without a summary network
  [[nodiscard]] std::vector<Table> tables() const;  ///< "sensitivity", a row for each pair
};
/// `model`: that of training; `other`: of a pair of values, called from this thread. Throws ConfigurationError on axes without values.
[[nodiscard]] Sensitivity sensitivity(const AmortizedPosterior& amortizer, const GenerativeModel& model,
                                      const std::function<GenerativeModel(double first, double second)>& other,
                                      const SensitivityAxis& first, const SensitivityAxis& second, const SensitivityOptions& options = {});

}  // namespace bayesflow::diagnostics
