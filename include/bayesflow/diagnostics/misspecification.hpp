/// Are observed data like those that an amortizer was trained on?
#pragma once

#include <cstdint>
#include <functional>

#include "bayesflow/amortizers/amortized_posterior.hpp"
#include "bayesflow/diagnostics/two_sample.hpp"
#include "bayesflow/simulation/generative_model.hpp"

namespace bayesflow {

/// What is compared.
enum class MmdSpace : std::uint8_t {
  summary,  ///< outputs of the summary network: what the posterior depends on
  data,     ///< the data themselves, flattened per data set
};

/// Settings of mmd_hypothesis_test with an amortizer.
struct MisspecificationOptions {
  std::int64_t num_reference_simulations = 1000;
  MmdSpace space = MmdSpace::summary;
  Configurator configurator = default_configurator;  ///< for what is simulated
  NonFinitePolicy nonfinite = {};                    ///< of what is simulated; the same number of data sets is needed, so `drop` redraws
  diagnostics::MmdTestOptions test = {};             ///< with `bootstrap`, null sets are drawn from half of the reference data
  std::function<void(std::int64_t done, std::int64_t total)> progress = {};  ///< called after each null set that was simulated
  void validate() const;  ///< throws ConfigurationError naming field, value and constraint
};

/// Compares the observed data sets' summaries with those of simulations, and this distance with that of as many fresh simulations (Schmitt,
/// Buerkner, Koethe and Radev 2023), by diagnostics::mmd_hypothesis_test. Null sets never share a data set with the reference. A summary
/// network need not be trained with summary_mmd_weight > 0 for that; docs/training.md shows what this changes. Throws ConfigurationError,
/// ShapeError and ArgumentError.
[[nodiscard]] diagnostics::MmdHypothesisTest mmd_hypothesis_test(const AmortizedPosterior& amortizer, const Batch& observed,
                                                                 const GenerativeModel& model, const MisspecificationOptions& options = {});
/// With given reference data instead of a model: null sets come from half of them, the observed data are compared with the other half.
[[nodiscard]] diagnostics::MmdHypothesisTest mmd_hypothesis_test(const AmortizedPosterior& amortizer, const Batch& observed,
                                                                 const Batch& reference, const MisspecificationOptions& options = {});

}  // namespace bayesflow
