#include "kernels/random.hpp"

#include <algorithm>
#include <cstring>

#include "kernels/targets.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/random.cpp"
// Highway's headers in this order:
// clang-format off
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include <hwy/contrib/math/math-inl.h>
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace bayesflow::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D64 = hn::ScalableTag<std::uint64_t>;
using DF = hn::ScalableTag<double>;
using V64 = hn::Vec<D64>;
using VF = hn::Vec<DF>;

/// One block per 64-bit lane; each of the four 32-bit words sits in the low half of a lane.
struct Words {
  V64 w0, w1, w2, w3;
};

HWY_INLINE V64 wide_product(V64 a, V64 b) {
#if HWY_TARGET == HWY_SCALAR
  return hn::Set(D64(), (hn::GetLane(a) & 0xFFFFFFFFULL) * (hn::GetLane(b) & 0xFFFFFFFFULL));
#else
  const hn::Repartition<std::uint32_t, D64> d32;
  return hn::MulEven(hn::BitCast(d32, a), hn::BitCast(d32, b));
#endif
}

HWY_INLINE Words philox(V64 block, std::uint64_t index, std::uint64_t key) {
  const D64 d;
  const V64 low = hn::Set(d, 0xFFFFFFFFULL);
  const V64 m0 = hn::Set(d, 0xD2511F53ULL), m1 = hn::Set(d, 0xCD9E8D57ULL);
  Words c{hn::And(block, low), hn::ShiftRight<32>(block), hn::Set(d, index & 0xFFFFFFFFULL), hn::Set(d, index >> 32)};
  auto k0 = static_cast<std::uint32_t>(key), k1 = static_cast<std::uint32_t>(key >> 32);
#pragma GCC unroll 10
  for (int round = 0; round < 10; ++round) {
    const V64 p0 = wide_product(m0, c.w0), p1 = wide_product(m1, c.w2);
    const V64 n0 = hn::Xor(hn::Xor(hn::ShiftRight<32>(p1), c.w1), hn::Set(d, std::uint64_t{k0}));
    const V64 n2 = hn::Xor(hn::Xor(hn::ShiftRight<32>(p0), c.w3), hn::Set(d, std::uint64_t{k1}));
    // MulEven reads the low half only; w1 and w3 must not carry the upper one.
    c = {n0, hn::And(p1, low), n2, hn::And(p0, low)};
    k0 += 0x9E3779B9U;
    k1 += 0xBB67AE85U;
  }
  return c;
}

/// [0, 1) with 53 bits: 52 in the mantissa of a number in [1, 2), and the last one added.
HWY_INLINE VF unit(V64 word) {
  const DF df;
  const D64 d;
  const VF head = hn::Sub(hn::BitCast(df, hn::Or(hn::ShiftRight<12>(word), hn::Set(d, 0x3FF0000000000000ULL))), hn::Set(df, 1.0));
  const auto odd = hn::Eq(hn::And(hn::ShiftRight<11>(word), hn::Set(d, 1)), hn::Set(d, 1));
  return hn::Add(head, hn::IfThenElseZero(hn::RebindMask(df, odd), hn::Set(df, 0x1p-53)));
}

void normal_blocks(std::uint64_t key, std::uint64_t index, std::uint64_t first_block, std::int64_t blocks, double* out) {
  const D64 d;
  const DF df;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  HWY_ALIGN double rest[std::size_t{2} * HWY_MAX_BYTES / sizeof(double)];
  for (std::int64_t b = 0; b < blocks; b += lanes) {
    const V64 block = hn::Add(hn::Iota(d, 0), hn::Set(d, first_block + static_cast<std::uint64_t>(b)));
    const Words w = philox(block, index, key);
    const VF u = hn::Add(unit(hn::Or(w.w0, hn::ShiftLeft<32>(w.w1))), hn::Set(df, 0x1p-54));
    const VF angle = hn::Mul(unit(hn::Or(w.w2, hn::ShiftLeft<32>(w.w3))), hn::Set(df, 6.283185307179586476925));
    const VF r = hn::Sqrt(hn::Mul(hn::Set(df, -2.0), hn::Log(df, u)));
    const VF x = hn::Mul(r, hn::Cos(df, angle)), y = hn::Mul(r, hn::Sin(df, angle));
    if (b + lanes <= blocks) {
      hn::StoreInterleaved2(x, y, df, out + 2 * b);
    } else {
      hn::StoreInterleaved2(x, y, df, rest);
      std::copy_n(rest, 2 * (blocks - b), out + 2 * b);
    }
  }
}

void keep_mask(const KeepMask& mask, std::int64_t rows, std::int64_t cols, float* out, std::int64_t ld) {
  const D64 d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const std::int64_t blocks = (cols + 3) / 4;
  const std::uint32_t threshold = mask.threshold;
  const float keep = mask.keep;
  constexpr std::size_t kPairs = std::size_t{2} * HWY_MAX_BYTES / sizeof(std::uint64_t);
  HWY_ALIGN std::uint64_t pairs[kPairs];
  for (std::int64_t row = 0; row < rows; ++row) {
    const std::uint64_t first = mask.first_block + static_cast<std::uint64_t>(row) * mask.row_blocks;
    for (std::int64_t b = 0; b < blocks; b += lanes) {
      const Words w = philox(hn::Add(hn::Iota(d, 0), hn::Set(d, first + static_cast<std::uint64_t>(b))), mask.index, mask.key);
      hn::StoreInterleaved2(hn::Or(w.w0, hn::ShiftLeft<32>(w.w1)), hn::Or(w.w2, hn::ShiftLeft<32>(w.w3)), d, pairs);
      std::uint32_t words[2 * kPairs];
      std::memcpy(words, pairs, sizeof pairs);
      const std::int64_t count = std::min(4 * lanes, cols - 4 * b);
      float* at = out + row * ld + 4 * b;
      for (std::int64_t i = 0; i < count; ++i) at[i] = words[i] >= threshold ? keep : 0.0f;
    }
  }
}

const char* best_target() { return hwy::TargetName(HWY_TARGET); }

}  // namespace bayesflow::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace bayesflow::kernels {

HWY_EXPORT(normal_blocks);
HWY_EXPORT(keep_mask);
HWY_EXPORT(best_target);

void normal_blocks(std::uint64_t key, std::uint64_t index, std::uint64_t first_block, std::int64_t blocks, double* out) {
  HWY_DYNAMIC_DISPATCH(normal_blocks)(key, index, first_block, blocks, out);
}
void keep_mask(const KeepMask& mask, std::int64_t rows, std::int64_t cols, float* out, std::int64_t ld) {
  HWY_DYNAMIC_DISPATCH(keep_mask)(mask, rows, cols, out, ld);
}
const char* best_target() { return HWY_DYNAMIC_DISPATCH(best_target)(); }

}  // namespace bayesflow::kernels
#endif
