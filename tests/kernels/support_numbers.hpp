/// Inputs of the kernels' tests, and the error model of sums in single precision.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "bayesflow/core/rng.hpp"

namespace bayesflow::kernels {

inline constexpr double kUnit = 0x1p-24;  // unit roundoff of float

/// n roundings in a row change a sum by at most gamma(n) times the sum of its terms' magnitudes, in whatever order it is
/// formed (Higham, Accuracy and Stability of Numerical Algorithms, 2002, section 3.1).
inline double gamma(std::int64_t roundings) {
  const double nu = static_cast<double>(roundings) * kUnit;
  return nu / (1 - nu);
}

/// `count` normal numbers in a block of just that size, so that a sanitizer sees every access beyond it. The first number
/// lies 4 bytes off the allocation's alignment: kernels may assume nothing better than a float's.
class Numbers {
 public:
  Numbers() = default;
  explicit Numbers(std::int64_t count) : values_(static_cast<std::size_t>(count) + 1, 0.0f) {}
  Numbers(std::int64_t count, Rng& rng, double scale = 1.0) : Numbers(count) {
    for (std::int64_t i = 0; i < count; ++i) data()[i] = static_cast<float>(scale * rng.normal());
  }
  float* data() { return values_.data() + 1; }
  [[nodiscard]] const float* data() const { return values_.data() + 1; }
  [[nodiscard]] std::int64_t size() const { return static_cast<std::int64_t>(values_.size()) - 1; }
  float& operator[](std::int64_t i) { return data()[i]; }
  float operator[](std::int64_t i) const { return data()[i]; }

 private:
  std::vector<float> values_{0.0f};
};

/// rows x cols numbers, rows `stride` apart; what lies between the rows is NaN, so that its use would show.
struct Matrix {
  Matrix() = default;
  Matrix(std::int64_t rows_, std::int64_t cols_, std::int64_t gap, Rng& rng)
      : rows(rows_), cols(cols_), stride(cols_ + gap), values(rows_ ? (rows_ - 1) * stride + cols_ : 0) {
    for (std::int64_t i = 0; i < values.size(); ++i)
      values[i] = i % stride < cols ? static_cast<float>(rng.normal()) : std::numeric_limits<float>::quiet_NaN();
  }
  float& operator()(std::int64_t i, std::int64_t j) { return values[i * stride + j]; }
  float operator()(std::int64_t i, std::int64_t j) const { return values[i * stride + j]; }
  float* data() { return values.data(); }
  [[nodiscard]] const float* data() const { return values.data(); }

  std::int64_t rows = 0, cols = 0, stride = 0;
  Numbers values;
};

/// True if what lies between the rows is still NaN.
inline bool gaps_untouched(const Matrix& m) {
  for (std::int64_t i = 0; i < m.values.size(); ++i)
    if (i % m.stride >= m.cols && !std::isnan(m.values[i])) return false;
  return true;
}

}  // namespace bayesflow::kernels
