#include "workflow/look.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "bayesflow/core/errors.hpp"

namespace bayesflow::workflow {
namespace {

std::size_t index(std::int64_t i) { return static_cast<std::size_t>(i); }

/// The values of one column of the last axis.
std::vector<double> column_of(const Array& values, std::int64_t column) {
  const std::int64_t width = values.dim(-1);
  std::vector<double> out;
  out.reserve(index(values.size() / width));
  for (std::int64_t i = column; i < values.size(); i += width) out.push_back(values.data()[i]);
  return out;
}

double skewness(const std::vector<double>& x) {
  double mean = 0, square = 0, cube = 0;
  for (const double v : x) mean += v;
  mean /= static_cast<double>(x.size());
  for (const double v : x) {
    square += (v - mean) * (v - mean);
    cube += (v - mean) * (v - mean) * (v - mean);
  }
  square /= static_cast<double>(x.size());
  return square > 0 ? cube / static_cast<double>(x.size()) / std::pow(square, 1.5) : 0;
}

enum class Scale : std::uint8_t { as_is, log, log1p, sqrt };
constexpr double kStillSkewed = 4;

/// Where numbers are positive (or counts from 0) and skewed by more than `least`, and less so behind it: a logarithm; of counts the square
/// root, behind which Poisson's and binomial noise has one variance, unless that leaves them skewed.
Scale scale_of(std::vector<double> x, double least) {
  const double low = *std::ranges::min_element(x), skew = skewness(x);
  if (low < 0 || !(skew > least)) return Scale::as_is;
  // Counts that happen to be positive may be 0 next time.
  const bool whole = std::ranges::all_of(x, [](double v) { return v == std::floor(v); });
  if (whole) {
    std::vector<double> roots = x;
    for (double& v : roots) v = std::sqrt(v);
    const double left = std::abs(skewness(roots));
    if (left < skew && left < kStillSkewed) return Scale::sqrt;
  }
  const Scale out = low > 0 && !whole ? Scale::log : Scale::log1p;
  for (double& v : x) v = out == Scale::log ? std::log(v) : std::log1p(v);
  return std::abs(skewness(x)) < skew ? out : Scale::as_is;
}

/// The number of fewest decimals in [low, high].
double plainest(double low, double high) {
  if (low <= 0 && high >= 0) return 0;
  for (double unit = std::pow(10.0, std::ceil(std::log10(std::max(std::abs(low), std::abs(high))))); unit > 0; unit /= 10)
    for (const double step : {unit, unit / 2, unit / 5})
      if (const double v = std::ceil(low / step) * step; v <= high) return v;
  return low;
}

/// Where a prior ends abruptly: the outermost twentieth of its range has at least half of its share, and more than chance gives.
/// Simulations end a little before it, by (range / n) or so: the plainest number within three of these is taken.
void bounds_of(std::vector<double> x, std::optional<double>& lower, std::optional<double>& upper) {
  std::ranges::sort(x);
  const double low = x.front(), high = x.back(), range = high - low, n = static_cast<double>(x.size());
  if (!(range > 0)) return;
  const auto share = [&](double from, double to) {
    return static_cast<double>(std::ranges::upper_bound(x, to) - std::ranges::lower_bound(x, from)) / n;
  };
  const double least = 0.025 + 2 * std::sqrt(0.025 / n);
  // A prior ends abruptly if its density does not decrease towards the end: the outermost twentieth of the range against the next one.
  const auto abrupt = [&](double outer, double inner) { return outer > least && outer > 0.35 * inner; };
  const double gap = 3 * range / n;
  if (abrupt(share(low, low + 0.05 * range), share(low + 0.05 * range, low + 0.1 * range))) lower = plainest(low - gap, low);
  if (abrupt(share(high - 0.05 * range, high), share(high - 0.1 * range, high - 0.05 * range))) upper = -plainest(-high - gap, -high);
}

}  // namespace

bool is_ordered(const Array& data) {
  const std::int64_t sims = std::min<std::int64_t>(data.dim(0), 2000), n = data.dim(1), d = data.dim(2);
  if (n < 3) return false;
  for (std::int64_t c = 0; c < d; ++c) {
    // Within each simulation, numbers are brought to mean 0 and variance 1.
    std::vector<double> mean(index(n), 0.0), square(index(n), 0.0), fourth(index(n), 0.0);
    double near = 0, near_square = 0;
    std::int64_t used = 0;
    std::vector<double> z(index(n));
    for (std::int64_t s = 0; s < sims; ++s) {
      double m = 0, v = 0;
      for (std::int64_t t = 0; t < n; ++t) m += data.data()[(s * n + t) * d + c];
      m /= static_cast<double>(n);
      for (std::int64_t t = 0; t < n; ++t) v += std::pow(data.data()[(s * n + t) * d + c] - m, 2);
      if (!(v > 0)) continue;
      ++used;
      double by_neighbour = 0;
      for (std::int64_t t = 0; t < n; ++t) {
        z[index(t)] = (data.data()[(s * n + t) * d + c] - m) / std::sqrt(v / static_cast<double>(n));
        mean[index(t)] += z[index(t)];
        square[index(t)] += z[index(t)] * z[index(t)];
        fourth[index(t)] += std::pow(z[index(t)], 4);
        if (t > 0) by_neighbour += z[index(t)] * z[index(t - 1)];
      }
      // Of rows in any order each pair has the mean -1 / (n - 1).
      const double difference = by_neighbour / static_cast<double>(n - 1) + 1.0 / static_cast<double>(n - 1);
      near += difference;
      near_square += difference * difference;
    }
    if (used < 20) continue;
    const double count = static_cast<double>(used);
    constexpr double kSigmas = 6;
    if (std::abs(near) > kSigmas * std::sqrt(near_square)) return true;
    for (std::int64_t t = 0; t < n; ++t) {
      if (std::abs(mean[index(t)]) > kSigmas * std::sqrt(square[index(t)])) return true;
      const double variance = square[index(t)] / count,
                   error = std::sqrt(std::max(0.0, fourth[index(t)] / count - variance * variance) / count);
      if (std::abs(variance - 1) > kSigmas * error + 1e-9) return true;
    }
  }
  return false;
}

FitPlan look(const Simulations& s, DataKind data) {
  FitPlan out;
  const int rank = s.sim_data.rank();
  out.data = data;
  if (data == DataKind::automatic)
    out.data = rank == 2 ? DataKind::vector : is_ordered(s.sim_data) ? DataKind::series : DataKind::set;
  else if ((data == DataKind::vector) != (rank == 2))
    throw ConfigurationError(
        fmt::format("fit: data of shape {} are no {}: a vector is (simulations, d), a set or series (simulations, n, d)",
                    s.sim_data.shape().to_string(), data == DataKind::vector ? "vector" : "set or series"));
  const std::int64_t width = s.prior_draws.dim(1);
  out.lower.resize(index(width));
  out.upper.resize(index(width));
  for (std::int64_t c = 0; c < width; ++c) {
    const std::vector<double> x = column_of(s.prior_draws, c);
    bounds_of(x, out.lower[index(c)], out.upper[index(c)]);
    if (!out.upper[index(c)] && scale_of(x, 0.5) == Scale::log) {
      out.log_parameters.push_back(c);
      // The logarithm keeps draws positive already.
      if (out.lower[index(c)] && *out.lower[index(c)] <= 0) out.lower[index(c)].reset();
    }
  }
  for (std::int64_t c = 0; c < s.sim_data.dim(-1); ++c) switch (scale_of(column_of(s.sim_data, c), 1.0)) {
      case Scale::log:
        out.log_data.push_back(c);
        break;
      case Scale::log1p:
        out.log1p_data.push_back(c);
        break;
      case Scale::sqrt:
        out.sqrt_data.push_back(c);
        break;
      case Scale::as_is:
        break;
    }
  if (out.data != DataKind::vector) out.summary_dim = std::clamp<std::int64_t>(3 * width, 10, 64);
  return out;
}

}  // namespace bayesflow::workflow
