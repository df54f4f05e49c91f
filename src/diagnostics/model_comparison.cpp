#include "bayesflow/diagnostics/model_comparison.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numbers>

#include "diagnostics/numbers.hpp"
#include "diagnostics/special.hpp"

namespace bayesflow::diagnostics {
namespace {

/// Index of the true model of each row.
std::vector<std::int64_t> true_models(const Array& truths, const Array& probabilities, const char* what) {
  require_rank(probabilities, 2, what, "probabilities", "(data sets, models)");
  const std::int64_t n = probabilities.dim(0), j = probabilities.dim(1);
  require_finite(probabilities, what, "probabilities", {"data set", "model"});
  for (std::int64_t i = 0; i < n; ++i) {
    double sum = 0;
    bool inside = true;
    for (const double p : probabilities.row_values(i)) {
      sum += p;
      inside = inside && p >= -1e-6 && p <= 1 + 1e-6;
    }
    if (!inside || std::fabs(sum - 1) > 1e-3)
      throw ArgumentError(
          fmt::format("{}: probabilities must lie between 0 and 1 and add up to 1 in each row; row {} adds up to {}", what, i, sum));
  }
  if (truths.dim(0) != n || truths.rank() > 2 || (truths.rank() == 2 && truths.dim(1) != j))
    throw ShapeError(fmt::format("{}: truths must be indices of shape ({}) or one-hot rows of shape ({}, {}); got {}", what, n, n, j,
                                 truths.shape().to_string()));
  std::vector<std::int64_t> out(index(n));
  for (std::int64_t i = 0; i < n; ++i) {
    if (truths.rank() == 2) {
      const auto row = truths.row_values(i);
      if (std::count(row.begin(), row.end(), 1.0) != 1 || std::count(row.begin(), row.end(), 0.0) != j - 1)
        throw ArgumentError(fmt::format("{}: row {} of truths is not one-hot; it must hold a single 1 and zeros", what, i));
      out[index(i)] = std::find(row.begin(), row.end(), 1.0) - row.begin();
    } else {
      const double v = truths.data()[i];
      if (!(v >= 0 && v < real(j) && v == std::floor(v)))
        throw ArgumentError(fmt::format("{}: truths must be whole numbers from 0 to {}; got {} at {}", what, j - 1, v, i));
      out[index(i)] = static_cast<std::int64_t>(v);
    }
  }
  return out;
}

}  // namespace

void CalibrationCurveOptions::validate() const {
  require_option(num_bins >= 1, "CalibrationCurveOptions", "num_bins", real(num_bins), "1 or more");
  require_option(confidence > 0 && confidence < 1, "CalibrationCurveOptions", "confidence", confidence, "above 0 and below 1");
}

CalibrationCurves expected_calibration_error(const Array& truths, const Array& probabilities, const CalibrationCurveOptions& options) {
  options.validate();
  const std::vector<std::int64_t> models = true_models(truths, probabilities, "expected_calibration_error");
  const std::int64_t n = probabilities.dim(0), j_count = probabilities.dim(1), bins = options.num_bins;
  CalibrationCurves out;
  out.num_bins = bins;
  out.model_names = checked_names(options.model_names, j_count, "expected_calibration_error", "M_");
  const double z = -normal_quantile((1 - options.confidence) / 2);
  for (std::int64_t j = 0; j < j_count; ++j) {
    std::vector<double> count(index(bins)), sum(index(bins)), hits(index(bins)), variance(index(bins));
    std::vector<std::int64_t> bin(index(n));
    for (std::int64_t i = 0; i < n; ++i) {
      const double p = probabilities(i, j);
      std::int64_t k = 0;  // number of inner edges below p: a prediction on an edge belongs to the lower bin, as in v1
      while (k + 1 < bins && p > real(k + 1) / real(bins)) ++k;
      bin[index(i)] = k;
      count[index(k)] += 1;
      sum[index(k)] += p;
      variance[index(k)] += std::max(0.0, p * (1 - p));
      hits[index(k)] += models[index(i)] == j ? 1 : 0;
    }
    CalibrationCurve curve;
    double error = 0, floor = 0;
    for (std::size_t k = 0; k < count.size(); ++k) {
      curve.histogram.push_back(count[k] / real(n));
      if (count[k] == 0) continue;
      const double f = hits[k] / count[k], c = count[k], denominator = 1 + z * z / c;
      const double centre = (f + z * z / (2 * c)) / denominator, half = z * std::sqrt(f * (1 - f) / c + z * z / (4 * c * c)) / denominator;
      curve.mean_prediction.push_back(sum[k] / c);
      curve.frequency.push_back(f);
      curve.lower.push_back(std::max(0.0, centre - half));
      curve.upper.push_back(std::min(1.0, centre + half));
      curve.count.push_back(c);
      error += std::fabs(hits[k] - sum[k]) / real(n);
      floor += std::sqrt(2 / std::numbers::pi * variance[k]) / real(n);
    }
    std::vector<double> left;
    for (std::int64_t i = 0; i < n && n > 1; ++i) {
      const std::size_t k = index(bin[index(i)]);
      const double residual = hits[k] - sum[k], own = (models[index(i)] == j ? 1.0 : 0.0) - probabilities(i, j);
      left.push_back((error * real(n) - std::fabs(residual) + std::fabs(residual - own)) / real(n - 1));
    }
    out.error.push_back(jackknife(error, left));
    out.noise_floor.push_back(floor);
    out.curves.push_back(std::move(curve));
  }
  return out;
}

std::vector<Table> CalibrationCurves::tables() const {
  std::vector<std::string> names;
  std::vector<double> mean, frequency, lower, upper, count;
  for (std::size_t j = 0; j < curves.size(); ++j) {
    const CalibrationCurve& c = curves[j];
    names.insert(names.end(), c.count.size(), model_names[j]);
    mean.insert(mean.end(), c.mean_prediction.begin(), c.mean_prediction.end());
    frequency.insert(frequency.end(), c.frequency.begin(), c.frequency.end());
    lower.insert(lower.end(), c.lower.begin(), c.lower.end());
    upper.insert(upper.end(), c.upper.begin(), c.upper.end());
    count.insert(count.end(), c.count.begin(), c.count.end());
  }
  return {TableBuilder("calibration_curves")
              .add("model", names)
              .add("mean_prediction", mean)
              .add("frequency", frequency)
              .add("lower", lower)
              .add("upper", upper)
              .add("count", count),
          TableBuilder("expected_calibration_error").add("model", model_names).add("error", error).add("noise_floor", noise_floor)};
}

void ConfusionOptions::validate() const {}

ConfusionMatrix confusion_matrix(const Array& truths, const Array& probabilities, const ConfusionOptions& options) {
  options.validate();
  const std::vector<std::int64_t> models = true_models(truths, probabilities, "confusion_matrix");
  const std::int64_t n = probabilities.dim(0), j = probabilities.dim(1);
  ConfusionMatrix out;
  out.model_names = checked_names(options.model_names, j, "confusion_matrix", "M_");
  out.counts = Array({j, j});
  double right = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    const auto row = probabilities.row_values(i);
    const std::int64_t predicted = std::max_element(row.begin(), row.end()) - row.begin();
    out.counts(models[index(i)], predicted) += 1;
    right += predicted == models[index(i)] ? 1 : 0;
  }
  out.normalized = out.standard_error = Array({j, j}, kNaN);
  for (std::int64_t t = 0; t < j; ++t) {
    double total = 0;
    for (std::int64_t k = 0; k < j; ++k) total += out.counts(t, k);
    for (std::int64_t k = 0; k < j && total > 0; ++k) {
      const Estimate e = share(out.counts(t, k), total);
      out.normalized(t, k) = e.value;
      out.standard_error(t, k) = e.standard_error;
    }
  }
  out.accuracy = share(right, real(n));
  return out;
}

std::vector<Table> ConfusionMatrix::tables() const {
  return {TableBuilder("confusion_matrix")
              .add("truth", model_names)
              .add_columns("count ", model_names, counts)
              .add_columns("share ", model_names, normalized)
              .add_columns("share_se ", model_names, standard_error),
          TableBuilder("accuracy").add("accuracy", std::vector<Estimate>{accuracy})};
}

LogScore log_score(const Array& log_posterior, const LogScoreOptions& options) {
  require_rank(log_posterior, 1, "log_score", "log_posterior", "(data sets)");
  require_finite(log_posterior, "log_score", "log_posterior", {"data set"});
  LogScore out;
  out.log_density = log_posterior;
  out.mean = mean_estimate(log_posterior.values());
  out.worst_data_set = std::min_element(log_posterior.values().begin(), log_posterior.values().end()) - log_posterior.values().begin();
  if (options.log_prior) {
    if (options.log_prior->shape() != log_posterior.shape())
      throw ShapeError(fmt::format("log_score: log_prior must have the shape of log_posterior, {}; got {}",
                                   log_posterior.shape().to_string(), options.log_prior->shape().to_string()));
    require_finite(*options.log_prior, "log_score", "log_prior", {"data set"});
    const Array gain = log_posterior - *options.log_prior;
    out.gain = mean_estimate(gain.values());
  }
  return out;
}

std::vector<Table> LogScore::tables() const {
  TableBuilder summary("log_score");
  summary.add("mean", std::vector<Estimate>{mean});
  if (gain) summary.add("gain", std::vector<Estimate>{*gain});
  summary.add("worst_data_set", std::vector<std::int64_t>{worst_data_set});
  return {summary, TableBuilder("log_score_points").add("log_density", log_density)};
}

}  // namespace bayesflow::diagnostics
