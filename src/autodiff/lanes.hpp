/// Inside GradientLanes.
#pragma once

#include <cstdint>
#include <span>

#include "bayesflow/autodiff/gradient_lanes.hpp"

namespace bayesflow::detail {

/// One flat buffer of gradients, with a byte per parameter that says whether it was written in this step.
struct GradientLane {
  float* gradients = nullptr;
  std::uint8_t* touched = nullptr;  ///< 0: not written; 1: written; kSquareKnown: written, and `squares` has the sum of its squares
  double* squares = nullptr;        ///< one per parameter
  /// Relative position, in [0, 1], of the task that wrote the gradient within its parallel section; negative: unknown. One per parameter.
  /// Threads start every section at the same share of tasks, so the thread that runs the task at this position of a later section
  /// is likely to have the gradient in its caches.
  float* places = nullptr;
  static constexpr std::uint8_t kSquareKnown = 2;
};

inline std::span<GradientLane> lanes_of(GradientLanes& gradients) {
  return {gradients.lanes(), static_cast<std::size_t>(gradients.count())};
}

}  // namespace bayesflow::detail
