#include "bayesflow/diagnostics/model_comparison.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
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

namespace {

/// True models under softmax(slope log p + offsets), the first offset 0: parameters are the slope and the other offsets.
struct Recalibration {
  std::vector<double> parameters;
  std::vector<double> covariance;  // inverse of the information, (M, M)
  double log_likelihood = 0;
};

/// x = A^-1 b and A^-1, of a positive definite A (n, n), by elimination.
void solve(std::vector<double> a, std::vector<double>& b, std::vector<double>& inverse) {
  const std::size_t n = b.size();
  inverse.assign(n * n, 0);
  for (std::size_t i = 0; i < n; ++i) inverse[i * n + i] = 1;
  for (std::size_t k = 0; k < n; ++k) {
    const double pivot = 1 / a[k * n + k];
    for (std::size_t i = 0; i < n; ++i) {
      if (i == k) continue;
      const double factor = a[i * n + k] * pivot;
      for (std::size_t j = k; j < n; ++j) a[i * n + j] -= factor * a[k * n + j];
      for (std::size_t j = 0; j < n; ++j) inverse[i * n + j] -= factor * inverse[k * n + j];
      b[i] -= factor * b[k];
    }
    for (std::size_t j = 0; j < n; ++j) inverse[k * n + j] *= pivot;
    for (std::size_t j = k; j < n; ++j) a[k * n + j] *= pivot;
    b[k] *= pivot;
  }
}

/// Newton's method from slope 1, offsets 0. The likelihood is concave; a little ridge keeps parameters finite that the data leave open.
class RecalibrationFit {
 public:
  RecalibrationFit(const Array& probabilities, const std::vector<std::int64_t>& truths)
      : truths_(truths), n_(probabilities.dim(0)), m_(probabilities.dim(1)), logs_(index(n_ * m_)) {
    for (std::size_t i = 0; i < logs_.size(); ++i) logs_[i] = std::log(std::max(probabilities.data()[i], 1e-12));
  }
  [[nodiscard]] Recalibration fit() const {
    Recalibration out{.parameters = std::vector<double>(index(m_), 0), .covariance = {}};
    out.parameters[0] = 1;
    std::vector<double> gradient, information;
    double value = evaluate(out.parameters, &gradient, &information);
    for (int step = 0; step < 100; ++step) {
      std::vector<double> direction = gradient;
      solve(information, direction, out.covariance);
      double scale = 1, next = 0;
      std::vector<double> at;
      for (; scale > 1e-14; scale /= 2) {
        at = out.parameters;
        for (std::size_t k = 0; k < at.size(); ++k) at[k] += scale * direction[k];
        if ((next = evaluate(at, nullptr, nullptr)) >= value) break;
      }
      const double gained = next - value;
      if (!(gained > 1e-10)) break;
      out.parameters = at;
      value = evaluate(at, &gradient, &information);
    }
    std::vector<double> ignored = gradient;
    solve(information, ignored, out.covariance);
    out.log_likelihood = evaluate(out.parameters, nullptr, nullptr);
    return out;
  }
  [[nodiscard]] double evaluate(const std::vector<double>& parameters, std::vector<double>* gradient,
                                std::vector<double>* information) const {
    const std::size_t m = index(m_);
    constexpr double kRidge = 1e-6;
    std::vector<double> p(m), mean(m), feature(m);
    if (gradient) gradient->assign(m, 0);
    if (information) information->assign(m * m, 0);
    double out = 0;
    for (std::int64_t i = 0; i < n_; ++i) {
      const double* l = logs_.data() + i * m_;
      double largest = -std::numeric_limits<double>::infinity(), sum = 0;
      for (std::size_t k = 0; k < m; ++k) largest = std::max(largest, p[k] = parameters[0] * l[k] + (k ? parameters[k] : 0));
      const double of_truth = p[index(truths_[index(i)])] - largest;
      for (double& v : p) sum += v = std::exp(v - largest);
      out += of_truth - std::log(sum);
      if (!gradient) continue;
      // Features of model k: its log p, and 1 at its offset.
      double mean_log = 0;
      for (std::size_t k = 0; k < m; ++k) mean_log += (p[k] /= sum) * l[k];
      const std::size_t y = index(truths_[index(i)]);
      (*gradient)[0] += l[y] - mean_log;
      for (std::size_t k = 1; k < m; ++k) (*gradient)[k] += (k == y ? 1 : 0) - p[k];
      for (std::size_t k = 0; k < m; ++k) (*information)[0] += p[k] * (l[k] - mean_log) * (l[k] - mean_log);
      for (std::size_t k = 1; k < m; ++k) {
        (*information)[k] += p[k] * (l[k] - mean_log);
        for (std::size_t j = 1; j < m; ++j) (*information)[k * m + j] += (k == j ? p[k] : 0) - p[k] * p[j];
      }
    }
    for (std::size_t k = 0; k < m; ++k) {
      const double from = parameters[k] - (k ? 0 : 1);
      out -= 0.5 * kRidge * from * from;
      if (!gradient) continue;
      (*gradient)[k] -= kRidge * from;
      (*information)[k * m + k] += kRidge;
      (*information)[k * m] = (*information)[k];
    }
    return out;
  }

 private:
  const std::vector<std::int64_t>& truths_;
  std::int64_t n_, m_;
  std::vector<double> logs_;
};

std::string sentence_of(const ModelVerdict& v) {
  std::vector<std::string> parts;
  const auto beyond = [](const Estimate& e, double from) { return std::fabs(e.value - from) > 2 * e.standard_error; };
  if (!v.calibrated) {
    if (v.slope.value < 0 && beyond(v.slope, 0))
      parts.emplace_back("probabilities point the wrong way: are the models' labels swapped?");
    else if (beyond(v.slope, 1))
      parts.push_back(v.slope.value < 1 ? fmt::format("overconfident: log odds should be {:.2g} +- {:.1g} times what they are",
                                                      v.slope.value, v.slope.standard_error)
                                        : fmt::format("not confident enough: log odds should be {:.2g} +- {:.1g} times what they are",
                                                      v.slope.value, v.slope.standard_error));
    for (std::size_t m = 0; m < v.offsets.size(); ++m)
      if (beyond(v.offsets[m], 0))
        parts.push_back(fmt::format("{} is given too {}, by {:.2g} +- {:.1g} in its log odds", v.model_names[m],
                                    v.offsets[m].value > 0 ? "little" : "much", std::fabs(v.offsets[m].value),
                                    v.offsets[m].standard_error));
    if (parts.empty()) parts.emplace_back("probabilities are not those of the true models");
    parts.push_back(fmt::format("this costs {:.2g} nats of each data set's log score (p = {:.2g})", v.nats, v.p_value));
  } else {
    parts.push_back(
        fmt::format("no fault found in the probabilities of {} data sets: log odds should be {:.3g} +- {:.2g} times what they are",
                    v.num_data_sets, v.slope.value, v.slope.standard_error));
  }
  if (!v.learnt)
    parts.emplace_back("they say no more than the models' shares do: nothing was learnt, or the data cannot tell the models apart");
  return fmt::format("{}", fmt::join(parts, "; "));
}

}  // namespace

void ModelVerdictOptions::validate() const {
  require_option(error_rate > 0 && error_rate < 1, "ModelVerdictOptions", "error_rate", error_rate, "above 0 and below 1");
}

ModelVerdict model_verdict(const Array& truths, const Array& probabilities, const ModelVerdictOptions& options) {
  options.validate();
  const std::vector<std::int64_t> models = true_models(truths, probabilities, "model_verdict");
  const std::int64_t n = probabilities.dim(0), m = probabilities.dim(1);
  if (m < 2 || n < 10 * m)
    throw ArgumentError(
        fmt::format("model_verdict: needs at least 2 models and 10 data sets for each; got {} models and {} data sets", m, n));
  ModelVerdict out;
  out.num_data_sets = n;
  out.model_names = checked_names(options.model_names, m, "model_verdict", "M_");
  const RecalibrationFit fit(probabilities, models);
  const Recalibration best = fit.fit();
  std::vector<double> exact(index(m), 0);
  exact[0] = 1;
  const double statistic = std::max(0.0, 2 * (best.log_likelihood - fit.evaluate(exact, nullptr, nullptr)));
  out.nats = statistic / (2 * real(n));
  out.p_value = 1 - chi_squared_cdf(statistic, real(m));
  out.calibrated = out.p_value >= options.error_rate;
  out.slope = {best.parameters[0], std::sqrt(best.covariance[0])};
  // Offsets about their mean: c_k = b_k - mean b, with b_0 = 0.
  const std::size_t count = index(m);
  double mean = 0;
  for (std::size_t k = 1; k < count; ++k) mean += best.parameters[k] / real(m);
  for (std::size_t k = 0; k < count; ++k) {
    double variance = 0;
    const auto weight = [&](std::size_t j) { return (j == k ? 1.0 : 0.0) - 1 / real(m); };
    for (std::size_t a = 1; a < count; ++a)
      for (std::size_t b = 1; b < count; ++b) variance += weight(a) * weight(b) * best.covariance[a * count + b];
    out.offsets.push_back({(k ? best.parameters[k] : 0) - mean, std::sqrt(variance)});
  }
  std::vector<double> scores(index(n)), gains(index(n)), shares(count, 0);
  for (const std::int64_t y : models) shares[index(y)] += 1 / real(n);
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int64_t y = models[index(i)];
    scores[index(i)] = std::log(std::max(probabilities(i, y), 1e-12));
    out.prior_score += std::log(shares[index(y)]) / real(n);
    gains[index(i)] = scores[index(i)] - std::log(shares[index(y)]);
  }
  out.score = mean_estimate(scores);
  const Estimate gain = mean_estimate(gains);
  out.learnt = gain.value > 2 * gain.standard_error;
  out.sentence = sentence_of(out);
  return out;
}

std::vector<Table> ModelVerdict::tables() const {
  return {TableBuilder("model_verdict")
              .add("calibrated", std::vector<bool>{calibrated})
              .add("informative", std::vector<bool>{learnt})
              .add("p_value", std::vector<double>{p_value})
              .add("slope", std::vector<Estimate>{slope})
              .add("score", std::vector<Estimate>{score})
              .add("prior_score", std::vector<double>{prior_score})
              .add("nats", std::vector<double>{nats})
              .add("num_data_sets", std::vector<std::int64_t>{num_data_sets}),
          TableBuilder("model_offsets").add("model", model_names).add("offset", offsets)};
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
