#include "bayesflow/diagnostics/sbc.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "bayesflow/core/rng.hpp"
#include "bayesflow/core/thread_pool.hpp"
#include "diagnostics/interval_probability.hpp"
#include "diagnostics/numbers.hpp"
#include "diagnostics/special.hpp"

namespace bayesflow::diagnostics {
namespace {

/// Binomial tails at each point, and what follows from them for a gamma.
struct PointTails {
  std::int64_t n;
  std::vector<double> points, cells;
  std::vector<BinomialTails> tails;

  PointTails(std::int64_t count, std::vector<double> at) : n(count), points(std::move(at)) {
    double before = 0;
    for (const double z : points) {
      // Cells of equal width must be equal numbers, so that the recursion can use their weights again.
      const double width = z - before;
      cells.push_back(!cells.empty() && std::fabs(width - cells.back()) < 1e-12 ? cells.back() : width);
      tails.emplace_back(n, z);
      before = z;
    }
  }
  [[nodiscard]] CountLimits limits(double gamma) const {
    CountLimits out;
    for (const BinomialTails& t : tails) {
      out.total_low.push_back(t.low(gamma));
      out.total_high.push_back(t.high(gamma));
    }
    // The last point is 1, where the count is n for certain.
    out.total_low.back() = out.total_high.back() = n;
    return out;
  }
  [[nodiscard]] double coverage(double gamma) const { return probability_within(n, cells, limits(gamma)); }
};

void require_points(std::int64_t num_data_sets, const std::vector<double>& points, const char* what) {
  if (num_data_sets < 1) throw ArgumentError(fmt::format("{}: got {} data sets; at least 1 is needed", what, num_data_sets));
  double before = 0;
  for (const double z : points) {
    if (!(z > before && z <= 1))
      throw ArgumentError(fmt::format("{}: points must increase within (0, 1]; got {} after {}", what, z, before));
    before = z;
  }
  if (points.empty() || points.back() != 1) throw ArgumentError(fmt::format("{}: the last point must be 1", what));
}

std::vector<double> cut_points(const std::vector<std::int64_t>& cuts, std::int64_t num_draws) {
  std::vector<double> out;
  for (const std::int64_t c : cuts) out.push_back(c > num_draws ? 1.0 : real(c) / real(num_draws + 1));
  return out;
}

/// At most 20 bins with ten expected counts or more; of these numbers the largest that divides S + 1, if it is five or more.
std::int64_t automatic_bins(std::int64_t data_sets, std::int64_t num_draws) {
  const std::int64_t most = std::clamp<std::int64_t>(data_sets / 10, 1, std::min<std::int64_t>(20, num_draws + 1));
  for (std::int64_t k = most; k >= 5; --k)
    if ((num_draws + 1) % k == 0) return k;
  return most;
}

void check_ranks(const SbcRanks& ranks, const char* what) {
  require_rank(ranks.ranks, 2, what, "ranks", "(data sets, parameters)");
  if (ranks.num_draws < 1) throw ArgumentError(fmt::format("{}: num_draws is {}; it must be at least 1", what, ranks.num_draws));
  for (const double r : ranks.ranks.values())
    if (!(r >= 0 && r <= real(ranks.num_draws) && r == std::floor(r)))
      throw ArgumentError(fmt::format("{}: ranks must be whole numbers from 0 to {}; got {}", what, ranks.num_draws, r));
}

}  // namespace

void SbcRankOptions::validate() const { require_option(threads >= 0, "SbcRankOptions", "threads", threads, "0 (all) or more"); }

SbcRanks sbc_ranks(const Array& draws, const Array& truths, const SbcRankOptions& options) {
  options.validate();
  const Sizes n = check_draws(draws, truths, "sbc_ranks");
  SbcRanks out{checked_names(options.param_names, n.parameters, "sbc_ranks"), Array({n.data_sets, n.parameters}), n.draws};
  const Rng rng(options.seed, "sbc ties");
  ThreadPool pool(options.threads);
  pool.for_each(n.data_sets, [&](std::int64_t b) {
    std::vector<std::int64_t> below(index(n.parameters)), equal(index(n.parameters));
    const double* d = draws.data() + b * n.draws * n.parameters;
    const double* t = truths.data() + b * n.parameters;
    for (std::int64_t s = 0; s < n.draws; ++s, d += n.parameters)
      for (std::int64_t p = 0; p < n.parameters; ++p) {
        below[index(p)] += d[p] < t[p];
        equal[index(p)] += d[p] == t[p];
      }
    Rng ties = rng.at(static_cast<std::uint64_t>(b));
    for (std::int64_t p = 0; p < n.parameters; ++p) {
      std::int64_t rank = below[index(p)];
      if (equal[index(p)]) rank += ties.integers(0, equal[index(p)] + 1);
      out.ranks.data()[b * n.parameters + p] = real(rank);
    }
  });
  return out;
}

std::vector<Table> SbcRanks::tables() const { return {TableBuilder("sbc_ranks").add_columns("", param_names, ranks)}; }

void SbcHistogramOptions::validate() const {
  require_option(num_bins >= 0, "SbcHistogramOptions", "num_bins", real(num_bins), "0 (automatic) or more");
  require_option(binomial_interval > 0 && binomial_interval < 1, "SbcHistogramOptions", "binomial_interval", binomial_interval,
                 "above 0 and below 1");
  require_option(simultaneous_interval > 0 && simultaneous_interval < 1, "SbcHistogramOptions", "simultaneous_interval",
                 simultaneous_interval, "above 0 and below 1");
}

SbcHistograms sbc_histograms(const SbcRanks& ranks, const SbcHistogramOptions& options) {
  options.validate();
  check_ranks(ranks, "sbc_histograms");
  SbcHistograms out;
  out.param_names = checked_names(ranks.param_names, ranks.ranks.dim(1), "sbc_histograms");
  out.num_draws = ranks.num_draws;
  out.num_data_sets = ranks.ranks.dim(0);
  out.num_bins = options.num_bins ? options.num_bins : automatic_bins(out.num_data_sets, out.num_draws);
  if (out.num_bins > out.num_draws + 1)
    throw ConfigurationError(fmt::format("SbcHistogramOptions: num_bins is {}; {} draws have {} ranks, so there can be no more bins",
                                         out.num_bins, out.num_draws, out.num_draws + 1));
  out.binomial_interval = options.binomial_interval;
  const std::int64_t n = out.num_data_sets, p_count = ranks.ranks.dim(1), cells = out.num_draws + 1;
  for (std::int64_t k = 0; k <= out.num_bins; ++k) out.first_rank.push_back(k * cells / out.num_bins);
  std::vector<double> widths;
  std::vector<BinomialTails> tails;
  const double alpha = 1 - options.binomial_interval;
  for (std::int64_t k = 0; k < out.num_bins; ++k) {
    const double p = real(out.first_rank[index(k + 1)] - out.first_rank[index(k)]) / real(cells);
    widths.push_back(p);
    tails.emplace_back(n, p);
    out.expected.push_back(real(n) * p);
    out.lower.push_back(real(binomial_quantile(alpha / 2, n, p)));
    out.upper.push_back(real(binomial_quantile(1 - alpha / 2, n, p)));
  }
  const auto limits = [&](double gamma) {
    CountLimits l;
    for (const BinomialTails& t : tails) {
      l.count_low.push_back(t.low(gamma));
      l.count_high.push_back(t.high(gamma));
    }
    return l;
  };
  const auto [gamma, covered] = largest_gamma(
      options.simultaneous_interval, (1 - options.simultaneous_interval) / real(2 * out.num_bins), 1 - options.simultaneous_interval,
      [&](double g) { return probability_within(n, widths, limits(g)); },
      [&](double a, double b) {
        const CountLimits x = limits(a), y = limits(b);
        return x.count_low == y.count_low && x.count_high == y.count_high;
      });
  const CountLimits chosen = limits(gamma);
  out.simultaneous_lower.assign(chosen.count_low.begin(), chosen.count_low.end());
  out.simultaneous_upper.assign(chosen.count_high.begin(), chosen.count_high.end());
  out.simultaneous_interval = covered;
  out.counts = Array({p_count, out.num_bins});
  std::vector<std::int64_t> bin_of(index(cells));
  for (std::int64_t k = 0; k < out.num_bins; ++k)
    for (std::int64_t r = out.first_rank[index(k)]; r < out.first_rank[index(k + 1)]; ++r) bin_of[index(r)] = k;
  for (std::int64_t b = 0; b < n; ++b)
    for (std::int64_t p = 0; p < p_count; ++p)
      out.counts.data()[p * out.num_bins + bin_of[static_cast<std::size_t>(ranks.ranks.data()[b * p_count + p])]] += 1;
  for (std::int64_t p = 0; p < p_count; ++p) {
    bool inside = true;
    for (std::int64_t k = 0; k < out.num_bins; ++k) {
      const double c = out.counts.data()[p * out.num_bins + k];
      inside = inside && c >= out.simultaneous_lower[index(k)] && c <= out.simultaneous_upper[index(k)];
    }
    out.inside.push_back(inside);
  }
  return out;
}

SbcHistograms sbc_histograms(const Array& draws, const Array& truths, const SbcHistogramOptions& options,
                             const SbcRankOptions& rank_options) {
  return sbc_histograms(sbc_ranks(draws, truths, rank_options), options);
}

std::vector<Table> SbcHistograms::tables() const {
  std::vector<std::int64_t> low(first_rank.begin(), first_rank.end() - 1), high;
  for (std::size_t k = 1; k < first_rank.size(); ++k) high.push_back(first_rank[k] - 1);
  return {TableBuilder("sbc_histograms")
              .add("first_rank", low)
              .add("last_rank", high)
              .add("expected", expected)
              .add("lower", lower)
              .add("upper", upper)
              .add("simultaneous_lower", simultaneous_lower)
              .add("simultaneous_upper", simultaneous_upper)
              .add_rows("count ", param_names, counts),
          TableBuilder("sbc_histogram_verdicts").add("parameter", param_names).add("inside", inside)};
}

std::vector<std::int64_t> rank_cuts(std::int64_t num_draws, std::int64_t max_points) {
  if (num_draws < 1) throw ArgumentError(fmt::format("rank_cuts: num_draws is {}; it must be at least 1", num_draws));
  if (max_points < 1) throw ArgumentError(fmt::format("rank_cuts: max_points is {}; it must be at least 1", max_points));
  const std::int64_t cells = num_draws + 1, count = std::min(cells, max_points);
  std::vector<std::int64_t> out;
  for (std::int64_t k = 1; k <= count; ++k) out.push_back(k * cells / count);
  return out;
}

EcdfBand ecdf_band(std::int64_t num_data_sets, std::vector<double> points, double confidence) {
  require_points(num_data_sets, points, "ecdf_band");
  if (!(confidence > 0 && confidence < 1))
    throw ArgumentError(fmt::format("ecdf_band: confidence is {}; it must be above 0 and below 1", confidence));
  const PointTails tails(num_data_sets, std::move(points));
  const double most = 1 - confidence;
  const auto [gamma, covered] = largest_gamma(
      confidence, most / real(std::min<std::int64_t>(20, static_cast<std::int64_t>(tails.points.size()) + 1)), most,
      [&](double g) { return tails.coverage(g); },
      [&](double a, double b) {
        const CountLimits x = tails.limits(a), y = tails.limits(b);
        return x.total_low == y.total_low && x.total_high == y.total_high;
      });
  const CountLimits limits = tails.limits(gamma);
  EcdfBand out{tails.points, {}, {}, covered, gamma};
  for (std::size_t k = 0; k < out.points.size(); ++k) {
    out.lower.push_back(real(limits.total_low[k]) / real(num_data_sets));
    out.upper.push_back(real(limits.total_high[k]) / real(num_data_sets));
  }
  return out;
}

double ecdf_exit_probability(std::int64_t num_data_sets, const std::vector<double>& points, double gamma) {
  require_points(num_data_sets, points, "ecdf_exit_probability");
  if (gamma >= 1) return 1;
  const PointTails tails(num_data_sets, points);
  // The difference from 1 loses all digits where it is tiny; the sum over the points is an upper bound there.
  const double p = 1 - tails.coverage(gamma);
  return p > 1e-9 ? p : std::min(1e-9, gamma * real(static_cast<std::int64_t>(points.size())));
}

void SbcEcdfOptions::validate() const {
  require_option(confidence > 0 && confidence < 1, "SbcEcdfOptions", "confidence", confidence, "above 0 and below 1");
  require_option(max_points >= 1, "SbcEcdfOptions", "max_points", real(max_points), "1 or more");
}

SbcEcdf sbc_ecdf(const SbcRanks& ranks, const SbcEcdfOptions& options) {
  options.validate();
  check_ranks(ranks, "sbc_ecdf");
  const std::int64_t n = ranks.ranks.dim(0), p_count = ranks.ranks.dim(1);
  const std::vector<std::int64_t> cuts = rank_cuts(ranks.num_draws, options.max_points);
  const double confidence = options.over_all_parameters ? 1 - (1 - options.confidence) / real(p_count) : options.confidence;
  const EcdfBand band = ecdf_band(n, cut_points(cuts, ranks.num_draws), confidence);
  const PointTails tails(n, band.points);
  const std::int64_t k_count = static_cast<std::int64_t>(cuts.size());
  SbcEcdf out;
  out.param_names = checked_names(ranks.param_names, p_count, "sbc_ecdf");
  out.ranks = ranks.ranks;
  out.num_draws = ranks.num_draws;
  out.difference = options.difference;
  out.confidence = options.confidence;
  out.coverage = band.coverage;
  out.over_all_parameters = options.over_all_parameters;
  out.points = {0.0};
  out.band_lower = out.band_upper = {0.0};
  for (std::int64_t k = 0; k < k_count; ++k) {
    const double z = band.points[index(k)], diagonal = options.difference ? z : 0;
    out.points.push_back(z);
    out.band_lower.push_back(band.lower[index(k)] - diagonal);
    out.band_upper.push_back(band.upper[index(k)] - diagonal);
  }
  out.ecdf = Array({p_count, k_count + 1});
  std::vector<double> known_gamma, known_p;
  for (std::int64_t p = 0; p < p_count; ++p) {
    std::vector<std::int64_t> counts(index(ranks.num_draws + 1));
    for (std::int64_t b = 0; b < n; ++b) ++counts[static_cast<std::size_t>(ranks.ranks.data()[b * p_count + p])];
    bool inside = true;
    double gamma = 1;
    std::int64_t total = 0, rank = 0;
    for (std::int64_t k = 0; k < k_count; ++k) {
      for (; rank < cuts[index(k)]; ++rank) total += counts[index(rank)];
      const double share = real(total) / real(n);
      inside = inside && share >= band.lower[index(k)] && share <= band.upper[index(k)];
      gamma = std::min({gamma, 2 * tails.tails[index(k)].below(total), 2 * tails.tails[index(k)].above(total)});
      out.ecdf.data()[p * (k_count + 1) + k + 1] = share - (options.difference ? band.points[index(k)] : 0);
    }
    out.inside.push_back(inside);
    out.p_value.push_back(ecdf_exit_probability(n, band.points, gamma));
  }
  return out;
}

SbcEcdf sbc_ecdf(const Array& draws, const Array& truths, const SbcEcdfOptions& options, const SbcRankOptions& rank_options) {
  return sbc_ecdf(sbc_ranks(draws, truths, rank_options), options);
}

std::vector<Table> SbcEcdf::tables() const {
  return {
      TableBuilder("sbc_ecdf").add("point", points).add("lower", band_lower).add("upper", band_upper).add_rows("ecdf ", param_names, ecdf),
      TableBuilder("sbc_ecdf_verdicts").add("parameter", param_names).add("inside", inside).add("p_value", p_value)};
}

Array coverage_probs(const Array& points, const Array& uniforms) {
  require_rank(points, 1, "coverage_probs", "points", "(points)");
  require_rank(uniforms, 2, "coverage_probs", "uniforms", "(samples, draws)");
  Array out({uniforms.dim(0)});
  const std::int64_t n = uniforms.dim(1);
  for (std::int64_t m = 0; m < out.size(); ++m) {
    double least = 1;
    for (const double z : points.values()) {
      std::int64_t count = 0;
      for (const double u : uniforms.row_values(m)) count += u <= z;
      least = std::min({least, binomial_cdf(count, n, z), 1 - binomial_cdf(count - 1, n, z)});
    }
    out.data()[m] = 2 * least;
  }
  return out;
}

}  // namespace bayesflow::diagnostics
