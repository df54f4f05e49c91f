/// What would further steps gain?
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "training/state.hpp"

namespace bayesflow::training {
namespace {

struct Gain {
  double nats = 0, standard_error = 0;
};
/// By how much the second scores are lower: a mean over data sets with its error, of which a hundredth of the largest are left out on
/// either side (a single data set may be given a density of nearly zero).
Gain gain(const std::vector<double>& before, const std::vector<double>& after) {
  std::vector<double> d;
  for (std::size_t i = 0; i < before.size(); ++i)
    if (std::isfinite(before[i]) && std::isfinite(after[i])) d.push_back(before[i] - after[i]);
  std::sort(d.begin(), d.end());
  const std::size_t cut = (d.size() + 99) / 100;
  if (d.size() < 2 * cut + 3) return {0, std::numeric_limits<double>::infinity()};
  const auto n = static_cast<double>(d.size() - 2 * cut);
  double mean = 0, square = 0;
  for (std::size_t i = cut; i + cut < d.size(); ++i) mean += d[i] / n;
  for (std::size_t i = cut; i + cut < d.size(); ++i) square += (d[i] - mean) * (d[i] - mean) / (n - 1);
  return {mean, std::sqrt(square / n)};
}

}  // namespace

void WeightMarks::begin(const nn::ParameterStore& store) {
  for (Average& a : averages) a.values.assign(static_cast<std::size_t>(store.size()), 0.0f);
}

void WeightMarks::add(const nn::ParameterStore& store, std::int64_t step) {
  const auto end = static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(step))), length = end / 8;
  if (end < kFirst || step <= end - length) return;
  Average& a = averages[static_cast<std::size_t>(std::countr_zero(static_cast<std::uint64_t>(end)) % 3)];
  const float* from = store.values();
  if (step == end - length + 1) {
    a.step = 0;
    std::copy_n(from, a.values.size(), a.values.begin());
  } else {
    for (std::size_t i = 0; i < a.values.size(); ++i) a.values[i] += from[i];
  }
  if (step != end) return;
  const float share = 1.0f / static_cast<float>(length);
  for (float& v : a.values) v *= share;
  a.step = end;
}

const WeightMarks::Average* WeightMarks::before(double step) const {
  const Average* out = nullptr;
  for (const Average& a : averages)
    if (a.step > 0 && static_cast<double>(a.step) <= step && (!out || a.step > out->step)) out = &a;
  return out;
}

Convergence TrainerState::convergence(const WeightMarks& marks, std::int64_t steps, const Batch& reference) {
  constexpr double kConverged = 0.05;  // nats
  Convergence out;
  const WeightMarks::Average* half = marks.before(0.7 * static_cast<double>(steps));
  const WeightMarks::Average* quarter = half ? marks.before(0.5 * static_cast<double>(half->step)) : nullptr;
  if (!quarter) return out;
  nn::ParameterStore& store = trainable->store();
  const std::vector<float> final_weights(store.values(), store.values() + store.size());
  const std::vector<double> end = trainable->losses_of(reference);
  if (end.empty()) return out;
  const auto with = [&](const std::vector<float>& weights) {
    std::copy(weights.begin(), weights.end(), store.values());
    return trainable->losses_of(reference);
  };
  std::vector<double> at_half, at_quarter;
  try {
    at_half = with(half->values);
    at_quarter = with(quarter->values);
  } catch (...) {
    std::copy(final_weights.begin(), final_weights.end(), store.values());
    throw;
  }
  std::copy(final_weights.begin(), final_weights.end(), store.values());
  const double doublings = std::log2(static_cast<double>(steps) / static_cast<double>(half->step));
  const Gain before = gain(at_quarter, at_half), last = gain(at_half, end);
  // Gains shrink from doubling to doubling by a factor that the last two show; they are not expected to grow.
  const double per_doubling = last.nats / doublings, ratio = before.nats > 0 ? std::clamp(per_doubling / before.nats, 0.1, 1.0) : 1.0;
  out.gain_per_doubling = std::max(0.0, per_doubling * ratio);
  out.standard_error = last.standard_error / doublings * ratio;
  if (!std::isfinite(out.standard_error)) return {};
  out.sentence = fmt::format(
      "A run of twice as many steps would gain about {:.2g} +- {:.1g} nats: from step {} to {} the loss fell by {:.2g}, "
      "from there to the end by {:.2g}.",
      out.gain_per_doubling, out.standard_error, quarter->step, half->step, before.nats, last.nats);
  out.sentence += out.gain_per_doubling - 2 * out.standard_error > kConverged
                      ? " Training has not converged: train longer."
                      : " A parameter whose learning has not begun yet cannot be seen in it.";
  return out;
}

}  // namespace bayesflow::training
