#include "bayesflow/nn/schedule.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "bayesflow/core/errors.hpp"

namespace bayesflow::nn {
namespace {
constexpr double kPi = 3.14159265358979323846;
void check_rate(double rate) {
  if (!(rate > 0) || !std::isfinite(rate)) throw ConfigurationError(fmt::format("learning rate must be positive and finite; got {}", rate));
}
void check_steps(std::int64_t steps) {
  if (steps < 1) throw ConfigurationError(fmt::format("a schedule needs at least one step; got {}", steps));
}
}  // namespace

Schedule constant(double rate) {
  check_rate(rate);
  return [rate](std::int64_t) { return rate; };
}

Schedule cosine(double rate, std::int64_t steps) {
  check_rate(rate);
  check_steps(steps);
  return [rate, steps](std::int64_t t) {
    return 0.5 * rate * (1 + std::cos(kPi * static_cast<double>(std::min(t, steps)) / static_cast<double>(steps)));
  };
}

Schedule exponential(double rate, double factor, std::int64_t steps) {
  check_rate(rate);
  check_steps(steps);
  if (!(factor > 0)) throw ConfigurationError(fmt::format("exponential schedule: factor must be positive; got {}", factor));
  return [=](std::int64_t t) { return rate * std::pow(factor, static_cast<double>(t) / static_cast<double>(steps)); };
}

Schedule piecewise(std::vector<std::int64_t> boundaries, std::vector<double> rates) {
  if (rates.size() != boundaries.size() + 1 || !std::is_sorted(boundaries.begin(), boundaries.end()))
    throw ConfigurationError(
        fmt::format("piecewise schedule: needs ascending boundaries and one more rate than boundaries; got {} boundaries and {} rates",
                    boundaries.size(), rates.size()));
  for (const double r : rates) check_rate(r);
  return [boundaries = std::move(boundaries), rates = std::move(rates)](std::int64_t t) {
    return rates[static_cast<std::size_t>(std::upper_bound(boundaries.begin(), boundaries.end(), t) - boundaries.begin())];
  };
}

}  // namespace bayesflow::nn
