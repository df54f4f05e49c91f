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

HWY_INLINE V load_tail(D d, const float* p, hn::Mask<D> mask) { return hn::MaskedLoad(mask, d, p); }

/// MR rows x NV vectors of C. kTransposedA: A(i, p) = a[p * lda + i], else a[i * lda + p]. kTail: the last vector is partial.
template <int MR, int NV, bool kTransposedA, bool kTail>
HWY_INLINE void block(const float* HWY_RESTRICT a, std::int64_t lda, const float* HWY_RESTRICT b, std::int64_t ldb,
                      std::int64_t depth, float* c, std::int64_t ldc, const float* init, std::int64_t init_stride,
                      std::int64_t init_period, std::int64_t row, bool accumulate, Epilogue epilogue, const float* mask,
                      std::int64_t ldmask, std::int64_t tail) {
  const D d;
  const hn::Mask<D> last = hn::FirstN(d, static_cast<std::size_t>(tail));
  const auto load = [&](const float* p, int q) HWY_ATTR {
    return (kTail && q == NV - 1) ? load_tail(d, p + q * kLanes, last) : hn::LoadU(d, p + q * kLanes);
  };
  V acc[MR][NV];
  // Each case on its own, with one running pointer: what surrounds the inner loop is a tenth of a block's time otherwise.
  if (accumulate) {
    const float* start = c;
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i, start += ldc)
#pragma GCC unroll 4
      for (int q = 0; q < NV; ++q) acc[i][q] = load(start, q);
  } else if (init && init_period) {
    // The rows of one group follow each other: one division, then counting.
    std::int64_t left = init_period - row % init_period;
    const float* start = init + row / init_period * init_stride;
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 4
      for (int q = 0; q < NV; ++q) acc[i][q] = load(start, q);
      if (--left == 0) {
        left = init_period;
        start += init_stride;
      }
    }
  } else {
    V start[NV];
#pragma GCC unroll 4
    for (int q = 0; q < NV; ++q) start[q] = init ? load(init, q) : hn::Zero(d);
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i)
#pragma GCC unroll 4
      for (int q = 0; q < NV; ++q) acc[i][q] = start[q];
  }
  for (std::int64_t p = 0; p < depth; ++p) {
    V bv[NV];
    const float* bp = b + p * ldb;
#pragma GCC unroll 4
    for (int q = 0; q < NV; ++q) bv[q] = load(bp, q);
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i) {
      const V av = hn::Set(d, kTransposedA ? a[p * lda + i] : a[i * lda + p]);
#pragma GCC unroll 4
      for (int q = 0; q < NV; ++q) acc[i][q] = hn::MulAdd(av, bv[q], acc[i][q]);
    }
  }
  if (epilogue == Epilogue::relu) {
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i)
#pragma GCC unroll 4
      for (int q = 0; q < NV; ++q) acc[i][q] = relu(acc[i][q]);
  } else if (epilogue == Epilogue::relu_mask) {
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i, mask += ldmask)
#pragma GCC unroll 4
      for (int q = 0; q < NV; ++q) acc[i][q] = hn::IfThenElseZero(hn::Gt(load(mask, q), hn::Zero(d)), acc[i][q]);
  }
#pragma GCC unroll 16
  for (int i = 0; i < MR; ++i, c += ldc)
#pragma GCC unroll 4
    for (int q = 0; q < NV; ++q) {
      if (kTail && q == NV - 1)
        hn::BlendedStore(acc[i][q], last, d, c + q * kLanes);
      else
        hn::StoreU(acc[i][q], d, c + q * kLanes);
    }
}

struct Operands {
  const float* a;
  std::int64_t lda;
  const float* b;
  std::int64_t ldb;
  float* c;
  std::int64_t ldc;
  std::int64_t depth;
  const float* init;
  std::int64_t init_stride, init_period, init_row;
  bool accumulate;
  Epilogue epilogue;
  const float* mask;
  std::int64_t ldmask;
  std::int64_t tail;
};

template <int MR, int NV, bool kTransposedA, bool kTail>
HWY_NOINLINE void block_at(const Operands& o, std::int64_t row) {
  block<MR, NV, kTransposedA, kTail>(o.a + (kTransposedA ? row : row * o.lda), o.lda, o.b, o.ldb, o.depth, o.c + row * o.ldc, o.ldc,
                                     o.init, o.init_stride, o.init_period, o.init_row + row, o.accumulate, o.epilogue,
                                     o.mask ? o.mask + row * o.ldmask : nullptr, o.ldmask, o.tail);
}

/// All rows of one column tile. Heights differ by at most one, so that no thin block is left over at the end.
template <int NV, bool kTransposedA, bool kTail>
void tile(const Operands& o, std::int64_t rows) {
  constexpr int kHeight = NV == 1 ? kMaxRowsNarrow : kMaxRows;
  const std::int64_t blocks = (rows + kHeight - 1) / kHeight;
  for (std::int64_t k = 0, row = 0; k < blocks; ++k) {
    const std::int64_t next = (k + 1) * rows / blocks;
    switch (next - row) {
      case 1: block_at<1, NV, kTransposedA, kTail>(o, row); break;
      case 2: block_at<2, NV, kTransposedA, kTail>(o, row); break;
      case 3: block_at<3, NV, kTransposedA, kTail>(o, row); break;
      case 4: block_at<4, NV, kTransposedA, kTail>(o, row); break;
      case 5: block_at<5, NV, kTransposedA, kTail>(o, row); break;
      case 6: block_at<6, NV, kTransposedA, kTail>(o, row); break;
      default:
        if constexpr (NV == 1) {
          switch (next - row) {
            case 7: block_at<7, 1, kTransposedA, kTail>(o, row); break;
            case 8: block_at<8, 1, kTransposedA, kTail>(o, row); break;
            case 9: block_at<9, 1, kTransposedA, kTail>(o, row); break;
            case 10: block_at<10, 1, kTransposedA, kTail>(o, row); break;
            case 11: block_at<11, 1, kTransposedA, kTail>(o, row); break;
            default: block_at<12, 1, kTransposedA, kTail>(o, row); break;
          }
        }
    }
    row = next;
  }
}

template <bool kTransposedA>
void all_tiles(Operands o, std::int64_t rows, std::int64_t cols) {
  while (cols > 0) {
    const std::int64_t vectors = std::min<std::int64_t>(kMaxVectors, (cols + kLanes - 1) / kLanes);
    const std::int64_t width = std::min(cols, vectors * kLanes);
    const std::int64_t rest = width - (vectors - 1) * kLanes;  // columns of the last vector
    o.tail = rest;
    const bool partial = rest != kLanes;
    switch (vectors) {
      case 1: partial ? tile<1, kTransposedA, true>(o, rows) : tile<1, kTransposedA, false>(o, rows); break;
      case 2: partial ? tile<2, kTransposedA, true>(o, rows) : tile<2, kTransposedA, false>(o, rows); break;
      default:
        if constexpr (kMaxVectors == 4) {
          if (vectors == 3)
            partial ? tile<3, kTransposedA, true>(o, rows) : tile<3, kTransposedA, false>(o, rows);
          else
            partial ? tile<4, kTransposedA, true>(o, rows) : tile<4, kTransposedA, false>(o, rows);
        }
    }
    o.b += width;
    o.c += width;
    if (o.init) o.init += width;
    if (o.mask) o.mask += width;
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
  all_tiles<false>({p.a, p.lda, p.b, p.ldb, p.c, p.ldc, p.depth, p.init, p.init_stride, p.init_period, p.init_row, p.accumulate, p.epilogue,
                    p.mask, p.ldmask, 0},
                   p.rows, p.cols);
}

void transposed_product(const TransposedProduct& p) {
  all_tiles<true>({p.a, p.lda, p.b, p.ldb, p.c, p.ldc, p.depth, nullptr, 0, 0, 0, p.accumulate, Epilogue::none, nullptr, 0, 0}, p.rows,
                  p.cols);
}

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
