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
  float* c;
  const float* init;
  const float* mask;
  float* sums;
  std::int64_t tail;  // columns of the last vector
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
  const std::int64_t lda = o.lda, ldb = o.ldb, ldc = o.ldc, depth = o.depth;
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
  const std::int64_t lda = o.lda, ldb = o.ldb, ldc = o.ldc, depth = o.depth;
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

/// All rows of one column tile. Heights differ by at most one, so that no thin block is left over at the end.
template <int NV, class Block>
void all_rows(const typename Block::Operands& o, const Tile& t) {
  constexpr int kHeight = NV == 1 ? kMaxRowsNarrow : kMaxRows;
  const std::int64_t rows = o.rows + (t.sums ? 1 : 0), blocks = (rows + kHeight - 1) / kHeight;
  for (std::int64_t k = 0, row = 0; k < blocks; ++k) {
    const std::int64_t next = (k + 1) * rows / blocks;
    const bool with_sums = t.sums && k == blocks - 1;
    switch (next - row) {
      case 1: Block::template run<1>(o, t, row, with_sums); break;
      case 2: Block::template run<2>(o, t, row, with_sums); break;
      case 3: Block::template run<3>(o, t, row, with_sums); break;
      case 4: Block::template run<4>(o, t, row, with_sums); break;
      case 5: Block::template run<5>(o, t, row, with_sums); break;
      case 6: Block::template run<6>(o, t, row, with_sums); break;
      default:
        if constexpr (NV == 1) {
          switch (next - row) {
            case 7: Block::template run<7>(o, t, row, with_sums); break;
            case 8: Block::template run<8>(o, t, row, with_sums); break;
            case 9: Block::template run<9>(o, t, row, with_sums); break;
            case 10: Block::template run<10>(o, t, row, with_sums); break;
            case 11: Block::template run<11>(o, t, row, with_sums); break;
            default: Block::template run<12>(o, t, row, with_sums); break;
          }
        }
    }
    row = next;
  }
}

template <template <int, bool> class Block, class Operands>
void all_tiles(const Operands& o, Tile t) {
  if (o.rows <= 0) return;
  for (std::int64_t cols = o.cols; cols > 0;) {
    const std::int64_t vectors = std::min<std::int64_t>(kMaxVectors, (cols + kLanes - 1) / kLanes);
    const std::int64_t width = std::min(cols, vectors * kLanes);
    t.tail = width - (vectors - 1) * kLanes;
    const bool partial = t.tail != kLanes;
    switch (vectors) {
      case 1: partial ? all_rows<1, Block<1, true>>(o, t) : all_rows<1, Block<1, false>>(o, t); break;
      case 2: partial ? all_rows<2, Block<2, true>>(o, t) : all_rows<2, Block<2, false>>(o, t); break;
      default:
        if constexpr (kMaxVectors == 4) {
          if (vectors == 3)
            partial ? all_rows<3, Block<3, true>>(o, t) : all_rows<3, Block<3, false>>(o, t);
          else
            partial ? all_rows<4, Block<4, true>>(o, t) : all_rows<4, Block<4, false>>(o, t);
        }
    }
    t.b += width;
    t.c += width;
    if (t.init) t.init += width;
    if (t.mask) t.mask += width;
    if (t.sums) t.sums += width;
    cols -= width;
  }
}

/// Few columns: dot products along the depth, with `N` columns of B in flight.
template <int N>
void few_columns(const Product& p) {
  const D d;
  for (std::int64_t i = 0; i < p.rows; ++i) {
    const float* a = p.a + i * p.lda;
    V acc[N], acc2[N];
#pragma GCC unroll 4
    for (int j = 0; j < N; ++j) acc[j] = acc2[j] = hn::Zero(d);
    std::int64_t k = 0;
    for (; k + 2 * kLanes <= p.depth; k += 2 * kLanes) {
      const V x = hn::LoadU(d, a + k), y = hn::LoadU(d, a + k + kLanes);
#pragma GCC unroll 4
      for (int j = 0; j < N; ++j) {
        acc[j] = hn::MulAdd(x, hn::LoadU(d, p.b_transposed + j * p.ldbt + k), acc[j]);
        acc2[j] = hn::MulAdd(y, hn::LoadU(d, p.b_transposed + j * p.ldbt + k + kLanes), acc2[j]);
      }
    }
    for (; k < p.depth; k += kLanes) {
      const hn::Mask<D> m = hn::FirstN(d, static_cast<std::size_t>(std::min(kLanes, p.depth - k)));
      const V x = hn::MaskedLoad(m, d, a + k);
#pragma GCC unroll 4
      for (int j = 0; j < N; ++j) acc[j] = hn::MulAdd(x, hn::MaskedLoad(m, d, p.b_transposed + j * p.ldbt + k), acc[j]);
    }
#pragma GCC unroll 4
    for (int j = 0; j < N; ++j) {
      float v = hn::GetLane(hn::SumOfLanes(d, hn::Add(acc[j], acc2[j])));
      if (p.accumulate)
        v += p.c[i * p.ldc + j];
      else if (p.init)
        v += p.init[(p.init_period ? (p.init_row + i) / p.init_period : 0) * p.init_stride + j];
      if (p.epilogue == Epilogue::relu) v = std::max(v, 0.0f);
      if (p.epilogue == Epilogue::relu_mask && !(p.mask[i * p.ldmask + j] > 0)) v = 0.0f;
      p.c[i * p.ldc + j] = v;
    }
  }
}

void product(const Product& p) {
  if (p.b_transposed && p.cols <= 4 && p.depth >= 2 * kLanes) {
    switch (p.cols) {
      case 1: return few_columns<1>(p);
      case 2: return few_columns<2>(p);
      case 3: return few_columns<3>(p);
      case 4: return few_columns<4>(p);
    }
  }
  all_tiles<Plain>(p, {p.b, p.c, p.init, p.mask, nullptr, 0});
}

void transposed_product(const TransposedProduct& p) { all_tiles<Transposed>(p, {p.b, p.c, nullptr, nullptr, p.sums, 0}); }

void column_sums(const float* x, std::int64_t ldx, std::int64_t rows, std::int64_t cols, float* sums, bool accumulate) {
  const D d;
  for (std::int64_t j = 0; j < cols; j += kLanes) {
    const hn::Mask<D> m = hn::FirstN(d, static_cast<std::size_t>(std::min(kLanes, cols - j)));
    V acc = accumulate ? hn::MaskedLoad(m, d, sums + j) : hn::Zero(d), acc2 = hn::Zero(d);
    std::int64_t i = 0;
    for (; i + 2 <= rows; i += 2) {
      acc = hn::Add(acc, hn::MaskedLoad(m, d, x + i * ldx + j));
      acc2 = hn::Add(acc2, hn::MaskedLoad(m, d, x + (i + 1) * ldx + j));
    }
    if (i < rows) acc = hn::Add(acc, hn::MaskedLoad(m, d, x + i * ldx + j));
    hn::BlendedStore(hn::Add(acc, acc2), m, d, sums + j);
  }
}

void transpose(const float* x, std::int64_t ldx, std::int64_t rows, std::int64_t cols, float* out, std::int64_t ldout) {
  std::int64_t i = 0;
#if HWY_TARGET != HWY_SCALAR
  // 4 x 4 tiles in 128-bit registers, 16 rows deep so that whole cache lines of the result are filled.
  const hn::FixedTag<float, 4> d4;
  const hn::Repartition<double, decltype(d4)> d2;
  const std::int64_t whole_rows = rows / 4 * 4, whole_cols = cols / 4 * 4;
  for (std::int64_t i0 = 0; i0 < whole_rows; i0 += 16)
    for (std::int64_t j = 0; j < whole_cols; j += 4)
      for (i = i0; i < std::min(i0 + 16, whole_rows); i += 4) {
        const float* p = x + i * ldx + j;
        const auto a = hn::LoadU(d4, p), b = hn::LoadU(d4, p + ldx), c = hn::LoadU(d4, p + 2 * ldx), e = hn::LoadU(d4, p + 3 * ldx);
        const auto ab0 = hn::BitCast(d2, hn::InterleaveLower(d4, a, b)), ab1 = hn::BitCast(d2, hn::InterleaveUpper(d4, a, b));
        const auto ce0 = hn::BitCast(d2, hn::InterleaveLower(d4, c, e)), ce1 = hn::BitCast(d2, hn::InterleaveUpper(d4, c, e));
        float* to = out + j * ldout + i;
        hn::StoreU(hn::BitCast(d4, hn::InterleaveLower(d2, ab0, ce0)), d4, to);
        hn::StoreU(hn::BitCast(d4, hn::InterleaveUpper(d2, ab0, ce0)), d4, to + ldout);
        hn::StoreU(hn::BitCast(d4, hn::InterleaveLower(d2, ab1, ce1)), d4, to + 2 * ldout);
        hn::StoreU(hn::BitCast(d4, hn::InterleaveUpper(d2, ab1, ce1)), d4, to + 3 * ldout);
      }
  for (i = 0; i < whole_rows; ++i)
    for (std::int64_t j = whole_cols; j < cols; ++j) out[j * ldout + i] = x[i * ldx + j];
  i = whole_rows;
#endif
  for (; i < rows; ++i)
    for (std::int64_t j = 0; j < cols; ++j) out[j * ldout + i] = x[i * ldx + j];
}

}  // namespace bayesflow::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace bayesflow::kernels {

HWY_EXPORT(product);
HWY_EXPORT(transposed_product);
HWY_EXPORT(column_sums);
HWY_EXPORT(transpose);

void product(const Product& p) { HWY_DYNAMIC_DISPATCH(product)(p); }
void transposed_product(const TransposedProduct& p) { HWY_DYNAMIC_DISPATCH(transposed_product)(p); }
void column_sums(const float* x, std::int64_t ldx, std::int64_t rows, std::int64_t cols, float* sums, bool accumulate) {
  HWY_DYNAMIC_DISPATCH(column_sums)(x, ldx, rows, cols, sums, accumulate);
}

void transpose(const float* x, std::int64_t ldx, std::int64_t rows, std::int64_t cols, float* out, std::int64_t ldout) {
  HWY_DYNAMIC_DISPATCH(transpose)(x, ldx, rows, cols, out, ldout);
}

}  // namespace bayesflow::kernels
#endif
