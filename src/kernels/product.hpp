/// Matrix products of the hot loop, single-threaded, with their epilogues. Parallelism is above: threads take shards.
#pragma once

#include <cstdint>

namespace bayesflow::kernels {

/// What happens to a block of the result while it is still in registers.
enum class Epilogue : std::uint8_t {
  none,
  relu,       ///< c = max(c, 0)
  relu_mask,  ///< c = mask > 0 ? c : 0   (derivative of relu, from its output)
};

/// Columns of B that one pass over A's rows takes at most.
inline constexpr std::int64_t kPanelColumns = 64;
/// B^T is transposed in panels of kPanelColumns columns and less than kPanelDepth rows.
inline constexpr std::int64_t kPanelDepth = 96, kPanelFloats = kPanelDepth * kPanelColumns;

/// What the caller reads next. A product asks the last-level cache for it, a piece before each block of rows, so that it arrives in the
/// second-level cache meanwhile. Nothing if empty.
struct Ahead {
  const float* first = nullptr;
  std::int64_t count = 0;
};

/// C = epilogue(A B + start), row-major.  A: rows x depth, B: depth x cols, C: rows x cols; `ld*` are row strides.
/// start: C itself if `accumulate`, else row floor((init_row + i) / init_period) of `init` (init_period 0: row 0 for all), else 0.
struct Product {
  const float* a;
  std::int64_t lda;
  const float* b;
  std::int64_t ldb;
  float* c;
  std::int64_t ldc;
  std::int64_t rows, depth, cols;
  const float* init = nullptr;
  std::int64_t init_stride = 0;
  std::int64_t init_period = 0;
  std::int64_t init_row = 0;  ///< added to i before the division: for a block of rows out of many
  const float* mask = nullptr;
  std::int64_t ldmask = 0;
  const float* b_transposed = nullptr;  ///< cols x depth, if at hand: makes products with few columns fast
  std::int64_t ldbt = 0;
  float* panel = nullptr;  ///< without b: kPanelFloats for pieces of B, made from b_transposed right before they are used
  bool packed = false;     ///< b is what `pack` made of B; ldb is not used
  bool accumulate = false;
  Epilogue epilogue = Epilogue::none;
  Ahead ahead = {};
};
void product(const Product& p);

/// Writes B (depth x cols) to `out` in the order in which a product reads it. The columns that one pass over A's rows takes then lie
/// together and fill all sets of the first-level cache; rows of 512 bytes would leave half of them empty. Worth it from some 200 rows of A
/// on.
void pack(const float* b, std::int64_t ldb, std::int64_t depth, std::int64_t cols, float* out);

/// C (+)= A^T B, and the sums of B's columns if asked for: the gradients of a weight and a bias.  A: depth x rows, B: depth x cols,
/// C: rows x cols. The sums cost as much as one more row of A^T, where a pass of their own over B costs several.
struct TransposedProduct {
  const float* a;
  std::int64_t lda;
  const float* b;
  std::int64_t ldb;
  float* c;
  std::int64_t ldc;
  std::int64_t rows, depth, cols;
  bool accumulate = false;
  float* sums = nullptr;  ///< cols of them; without rows nothing is summed
  bool accumulate_sums = false;
};
void transposed_product(const TransposedProduct& p);

/// sums[j] (+)= sum_i x[i, j]: the gradient of a bias.
void column_sums(const float* x, std::int64_t ldx, std::int64_t rows, std::int64_t cols, float* sums, bool accumulate);

/// out[j, i] = x[i, j]
void transpose(const float* x, std::int64_t ldx, std::int64_t rows, std::int64_t cols, float* out, std::int64_t ldout);

}  // namespace bayesflow::kernels
