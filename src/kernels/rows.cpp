#include "kernels/rows.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/targets.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/rows.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/vectors-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace bayesflow::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// True where an entry is there; without a mask, all of the lanes that `m` has.
template <class Whole>
HWY_INLINE hn::Mask<D> present(const float* mask, std::int64_t i, hn::Mask<D> m, Whole w) {
  if (!mask) return m;
  return hn::Not(hn::Eq(load(mask + i, m, w), hn::Zero(D())));  // lanes beyond the end are loaded as 0
}
/// What is stored is added to what lies there, if asked for.
template <class Whole>
HWY_INLINE void put(V v, float* p, bool accumulate, hn::Mask<D> m, Whole w) {
  store(accumulate ? hn::Add(load(p, m, w), v) : v, p, m, w);
}
HWY_INLINE float sum_of(V v) { return hn::GetLane(hn::SumOfLanes(D(), v)); }

/// The largest of a row's entries; -infinity if none is there. NaN is not found here: it shows in the sum.
HWY_INLINE float largest(const float* x, const float* mask, std::int64_t n, float factor) {
  const D d;
  const V lowest = hn::Set(d, -std::numeric_limits<float>::infinity()), f = hn::Set(d, factor);
  V top = lowest;
  for_vectors(n, [&](std::int64_t j, hn::Mask<D> m, auto w) HWY_ATTR {
    const V v = hn::Mul(f, load(x + j, m, w));
    top = hn::Max(top, hn::IfThenElse(hn::And(present(mask, j, m, w), hn::Eq(v, v)), v, lowest));
  });
  return hn::GetLane(hn::MaxOfLanes(d, top));
}
/// sum of e^(factor x - shift) over what is there, each e^... stored in y, 0 elsewhere, if y is not null.
HWY_INLINE float exponentials(const float* x, const float* mask, std::int64_t n, float factor, float shift, float* y) {
  const D d;
  const V f = hn::Set(d, factor), s = hn::Set(d, -shift);
  V sum = hn::Zero(d);
  for_vectors(n, [&](std::int64_t j, hn::Mask<D> m, auto w) HWY_ATTR {
    const V e = hn::IfThenElseZero(present(mask, j, m, w), exponential(hn::MulAdd(f, load(x + j, m, w), s)));
    sum = hn::Add(sum, e);
    if (y) store(e, y + j, m, w);
  });
  return sum_of(sum);
}
HWY_INLINE void scale_row(float* y, std::int64_t n, float factor) {
  const V f = hn::Set(D(), factor);
  for_vectors(n, [&](std::int64_t j, hn::Mask<D> m, auto w) HWY_ATTR { store(hn::Mul(f, load(y + j, m, w)), y + j, m, w); });
}

void softmax(const MaskedRows& r, const float* x, float factor, float* y, float* log_sum) {
  const float* mask = r.mask;
  for (std::int64_t i = 0; i < r.rows; ++i, x += r.cols, y += r.cols, mask = mask ? mask + r.ldmask : nullptr) {
    const float top = largest(x, mask, r.cols, factor);
    // Without a finite maximum there is nothing to shift by: nothing is there, or what is there is no number.
    const float shift = std::isfinite(top) ? top : 0.0f;
    const float sum = exponentials(x, mask, r.cols, factor, shift, y);
    if (sum != 0) scale_row(y, r.cols, 1.0f / sum);
    if (log_sum) log_sum[i] = sum != 0 ? shift + std::log(sum) : std::numeric_limits<float>::infinity();
  }
}

void softmax_again(const MaskedRows& r, const float* x, float factor, const float* log_sum, float* y) {
  const float* mask = r.mask;
  for (std::int64_t i = 0; i < r.rows; ++i, x += r.cols, y += r.cols, mask = mask ? mask + r.ldmask : nullptr)
    exponentials(x, mask, r.cols, factor, log_sum[i], y);
}

void softmax_backward(std::int64_t rows, std::int64_t cols, const float* y, const float* dy, float factor, float* dx, bool accumulate) {
  const D d;
  const V f = hn::Set(d, factor);
  for (std::int64_t i = 0; i < rows; ++i, y += cols, dy += cols, dx += cols) {
    V both = hn::Zero(d);
    for_vectors(cols,
                [&](std::int64_t j, hn::Mask<D> m, auto w) HWY_ATTR { both = hn::MulAdd(load(y + j, m, w), load(dy + j, m, w), both); });
    const V mean = hn::Set(d, sum_of(both));
    for_vectors(cols, [&](std::int64_t j, hn::Mask<D> m, auto w) HWY_ATTR {
      put(hn::Mul(hn::Mul(f, load(y + j, m, w)), hn::Sub(load(dy + j, m, w), mean)), dx + j, accumulate, m, w);
    });
  }
}

void log_softmax(const MaskedRows& r, const float* x, float* y) {
  const D d;
  const float* mask = r.mask;
  for (std::int64_t i = 0; i < r.rows; ++i, x += r.cols, y += r.cols, mask = mask ? mask + r.ldmask : nullptr) {
    const float top = largest(x, mask, r.cols, 1.0f), shift = std::isfinite(top) ? top : 0.0f;
    const V log_sum = hn::Set(d, std::log(exponentials(x, mask, r.cols, 1.0f, shift, nullptr))), s = hn::Set(d, shift);
    for_vectors(r.cols, [&](std::int64_t j, hn::Mask<D> m, auto w) HWY_ATTR {
      const V v = hn::Sub(hn::Sub(load(x + j, m, w), s), log_sum);
      store(hn::IfThenElse(present(mask, j, m, w), v, hn::Set(d, kLogOfZero)), y + j, m, w);
    });
  }
}

void log_softmax_backward(const MaskedRows& r, const float* y, const float* dy, float* dx, bool accumulate) {
  const D d;
  const float* mask = r.mask;
  for (std::int64_t i = 0; i < r.rows; ++i, y += r.cols, dy += r.cols, dx += r.cols, mask = mask ? mask + r.ldmask : nullptr) {
    V total = hn::Zero(d);
    for_vectors(r.cols, [&](std::int64_t j, hn::Mask<D> m, auto w)
                            HWY_ATTR { total = hn::Add(total, hn::IfThenElseZero(present(mask, j, m, w), load(dy + j, m, w))); });
    const V sum = hn::Set(d, sum_of(total));
    for_vectors(r.cols, [&](std::int64_t j, hn::Mask<D> m, auto w) HWY_ATTR {
      const V g = hn::NegMulAdd(exponential(load(y + j, m, w)), sum, load(dy + j, m, w));
      put(hn::IfThenElseZero(present(mask, j, m, w), g), dx + j, accumulate, m, w);
    });
  }
}

void normalize(const Normalization& n, const float* x, float* y, float* mean, float* scale) {
  const D d;
  const float share = 1.0f / static_cast<float>(n.cols);
  for (std::int64_t i = 0; i < n.rows; ++i, x += n.cols, y += n.cols) {
    V sum = hn::Zero(d), squares = sum;
    if (n.centre) for_vectors(n.cols, [&](std::int64_t j, hn::Mask<D> m, auto w) HWY_ATTR { sum = hn::Add(sum, load(x + j, m, w)); });
    mean[i] = n.centre ? sum_of(sum) * share : 0.0f;
    const V centre = hn::Set(d, mean[i]);
    for_vectors(n.cols, [&](std::int64_t j, hn::Mask<D> m, auto w) HWY_ATTR {
      const V v = hn::IfThenElseZero(m, hn::Sub(load(x + j, m, w), centre));
      squares = hn::MulAdd(v, v, squares);
    });
    scale[i] = 1.0f / std::sqrt(sum_of(squares) * share + n.epsilon);
    const V s = hn::Set(d, scale[i]);
    for_vectors(n.cols, [&](std::int64_t j, hn::Mask<D> m, auto w) HWY_ATTR {
      V v = hn::Mul(hn::Sub(load(x + j, m, w), centre), s);
      if (n.gain) v = hn::Mul(v, load(n.gain + j, m, w));
      if (n.bias) v = hn::Add(v, load(n.bias + j, m, w));
      store(v, y + j, m, w);
    });
  }
}

void normalize_backward(const Normalization& n, const float* x, const float* mean, const float* scale, const float* dy, float* dx,
                        bool accumulate, float* dgain, float* dbias) {
  const D d;
  const float share = 1.0f / static_cast<float>(n.cols);
  for (std::int64_t i = 0; i < n.rows; ++i, x += n.cols, dy += n.cols) {
    const V centre = hn::Set(d, mean[i]), s = hn::Set(d, scale[i]);
    V sum = hn::Zero(d), both = sum;  // of the gradient g of what is normalized, and of g times that
    for_vectors(n.cols, [&](std::int64_t j, hn::Mask<D> m, auto w) HWY_ATTR {
      const V given = load(dy + j, m, w), v = hn::Mul(hn::Sub(load(x + j, m, w), centre), s);
      const V g = n.gain ? hn::Mul(given, load(n.gain + j, m, w)) : given;  // 0 beyond the end
      sum = hn::Add(sum, g);
      both = hn::MulAdd(g, v, both);
      if (dgain) store(hn::MulAdd(given, v, load(dgain + j, m, w)), dgain + j, m, w);
      if (dbias) store(hn::Add(given, load(dbias + j, m, w)), dbias + j, m, w);
    });
    if (!dx) continue;
    const V a = hn::Set(d, n.centre ? sum_of(sum) * share : 0.0f), b = hn::Set(d, sum_of(both) * share);
    for_vectors(n.cols, [&](std::int64_t j, hn::Mask<D> m, auto w) HWY_ATTR {
      const V given = load(dy + j, m, w), v = hn::Mul(hn::Sub(load(x + j, m, w), centre), s);
      const V g = n.gain ? hn::Mul(given, load(n.gain + j, m, w)) : given;
      put(hn::Mul(s, hn::NegMulAdd(b, v, hn::Sub(g, a))), dx + j, accumulate, m, w);
    });
    dx += n.cols;
  }
}

void row_sums(const float* x, std::int64_t rows, std::int64_t cols, float factor, float* y) {
  for (std::int64_t i = 0; i < rows; ++i, x += cols) {
    V sum = hn::Zero(D());
    for_vectors(cols, [&](std::int64_t j, hn::Mask<D> m, auto w) HWY_ATTR { sum = hn::Add(sum, load(x + j, m, w)); });
    y[i] = factor * sum_of(sum);
  }
}

void spread_rows(const float* x, std::int64_t rows, std::int64_t cols, float factor, float* y, bool accumulate) {
  for (std::int64_t i = 0; i < rows; ++i, y += cols) {
    const V v = hn::Set(D(), factor * x[i]);
    for_vectors(cols, [&](std::int64_t j, hn::Mask<D> m, auto w) HWY_ATTR { put(v, y + j, accumulate, m, w); });
  }
}

/// 1, or one over the number of rows of a group that are there.
HWY_INLINE float weight_of_rows(const float* mask, std::int64_t period, bool average) {
  if (!average) return 1.0f;
  std::int64_t count = 0;
  for (std::int64_t i = 0; i < period; ++i) count += mask[i] != 0 ? 1 : 0;
  return count > 0 ? 1.0f / static_cast<float>(count) : 0.0f;
}

void masked_sum_groups(const float* x, const float* mask, std::int64_t groups, std::int64_t period, std::int64_t cols, bool average,
                       float* y) {
  for (std::int64_t g = 0; g < groups; ++g, x += period * cols, mask += period, y += cols) {
    const V factor = hn::Set(D(), weight_of_rows(mask, period, average));
    for_vectors(cols, [&](std::int64_t j, hn::Mask<D> m, auto w) HWY_ATTR {
      V sum = hn::Zero(D());
      for (std::int64_t i = 0; i < period; ++i)
        if (mask[i] != 0) sum = hn::Add(sum, load(x + i * cols + j, m, w));
      store(hn::Mul(factor, sum), y + j, m, w);
    });
  }
}

void masked_sum_groups_backward(const float* dy, const float* mask, std::int64_t groups, std::int64_t period, std::int64_t cols,
                                bool average, float* dx, bool accumulate) {
  for (std::int64_t g = 0; g < groups; ++g, dx += period * cols, mask += period, dy += cols) {
    const V factor = hn::Set(D(), weight_of_rows(mask, period, average));
    for_vectors(cols, [&](std::int64_t j, hn::Mask<D> m, auto w) HWY_ATTR {
      const V v = hn::Mul(factor, load(dy + j, m, w));
      for (std::int64_t i = 0; i < period; ++i) put(mask[i] != 0 ? v : hn::Zero(D()), dx + i * cols + j, accumulate, m, w);
    });
  }
}

void max_groups(const float* x, const float* mask, std::int64_t groups, std::int64_t period, std::int64_t cols, float* y,
                std::int32_t* from) {
  const D d;
  const hn::RebindToSigned<D> di;
  for (std::int64_t g = 0; g < groups; ++g, x += period * cols, mask = mask ? mask + period : nullptr, y += cols, from += cols)
    for_vectors(cols, [&](std::int64_t j, hn::Mask<D> m, auto w) HWY_ATTR {
      V best = hn::Zero(d);
      auto row = hn::Set(di, -1);
      bool any = false;
      for (std::int64_t i = 0; i < period; ++i) {
        if (mask && mask[i] == 0) continue;
        const V v = load(x + i * cols + j, m, w);
        // NaN is kept from then on: nothing is larger.
        const hn::Mask<D> better =
            any ? hn::And(hn::Or(hn::Gt(v, best), hn::IsNaN(v)), hn::Eq(best, best)) : hn::Eq(hn::Zero(d), hn::Zero(d));
        best = hn::IfThenElse(better, v, best);
        row = hn::IfThenElse(hn::RebindMask(di, better), hn::Set(di, static_cast<std::int32_t>(i)), row);
        any = true;
      }
      store(best, y + j, m, w);
      hn::BlendedStore(row, hn::RebindMask(di, m), di, from + j);
    });
}

void mask_rows(const float* x, const float* mask, std::int64_t rows, std::int64_t cols, float* y, bool accumulate) {
  for (std::int64_t i = 0; i < rows; ++i, x += cols, y += cols) {
    if (mask[i] != 0)
      for_vectors(cols, [&](std::int64_t j, hn::Mask<D> m, auto w) HWY_ATTR { put(load(x + j, m, w), y + j, accumulate, m, w); });
    else if (!accumulate)
      std::fill_n(y, cols, 0.0f);
  }
}

}  // namespace bayesflow::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace bayesflow::kernels {

HWY_EXPORT(softmax);
HWY_EXPORT(softmax_again);
HWY_EXPORT(softmax_backward);
HWY_EXPORT(log_softmax);
HWY_EXPORT(log_softmax_backward);
HWY_EXPORT(normalize);
HWY_EXPORT(normalize_backward);
HWY_EXPORT(row_sums);
HWY_EXPORT(spread_rows);
HWY_EXPORT(masked_sum_groups);
HWY_EXPORT(masked_sum_groups_backward);
HWY_EXPORT(max_groups);
HWY_EXPORT(mask_rows);

void softmax(const MaskedRows& r, const float* x, float factor, float* y, float* log_sum) {
  HWY_DYNAMIC_DISPATCH(softmax)(r, x, factor, y, log_sum);
}
void softmax_again(const MaskedRows& r, const float* x, float factor, const float* log_sum, float* y) {
  HWY_DYNAMIC_DISPATCH(softmax_again)(r, x, factor, log_sum, y);
}
void softmax_backward(std::int64_t rows, std::int64_t cols, const float* y, const float* dy, float factor, float* dx, bool accumulate) {
  HWY_DYNAMIC_DISPATCH(softmax_backward)(rows, cols, y, dy, factor, dx, accumulate);
}
void log_softmax(const MaskedRows& r, const float* x, float* y) { HWY_DYNAMIC_DISPATCH(log_softmax)(r, x, y); }
void log_softmax_backward(const MaskedRows& r, const float* y, const float* dy, float* dx, bool accumulate) {
  HWY_DYNAMIC_DISPATCH(log_softmax_backward)(r, y, dy, dx, accumulate);
}
void normalize(const Normalization& n, const float* x, float* y, float* mean, float* scale) {
  HWY_DYNAMIC_DISPATCH(normalize)(n, x, y, mean, scale);
}
void normalize_backward(const Normalization& n, const float* x, const float* mean, const float* scale, const float* dy, float* dx,
                        bool accumulate, float* dgain, float* dbias) {
  HWY_DYNAMIC_DISPATCH(normalize_backward)(n, x, mean, scale, dy, dx, accumulate, dgain, dbias);
}
void row_sums(const float* x, std::int64_t rows, std::int64_t cols, float factor, float* y) {
  HWY_DYNAMIC_DISPATCH(row_sums)(x, rows, cols, factor, y);
}
void spread_rows(const float* x, std::int64_t rows, std::int64_t cols, float factor, float* y, bool accumulate) {
  HWY_DYNAMIC_DISPATCH(spread_rows)(x, rows, cols, factor, y, accumulate);
}
void masked_sum_groups(const float* x, const float* mask, std::int64_t groups, std::int64_t period, std::int64_t cols, bool average,
                       float* y) {
  HWY_DYNAMIC_DISPATCH(masked_sum_groups)(x, mask, groups, period, cols, average, y);
}
void masked_sum_groups_backward(const float* dy, const float* mask, std::int64_t groups, std::int64_t period, std::int64_t cols,
                                bool average, float* dx, bool accumulate) {
  HWY_DYNAMIC_DISPATCH(masked_sum_groups_backward)(dy, mask, groups, period, cols, average, dx, accumulate);
}
void max_groups(const float* x, const float* mask, std::int64_t groups, std::int64_t period, std::int64_t cols, float* y,
                std::int32_t* from) {
  HWY_DYNAMIC_DISPATCH(max_groups)(x, mask, groups, period, cols, y, from);
}
void mask_rows(const float* x, const float* mask, std::int64_t rows, std::int64_t cols, float* y, bool accumulate) {
  HWY_DYNAMIC_DISPATCH(mask_rows)(x, mask, rows, cols, y, accumulate);
}

}  // namespace bayesflow::kernels
#endif
