/// Calibration of posterior model probabilities, and scores of densities.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bayesflow/core/array.hpp"
#include "bayesflow/diagnostics/table.hpp"

namespace bayesflow::diagnostics {

/// Settings of `expected_calibration_error`.
struct CalibrationCurveOptions {
  std::vector<std::string> model_names{};  ///< empty: M_1, M_2, ...
  std::int64_t num_bins = 10;              ///< equal widths on [0, 1]
  double confidence = 0.95;                ///< of the binomial interval of each frequency
  void validate() const;
};

/// Non-empty bins of one model's predicted probability.
struct CalibrationCurve {
  std::vector<double> mean_prediction, frequency, lower, upper, count;  ///< (non-empty bins) frequency within its Wilson limits
  std::vector<double> histogram;                                        ///< (num_bins) share of all predictions, empty bins too
};

/// error of model k = sum over bins of count / n |frequency - mean prediction|. An exact classifier shows `noise_floor` on average.
/// Naeini, Cooper, Hauskrecht (2015), Obtaining well calibrated probabilities using Bayesian binning.
struct CalibrationCurves {
  std::vector<std::string> model_names;  ///< (J)
  std::vector<Estimate> error;           ///< (J) jackknife error
  std::vector<double> noise_floor;       ///< (J) expected error if all probabilities are right
  std::vector<CalibrationCurve> curves;  ///< (J)
  std::int64_t num_bins = 0;
  [[nodiscard]] std::vector<Table> tables() const;  ///< "calibration_curves" (a row per model and bin), "expected_calibration_error"
};
/// truths: one-hot (n, J) or indices (n); probabilities (n, J), rows summing to one (ArgumentError otherwise).
[[nodiscard]] CalibrationCurves expected_calibration_error(const Array& truths, const Array& probabilities,
                                                           const CalibrationCurveOptions& options = {});

/// Settings of `confusion_matrix`.
struct ConfusionOptions {
  std::vector<std::string> model_names{};
  void validate() const;
};
/// Rows are true models, columns the most probable ones; always J x J, also when a model never occurs.
struct ConfusionMatrix {
  std::vector<std::string> model_names;
  Array counts;                                     ///< (J, J)
  Array normalized;                                 ///< (J, J) by rows; NaN for a model that never is the truth
  Array standard_error;                             ///< (J, J) of normalized, binomial
  Estimate accuracy;                                ///< trace / n
  [[nodiscard]] std::vector<Table> tables() const;  ///< "confusion_matrix"
};
[[nodiscard]] ConfusionMatrix confusion_matrix(const Array& truths, const Array& probabilities, const ConfusionOptions& options = {});

/// Settings of `model_verdict`.
struct ModelVerdictOptions {
  std::vector<std::string> model_names{};
  double error_rate = 0.05;  ///< share of exact probabilities that are found at fault
  void validate() const;
};
/// Are posterior model probabilities right? The true models are taken to follow softmax(slope log p_m + offset_m), offsets with a sum of 0:
/// exact probabilities have slope 1 and offsets 0, which a likelihood ratio test with M degrees of freedom tests. Cox (1958), Two further
/// applications of a model for binary regression.
struct ModelVerdict {
  std::vector<std::string> model_names;
  bool calibrated = false;        ///< p_value is at least the error rate
  bool learnt = false;            ///< the score is above that of the models' shares, by two standard errors
  double p_value = 1;             ///< of that test
  Estimate slope;                 ///< below 1: overconfident; below 0: the labels are swapped
  std::vector<Estimate> offsets;  ///< (M) above 0: the model is given too little
  Estimate score;                 ///< mean log probability of the true model
  double prior_score = 0;         ///< of the models' shares, for all data the same
  double nats = 0;                ///< log score per data set that the right slope and offsets would gain
  std::int64_t num_data_sets = 0;
  std::string sentence;                             ///< all of this in words
  [[nodiscard]] std::vector<Table> tables() const;  ///< "model_verdict", "model_offsets"
};
/// truths: one-hot (n, M) or indices (n); probabilities (n, M), rows summing to one. Throws ArgumentError for other numbers, and for fewer
/// data sets than 10 M.
[[nodiscard]] ModelVerdict model_verdict(const Array& truths, const Array& probabilities, const ModelVerdictOptions& options = {});

/// Settings of `log_score`.
struct LogScoreOptions {
  std::optional<Array> log_prior{};  ///< (B) log prior density of the truths: the score of having learnt nothing
};
/// Mean log density of the truths under the posterior: proper, so no posterior has a higher expectation than the exact one.
struct LogScore {
  Array log_density;  ///< (B)
  Estimate mean;
  std::optional<Estimate> gain{};                   ///< over the prior, in nats per data set: the information gained about the parameters
  std::int64_t worst_data_set = 0;                  ///< index of the smallest log density
  [[nodiscard]] std::vector<Table> tables() const;  ///< "log_score", "log_score_points"
};
/// log_posterior (B), as AmortizedPosterior::log_posterior returns it for test sets.
[[nodiscard]] LogScore log_score(const Array& log_posterior, const LogScoreOptions& options = {});

}  // namespace bayesflow::diagnostics
