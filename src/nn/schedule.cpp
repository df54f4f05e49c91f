#include "bayesflow/nn/schedule.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

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

using Function = std::function<double(std::int64_t)>;

Function function_of(const ScheduleOptions& o) {
  const auto needs = [&](std::size_t rates, std::size_t steps) {
    if (o.rates.size() != rates || o.steps.size() != steps)
      throw ConfigurationError(fmt::format("this kind of schedule needs {} rates and {} numbers of steps; got {} and {}", rates, steps,
                                           o.rates.size(), o.steps.size()));
    check_rate(o.rates[0]);
    for (const std::int64_t n : o.steps) check_steps(n);
  };
  switch (o.kind) {
    case ScheduleKind::constant:
      needs(1, 0);
      return [rate = o.rates[0]](std::int64_t) { return rate; };
    case ScheduleKind::cosine:
      needs(1, 1);
      return [rate = o.rates[0], steps = o.steps[0]](std::int64_t t) {
        return 0.5 * rate * (1 + std::cos(kPi * static_cast<double>(std::min(t, steps)) / static_cast<double>(steps)));
      };
    case ScheduleKind::exponential:
      needs(2, 1);
      if (!(o.rates[1] > 0)) throw ConfigurationError(fmt::format("exponential schedule: factor must be positive; got {}", o.rates[1]));
      return [rate = o.rates[0], factor = o.rates[1], steps = o.steps[0]](std::int64_t t) {
        return rate * std::pow(factor, static_cast<double>(t) / static_cast<double>(steps));
      };
    case ScheduleKind::piecewise:
      if (o.rates.size() != o.steps.size() + 1 || !std::is_sorted(o.steps.begin(), o.steps.end()))
        throw ConfigurationError(
            fmt::format("piecewise schedule: needs ascending boundaries and one more rate than boundaries; got {} boundaries and {} rates",
                        o.steps.size(), o.rates.size()));
      for (const double rate : o.rates) check_rate(rate);
      return [boundaries = o.steps, rates = o.rates](std::int64_t t) {
        return rates[static_cast<std::size_t>(std::upper_bound(boundaries.begin(), boundaries.end(), t) - boundaries.begin())];
      };
    case ScheduleKind::own:
      return [](std::int64_t) -> double {
        throw ConfigurationError("the learning rate is a function of yours, which no file can hold: give it again");
      };
  }
  return {};
}

}  // namespace

EnumNames<ScheduleKind> names_of(ScheduleKind) {
  return {{ScheduleKind::constant, "constant"},
          {ScheduleKind::cosine, "cosine"},
          {ScheduleKind::exponential, "exponential"},
          {ScheduleKind::piecewise, "piecewise"},
          {ScheduleKind::own, "own"}};
}

Schedule::Schedule(const std::optional<ScheduleOptions>& options) {
  if (!options) return;
  function_ = function_of(*options);
  options_ = *options;
  is_lost_ = options_.kind == ScheduleKind::own;
}

std::optional<ScheduleOptions> described_as(const Schedule& schedule) {
  if (!schedule) return {};
  ScheduleOptions out = schedule.options_;
  if (out.kind == ScheduleKind::own && !schedule.is_lost_)
    for (const std::int64_t step : ScheduleOptions::kSampled) out.rates.push_back(schedule(step));
  return out;
}

Schedule constant(double rate) { return Schedule(ScheduleOptions{ScheduleKind::constant, {rate}, {}}); }
Schedule cosine(double rate, std::int64_t steps) { return Schedule(ScheduleOptions{ScheduleKind::cosine, {rate}, {steps}}); }
Schedule exponential(double rate, double factor, std::int64_t steps) {
  return Schedule(ScheduleOptions{ScheduleKind::exponential, {rate, factor}, {steps}});
}
Schedule piecewise(std::vector<std::int64_t> boundaries, std::vector<double> rates) {
  return Schedule(ScheduleOptions{ScheduleKind::piecewise, std::move(rates), std::move(boundaries)});
}

}  // namespace bayesflow::nn
