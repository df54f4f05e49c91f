#include "kernels/product.hpp"

#include <algorithm>

#include "kernels/targets.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/product.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/relu-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace bayesflow::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

constexpr std::int64_t kLanes = HWY_TARGET == HWY_SCALAR ? 1 : HWY_MAX_BYTES / 4;

// Registers: an AVX-512 core has 32, so 6 x 4 accumulators + 4 of B + 1 broadcast; the others have 16: 6 x 2 + 2 + 1.
constexpr int kMaxVectors = HWY_MAX_BYTES == 64 ? 4 : 2;
constexpr int kMaxRows = 6;
// One vector wide, more rows are needed to hide the latency of the multiply-add (4 cycles, two a cycle).
constexpr int kMaxRowsNarrow = 12;

/// Where a tile of columns begins in the operands.
struct Tile {
  const float* b;
  std::int64_t ldb;
  float* c;
  const float* init;
  const float* mask;
  float* sums;
  std::int64_t tail;  // columns of the last vector
  Ahead ahead;        // prefetched meanwhile
};

template <int NV, bool kTail>
HWY_INLINE V load_vector(const float* p, int q, hn::Mask<D> last) {
  const D d;
  return (kTail && q == NV - 1) ? hn::MaskedLoad(last, d, p + q * kLanes) : hn::LoadU(d, p + q * kLanes);
}
template <int NV, bool kTail>
HWY_INLINE void store_vector(V v, float* p, int q, hn::Mask<D> last) {
  const D d;
  if (kTail && q == NV - 1)
    hn::BlendedStore(v, last, d, p + q * kLanes);
  else
    hn::StoreU(v, d, p + q * kLanes);
}

/// MR rows x NV vectors of C, from `row` on. kTail: the last vector is partial. Operands stay where the caller wrote them: a copy, made in
/// vectors right after they were written one by one, waits for the write buffer, and a small product is as short as that.
template <int MR, int NV, bool kTail>
HWY_NOINLINE void block(const Product& o, const Tile& t, std::int64_t row) {
  const D d;
  const hn::Mask<D> last = hn::FirstN(d, static_cast<std::size_t>(t.tail));
  const auto load = [last](const float* p, int q) HWY_ATTR { return load_vector<NV, kTail>(p, q, last); };
  const std::int64_t lda = o.lda, ldb = t.ldb, ldc = o.ldc, depth = o.depth;
  const float* HWY_RESTRICT a = o.a + row * lda;
  const float* HWY_RESTRICT b = t.b;
  float* c = t.c + row * ldc;
  V acc[MR][NV];
  // Each case on its own, with one running pointer: what surrounds the inner loop is a tenth of a block's time otherwise.
  if (o.accumulate) {
    const float* start = c;
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i, start += ldc)
#pragma GCC unroll 4
      for (int q = 0; q < NV; ++q) acc[i][q] = load(start, q);
  } else if (t.init && o.init_period) {
    // The rows of one group follow each other: one division, then counting.
    const std::int64_t first = o.init_row + row;
    std::int64_t left = o.init_period - first % o.init_period;
    const float* start = t.init + first / o.init_period * o.init_stride;
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 4
      for (int q = 0; q < NV; ++q) acc[i][q] = load(start, q);
      if (--left == 0) {
        left = o.init_period;
        start += o.init_stride;
      }
    }
  } else {
    V start[NV];
#pragma GCC unroll 4
    for (int q = 0; q < NV; ++q) start[q] = t.init ? load(t.init, q) : hn::Zero(d);
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i)
#pragma GCC unroll 4
      for (int q = 0; q < NV; ++q) acc[i][q] = start[q];
  }
  for (std::int64_t p = 0; p < depth; ++p, b += ldb) {
    V bv[NV];
#pragma GCC unroll 4
    for (int q = 0; q < NV; ++q) bv[q] = load(b, q);
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i) {
      const V av = hn::Set(d, a[i * lda + p]);
#pragma GCC unroll 4
      for (int q = 0; q < NV; ++q) acc[i][q] = hn::MulAdd(av, bv[q], acc[i][q]);
    }
  }
  if (o.epilogue == Epilogue::relu) {
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i)
#pragma GCC unroll 4
      for (int q = 0; q < NV; ++q) acc[i][q] = relu(acc[i][q]);
  } else if (o.epilogue == Epilogue::relu_mask) {
    const float* mask = t.mask + row * o.ldmask;
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i, mask += o.ldmask)
#pragma GCC unroll 4
      for (int q = 0; q < NV; ++q) acc[i][q] = hn::IfThenElseZero(hn::Gt(load(mask, q), hn::Zero(d)), acc[i][q]);
  }
#pragma GCC unroll 16
  for (int i = 0; i < MR; ++i, c += ldc)
#pragma GCC unroll 4
    for (int q = 0; q < NV; ++q) store_vector<NV, kTail>(acc[i][q], c, q, last);
}

/// The same of A^T B. kSums: one more row of accumulators adds up the rows of B, which pass by anyway.
template <int MR, int NV, bool kTail, bool kSums>
HWY_NOINLINE void transposed_block(const TransposedProduct& o, const Tile& t, std::int64_t row) {
  const D d;
  const hn::Mask<D> last = hn::FirstN(d, static_cast<std::size_t>(t.tail));
  const auto load = [last](const float* p, int q) HWY_ATTR { return load_vector<NV, kTail>(p, q, last); };
  const std::int64_t lda = o.lda, ldb = t.ldb, ldc = o.ldc, depth = o.depth;
  const float* HWY_RESTRICT a = o.a + row;
  const float* HWY_RESTRICT b = t.b;
  float* c = t.c + row * ldc;
  V acc[MR][NV], sum[NV];
  const float* start = c;
#pragma GCC unroll 16
  for (int i = 0; i < MR; ++i, start += ldc)
#pragma GCC unroll 4
    for (int q = 0; q < NV; ++q) acc[i][q] = o.accumulate ? load(start, q) : hn::Zero(d);
#pragma GCC unroll 4
  for (int q = 0; q < NV; ++q) sum[q] = kSums && o.accumulate_sums ? load(t.sums, q) : hn::Zero(d);
  for (std::int64_t p = 0; p < depth; ++p, a += lda, b += ldb) {
    V bv[NV];
#pragma GCC unroll 4
    for (int q = 0; q < NV; ++q) bv[q] = load(b, q);
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i) {
      const V av = hn::Set(d, a[i]);
#pragma GCC unroll 4
      for (int q = 0; q < NV; ++q) acc[i][q] = hn::MulAdd(av, bv[q], acc[i][q]);
    }
    if constexpr (kSums)
#pragma GCC unroll 4
      for (int q = 0; q < NV; ++q) sum[q] = hn::Add(sum[q], bv[q]);
  }
#pragma GCC unroll 16
  for (int i = 0; i < MR; ++i, c += ldc)
#pragma GCC unroll 4
    for (int q = 0; q < NV; ++q) store_vector<NV, kTail>(acc[i][q], c, q, last);
  if constexpr (kSums)
#pragma GCC unroll 4
    for (int q = 0; q < NV; ++q) store_vector<NV, kTail>(sum[q], t.sums, q, last);
}

template <int NV, bool kTail>
struct Plain {
  using Operands = Product;
  template <int MR>
  static void run(const Product& o, const Tile& t, std::int64_t row, bool) {
    block<MR, NV, kTail>(o, t, row);
  }
};
template <int NV, bool kTail>
struct Transposed {
  using Operands = TransposedProduct;
  template <int MR>
  static void run(const TransposedProduct& o, const Tile& t, std::int64_t row, bool with_sums) {
    if (!with_sums) return transposed_block<MR, NV, kTail, false>(o, t, row);
    // The sums take the place of one row.
    if constexpr (MR > 1) transposed_block<MR - 1, NV, kTail, true>(o, t, row);
  }
};

/// Asks for the `part`-th of `parts` equal parts of what the caller reads next. All of it at once would fill the buffers that the product's
/// own misses need too.
void ask_for(const Ahead& ahead, std::int64_t part, std::int64_t parts) {
  constexpr std::int64_t kLine = 16;
  const std::int64_t lines = (ahead.count + kLine - 1) / kLine;
  for (std::int64_t line = lines * part / parts; line < lines * (part + 1) / parts; ++line)
    __builtin_prefetch(ahead.first + line * kLine, /*rw=*/0, /*locality: the second-level cache=*/2);
}

/// All rows of one column tile. Heights differ by at most one, so that no thin block is left over at the end.
template <int NV, class Block>
void all_rows(const typename Block::Operands& o, const Tile& t) {
  constexpr int kHeight = NV == 1 ? kMaxRowsNarrow : kMaxRows;
  const std::int64_t rows = o.rows + (t.sums ? 1 : 0), blocks = (rows + kHeight - 1) / kHeight;
  const std::int64_t low = rows / blocks, high_blocks = rows % blocks;
  for (std::int64_t k = 0, row = 0; k < blocks; ++k) {
    const std::int64_t height = low + (k < high_blocks ? 1 : 0);
    if (t.ahead.count) ask_for(t.ahead, k, blocks);
    const bool with_sums = t.sums && k == blocks - 1;
    switch (height) {
      case 1:
        Block::template run<1>(o, t, row, with_sums);
        break;
      case 2:
        Block::template run<2>(o, t, row, with_sums);
        break;
      case 3:
        Block::template run<3>(o, t, row, with_sums);
        break;
      case 4:
        Block::template run<4>(o, t, row, with_sums);
        break;
      case 5:
        Block::template run<5>(o, t, row, with_sums);
        break;
      case 6:
        Block::template run<6>(o, t, row, with_sums);
        break;
      default:
        if constexpr (NV == 1) {
          switch (height) {
            case 7:
              Block::template run<7>(o, t, row, with_sums);
              break;
            case 8:
              Block::template run<8>(o, t, row, with_sums);
              break;
            case 9:
              Block::template run<9>(o, t, row, with_sums);
              break;
            case 10:
              Block::template run<10>(o, t, row, with_sums);
              break;
            case 11:
              Block::template run<11>(o, t, row, with_sums);
              break;
            default:
              Block::template run<12>(o, t, row, with_sums);
              break;
          }
        }
    }
    row += height;
  }
}

/// `find_b` is called for each tile's columns, to set where B is.
template <template <int, bool> class Block, class Operands, class FindB>
HWY_INLINE void all_tiles(const Operands& o, Tile t, FindB find_b) {
  if (o.rows <= 0) return;
  for (std::int64_t col = 0; col < o.cols;) {
    const std::int64_t cols = o.cols - col;
    const std::int64_t vectors = std::min<std::int64_t>(kMaxVectors, (cols + kLanes - 1) / kLanes);
    const std::int64_t width = std::min(cols, vectors * kLanes);
    t.tail = width - (vectors - 1) * kLanes;
    const bool partial = t.tail != kLanes;
    find_b(t, col, width);
    switch (vectors) {
      case 1:
        partial ? all_rows<1, Block<1, true>>(o, t) : all_rows<1, Block<1, false>>(o, t);
        break;
      case 2:
        partial ? all_rows<2, Block<2, true>>(o, t) : all_rows<2, Block<2, false>>(o, t);
        break;
      default:
        if constexpr (kMaxVectors == 4) {
          if (vectors == 3)
            partial ? all_rows<3, Block<3, true>>(o, t) : all_rows<3, Block<3, false>>(o, t);
          else
            partial ? all_rows<4, Block<4, true>>(o, t) : all_rows<4, Block<4, false>>(o, t);
        }
    }
    t.c += width;
    if (t.init) t.init += width;
    if (t.mask) t.mask += width;
    if (t.sums) t.sums += width;
    t.ahead = {};
    col += width;
  }
}

/// `R` rows and `N` columns of dot products along the depth, which share what they read of B. Two sums each, of even and odd vectors.
template <int R, int N>
HWY_INLINE void few_columns_of_rows(const Product& p, std::int64_t i) {
  const D d;
  const float* a = p.a + i * p.lda;
  V acc[R][N], acc2[R][N];
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
    for (int j = 0; j < N; ++j) acc[r][j] = acc2[r][j] = hn::Zero(d);
  std::int64_t k = 0;
  for (; k + 2 * kLanes <= p.depth; k += 2 * kLanes) {
#pragma GCC unroll 4
    for (int j = 0; j < N; ++j) {
      const V b = hn::LoadU(d, p.b_transposed + j * p.ldbt + k), b2 = hn::LoadU(d, p.b_transposed + j * p.ldbt + k + kLanes);
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) {
        acc[r][j] = hn::MulAdd(hn::LoadU(d, a + r * p.lda + k), b, acc[r][j]);
        acc2[r][j] = hn::MulAdd(hn::LoadU(d, a + r * p.lda + k + kLanes), b2, acc2[r][j]);
      }
    }
  }
  for (; k < p.depth; k += kLanes) {
    const hn::Mask<D> m = hn::FirstN(d, static_cast<std::size_t>(std::min(kLanes, p.depth - k)));
#pragma GCC unroll 4
    for (int j = 0; j < N; ++j) {
      const V b = hn::MaskedLoad(m, d, p.b_transposed + j * p.ldbt + k);
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) acc[r][j] = hn::MulAdd(hn::MaskedLoad(m, d, a + r * p.lda + k), b, acc[r][j]);
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r, ++i)
#pragma GCC unroll 4
    for (int j = 0; j < N; ++j) {
      float v = hn::GetLane(hn::SumOfLanes(d, hn::Add(acc[r][j], acc2[r][j])));
      if (p.accumulate)
        v += p.c[i * p.ldc + j];
      else if (p.init)
        v += p.init[(p.init_period ? (p.init_row + i) / p.init_period : 0) * p.init_stride + j];
      if (p.epilogue == Epilogue::relu) v = std::max(v, 0.0f);
      if (p.epilogue == Epilogue::relu_mask && !(p.mask[i * p.ldmask + j] > 0)) v = 0.0f;
      p.c[i * p.ldc + j] = v;
    }
}

/// As many rows together as leave registers for what they read: half of all are sums.
template <int N>
void few_columns(const Product& p) {
  constexpr int kSums = HWY_TARGET <= HWY_AVX3 ? 16 : 8, kRows = std::min(4, kSums / (2 * N));
  std::int64_t i = 0;
  for (; i + kRows <= p.rows; i += kRows) few_columns_of_rows<kRows, N>(p, i);
  for (; i < p.rows; ++i) few_columns_of_rows<1, N>(p, i);
}

/// Blocks of 128 bits from rows that are 4 apart, one beside the other: a register's worth of what becomes four rows of the result.
HWY_INLINE V rows_apart(const float* x, std::int64_t ldx) {
#if HWY_TARGET == HWY_SCALAR
  (void)ldx;
  return hn::LoadU(D(), x);
#else
  const D d;
  V v = hn::LoadDup128(d, x);
#pragma GCC unroll 4
  for (std::int64_t k = 1; k < kLanes / 4; ++k) {
    const hn::Mask<D> from = hn::Not(hn::FirstN(d, static_cast<std::size_t>(4 * k)));
    v = hn::IfThenElse(from, hn::LoadDup128(d, x + 4 * k * ldx), v);
  }
  return v;
#endif
}

void transpose(const float* x, std::int64_t ldx, std::int64_t rows, std::int64_t cols, float* out, std::int64_t ldout) {
  std::int64_t i = 0;
#if HWY_TARGET != HWY_SCALAR
  // kLanes rows x 4 columns at a time: transposed by fours within 128-bit blocks, they are whole vectors of four rows of the result.
  const D d;
  const hn::Repartition<double, D> d2;
  const std::int64_t whole_cols = cols / 4 * 4;
  for (; i + kLanes <= rows; i += kLanes) {
    for (std::int64_t j = 0; j < whole_cols; j += 4) {
      const float* p = x + i * ldx + j;
      const V a = rows_apart(p, ldx), b = rows_apart(p + ldx, ldx), c = rows_apart(p + 2 * ldx, ldx), e = rows_apart(p + 3 * ldx, ldx);
      const auto ab0 = hn::BitCast(d2, hn::InterleaveLower(d, a, b)), ab1 = hn::BitCast(d2, hn::InterleaveUpper(d, a, b));
      const auto ce0 = hn::BitCast(d2, hn::InterleaveLower(d, c, e)), ce1 = hn::BitCast(d2, hn::InterleaveUpper(d, c, e));
      float* to = out + j * ldout + i;
      hn::StoreU(hn::BitCast(d, hn::InterleaveLower(d2, ab0, ce0)), d, to);
      hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(d2, ab0, ce0)), d, to + ldout);
      hn::StoreU(hn::BitCast(d, hn::InterleaveLower(d2, ab1, ce1)), d, to + 2 * ldout);
      hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(d2, ab1, ce1)), d, to + 3 * ldout);
    }
    for (std::int64_t j = whole_cols; j < cols; ++j)
      for (std::int64_t k = i; k < i + kLanes; ++k) out[j * ldout + k] = x[k * ldx + j];
  }
#endif
  for (; i < rows; ++i)
    for (std::int64_t j = 0; j < cols; ++j) out[j * ldout + i] = x[i * ldx + j];
}

/// For B given as its transpose: panels of it are transposed into a buffer that stays in the first-level cache beside the rows of A.
/// Partial sums are stored in C between panels, in float32 as in registers, so that no digits are lost.
void product_of_transposed(const Product& p) {
  constexpr std::int64_t kWidth = kMaxVectors * kLanes, kDepth = kPanelDepth * 2 / 3;  // on average: no piece reaches kPanelDepth
  static_assert(kWidth <= kPanelColumns);
  const std::int64_t pieces = std::max<std::int64_t>(1, (p.depth + kDepth / 2) / kDepth);
  for (std::int64_t col = 0; col < p.cols; col += kWidth) {
    const std::int64_t width = std::min(kWidth, p.cols - col);
    for (std::int64_t k = 0; k < pieces; ++k) {
      const std::int64_t first = p.depth * k / pieces;
      Product part = p;
      part.a += first;
      part.depth = p.depth * (k + 1) / pieces - first;
      part.cols = width;
      if (k > 0) part.accumulate = true;
      if (k + 1 < pieces) part.epilogue = Epilogue::none;
      transpose(p.b_transposed + col * p.ldbt + first, p.ldbt, width, part.depth, p.panel, width);
      Tile tile{p.panel, width, p.c + col, p.init, p.mask, nullptr, 0, {}};
      if (tile.init) tile.init += col;
      if (tile.mask) tile.mask += col;
      if (col == 0 && k == 0) tile.ahead = p.ahead;
      all_tiles<Plain>(part, tile, [](Tile&, std::int64_t, std::int64_t) {});
    }
  }
}

void product(const Product& p) {
  if (p.b_transposed && p.cols <= 4 && p.depth >= 2 * kLanes) {
    switch (p.cols) {
      case 1:
        return few_columns<1>(p);
      case 2:
        return few_columns<2>(p);
      case 3:
        return few_columns<3>(p);
      case 4:
        return few_columns<4>(p);
    }
  }
  if (!p.b) return product_of_transposed(p);
  const Tile first{nullptr, p.ldb, p.c, p.init, p.mask, nullptr, 0, p.ahead};
  if (p.packed)
    all_tiles<Plain>(p, first, [&p](Tile& t, std::int64_t col, std::int64_t width) HWY_ATTR {
      t.b = p.b + col * p.depth;
      t.ldb = width;
    });
  else
    all_tiles<Plain>(p, first, [&p](Tile& t, std::int64_t col, std::int64_t) HWY_ATTR { t.b = p.b + col; });
}

void pack(const float* b, std::int64_t ldb, std::int64_t depth, std::int64_t cols, float* out) {
  for (std::int64_t col = 0; col < cols; col += kMaxVectors * kLanes) {
    const std::int64_t width = std::min(cols - col, kMaxVectors * kLanes);
    for (std::int64_t p = 0; p < depth; ++p, out += width) std::copy_n(b + p * ldb + col, width, out);
  }
}

void transposed_product(const TransposedProduct& p) {
  all_tiles<Transposed>(p, {nullptr, p.ldb, p.c, nullptr, nullptr, p.sums, 0, {}},
                        [&p](Tile& t, std::int64_t col, std::int64_t) HWY_ATTR { t.b = p.b + col; });
}

template <int NV, bool kTail>
void sum_rows(const float* x, std::int64_t ldx, std::int64_t rows, float* sums, bool accumulate, std::int64_t tail) {
  const D d;
  const hn::Mask<D> last = hn::FirstN(d, static_cast<std::size_t>(tail));
  V sum[NV];
#pragma GCC unroll 4
  for (int q = 0; q < NV; ++q) sum[q] = accumulate ? load_vector<NV, kTail>(sums, q, last) : hn::Zero(d);
  for (std::int64_t i = 0; i < rows; ++i, x += ldx)
#pragma GCC unroll 4
    for (int q = 0; q < NV; ++q) sum[q] = hn::Add(sum[q], load_vector<NV, kTail>(x, q, last));
#pragma GCC unroll 4
  for (int q = 0; q < NV; ++q) store_vector<NV, kTail>(sum[q], sums, q, last);
}

/// One accumulator a column, so that the digits are those of the sums that transposed_product makes.
void column_sums(const float* x, std::int64_t ldx, std::int64_t rows, std::int64_t cols, float* sums, bool accumulate) {
  std::int64_t j = 0;
  for (; j + 4 * kLanes <= cols; j += 4 * kLanes) sum_rows<4, false>(x + j, ldx, rows, sums + j, accumulate, kLanes);
  for (; j < cols; j += kLanes) sum_rows<1, true>(x + j, ldx, rows, sums + j, accumulate, std::min(kLanes, cols - j));
}

}  // namespace bayesflow::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace bayesflow::kernels {

HWY_EXPORT(product);
HWY_EXPORT(pack);
HWY_EXPORT(transposed_product);
HWY_EXPORT(column_sums);
HWY_EXPORT(transpose);

void product(const Product& p) { HWY_DYNAMIC_DISPATCH(product)(p); }
void pack(const float* b, std::int64_t ldb, std::int64_t depth, std::int64_t cols, float* out) {
  HWY_DYNAMIC_DISPATCH(pack)(b, ldb, depth, cols, out);
}
void transposed_product(const TransposedProduct& p) { HWY_DYNAMIC_DISPATCH(transposed_product)(p); }
void column_sums(const float* x, std::int64_t ldx, std::int64_t rows, std::int64_t cols, float* sums, bool accumulate) {
  HWY_DYNAMIC_DISPATCH(column_sums)(x, ldx, rows, cols, sums, accumulate);
}

void transpose(const float* x, std::int64_t ldx, std::int64_t rows, std::int64_t cols, float* out, std::int64_t ldout) {
  HWY_DYNAMIC_DISPATCH(transpose)(x, ldx, rows, cols, out, ldout);
}

}  // namespace bayesflow::kernels
#endif
