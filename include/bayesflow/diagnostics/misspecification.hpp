/// Are observed data like those that an amortizer was trained on?
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "bayesflow/amortizers/amortized_posterior.hpp"
#include "bayesflow/simulation/generative_model.hpp"

namespace bayesflow {

/// What is compared.
enum class MmdSpace : std::uint8_t {
  summary,  ///< outputs of the summary network: what the posterior depends on
  data,     ///< the data themselves, flattened per data set
};

/// Settings of mmd_hypothesis_test.
struct MmdTestOptions {
  std::int64_t num_reference_simulations = 1000;
  std::int64_t num_null_samples = 100;  ///< at least 1 / level - 1
  double level = 0.05;                  ///< of the test, for the critical value
  bool bootstrap = false;               ///< null samples are drawn from reference data that are set aside, instead of simulated
  MmdSpace space = MmdSpace::summary;
  Configurator configurator = default_configurator;  ///< for what is simulated
  NonFinitePolicy nonfinite = {};                    ///< of what is simulated; the same number of data sets is needed, so `drop` redraws
  std::uint64_t seed = 0;
  std::function<void(std::int64_t done, std::int64_t total)> progress = {};  ///< called after each null sample
  void validate() const;  ///< throws ConfigurationError naming field, value and constraint
};

/// A test of "the observed data sets come from the model".
struct MmdTest {
  std::vector<double> null_distribution;  ///< unbiased MMD^2 of data sets from the model, sorted
  double observed = 0;                    ///< of the observed ones
  double p_value = 1;                     ///< (1 + how many null values are at least the observed one) / (1 + their number)
  double critical_value = 0;              ///< p_value <= level if and only if observed exceeds it
  double level = 0.05;
  [[nodiscard]] bool rejects() const { return p_value <= level; }
};

/// Unbiased estimate of the squared maximum mean discrepancy between the rows of x (n, d) and y (m, d) (Gretton et al. 2012, eq. 3):
///   sum_{i != j} k(x_i, x_j) / (n (n - 1)) + sum_{i != j} k(y_i, y_j) / (m (m - 1)) - 2 sum_{ij} k(x_i, y_j) / (n m)
/// with the sum of Gaussian kernels over the bandwidths of the summary loss. It may be negative. A sample of one row has no pairs: its own
/// term, a constant of this kernel, is left out. Throws ShapeError.
[[nodiscard]] double mmd_squared_unbiased(const Array& x, const Array& y);

/// Compares the observed data sets' summaries with those of simulations, and this distance with that of as many fresh simulations (Schmitt,
/// Buerkner, Koethe and Radev 2023). The null samples never share a data set with the reference. A summary network need not be
/// trained with summary_mmd_weight > 0 for that; docs/training.md shows what this changes. Throws ConfigurationError and ShapeError.
[[nodiscard]] MmdTest mmd_hypothesis_test(const AmortizedPosterior& amortizer, const Batch& observed, const GenerativeModel& model,
                                          const MmdTestOptions& options = {});
/// With given reference data instead of a model: half of them are the reference, null samples are drawn with replacement from the other
/// half.
[[nodiscard]] MmdTest mmd_hypothesis_test(const AmortizedPosterior& amortizer, const Batch& observed, const Batch& reference,
                                          const MmdTestOptions& options = {});

}  // namespace bayesflow
