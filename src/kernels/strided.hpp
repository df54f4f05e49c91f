/// Copies and sums between blocks of any strides: transposes, slices, broadcasts and their derivatives.
#pragma once

#include <array>
#include <cstdint>

namespace bayesflow::kernels {

/// A loop nest: extents, and how far each axis moves in what is read and in what is written.
struct Strided {
  static constexpr int kMaxRank = 6;
  int rank = 0;
  std::array<std::int64_t, kMaxRank> extents{}, from{}, to{};
  void add(std::int64_t extent, std::int64_t from_stride, std::int64_t to_stride) {
    const auto k = static_cast<std::size_t>(rank++);
    extents[k] = extent, from[k] = from_stride, to[k] = to_stride;
  }
};
/// y[to] = x[from] over the nest; every element of y once.
void copy_strided(const Strided& s, const float* x, float* y);
/// y[to] += x[from]; axes that do not move in y are summed over, in order.
void add_strided(const Strided& s, const float* x, float* y);

}  // namespace bayesflow::kernels
