#include "kernels/window.hpp"

#include <algorithm>

#include "kernels/targets.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/window.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/vectors-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace bayesflow::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// Short runs are frequent: the few channels of a series.
HWY_INLINE void copy_run(const float* from, std::int64_t n, float* to) {
  for_vectors(n, [&](std::int64_t i, hn::Mask<D> m, auto w) HWY_ATTR { store(load(from + i, m, w), to + i, m, w); });
}
HWY_INLINE void add_run(const float* from, std::int64_t n, float* to) {
  for_vectors(
      n, [&](std::int64_t i, hn::Mask<D> m, auto w) HWY_ATTR { store(hn::Add(load(to + i, m, w), load(from + i, m, w)), to + i, m, w); });
}

/// f(offset in the image, offset in the row, length) for the runs that a window sees at a place; gap(offset in the row, length) for what
/// lies outside. Without dilation, neighbours are one run.
template <class F, class G>
HWY_INLINE void for_runs(const Windows& w, std::int64_t place, F f, G gap) {
  const std::int64_t c = w.channels, row = w.wide.size * c;
  const std::int64_t column = place % w.wide.result, line = place / w.wide.result;
  for (std::int64_t k = 0; k < w.high.size; ++k) {
    const std::int64_t y = w.high.at(line, k);
    if (!w.high.inside(y)) {
      gap(k * row, row);
      continue;
    }
    const std::int64_t image = y * w.wide.extent * c;
    if (w.wide.dilation == 1) {
      const std::int64_t begin = w.wide.at(column, 0);
      const std::int64_t first = std::clamp<std::int64_t>(-begin, 0, w.wide.size);
      const std::int64_t last = std::clamp<std::int64_t>(w.wide.extent - begin, first, w.wide.size);
      if (first > 0) gap(k * row, first * c);
      if (last > first) f(image + (begin + first) * c, k * row + first * c, (last - first) * c);
      if (last < w.wide.size) gap(k * row + last * c, (w.wide.size - last) * c);
    } else {
      for (std::int64_t j = 0; j < w.wide.size; ++j) {
        const std::int64_t x = w.wide.at(column, j);
        w.wide.inside(x) ? f(image + x * c, k * row + j * c, c) : gap(k * row + j * c, c);
      }
    }
  }
}

void unfold(const Windows& w, const float* x, std::int64_t first, std::int64_t count, float* out) {
  for (std::int64_t i = 0; i < count; ++i, out += w.width())
    for_runs(
        w, first + i, [&](std::int64_t from, std::int64_t to, std::int64_t n) HWY_ATTR { copy_run(x + from, n, out + to); },
        [&](std::int64_t to, std::int64_t n) { std::fill_n(out + to, n, 0.0f); });
}

void fold(const Windows& w, const float* rows, std::int64_t first, std::int64_t count, float* dx) {
  for (std::int64_t i = 0; i < count; ++i, rows += w.width())
    for_runs(
        w, first + i, [&](std::int64_t to, std::int64_t from, std::int64_t n) HWY_ATTR { add_run(rows + from, n, dx + to); },
        [](std::int64_t, std::int64_t) {});
}

/// f(position) for what a window sees at a place and the mask has.
template <class F>
HWY_INLINE void for_positions(const Windows& w, const float* mask, std::int64_t place, F f) {
  const std::int64_t column = place % w.wide.result, line = place / w.wide.result;
  for (std::int64_t k = 0; k < w.high.size; ++k)
    for (std::int64_t j = 0; j < w.wide.size; ++j) {
      const std::int64_t y = w.high.at(line, k), x = w.wide.at(column, j), position = y * w.wide.extent + x;
      if (w.high.inside(y) && w.wide.inside(x) && (!mask || mask[position] != 0)) f(position);
    }
}

void max_windows(const Windows& w, const float* x, const float* mask, float* y, std::int32_t* from) {
  const D d;
  const hn::RebindToSigned<D> di;
  const std::int64_t c = w.channels;
  for (std::int64_t place = 0; place < w.places(); ++place, y += c, from += c)
    for_vectors(c, [&](std::int64_t j, hn::Mask<D> m, auto whole) HWY_ATTR {
      V best = hn::Zero(d);
      auto where = hn::Set(di, -1);
      bool any = false;
      for_positions(w, mask, place, [&](std::int64_t position) HWY_ATTR {
        const V v = load(x + position * c + j, m, whole);
        // NaN is kept from then on: nothing is larger.
        hn::Mask<D> better = hn::And(hn::Or(hn::Gt(v, best), hn::IsNaN(v)), hn::Eq(best, best));
        if (!any) better = hn::Eq(hn::Zero(d), hn::Zero(d));
        best = hn::IfThenElse(better, v, best);
        where = hn::IfThenElse(hn::RebindMask(di, better), hn::Set(di, static_cast<std::int32_t>(position)), where);
        any = true;
      });
      store(best, y + j, m, whole);
      hn::BlendedStore(where, hn::RebindMask(di, m), di, from + j);
    });
}

/// One over the number of positions that a window sees.
HWY_INLINE float share(const Windows& w, const float* mask, std::int64_t place) {
  std::int64_t count = 0;
  for_positions(w, mask, place, [&](std::int64_t) { ++count; });
  return count > 0 ? 1.0f / static_cast<float>(count) : 0.0f;
}

void mean_windows(const Windows& w, const float* x, const float* mask, float* y) {
  const std::int64_t c = w.channels;
  for (std::int64_t place = 0; place < w.places(); ++place, y += c) {
    const V factor = hn::Set(D(), share(w, mask, place));
    for_vectors(c, [&](std::int64_t j, hn::Mask<D> m, auto whole) HWY_ATTR {
      V sum = hn::Zero(D());
      for_positions(w, mask, place, [&](std::int64_t position) HWY_ATTR { sum = hn::Add(sum, load(x + position * c + j, m, whole)); });
      store(hn::Mul(factor, sum), y + j, m, whole);
    });
  }
}

void mean_windows_backward(const Windows& w, const float* dy, const float* mask, float* dx) {
  const std::int64_t c = w.channels;
  for (std::int64_t place = 0; place < w.places(); ++place, dy += c) {
    const V factor = hn::Set(D(), share(w, mask, place));
    for_vectors(c, [&](std::int64_t j, hn::Mask<D> m, auto whole) HWY_ATTR {
      const V v = hn::Mul(factor, load(dy + j, m, whole));
      for_positions(w, mask, place, [&](std::int64_t position) HWY_ATTR {
        float* to = dx + position * c + j;
        store(hn::Add(load(to, m, whole), v), to, m, whole);
      });
    });
  }
}

}  // namespace bayesflow::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace bayesflow::kernels {

HWY_EXPORT(unfold);
HWY_EXPORT(fold);
HWY_EXPORT(max_windows);
HWY_EXPORT(mean_windows);
HWY_EXPORT(mean_windows_backward);

void unfold(const Windows& w, const float* x, std::int64_t first, std::int64_t count, float* out) {
  HWY_DYNAMIC_DISPATCH(unfold)(w, x, first, count, out);
}
void fold(const Windows& w, const float* rows, std::int64_t first, std::int64_t count, float* dx) {
  HWY_DYNAMIC_DISPATCH(fold)(w, rows, first, count, dx);
}
void max_windows(const Windows& w, const float* x, const float* mask, float* y, std::int32_t* from) {
  HWY_DYNAMIC_DISPATCH(max_windows)(w, x, mask, y, from);
}
void mean_windows(const Windows& w, const float* x, const float* mask, float* y) { HWY_DYNAMIC_DISPATCH(mean_windows)(w, x, mask, y); }
void mean_windows_backward(const Windows& w, const float* dy, const float* mask, float* dx) {
  HWY_DYNAMIC_DISPATCH(mean_windows_backward)(w, dy, mask, dx);
}

}  // namespace bayesflow::kernels
#endif
