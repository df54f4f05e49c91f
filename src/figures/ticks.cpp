#include "figures/ticks.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace bayesflow::figures {
namespace {

/// Decimals that show a multiple of `step` exactly (up to 2.5 times a power of ten).
int decimals_of(double step) {
  for (int d = 0; d < 15; ++d) {
    const double scaled = step * std::pow(10.0, d);
    if (std::abs(scaled - std::round(scaled)) < 1e-6 * scaled) return d;
  }
  return 15;
}

/// The largest of 1, 2, 2.5 and 5 times powers of ten below `step`, which is one itself or any number.
double finer(double step) {
  const double power = std::pow(10.0, std::floor(std::log10(step) + 1e-9));
  for (const double m : {5.0, 2.5, 2.0, 1.0})
    if (m * power < step * (1 - 1e-9)) return m * power;
  return 0.5 * power;
}

std::string number(double value, int decimals) {
  std::string text = fmt::format("{:.{}f}", value, decimals);
  const bool zero = text.find_first_of("123456789") == std::string::npos;
  if (text[0] == '-') text = zero ? text.substr(1) : "−" + text.substr(1);
  return text;
}

}  // namespace

Ticks choose_ticks(double low, double high, int at_most) {
  if (low > high) std::swap(low, high);
  Ticks ticks;
  const double range = high - low;
  if (!(range > 0) || !std::isfinite(range)) return ticks;
  const int first = static_cast<int>(std::floor(std::log10(range / std::max(at_most, 1)))) - 1;
  double step = range;
  for (int e = first, found = 0; e < first + 4 && !found; ++e)
    for (const double m : {1.0, 2.0, 2.5, 5.0}) {
      const double s = m * std::pow(10.0, e);
      if (std::floor(high / s + 1e-9) - std::ceil(low / s - 1e-9) + 1 <= at_most) {
        step = s;
        found = 1;
        break;
      }
    }
  // A single tick tells a place but no scale. The next finer steps then have more than asked for; of these, the outer two do.
  const auto first_at = [&](double s) { return std::ceil(low / s - 1e-9); };
  const auto last_at = [&](double s) { return std::floor(high / s + 1e-9); };
  double stride = 1;
  if (at_most > 1 && last_at(step) - first_at(step) < 1) {
    while (last_at(step) - first_at(step) < 1) step = finer(step);
    stride = last_at(step) - first_at(step);
  }
  const double largest = std::max(std::abs(low), std::abs(high));
  int exponent = 0;
  if (largest >= 1e5 || largest < 1e-3) {
    exponent = static_cast<int>(std::floor(std::log10(largest) + 1e-12));
    ticks.factor = fmt::format("$\\times 10^{{{}}}$", exponent);
  }
  const double scale = std::pow(10.0, exponent);
  const int decimals = decimals_of(step / scale);
  for (double k = first_at(step); k <= last_at(step); k += stride) ticks.at.push_back({k * step, number(k * step / scale, decimals)});
  return ticks;
}

}  // namespace bayesflow::figures
