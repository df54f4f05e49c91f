/// What float32, in which networks compute, can hold.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>

namespace bayesflow::detail {

/// False for NaN too.
inline bool within_float32(double x) { return std::abs(x) <= static_cast<double>(std::numeric_limits<float>::max()); }
inline bool within_float32(std::span<const double> values) {
  long beyond = 0;  // counted, so that the loop has no branch
  for (const double x : values) beyond += !within_float32(x);
  return beyond == 0;
}

/// The first finite value beyond the range; null if there is none.
inline const double* beyond_float32(std::span<const double> values) {
  if (within_float32(values)) return nullptr;
  const auto at = std::ranges::find_if(values, [](double x) { return std::isfinite(x) && !within_float32(x); });
  return at == values.end() ? nullptr : &*at;
}

/// For sentences: the sign of a NaN means nothing, and 0 / 0 sets it.
inline double unsigned_nan(double x) { return std::isnan(x) ? std::abs(x) : x; }

constexpr const char* kBeyondFloat32 = "which is beyond the range of float32 (3.4e+38)";

}  // namespace bayesflow::detail
