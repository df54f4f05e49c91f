#include "bayesflow/training/lr_adjuster.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "bayesflow/core/errors.hpp"

namespace bayesflow {

void LRAdjusterOptions::validate() const { validate_described(*this, "LRAdjusterOptions"); }

RegressionLRAdjuster::RegressionLRAdjuster(LRAdjusterOptions options) : options_(options) {
  options_.validate();
  window_.resize(static_cast<std::size_t>(options_.period));
  residuals_.reserve(window_.size());
  reset();
}

void RegressionLRAdjuster::reset() {
  state_ = State();
  state_.losses.assign(window_.size(), 0.0);
  state_.next_fit = options_.period;
}

void RegressionLRAdjuster::restore(State state) {
  if (state.losses.size() != window_.size())
    throw ArgumentError(fmt::format("RegressionLRAdjuster::restore: needs {} losses; got {}", window_.size(), state.losses.size()));
  state_ = std::move(state);
}

void RegressionLRAdjuster::update(double loss) {
  State& s = state_;
  const auto n = static_cast<std::int64_t>(s.losses.size());
  s.losses[static_cast<std::size_t>(s.seen % n)] = loss;
  ++s.seen;
  if (s.seen < s.next_fit || s.stopping) return;
  s.next_fit = s.seen + options_.wait_between_fits;
  const auto oldest = s.losses.begin() + s.seen % n;
  std::rotate_copy(s.losses.begin(), oldest, s.losses.end(), window_.begin());
  s.slope = huber_slope(window_, residuals_);
  if (!(s.slope > options_.tolerance)) {
    s.plateau = std::max<std::int64_t>(0, s.plateau - 1);
    return;
  }
  if (++s.plateau < options_.patience) return;
  s.plateau = 0;
  if (s.resets == options_.num_resets) {
    s.stopping = true;
    return;
  }
  ++s.resets;
  s.factor *= options_.reduction_factor;
  s.next_fit = s.seen + static_cast<std::int64_t>(options_.cooldown_factor * static_cast<double>(options_.period));
}

double huber_slope(std::span<const double> y, std::vector<double>& scratch) {
  constexpr double kBend = 1.345;  // 95 % efficiency at the normal distribution
  constexpr int kRounds = 20;
  const std::size_t n = y.size();
  scratch.resize(n);
  const auto time = [n](std::size_t i) { return static_cast<double>(i) / static_cast<double>(n - 1); };
  double intercept = 0, slope = 0, scale = 0;
  for (int round = 0; round < kRounds; ++round) {
    double w0 = 0, wt = 0, wy = 0, wtt = 0, wty = 0;
    for (std::size_t i = 0; i < n; ++i) {
      const double t = time(i), distance = std::abs(y[i] - intercept - slope * t);
      const double w = round == 0 || distance <= kBend * scale ? 1.0 : kBend * scale / distance;
      w0 += w;
      wt += w * t;
      wy += w * y[i];
      wtt += w * t * t;
      wty += w * t * y[i];
    }
    const double former = slope, determinant = w0 * wtt - wt * wt;
    if (!(determinant > 1e-12 * w0 * w0)) return slope;
    slope = (w0 * wty - wt * wy) / determinant;
    intercept = (wy - slope * wt) / w0;
    for (std::size_t i = 0; i < n; ++i) scratch[i] = std::abs(y[i] - intercept - slope * time(i));
    const auto middle = scratch.begin() + static_cast<std::ptrdiff_t>(n / 2);
    std::nth_element(scratch.begin(), middle, scratch.end());
    scale = 1.4826 * *middle;
    if (!(scale > 0)) return slope;  // more than half of the values lie on the line
    if (round > 0 && std::abs(slope - former) <= 1e-9 * (std::abs(slope) + scale)) return slope;
  }
  return slope;
}

}  // namespace bayesflow
