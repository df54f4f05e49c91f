/// Matrix products of numbers rounded to bfloat16 (the upper half of a float32, rounded to nearest even) with sums in float32,
/// single-threaded. CPUs with AVX512-BF16 multiply two pairs at a time; elsewhere the same products are made from float32 instructions:
/// equal to rounding of the sums.
///
/// Operands are matrices of *pairs*: two numbers that follow each other along the sum, the first in the lower half of 32 bits. Rows have
/// room for a multiple of 16 numbers, of which those beyond the matrix are zero.
#pragma once

#include <cstdint>

#include "kernels/product.hpp"

namespace bayesflow::kernels {

using Pair = std::uint32_t;

/// Columns that memory is laid out for.
[[nodiscard]] constexpr std::int64_t padded(std::int64_t cols) { return (cols + 15) / 16 * 16; }
[[nodiscard]] constexpr std::int64_t pairs_of(std::int64_t depth) { return (depth + 1) / 2; }

/// C = epilogue(A B + start); A: rows x depth, B: depth x cols, depth counted in pairs. The rest is as in `Product`.
struct HalfProduct {
  const Pair* a;  ///< the pair p of row i lies at a[i row_stride + p pair_stride]
  std::int64_t row_stride, pair_stride;
  const Pair* b;  ///< of `pack_half` or `pack_half_transposed`; of `pair_rows` if ldb > 0, its row stride
  std::int64_t ldb;
  std::int64_t rows, pairs, cols;
  float* c;  ///< the result in float32, or null
  std::int64_t ldc;
  Pair* half = nullptr;  ///< the same in bfloat16, rows of padded(cols), or null
  const float* init = nullptr;
  std::int64_t init_stride = 0;
  std::int64_t init_period = 0;
  std::int64_t init_row = 0;
  const float* mask = nullptr;  ///< of the derivative of a relu: its output
  std::int64_t ldmask = 0;
  const Pair* half_mask = nullptr;  ///< the same in bfloat16, rows of padded(cols)
  bool accumulate = false;          ///< to c
  Epilogue epilogue = Epilogue::none;
};
void product(const HalfProduct& p);

/// out: rows x padded(cols) numbers, rounded.
void round_rows(const float* x, std::int64_t ldx, std::int64_t rows, std::int64_t cols, Pair* out);
/// B (depth x cols) for a product: panels of at most 64 columns, of each its pairs of rows. out: pairs_of(depth) padded(cols).
void pack_half(const float* b, std::int64_t ldb, std::int64_t depth, std::int64_t cols, Pair* out);
/// The same from B^T (cols x depth).
void pack_half_transposed(const float* bt, std::int64_t ldbt, std::int64_t depth, std::int64_t cols, Pair* out);
/// Pairs along the rows of a rounded matrix (rows x padded(cols)), as A^T B wants both operands. out: pairs_of(rows) x padded(cols).
void pair_rows(const Pair* x, std::int64_t rows, std::int64_t cols, Pair* out);
/// sums[j] (+)= the sum of column j of what `pair_rows` made.
void column_sums(const Pair* x, std::int64_t pairs, std::int64_t cols, float* sums, bool accumulate);

/// Whether this CPU multiplies in bfloat16.
[[nodiscard]] bool multiplies_bfloat16();

/// The products that CPUs without such instructions make, on any.
namespace plain {
void product(const HalfProduct& p);
void round_rows(const float* x, std::int64_t ldx, std::int64_t rows, std::int64_t cols, Pair* out);
void pack_half(const float* b, std::int64_t ldb, std::int64_t depth, std::int64_t cols, Pair* out);
}  // namespace plain

}  // namespace bayesflow::kernels
