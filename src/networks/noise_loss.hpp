/// Losses of networks that learn from targets with noise.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "bayesflow/autodiff/ops.hpp"
#include "bayesflow/autodiff/tape.hpp"
#include "bayesflow/core/rng.hpp"

namespace bayesflow::networks {

/// judge(levels (..., 1), noise (..., D)): in training once, with a level `random(rng)` and normal numbers for each target. Else its mean
/// over kFixed levels, `fixed(share, rng)` for shares in the middle of equal parts of (0, 1), and normal numbers, of the stream that `name`
/// names: the same for all targets, so that a target's loss is its own.
template <class Random, class Fixed, class Judge>
Tensor noise_loss(Tape& tape, Tensor targets, const char* name, const Random& random, const Fixed& fixed, const Judge& judge) {
  constexpr std::int64_t kFixed = 16;
  const std::int64_t width = targets.cols(), rows = targets.rows();
  Shape of_levels = targets.shape();
  of_levels.set(-1, 1);
  if (tape.training()) {
    Tensor levels = tape.filled(of_levels, 0), noise = tape.filled(targets.shape(), 0);
    for (std::int64_t r = 0; r < rows; ++r) levels.data()[r] = static_cast<float>(random(tape.rng()));
    tape.rng().fill_normal(std::span<float>(noise.data(), static_cast<std::size_t>(noise.size())));
    return judge(levels, noise);
  }
  Rng rng(0, name);
  std::vector<float> each(static_cast<std::size_t>(width));
  Tensor sum;
  for (std::int64_t k = 0; k < kFixed; ++k) {
    const double level = fixed((static_cast<double>(k) + 0.5) / kFixed, rng);
    Tensor levels = tape.filled(of_levels, static_cast<float>(level)), noise = tape.filled(targets.shape(), 0);
    rng.fill_normal(std::span(each));
    for (std::int64_t r = 0; r < rows; ++r) std::ranges::copy(each, noise.data() + r * width);
    const Tensor one = judge(levels, noise);
    sum = sum ? ops::add(sum, one) : one;
  }
  return ops::scale(sum, 1.0f / kFixed);
}

/// The point (1 - t) z + t y of the straight line from z at t = 0 to a target y at t = 1, and the line's velocity y - z.
struct Line {
  Tensor x, velocity;
};
inline Line line(Tape& tape, Tensor targets, Tensor t, Tensor z) {
  Line out{tape.filled(targets.shape(), 0), tape.filled(targets.shape(), 0)};
  for (std::int64_t i = 0; i < targets.size(); ++i) {
    const float y = targets.data()[i], start = z.data()[i], at = t.data()[i / targets.cols()];
    out.x.data()[i] = (1 - at) * start + at * y;
    out.velocity.data()[i] = y - start;
  }
  return out;
}

/// Sums of squares of the rows.
inline Tensor squares(Tensor x) { return ops::sum_columns(ops::multiply(x, x)); }

}  // namespace bayesflow::networks
