/// Does a posterior use what the data say? Tests that need the data themselves, beside draws and truths.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bayesflow/core/array.hpp"
#include "bayesflow/data/configurator.hpp"
#include "bayesflow/diagnostics/table.hpp"

namespace bayesflow::diagnostics {

/// Settings of `conditional_calibration`.
struct ConditionalOptions {
  std::vector<std::string> param_names{};
  std::optional<Array> summaries{};  ///< (B, d) learned summaries: further features of the data
  std::int64_t n_folds = 5;
  std::int64_t permutations = 1000;   ///< at most; fewer once they have shown that there is nothing
  std::int64_t max_data_sets = 2000;  ///< the first ones of more
  std::uint64_t seed = 0;
  int threads = 0;
  void validate() const;
};

/// What the truth's rank among the draws is looked at for.
enum class Aspect : std::uint8_t {
  location,    ///< too low for some data, too high for others: what the data say is not used
  width,       ///< too narrow for some data, too wide for others
  dependence,  ///< of two parameters: sum or difference too narrow or too wide for some data
  joint,       ///< of all parameters: distance from the centre
};

/// Whether an aspect of the truth's rank can be predicted from the data. Of an exact posterior nothing can, whatever the data.
struct Predictable {
  Aspect aspect = Aspect::location;
  std::int64_t parameter = -1, other = -1;
  Estimate r2{};          ///< share of its variance that a ridge regression predicts out of sample; 0 or below: nothing
  double p_value = 1;     ///< adjusted for all aspects that were looked at
  double nats = 0;        ///< log score that is lost at least: -log(1 - r2) / 2 of location, r2 / 2 of width
  std::string feature{};  ///< that goes with it most
};

/// How much of what is known to be learnable the posterior means recover.
struct Learnable {
  std::string name;
  Estimate rmse;                  ///< of posterior means, in standard deviations of the truths
  Estimate scatter;               ///< the same of their errors less the mean error: without a shift
  Estimate regression_rmse;       ///< of the best regression on the data's features, out of sample
  std::string regression;         ///< "linear" or "quadratic"
  double share = 1;               ///< explained variance over the regression's; NaN if the regression finds nothing
  double regression_p_value = 1;  ///< that the regression finds nothing (by its error)
};
/// What `conditional_calibration` finds: what the data predict of errors, and teach of parameters.
struct ConditionalCalibration {
  std::vector<Predictable> aspects;   ///< smallest p-value first
  std::vector<Learnable> parameters;  ///< (P)
  double p_value = 1;                 ///< of all aspects together, by permutation
  std::int64_t permutations = 0, num_data_sets = 0, num_features = 0;
  [[nodiscard]] std::vector<Table> tables() const;  ///< "conditional_calibration", "learnable"
};

/// draws (B, S, P), truths (B, P), and what the networks were given. Throws ShapeError on shapes that do not fit, ArgumentError on numbers
/// that are not finite or fewer than 20 data sets.
[[nodiscard]] ConditionalCalibration conditional_calibration(const Array& draws, const Array& truths, const Batch& data,
                                                             const ConditionalOptions& options = {});

/// Settings of `lc2st`.
struct Lc2stOptions {
  std::optional<Array> summaries{};           ///< (B, d) of `data`
  std::optional<Array> observed_summaries{};  ///< (n, d) of `observed`
  std::int64_t num_null = 50;                 ///< classifiers trained on exchanged labels
  std::int64_t hidden_units = 32;             ///< two hidden layers
  std::int64_t max_epochs = 100;
  double confidence = 0.95;  ///< of the band of `ecdf`, at each level
  std::uint64_t seed = 0;
  int threads = 0;
  void validate() const;
};

/// Is the posterior right at these observed data? A classifier learns to tell truths from draws, given the data; where it is sure, the
/// posterior is wrong. With d(theta, x) the probability of "truth" that it gives, and S' draws of the posterior at x,
///   statistic = mean over draws of (d(theta_s, x) - 1/2)^2,
/// compared with classifiers trained after truth and draw of a random half of the data sets were exchanged, which changes nothing if the
/// posterior is exact: the p-value is exact then. Linhart, Gramfort, Rodrigues (2023), L-C2ST: Local diagnostics for posterior
/// approximations.
struct Lc2st {
  std::vector<double> statistic;                    ///< (n) mean squared distance of the class probability from 1/2 over the draws
  std::vector<double> p_value;                      ///< (n) (1 + #{null >= statistic}) / (1 + num_null)
  Array null;                                       ///< (num_null, n)
  std::vector<double> levels;                       ///< (K) from 0 to 1
  Array ecdf;                                       ///< (n, K) share of the draws whose class probability is at most the level
  Array band_lower, band_upper;                     ///< (n, K) quantiles of the same curve of the null's classifiers, at each level
  double confidence = 0;                            ///< between the two quantiles
  [[nodiscard]] std::vector<Table> tables() const;  ///< "lc2st"
};
/// draws (B, S, P), truths (B, P) and data of B simulated data sets; observed draws (n, S', P) and data of n observed ones.
[[nodiscard]] Lc2st lc2st(const Array& draws, const Array& truths, const Batch& data, const Array& observed_draws, const Batch& observed,
                          const Lc2stOptions& options = {});

}  // namespace bayesflow::diagnostics
