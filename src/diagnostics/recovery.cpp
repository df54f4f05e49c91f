#include "bayesflow/diagnostics/recovery.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "bayesflow/core/thread_pool.hpp"
#include "diagnostics/numbers.hpp"

namespace bayesflow::diagnostics {
namespace {

double median_of(std::span<double> v) {
  const std::size_t half = v.size() / 2;
  std::nth_element(v.begin(), v.begin() + static_cast<std::ptrdiff_t>(half), v.end());
  if (v.size() % 2) return v[half];
  return 0.5 * (v[half] + *std::max_element(v.begin(), v.begin() + static_cast<std::ptrdiff_t>(half)));
}

double quantile_of(std::span<double> v, double probability) {
  const double at = probability * (static_cast<double>(v.size()) - 1);
  const auto low = static_cast<std::ptrdiff_t>(std::floor(at));
  std::nth_element(v.begin(), v.begin() + low, v.end());
  const double below = v[static_cast<std::size_t>(low)];
  if (low + 1 == static_cast<std::ptrdiff_t>(v.size())) return below;
  return below + (at - std::floor(at)) * (*std::min_element(v.begin() + low + 1, v.end()) - below);
}

struct Moments {
  double mean = 0, variance = 0;  // divisor n - 1
};
Moments moments(std::span<const double> v) {
  Moments m;
  const auto n = static_cast<double>(v.size());
  for (const double x : v) m.mean += x;
  m.mean /= n;
  for (const double x : v) m.variance += (x - m.mean) * (x - m.mean);
  m.variance = n > 1 ? m.variance / (n - 1) : kNaN;
  return m;
}

/// Sums over data sets from which all numbers of a parameter follow, also with one data set left out. t and p are centred first,
/// so that differences of sums lose nothing.
struct Sums {
  double n = 0, t = 0, p = 0, tt = 0, pp = 0, tp = 0;
  void add(double truth, double point, double sign) {
    n += sign;
    t += sign * truth;
    p += sign * point;
    tt += sign * truth * truth;
    pp += sign * point * point;
    tp += sign * truth * point;
  }
};
struct Numbers {
  double r2, r, rmse, normalized_rmse, bias;
};
Numbers numbers(const Sums& s, double offset) {  // offset = mean point - mean truth, which the centring took away
  const double errors = s.pp + s.tt - 2 * s.tp + 2 * offset * (s.p - s.t) + s.n * offset * offset;
  const double vt = s.tt - s.t * s.t / s.n, vp = s.pp - s.p * s.p / s.n, c = s.tp - s.t * s.p / s.n;
  const double mse = std::max(0.0, errors / s.n);
  const bool varies = vt > 1e-24 * std::max(1.0, s.tt) && vt > 0;
  return {varies ? 1 - s.n * mse / vt : kNaN, varies && vp > 0 ? std::clamp(c / std::sqrt(vt * vp), -1.0, 1.0) : kNaN, std::sqrt(mse),
          varies && s.n > 1 ? std::sqrt(mse / (vt / (s.n - 1))) : kNaN, (s.p - s.t) / s.n + offset};
}

}  // namespace

DrawSummary median() { return {"median", median_of}; }
DrawSummary mean() {
  return {"mean", [](std::span<double> v) { return moments(v).mean; }};
}
DrawSummary standard_deviation() {
  return {"standard deviation", [](std::span<double> v) { return std::sqrt(moments(v).variance); }};
}
DrawSummary median_absolute_deviation() {
  return {"median absolute deviation", [](std::span<double> v) {
            const double m = median_of(v);
            for (double& x : v) x = std::fabs(x - m);
            return median_of(v);
          }};
}
DrawSummary quantile(double probability) {
  if (!(probability >= 0 && probability <= 1))
    throw ArgumentError(fmt::format("quantile: probability is {}; it must be between 0 and 1", probability));
  return {fmt::format("{} quantile", probability), [probability](std::span<double> v) { return quantile_of(v, probability); }};
}
DrawSummary central_interval_half_width(double probability) {
  if (!(probability > 0 && probability < 1))
    throw ArgumentError(fmt::format("central_interval_half_width: probability is {}; it must be above 0 and below 1", probability));
  return {fmt::format("half width of the {} interval", probability), [probability](std::span<double> v) {
            const double low = quantile_of(v, (1 - probability) / 2);
            return 0.5 * (quantile_of(v, (1 + probability) / 2) - low);
          }};
}

void RecoveryOptions::validate() const {
  if (!point.function) throw ConfigurationError("RecoveryOptions: point has no function; use median(), mean() or one of your own");
  if (spread && !spread->function)
    throw ConfigurationError("RecoveryOptions: spread has no function; use median_absolute_deviation(), one of your own, or none");
  require_option(threads >= 0, "RecoveryOptions", "threads", threads, "0 (all) or more");
}

Recovery recovery(const Array& draws, const Array& truths, const RecoveryOptions& options) {
  options.validate();
  const Sizes n = check_draws(draws, truths, "recovery");
  if (!options.clusters.empty() && static_cast<std::int64_t>(options.clusters.size()) != n.data_sets)
    throw ConfigurationError(fmt::format("RecoveryOptions: clusters has {} numbers for {} data sets; give one each, or none",
                                         options.clusters.size(), n.data_sets));
  std::vector<std::int64_t> cluster_ends;
  for (std::int64_t b = 0; b < n.data_sets; ++b)
    if (options.clusters.empty() || b + 1 == n.data_sets || options.clusters[index(b)] != options.clusters[index(b + 1)])
      cluster_ends.push_back(b + 1);
  Recovery out;
  out.param_names = checked_names(options.param_names, n.parameters, "recovery");
  out.point_name = options.point.name;
  out.truths = truths;
  out.estimates = Array({n.data_sets, n.parameters});
  if (options.spread) {
    out.spread_name = options.spread->name;
    out.spreads = Array({n.data_sets, n.parameters});
  }
  ThreadPool pool(options.threads);
  pool.for_each(n.data_sets, [&](std::int64_t b) {
    std::vector<double> column(index(n.draws)), work;
    for (std::int64_t p = 0; p < n.parameters; ++p) {
      gather(draws, n, b, p, column);
      work = column;
      out.estimates.data()[b * n.parameters + p] = options.point.function(work);
      if (!options.spread) continue;
      work = column;
      out.spreads->data()[b * n.parameters + p] = options.spread->function(work);
    }
  });
  std::vector<double> left[5];
  for (std::int64_t p = 0; p < n.parameters; ++p) {
    double mean_truth = 0, mean_point = 0;
    for (std::int64_t b = 0; b < n.data_sets; ++b) {
      mean_truth += truths(b, p) / real(n.data_sets);
      mean_point += out.estimates(b, p) / real(n.data_sets);
    }
    const double offset = mean_point - mean_truth;
    Sums all;
    for (std::int64_t b = 0; b < n.data_sets; ++b) all.add(truths(b, p) - mean_truth, out.estimates(b, p) - mean_point, 1);
    for (auto& l : left) l.clear();
    for (std::size_t c = 0; c < cluster_ends.size() && cluster_ends.size() > 1; ++c) {
      Sums rest = all;
      for (std::int64_t b = c ? cluster_ends[c - 1] : 0; b < cluster_ends[c]; ++b)
        rest.add(truths(b, p) - mean_truth, out.estimates(b, p) - mean_point, -1);
      const Numbers k = numbers(rest, offset);
      left[0].push_back(k.r2);
      left[1].push_back(k.r);
      left[2].push_back(k.rmse);
      left[3].push_back(k.normalized_rmse);
      left[4].push_back(k.bias);
    }
    const Numbers k = numbers(all, offset);
    out.r2.push_back(jackknife(k.r2, left[0]));
    out.r.push_back(jackknife(k.r, left[1]));
    out.rmse.push_back(jackknife(k.rmse, left[2]));
    out.normalized_rmse.push_back(jackknife(k.normalized_rmse, left[3]));
    out.bias.push_back(jackknife(k.bias, left[4]));
  }
  return out;
}

std::vector<Table> Recovery::tables() const {
  TableBuilder points("recovery_points");
  points.add_columns("truth ", param_names, truths).add_columns(point_name + " ", param_names, estimates);
  if (spreads) points.add_columns(spread_name + " ", param_names, *spreads);
  return {TableBuilder("recovery")
              .add("parameter", param_names)
              .add("r2", r2)
              .add("r", r)
              .add("rmse", rmse)
              .add("normalized_rmse", normalized_rmse)
              .add("bias", bias),
          points};
}

void ContractionOptions::validate() const { require_option(threads >= 0, "ContractionOptions", "threads", threads, "0 (all) or more"); }

ZScoreContraction z_score_contraction(const Array& draws, const Array& truths, const ContractionOptions& options) {
  options.validate();
  const Sizes n = check_draws(draws, truths, "z_score_contraction");
  if (n.draws < 2) throw ArgumentError("z_score_contraction: got 1 draw per data set; a posterior's variance needs at least 2");
  const Array& prior = options.prior_draws ? *options.prior_draws : truths;
  if (options.prior_draws) {
    require_rank(prior, 2, "z_score_contraction", "prior_draws", "(draws, parameters)");
    if (prior.dim(1) != n.parameters)
      throw ShapeError(fmt::format("z_score_contraction: prior_draws {} have {} parameters, the posterior draws {}",
                                   prior.shape().to_string(), prior.dim(1), n.parameters));
    require_finite(prior, "z_score_contraction", "prior_draws", {"draw", "parameter"});
  }
  if (prior.dim(0) < 2)
    throw ArgumentError("z_score_contraction: the prior's variance needs at least 2 data sets; give more, or prior_draws in the options");
  ZScoreContraction out;
  out.param_names = checked_names(options.param_names, n.parameters, "z_score_contraction");
  out.z_score = Array({n.data_sets, n.parameters});
  out.contraction = Array({n.data_sets, n.parameters});
  std::vector<double> fourth(index(n.parameters));  // kurtosis of the prior, for the error of its variance
  for (std::int64_t p = 0; p < n.parameters; ++p) {
    std::vector<double> column(index(prior.dim(0)));
    for (std::int64_t i = 0; i < prior.dim(0); ++i) column[index(i)] = prior(i, p);
    const Moments m = moments(column);
    out.prior_variance.push_back(m.variance);
    double sum = 0;
    for (const double v : column) sum += std::pow(v - m.mean, 4);
    fourth[index(p)] = sum / real(prior.dim(0)) / (m.variance * m.variance);
  }
  ThreadPool pool(options.threads);
  pool.for_each(n.data_sets, [&](std::int64_t b) {
    std::vector<double> column(index(n.draws));
    for (std::int64_t p = 0; p < n.parameters; ++p) {
      gather(draws, n, b, p, column);
      const Moments m = moments(column);
      const double variance = out.prior_variance[index(p)];
      out.z_score.data()[b * n.parameters + p] = m.variance > 0 ? (m.mean - truths(b, p)) / std::sqrt(m.variance) : kNaN;
      out.contraction.data()[b * n.parameters + p] = variance > 0 ? 1 - m.variance / variance : kNaN;
    }
  });
  for (std::int64_t p = 0; p < n.parameters; ++p) {
    std::vector<double> z, c;
    for (std::int64_t b = 0; b < n.data_sets; ++b) {
      z.push_back(out.z_score(b, p));
      c.push_back(out.contraction(b, p));
    }
    out.mean_z_score.push_back(mean_estimate(z));
    const Moments m = moments(z);
    double kurtosis = 0;
    for (const double v : z) kurtosis += std::pow(v - m.mean, 4) / real(n.data_sets) / (m.variance * m.variance);
    const double sd = std::sqrt(m.variance);
    out.sd_z_score.push_back({sd, 0.5 * sd * std::sqrt(std::max(0.0, kurtosis - 1) / real(n.data_sets))});
    Estimate mean = mean_estimate(c);
    // var(log prior variance) is about (kurtosis - 1) / n; the ratio 1 - contraction carries it.
    const double relative = std::sqrt(std::max(0.0, fourth[index(p)] - 1) / real(prior.dim(0)));
    mean.standard_error = std::hypot(n.data_sets > 1 ? mean.standard_error : 0.0, (1 - mean.value) * relative);
    out.mean_contraction.push_back(mean);
  }
  return out;
}

std::vector<Table> ZScoreContraction::tables() const {
  return {TableBuilder("contraction")
              .add("parameter", param_names)
              .add("prior_variance", prior_variance)
              .add("mean_z_score", mean_z_score)
              .add("sd_z_score", sd_z_score)
              .add("mean_contraction", mean_contraction),
          TableBuilder("contraction_points")
              .add_columns("z_score ", param_names, z_score)
              .add_columns("contraction ", param_names, contraction)};
}

Estimate aggregated_rmse(const Array& draws, const Array& truths) {
  const Sizes n = check_draws(draws, truths, "aggregated_rmse");
  std::vector<double> errors(index(n.data_sets));
  for (std::int64_t b = 0; b < n.data_sets; ++b) {
    double sum = 0;
    const double* d = draws.data() + b * n.draws * n.parameters;
    for (std::int64_t i = 0; i < n.draws * n.parameters; ++i) {
      const double e = d[i] - truths.data()[b * n.parameters + i % n.parameters];
      sum += e * e;
    }
    errors[index(b)] = std::sqrt(sum / real(n.draws * n.parameters));
  }
  return mean_estimate(errors);
}

double aggregated_error(const Array& draws, const Array& truths, const std::function<double(const Array&, const Array&)>& inner,
                        const std::function<double(std::span<const double>)>& outer) {
  const Sizes n = check_draws(draws, truths, "aggregated_error");
  std::vector<double> errors(index(n.data_sets));
  for (std::int64_t b = 0; b < n.data_sets; ++b) errors[index(b)] = inner(truths.row(b), draws.row(b));
  return outer(errors);
}

}  // namespace bayesflow::diagnostics
