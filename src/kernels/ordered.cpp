#include "kernels/ordered.hpp"

#include <cstring>

namespace bayesflow::kernels {

void ordered_row_sums(const float* x, std::int64_t rows, std::int64_t cols, float* y) {
  for (std::int64_t i = 0; i < rows; ++i) {
    float s = 0;
    for (std::int64_t j = 0; j < cols; ++j) s += x[i * cols + j];
    y[i] = s;
  }
}

void ordered_row_squares(const float* x, std::int64_t rows, std::int64_t cols, float* y) {
  for (std::int64_t i = 0; i < rows; ++i) {
    float s = 0;
    for (std::int64_t j = 0; j < cols; ++j) s += x[i * cols + j] * x[i * cols + j];
    y[i] = s;
  }
}

double ordered_sum(const float* x, std::int64_t n) {
  double s = 0;
  for (std::int64_t i = 0; i < n; ++i) s += static_cast<double>(x[i]);
  return s;
}

void scale_rows(const float* x, const float* factors, std::int64_t rows, std::int64_t cols, float* y, bool accumulate) {
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < cols; ++j) {
      const float v = factors[i] * x[i * cols + j];
      y[i * cols + j] = accumulate ? y[i * cols + j] + v : v;
    }
}

void affine_columns(const float* x, const float* s, const float* b, std::int64_t rows, std::int64_t cols, float* y) {
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < cols; ++j) y[i * cols + j] = x[i * cols + j] * s[j] + b[j];
}

void affine_columns_inverse(const float* y, const float* s, const float* b, std::int64_t rows, std::int64_t cols, float* x) {
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < cols; ++j) x[i * cols + j] = (y[i * cols + j] - b[j]) / s[j];
}

void scale_columns(const float* x, const float* s, std::int64_t rows, std::int64_t cols, float* y, bool accumulate) {
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < cols; ++j) {
      const float v = x[i * cols + j] * s[j];
      y[i * cols + j] = accumulate ? y[i * cols + j] + v : v;
    }
}

void column_dots(const float* a, const float* b, std::int64_t rows, std::int64_t cols, float* sums, bool accumulate) {
  for (std::int64_t j = 0; j < cols; ++j) {
    double s = 0;
    for (std::int64_t i = 0; i < rows; ++i) s += static_cast<double>(b ? a[i * cols + j] * b[i * cols + j] : a[i * cols + j]);
    sums[j] = static_cast<float>(s) + (accumulate ? sums[j] : 0.0f);
  }
}

void take_columns(const float* x, const std::int32_t* index, std::int64_t rows, std::int64_t cols, float* y) {
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < cols; ++j) y[i * cols + j] = x[i * cols + index[j]];
}

void add_to_columns(const float* x, const std::int32_t* index, std::int64_t rows, std::int64_t cols, float* y) {
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < cols; ++j) y[i * cols + index[j]] += x[i * cols + j];
}

void copy_columns(const float* x, std::int64_t ldx, std::int64_t rows, std::int64_t width, float* y, std::int64_t ldy) {
  constexpr std::int64_t kFew = 16;  // below, a call takes longer than the copy
  for (std::int64_t i = 0; i < rows; ++i, x += ldx, y += ldy) {
    if (width >= kFew)
      std::memcpy(y, x, static_cast<std::size_t>(width) * sizeof(float));
    else
      for (std::int64_t j = 0; j < width; ++j) y[j] = x[j];
  }
}

void add_columns(const float* x, std::int64_t ldx, std::int64_t rows, std::int64_t width, float* y, std::int64_t ldy, bool accumulate) {
  for (std::int64_t i = 0; i < rows; ++i, x += ldx, y += ldy)
    for (std::int64_t j = 0; j < width; ++j) y[j] = accumulate ? y[j] + x[j] : x[j];
}

void add_transposed(const float* x, std::int64_t rows, std::int64_t cols, float* y, bool accumulate) {
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < cols; ++j) y[i * cols + j] = x[j * rows + i] + (accumulate ? y[i * cols + j] : 0.0f);
}

void add_to_rows(const float* x, const std::int32_t* row, std::int64_t groups, std::int64_t period, std::int64_t cols, float* y) {
  for (std::int64_t g = 0; g < groups; ++g)
    for (std::int64_t j = 0; j < cols; ++j)
      if (const std::int64_t at = row[g * cols + j]; at >= 0) y[(g * period + at) * cols + j] += x[g * cols + j];
}

}  // namespace bayesflow::kernels
