#include "bayesflow/diagnostics/coverage.hpp"

#include <algorithm>

#include "bayesflow/core/rng.hpp"
#include "bayesflow/core/thread_pool.hpp"
#include "diagnostics/numbers.hpp"
#include "diagnostics/special.hpp"

namespace bayesflow::diagnostics {
namespace {

/// E |X / n - p| of X ~ Binomial(n, p), by de Moivre: 2 m (1 - p) P(X = m) / n with m = floor(n p) + 1.
double mean_absolute_deviation(std::int64_t n, double p) {
  if (p <= 0 || p >= 1) return 0;
  const auto m = static_cast<std::int64_t>(std::floor(real(n) * p)) + 1;
  return 2 * real(m) * (1 - p) * binomial_pmf(m, n, p) / real(n);
}

double median_of(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  return sorted_quantile(v, 0.5);
}

}  // namespace

void CoverageOptions::validate() const {
  require_option(num_levels >= 1, "CoverageOptions", "num_levels", real(num_levels), "1 or more");
  require_option(confidence > 0 && confidence < 1, "CoverageOptions", "confidence", confidence, "above 0 and below 1");
}

Coverage coverage(const SbcRanks& ranks, const CoverageOptions& options) {
  options.validate();
  require_rank(ranks.ranks, 2, "coverage", "ranks", "(data sets, parameters)");
  const std::int64_t n = ranks.ranks.dim(0), p_count = ranks.ranks.dim(1), s = ranks.num_draws;
  if (s < 2) throw ArgumentError("coverage: got 1 draw per data set; an interval needs at least 2");
  Coverage out;
  out.param_names = checked_names(ranks.param_names, p_count, "coverage");
  out.num_data_sets = n;
  out.num_draws = s;
  // The interval between the j-th smallest and largest draws, widest last.
  std::vector<std::int64_t> depth;
  for (std::int64_t l = 0; l < options.num_levels; ++l) {
    const double wanted = (real(l) + 0.5) / real(options.num_levels);
    const auto j = std::clamp<std::int64_t>(std::llround((1 - wanted) * real(s + 1) / 2), 1, s / 2);
    if (depth.empty() || j < depth.back()) depth.push_back(j);
  }
  for (const std::int64_t j : depth) out.levels.push_back(real(s + 1 - 2 * j) / real(s + 1));
  std::vector<double> points = out.levels;
  points.push_back(1);
  const EcdfBand band = ecdf_band(n, points, options.confidence);
  const auto l_count = static_cast<std::int64_t>(out.levels.size());
  out.band_lower.assign(band.lower.begin(), band.lower.end() - 1);
  out.band_upper.assign(band.upper.begin(), band.upper.end() - 1);
  out.band_coverage = band.coverage;
  out.coverage = Array({p_count, l_count});
  out.standard_error = Array({p_count, l_count});
  for (const double level : out.levels) out.expected_calibration_error += mean_absolute_deviation(n, level) / real(l_count);
  std::vector<double> left(index(n)), hits(index(l_count));
  for (std::int64_t p = 0; p < p_count; ++p) {
    // Widest interval that a truth is not in decides about all levels: data set b is inside from level first[b] on.
    std::vector<std::int64_t> first(index(n));
    std::fill(hits.begin(), hits.end(), 0.0);
    for (std::int64_t b = 0; b < n; ++b) {
      const auto rank = static_cast<std::int64_t>(ranks.ranks.data()[b * p_count + p]);
      const std::int64_t d = std::min(rank, s - rank);
      std::int64_t l = 0;
      while (l < l_count && d < depth[index(l)]) ++l;
      first[index(b)] = l;
      for (; l < l_count; ++l) hits[index(l)] += 1;
    }
    bool inside = true;
    double error = 0;
    std::vector<double> signed_part(index(n));
    for (std::int64_t l = 0; l < l_count; ++l) {
      const Estimate c = share(hits[index(l)], real(n));
      out.coverage.data()[p * l_count + l] = c.value;
      out.standard_error.data()[p * l_count + l] = c.standard_error;
      inside = inside && c.value >= out.band_lower[index(l)] && c.value <= out.band_upper[index(l)];
      error += std::fabs(c.value - out.levels[index(l)]) / real(l_count);
    }
    for (std::int64_t b = 0; b < n; ++b) {
      double e = 0;
      for (std::int64_t l = 0; l < l_count; ++l) {
        const double in = l >= first[index(b)] ? 1.0 : 0.0;
        signed_part[index(b)] += (in - out.levels[index(l)]) / real(l_count);
        if (n > 1) e += std::fabs((hits[index(l)] - in) / real(n - 1) - out.levels[index(l)]) / real(l_count);
      }
      left[index(b)] = e;
    }
    out.inside.push_back(inside);
    out.calibration_error.push_back(jackknife(error, left));
    out.excess.push_back(mean_estimate(signed_part));
  }
  return out;
}

Coverage coverage(const Array& draws, const Array& truths, const CoverageOptions& options, const SbcRankOptions& rank_options) {
  return coverage(sbc_ranks(draws, truths, rank_options), options);
}

std::vector<Table> Coverage::tables() const {
  return {TableBuilder("coverage")
              .add("level", levels)
              .add("lower", band_lower)
              .add("upper", band_upper)
              .add_rows("coverage ", param_names, coverage)
              .add_rows("coverage_se ", param_names, standard_error),
          TableBuilder("calibration_error")
              .add("parameter", param_names)
              .add("calibration_error", calibration_error)
              .add("expected", std::vector<double>(param_names.size(), expected_calibration_error))
              .add("excess", excess)
              .add("inside", inside)};
}

void CalibrationErrorOptions::validate() const {
  require_option(alpha_resolution >= 1, "CalibrationErrorOptions", "alpha_resolution", real(alpha_resolution), "1 or more");
  require_option(min_quantile > 0 && min_quantile < 1, "CalibrationErrorOptions", "min_quantile", min_quantile, "above 0 and below 1");
  require_option(max_quantile >= min_quantile && max_quantile < 1, "CalibrationErrorOptions", "max_quantile", max_quantile,
                 "at least min_quantile and below 1");
  require_option(bootstrap >= 0, "CalibrationErrorOptions", "bootstrap", real(bootstrap), "0 or more");
  require_option(threads >= 0, "CalibrationErrorOptions", "threads", threads, "0 (all) or more");
}

namespace {

struct Insides {
  Sizes n;
  std::vector<double> levels;
  std::vector<std::uint8_t> inside;  // (P, L, B)
  [[nodiscard]] const std::uint8_t* row(std::int64_t p, std::size_t l) const {
    return inside.data() + (index(p) * levels.size() + l) * index(n.data_sets);
  }
};

Insides find_insides(const Array& draws, const Array& truths, const CalibrationErrorOptions& options) {
  options.validate();
  Insides out;
  out.n = check_draws(draws, truths, "posterior_calibration_error");
  for (std::int64_t l = 0; l < options.alpha_resolution; ++l)
    out.levels.push_back(options.alpha_resolution == 1 ? options.min_quantile
                                                       : options.min_quantile + (options.max_quantile - options.min_quantile) * real(l) /
                                                                                    real(options.alpha_resolution - 1));
  out.inside.resize(index(out.n.parameters * out.n.data_sets) * out.levels.size());
  ThreadPool pool(options.threads);
  pool.for_each(out.n.data_sets, [&](std::int64_t b) {
    std::vector<double> column(index(out.n.draws));
    for (std::int64_t p = 0; p < out.n.parameters; ++p) {
      gather(draws, out.n, b, p, column);
      std::sort(column.begin(), column.end());
      const double truth = truths.data()[b * out.n.parameters + p];
      for (std::size_t l = 0; l < out.levels.size(); ++l) {
        const double alpha = out.levels[l];
        const bool in = truth >= sorted_quantile(column, 0.5 - alpha / 2) && truth <= sorted_quantile(column, 0.5 + alpha / 2);
        out.inside[(index(p) * out.levels.size() + l) * index(out.n.data_sets) + index(b)] = in;
      }
    }
  });
  return out;
}

}  // namespace

Array posterior_calibration_errors(const Array& draws, const Array& truths, const CalibrationErrorOptions& options) {
  const Insides in = find_insides(draws, truths, options);
  Array out({static_cast<std::int64_t>(in.levels.size()), in.n.parameters});
  for (std::int64_t p = 0; p < in.n.parameters; ++p)
    for (std::size_t l = 0; l < in.levels.size(); ++l) {
      double hits = 0;
      for (std::int64_t b = 0; b < in.n.data_sets; ++b) hits += in.row(p, l)[b];
      out.data()[static_cast<std::int64_t>(l) * in.n.parameters + p] = std::fabs(hits / real(in.n.data_sets) - in.levels[l]);
    }
  return out;
}

std::vector<Estimate> posterior_calibration_error(const Array& draws, const Array& truths, const CalibrationErrorOptions& options) {
  const Insides in = find_insides(draws, truths, options);
  const auto error = [&](std::int64_t p, const std::vector<std::int64_t>* rows) {
    std::vector<double> e;
    for (std::size_t l = 0; l < in.levels.size(); ++l) {
      double hits = 0;
      const std::uint8_t* row = in.row(p, l);
      for (std::int64_t b = 0; b < in.n.data_sets; ++b) hits += row[rows ? (*rows)[index(b)] : b];
      e.push_back(std::fabs(hits / real(in.n.data_sets) - in.levels[l]));
    }
    return median_of(std::move(e));
  };
  // The median over levels is not smooth, so its error comes from resampled data sets.
  std::vector<std::vector<double>> resampled(index(in.n.parameters), std::vector<double>(index(options.bootstrap)));
  const Rng rng(options.bootstrap_seed, "calibration error");
  ThreadPool pool(options.threads);
  pool.for_each(options.bootstrap, [&](std::int64_t i) {
    Rng stream = rng.at(static_cast<std::uint64_t>(i));
    std::vector<std::int64_t> rows(index(in.n.data_sets));
    for (std::int64_t& r : rows) r = stream.integers(0, in.n.data_sets);
    for (std::int64_t p = 0; p < in.n.parameters; ++p) resampled[index(p)][index(i)] = error(p, &rows);
  });
  std::vector<Estimate> out;
  for (std::int64_t p = 0; p < in.n.parameters; ++p) {
    const Estimate spread = options.bootstrap > 1 ? mean_estimate(resampled[index(p)]) : Estimate{0, kNaN};
    out.push_back({error(p, nullptr), spread.standard_error * std::sqrt(real(options.bootstrap))});
  }
  return out;
}

}  // namespace bayesflow::diagnostics
