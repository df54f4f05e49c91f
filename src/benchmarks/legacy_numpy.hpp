/// The numbers of NumPy's RandomState, with which sbibm made the constants of its problems.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

namespace bayesflow::benchmarks {

/// numpy.random.RandomState(seed). NumPy promises that its numbers never change.
class RandomState {
 public:
  explicit RandomState(std::uint32_t seed) : bits_(seed) {}

  /// Uniform on [0, 1), 53 bits.
  double random() {
    const std::uint32_t high = bits_() >> 5, low = bits_() >> 6;
    return (high * 67108864.0 + low) / 9007199254740992.0;
  }
  /// Standard normal: Marsaglia's polar method, whose second number of a pair comes first.
  double normal() {
    if (has_spare_) {
      has_spare_ = false;
      return spare_;
    }
    double x1 = 0, x2 = 0, square = 0;
    do {
      x1 = 2 * random() - 1;
      x2 = 2 * random() - 1;
      square = x1 * x1 + x2 * x2;
    } while (square >= 1 || square == 0);
    const double factor = std::sqrt(-2 * std::log(square) / square);
    spare_ = factor * x1;
    has_spare_ = true;
    return factor * x2;
  }
  /// 0, ..., count - 1 in a random order: Fisher and Yates from the end.
  std::vector<std::int64_t> permutation(std::int64_t count) {
    std::vector<std::int64_t> out(static_cast<std::size_t>(count));
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<std::int64_t>(i);
    for (std::size_t i = out.size(); i-- > 1;) std::swap(out[i], out[up_to(static_cast<std::uint32_t>(i))]);
    return out;
  }

 private:
  /// Uniform on 0, ..., max, by rejection.
  std::uint32_t up_to(std::uint32_t max) {
    const std::uint32_t mask = std::bit_ceil(max + 1) - 1;
    std::uint32_t value = 0;
    do value = static_cast<std::uint32_t>(bits_()) & mask;
    while (value > max);
    return value;
  }

  std::mt19937 bits_;
  double spare_ = 0;
  bool has_spare_ = false;
};

}  // namespace bayesflow::benchmarks
