#include <algorithm>
#include <numbers>

#include "bayesflow/diagnostics/density.hpp"
#include "diagnostics/numbers.hpp"

namespace bayesflow::diagnostics {
namespace {

constexpr double kReach = 6;     // bandwidths
constexpr double kFarthest = 8;  // robust standard deviations from the median

struct Spread {
  double mean = 0, sd = 0, low = 0, high = 0, median = 0, robust_sd = 0;
};
Spread spread(std::span<const double> v, const char* what) {
  if (v.empty()) throw ArgumentError(std::string(what) + ": got no samples; at least 1 is needed");
  for (const double x : v)
    if (!std::isfinite(x)) throw ArgumentError(std::string(what) + ": samples must be finite; drop those that are not");
  std::vector<double> sorted(v.begin(), v.end());
  std::sort(sorted.begin(), sorted.end());
  Spread out;
  for (const double x : sorted) out.mean += x / static_cast<double>(sorted.size());
  double squares = 0;
  for (const double x : sorted) squares += (x - out.mean) * (x - out.mean);
  out.sd = sorted.size() > 1 && sorted.front() < sorted.back() ? std::sqrt(squares / (static_cast<double>(sorted.size()) - 1)) : 0;
  out.low = sorted.front();
  out.high = sorted.back();
  out.median = sorted_quantile(sorted, 0.5);
  out.robust_sd = (sorted_quantile(sorted, 0.75) - sorted_quantile(sorted, 0.25)) / 1.349;
  return out;
}

std::vector<double> grid(const Spread& s, double bandwidth, const KdeOptions& options, bool ends) {
  double low = s.low - options.cut * bandwidth, high = s.high + options.cut * bandwidth;
  if (s.robust_sd > 0) {
    low = std::max(low, s.median - kFarthest * s.robust_sd);
    high = std::min(high, s.median + kFarthest * s.robust_sd);
  }
  if (ends && options.bound) low = std::max(low, *options.bound);
  if (ends && options.low) low = *options.low;
  if (ends && options.high) high = *options.high;
  if (!(low < high)) {
    const double middle = 0.5 * (low + high);
    low = middle - 1;
    high = middle + 1;
  }
  std::vector<double> x(index(options.points));
  for (std::int64_t i = 0; i < options.points; ++i) x[index(i)] = low + (high - low) * real(i) / real(options.points - 1);
  return x;
}

/// Adds weight times a normal density to equally spaced points. From point to point a Gaussian changes by a factor that itself
/// changes by a constant factor, so no further exponentials are needed.
void add_kernel(double* to, double first, double step, std::int64_t points, double centre, double sd, double weight) {
  const std::int64_t a = std::max<std::int64_t>(0, static_cast<std::int64_t>(std::ceil((centre - kReach * sd - first) / step)));
  const std::int64_t b = std::min<std::int64_t>(points - 1, static_cast<std::int64_t>(std::floor((centre + kReach * sd - first) / step)));
  if (a > b) return;
  const double u = (first + real(a) * step - centre) / sd, d = step / sd;
  double value = weight / (sd * std::sqrt(2 * std::numbers::pi)) * std::exp(-0.5 * u * u), factor = std::exp(-u * d - 0.5 * d * d);
  const double change = std::exp(-d * d);
  for (std::int64_t i = a; i <= b; ++i) {
    to[i] += value;
    value *= factor;
    factor *= change;
  }
}

}  // namespace

void KdeOptions::validate() const {
  require_option(points >= 2, "KdeOptions", "points", real(points), "2 or more");
  require_option(bw_factor > 0, "KdeOptions", "bw_factor", bw_factor, "above 0");
  require_option(cut >= 0, "KdeOptions", "cut", cut, "0 or more");
  if (low && high) require_option(*low < *high, "KdeOptions", "low", *low, "below high");
}

Density1d kde_1d(std::span<const double> samples, const KdeOptions& options) {
  options.validate();
  const Spread s = spread(samples, "kde_1d");
  if (options.bound && s.low < *options.bound)
    throw ArgumentError("kde_1d: KdeOptions::bound is " + std::to_string(*options.bound) + ", but a sample is " + std::to_string(s.low) +
                        "; leave the bound out or choose one that holds");
  const auto n = static_cast<double>(samples.size());
  Density1d out;
  out.bandwidth = options.bw_factor * s.sd * std::pow(n, -0.2);
  out.x = grid(s, out.bandwidth, options, true);
  out.density.assign(out.x.size(), 0.0);
  const double step = out.x[1] - out.x[0];
  if (out.bandwidth == 0) {
    const double at = std::round((s.mean - out.x[0]) / step);
    if (at >= 0 && at < static_cast<double>(out.x.size())) out.density[static_cast<std::size_t>(at)] = 1 / step;
    return out;
  }
  for (const double v : samples) add_kernel(out.density.data(), out.x[0], step, options.points, v, out.bandwidth, 1 / n);
  if (options.bound)
    for (const double v : samples)
      add_kernel(out.density.data(), out.x[0], step, options.points, 2 * *options.bound - v, out.bandwidth, 1 / n);
  return out;
}

Density2d kde_2d(std::span<const double> x, std::span<const double> y, const KdeOptions& options) {
  options.validate();
  if (x.size() != y.size())
    throw ShapeError("kde_2d: x and y must have equally many samples; got " + std::to_string(x.size()) + " and " +
                     std::to_string(y.size()));
  Spread sx = spread(x, "kde_2d"), sy = spread(y, "kde_2d");
  const auto n = static_cast<double>(x.size());
  double rho = 0;
  if (sx.sd > 0 && sy.sd > 0)
    for (std::size_t i = 0; i < x.size(); ++i) rho += (x[i] - sx.mean) / sx.sd * ((y[i] - sy.mean) / sy.sd) / (n - 1);
  constexpr double kThin = 1e-3;
  if (sx.sd == 0) sx.sd = sy.sd > 0 ? kThin * sy.sd : 1;
  if (sy.sd == 0) sy.sd = sx.sd > 0 && x.size() > 1 ? kThin * sx.sd : 1;
  const double narrow = std::sqrt(std::max(kThin * kThin, 1 - rho * rho)), factor = options.bw_factor * std::pow(n, -1.0 / 6);
  const double hx = factor * sx.sd, hy = factor * sy.sd;
  Density2d out;
  out.x = grid(sx, hx, options, false);
  out.y = grid(sy, hy, options, false);
  out.density = Array({options.points, options.points});
  const double step_x = out.x[1] - out.x[0], step_y = out.y[1] - out.y[0];
  // A row of the kernel is a normal density in x around a centre that moves with y.
  for (std::size_t i = 0; i < x.size(); ++i) {
    const auto a = std::max(0.0, std::ceil((y[i] - kReach * hy - out.y[0]) / step_y)),
               b = std::floor((y[i] + kReach * hy - out.y[0]) / step_y);
    for (auto r = static_cast<std::int64_t>(a); r <= static_cast<std::int64_t>(b) && r < options.points; ++r) {
      const double u = (out.y[index(r)] - y[i]) / hy;
      const double weight = std::exp(-0.5 * u * u) / (hy * std::sqrt(2 * std::numbers::pi) * n);
      add_kernel(out.density.data() + r * options.points, out.x[0], step_x, options.points, x[i] + rho * hx * u, hx * narrow, weight);
    }
  }
  return out;
}

std::vector<double> Density2d::levels(std::span<const double> mass) const {
  std::vector<double> sorted(density.values().begin(), density.values().end());
  std::sort(sorted.begin(), sorted.end(), std::greater<>());
  double total = 0;
  for (const double v : sorted) total += v;
  std::vector<double> out;
  for (const double m : mass) {
    if (!(m > 0 && m < 1))
      throw ArgumentError("Density2d::levels: shares of the mass must be above 0 and below 1; got " + std::to_string(m));
    double sum = 0, level = 0;
    for (const double v : sorted) {
      level = v;
      if ((sum += v) >= m * total) break;
    }
    out.push_back(level);
  }
  return out;
}

}  // namespace bayesflow::diagnostics
