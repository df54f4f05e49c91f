/// Loops over vectors of floats, and elementary functions that let NaN through.
// Included once per instruction set, hence Highway's kind of guard.
#if defined(BAYESFLOW_KERNELS_VECTORS_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef BAYESFLOW_KERNELS_VECTORS_INL
#undef BAYESFLOW_KERNELS_VECTORS_INL
#else
#define BAYESFLOW_KERNELS_VECTORS_INL
#endif

// Highway's headers in this order:
// clang-format off
#include <hwy/highway.h>
#include <hwy/contrib/math/math-inl.h>
// clang-format on

#include <cstdint>
#include <type_traits>

HWY_BEFORE_NAMESPACE();
namespace bayesflow::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

/// f(load) over n elements; the last, partial vector is masked. Every element is treated alike wherever it lies.
template <class F>
HWY_INLINE void for_vectors(std::int64_t n, F f) {
  const D d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t i = 0;
  const hn::Mask<D> all = hn::FirstN(d, static_cast<std::size_t>(lanes));
  for (; i + lanes <= n; i += lanes) f(i, all, std::true_type{});
  if (i < n) f(i, hn::FirstN(d, static_cast<std::size_t>(n - i)), std::false_type{});
}
template <class Whole>
HWY_INLINE V load(const float* p, hn::Mask<D> m, Whole) {
  const D d;
  if constexpr (Whole::value)
    return hn::LoadU(d, p);
  else
    return hn::MaskedLoad(m, d, p);
}
template <class Whole>
HWY_INLINE void store(V v, float* p, hn::Mask<D> m, Whole) {
  const D d;
  if constexpr (Whole::value)
    hn::StoreU(v, d, p);
  else
    hn::BlendedStore(v, m, d, p);
}

/// e^x for every x: Highway's Exp wants x <= 104, from where on the result is infinity, and makes 0 of NaN. A diverged network
/// must not look like a quiet one, so NaN comes out of everything here as NaN. (Min and Max would drop it on some machines.)
HWY_INLINE V exponential(V x) {
  const D d;
  const V top = hn::Set(d, 104.0f);
  return hn::IfThenElse(hn::IsNaN(x), x, hn::Exp(d, hn::IfThenElse(hn::Gt(x, top), top, x)));
}
HWY_INLINE V logistic(V x) {
  const V one = hn::Set(D(), 1.0f);
  return hn::Div(one, hn::Add(one, exponential(hn::Neg(x))));  // 1 / infinity = 0 is right
}

}  // namespace bayesflow::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
