#include "kernels/bfloat16.hpp"

#include <algorithm>

#include "kernels/targets.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/bfloat16.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/relu-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace bayesflow::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;
using DU = hn::ScalableTag<std::uint32_t>;
using V = hn::Vec<D>;
using VU = hn::Vec<DU>;

constexpr std::int64_t kLanes = HWY_TARGET == HWY_SCALAR ? 1 : HWY_MAX_BYTES / 4;

/// Rounded to the upper half, to nearest even; what the lower half has is not defined. NaN stays NaN.
HWY_INLINE VU rounded(V x) {
  const DU du;
  const VU bits = hn::BitCast(du, x);
  const VU even = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 1));
  const VU up = hn::Add(bits, hn::Add(even, hn::Set(du, 0x7FFF)));
  return hn::IfThenElse(hn::RebindMask(du, hn::IsNaN(x)), hn::Or(bits, hn::Set(du, 0x400000)), up);
}

namespace plain {

HWY_INLINE V dot(V sum, VU a, VU b) {
  const D d;
  const VU upper = hn::Set(DU(), 0xFFFF0000u);
  sum = hn::MulAdd(hn::BitCast(d, hn::And(a, upper)), hn::BitCast(d, hn::And(b, upper)), sum);
  return hn::MulAdd(hn::BitCast(d, hn::ShiftLeft<16>(a)), hn::BitCast(d, hn::ShiftLeft<16>(b)), sum);
}
HWY_INLINE VU pair(V first, V second) {
  return hn::Or(hn::ShiftRight<16>(rounded(first)), hn::And(rounded(second), hn::Set(DU(), 0xFFFF0000u)));
}
HWY_INLINE void store_rounded(V x, std::uint16_t* out) {
  const hn::Rebind<std::uint16_t, DU> dh;
  const hn::RebindToSigned<DU> di;
  hn::StoreU(hn::DemoteTo(dh, hn::BitCast(di, hn::ShiftRight<16>(rounded(x)))), dh, out);
}

#include "kernels/bfloat16.inc"

}  // namespace plain

void pair_rows(const Pair* x, std::int64_t rows, std::int64_t cols, Pair* out) {
  const DU du;
  const hn::Rebind<std::uint16_t, DU> dh;
  const auto* from = reinterpret_cast<const std::uint16_t*>(x);
  const std::int64_t ld = padded(cols);
  for (std::int64_t p = 0; p < pairs_of(rows); ++p, from += 2 * ld, out += ld) {
    const bool alone = 2 * p + 1 == rows;
    for (std::int64_t j = 0; j < ld; j += kLanes) {
      const VU first = hn::PromoteTo(du, hn::LoadU(dh, from + j));
      const VU second = alone ? hn::Zero(du) : hn::ShiftLeft<16>(hn::PromoteTo(du, hn::LoadU(dh, from + ld + j)));
      hn::StoreU(hn::Or(first, second), du, out + j);
    }
  }
}

}  // namespace bayesflow::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

// The same loops with instructions that Highway's target does not have.
#undef BAYESFLOW_NATIVE
#if HWY_TARGET <= HWY_AVX3 && HWY_ARCH_X86
HWY_PUSH_ATTRIBUTES(HWY_TARGET_STR ",avx512bf16")
namespace bayesflow::kernels::HWY_NAMESPACE::native {

HWY_INLINE V dot(V sum, VU a, VU b) { return V{_mm512_dpbf16_ps(sum.raw, (__m512bh)a.raw, (__m512bh)b.raw)}; }
HWY_INLINE VU pair(V first, V second) {
  // All of the first lie in the lower half, all of the second in the upper.
  alignas(64) static constexpr std::uint16_t kOrder[32] = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                                           8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
  return VU{_mm512_permutexvar_epi16(_mm512_load_si512(kOrder), (__m512i)_mm512_cvtne2ps_pbh(second.raw, first.raw))};
}
HWY_INLINE void store_rounded(V x, std::uint16_t* out) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), (__m256i)_mm512_cvtneps_pbh(x.raw));
}

#include "kernels/bfloat16.inc"

}  // namespace bayesflow::kernels::HWY_NAMESPACE::native
HWY_POP_ATTRIBUTES
#define BAYESFLOW_NATIVE __builtin_cpu_supports("avx512bf16")
#endif

HWY_BEFORE_NAMESPACE();
namespace bayesflow::kernels::HWY_NAMESPACE {

#undef BAYESFLOW_EITHER
#ifdef BAYESFLOW_NATIVE
bool has_native() { return BAYESFLOW_NATIVE; }
#define BAYESFLOW_EITHER(call) BAYESFLOW_NATIVE ? native::call : plain::call
#else
bool has_native() { return false; }
#define BAYESFLOW_EITHER(call) plain::call
#endif
void any_product(const HalfProduct& p) { BAYESFLOW_EITHER(half_product(p)); }
void any_round_rows(const float* x, std::int64_t ldx, std::int64_t rows, std::int64_t cols, Pair* out) {
  BAYESFLOW_EITHER(half_round_rows(x, ldx, rows, cols, out));
}
void any_pack(const float* b, std::int64_t ldb, std::int64_t depth, std::int64_t cols, Pair* out) {
  BAYESFLOW_EITHER(half_pack(b, ldb, depth, cols, out));
}
void any_column_sums(const Pair* x, std::int64_t pairs, std::int64_t cols, float* sums, bool accumulate) {
  BAYESFLOW_EITHER(half_column_sums(x, pairs, cols, sums, accumulate));
}
void plain_product(const HalfProduct& p) { plain::half_product(p); }
void plain_round_rows(const float* x, std::int64_t ldx, std::int64_t rows, std::int64_t cols, Pair* out) {
  plain::half_round_rows(x, ldx, rows, cols, out);
}
void plain_pack(const float* b, std::int64_t ldb, std::int64_t depth, std::int64_t cols, Pair* out) {
  plain::half_pack(b, ldb, depth, cols, out);
}

}  // namespace bayesflow::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace bayesflow::kernels {

HWY_EXPORT(has_native);
HWY_EXPORT(any_product);
HWY_EXPORT(any_round_rows);
HWY_EXPORT(any_pack);
HWY_EXPORT(any_column_sums);
HWY_EXPORT(pair_rows);
HWY_EXPORT(plain_product);
HWY_EXPORT(plain_round_rows);
HWY_EXPORT(plain_pack);

bool multiplies_bfloat16() { return HWY_DYNAMIC_DISPATCH(has_native)(); }
void product(const HalfProduct& p) { HWY_DYNAMIC_DISPATCH(any_product)(p); }
void round_rows(const float* x, std::int64_t ldx, std::int64_t rows, std::int64_t cols, Pair* out) {
  HWY_DYNAMIC_DISPATCH(any_round_rows)(x, ldx, rows, cols, out);
}
void pack_half(const float* b, std::int64_t ldb, std::int64_t depth, std::int64_t cols, Pair* out) {
  HWY_DYNAMIC_DISPATCH(any_pack)(b, ldb, depth, cols, out);
}
void pair_rows(const Pair* x, std::int64_t rows, std::int64_t cols, Pair* out) { HWY_DYNAMIC_DISPATCH(pair_rows)(x, rows, cols, out); }
void column_sums(const Pair* x, std::int64_t pairs, std::int64_t cols, float* sums, bool accumulate) {
  HWY_DYNAMIC_DISPATCH(any_column_sums)(x, pairs, cols, sums, accumulate);
}

void pack_half_transposed(const float* bt, std::int64_t ldbt, std::int64_t depth, std::int64_t cols, Pair* out) {
  // Pieces of rounded rows, whose pairs are transposed as if they were floats.
  constexpr std::int64_t kPairs = 32;
  alignas(64) Pair piece[kPanelColumns * kPairs];
  const std::int64_t pairs = pairs_of(depth);
  for (std::int64_t panel = 0; panel < cols; panel += kPanelColumns) {
    const std::int64_t rows = std::min(kPanelColumns, cols - panel), width = padded(rows);
    for (std::int64_t p = 0; p < pairs; p += kPairs) {
      const std::int64_t count = std::min(kPairs, pairs - p), numbers = std::min(2 * count, depth - 2 * p), ld = padded(numbers) / 2;
      round_rows(bt + panel * ldbt + 2 * p, ldbt, rows, numbers, piece);
      std::fill(piece + rows * ld, piece + width * ld, Pair{0});
      transpose(reinterpret_cast<const float*>(piece), ld, width, count, reinterpret_cast<float*>(out + p * width), width);
    }
    out += pairs * width;
  }
}

void plain::product(const HalfProduct& p) { HWY_DYNAMIC_DISPATCH(plain_product)(p); }
void plain::round_rows(const float* x, std::int64_t ldx, std::int64_t rows, std::int64_t cols, Pair* out) {
  HWY_DYNAMIC_DISPATCH(plain_round_rows)(x, ldx, rows, cols, out);
}
void plain::pack_half(const float* b, std::int64_t ldb, std::int64_t depth, std::int64_t cols, Pair* out) {
  HWY_DYNAMIC_DISPATCH(plain_pack)(b, ldb, depth, cols, out);
}

}  // namespace bayesflow::kernels
#endif
