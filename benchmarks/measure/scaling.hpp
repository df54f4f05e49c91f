/// How the cost of a training step grows with the sizes of the workflow.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "measure/speed.hpp"

namespace bench {

/// One training, watched for a short while.
struct ScalingPoint {
  std::string axis;  ///< "observations", "batch size", "coupling layers"
  std::int64_t value = 0;
  int threads = 0;
  Spread it_per_s;
  double flop_per_it = 0;
  double fraction_of_peak = 0;
  double cost_ratio = 0;  ///< seconds per operation over those of the point before on the axis; 0 for the first
  [[nodiscard]] double seconds_per_flop() const { return 1 / (it_per_s.median * flop_per_it); }
};

/// One axis at a time, the others as in the quickstart. `peaks[i]` belongs to `threads[i]`, in GFLOP/s.
[[nodiscard]] std::vector<ScalingPoint> measure_scaling(const std::vector<int>& threads, const std::vector<double>& peaks, bool quick);

/// Sentences about neighbours on an axis whose cost per operation differs by more than this factor: where cost is not linear.
inline constexpr double kLinear = 1.3;
[[nodiscard]] std::vector<std::string> not_linear(const std::vector<ScalingPoint>& points);

void print_scaling(const std::vector<ScalingPoint>& points);
[[nodiscard]] nlohmann::ordered_json to_json(const std::vector<ScalingPoint>& points);

}  // namespace bench
