/// Loops whose order is part of the results: sums along rows from the first column on, products and sums rounded one by one. Plain code,
/// the same for all instruction sets. Most rows here have a few columns, the parameters of a model.
#pragma once

#include <cstdint>

namespace bayesflow::kernels {

/// y[i] = sum of row i, in float32
void ordered_row_sums(const float* x, std::int64_t rows, std::int64_t cols, float* y);
/// y[i] = sum of squares of row i, in float32
void ordered_row_squares(const float* x, std::int64_t rows, std::int64_t cols, float* y);
/// sum of x, in double
double ordered_sum(const float* x, std::int64_t n);
/// y[i, j] (+)= factors[i] x[i, j]
void scale_rows(const float* x, const float* factors, std::int64_t rows, std::int64_t cols, float* y, bool accumulate);

/// y[i, j] = x[i, j] s[j] + b[j]
void affine_columns(const float* x, const float* s, const float* b, std::int64_t rows, std::int64_t cols, float* y);
/// x[i, j] = (y[i, j] - b[j]) / s[j]
void affine_columns_inverse(const float* y, const float* s, const float* b, std::int64_t rows, std::int64_t cols, float* x);
/// y[i, j] (+)= x[i, j] s[j]
void scale_columns(const float* x, const float* s, std::int64_t rows, std::int64_t cols, float* y, bool accumulate);
/// sums[j] (+)= sum over i of a[i, j] b[i, j], or of a[i, j] if b is null; products in float32, sums in double
void column_dots(const float* a, const float* b, std::int64_t rows, std::int64_t cols, float* sums, bool accumulate);

/// y[i, j] = x[i, index[j]]
void take_columns(const float* x, const std::int32_t* index, std::int64_t rows, std::int64_t cols, float* y);
/// y[i, index[j]] += x[i, j]
void add_to_columns(const float* x, const std::int32_t* index, std::int64_t rows, std::int64_t cols, float* y);
/// The first `width` of each row: y = x, or y (+)= x. `ldx` and `ldy` are row strides.
void copy_columns(const float* x, std::int64_t ldx, std::int64_t rows, std::int64_t width, float* y, std::int64_t ldy);
void add_columns(const float* x, std::int64_t ldx, std::int64_t rows, std::int64_t width, float* y, std::int64_t ldy, bool accumulate);
/// y[i, j] (+)= x[j, i], x: cols x rows
void add_transposed(const float* x, std::int64_t rows, std::int64_t cols, float* y, bool accumulate);
/// y[g * period + row[g, j], j] += x[g, j] where row is not negative
void add_to_rows(const float* x, const std::int32_t* row, std::int64_t groups, std::int64_t period, std::int64_t cols, float* y);

}  // namespace bayesflow::kernels
