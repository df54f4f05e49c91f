/// max(x, 0) that lets NaN through: a diverged network must not look like a quiet one.
// Included once per instruction set, hence Highway's kind of guard.
#if defined(BAYESFLOW_KERNELS_RELU_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef BAYESFLOW_KERNELS_RELU_INL
#undef BAYESFLOW_KERNELS_RELU_INL
#else
#define BAYESFLOW_KERNELS_RELU_INL
#endif

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace bayesflow::kernels::HWY_NAMESPACE {

template <class V>
HWY_INLINE V relu(V x) {
  const V zero = hwy::HWY_NAMESPACE::Zero(hwy::HWY_NAMESPACE::DFromV<V>());
#if HWY_TARGET == HWY_SCALAR
  return hwy::HWY_NAMESPACE::IfThenZeroElse(hwy::HWY_NAMESPACE::Lt(x, zero), x);  // Max would drop NaN on either side
#else
  return hwy::HWY_NAMESPACE::Max(zero, x);  // in this order: if one side is NaN, the result is the second
#endif
}

}  // namespace bayesflow::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
