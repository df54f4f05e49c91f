#include "kernels/strided.hpp"

#include <algorithm>
#include <utility>

#include "kernels/product.hpp"
#include "kernels/targets.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/strided.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/vectors-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace bayesflow::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// One innermost axis.
template <bool kAdd>
void inner(std::int64_t n, std::int64_t from, std::int64_t to, const float* x, float* y) {
  const D d;
  if (to == 1 && (from == 1 || from == 0)) {
    const V all = from == 0 && n > 0 ? hn::Set(d, *x) : hn::Zero(d);
    for_vectors(n, [&](std::int64_t i, hn::Mask<D> m, auto w) HWY_ATTR {
      V v = from == 0 ? all : load(x + i, m, w);
      if (kAdd) v = hn::Add(load(y + i, m, w), v);
      store(v, y + i, m, w);
    });
  } else if (kAdd && to == 0) {
    float sum = 0;
    if (from == 1) {
      V lanes = hn::Zero(d);
      for_vectors(n, [&](std::int64_t i, hn::Mask<D> m, auto w) HWY_ATTR { lanes = hn::Add(lanes, load(x + i, m, w)); });
      sum = hn::GetLane(hn::SumOfLanes(d, lanes));
    } else {
      for (std::int64_t i = 0; i < n; ++i) sum += x[i * from];
    }
    *y += sum;
  } else {
    for (std::int64_t i = 0; i < n; ++i) y[i * to] = kAdd ? y[i * to] + x[i * from] : x[i * from];
  }
}

template <bool kAdd>
void nest(const Strided& s, int axis, const float* x, float* y) {
  const auto k = static_cast<std::size_t>(axis);
  if (axis + 1 >= s.rank) return s.rank == 0 ? inner<kAdd>(1, 1, 1, x, y) : inner<kAdd>(s.extents[k], s.from[k], s.to[k], x, y);
  for (std::int64_t i = 0; i < s.extents[k]; ++i) nest<kAdd>(s, axis + 1, x + i * s.from[k], y + i * s.to[k]);
}

void copy_nest(const Strided& s, const float* x, float* y) { nest<false>(s, 0, x, y); }
void add_nest(const Strided& s, const float* x, float* y) { nest<true>(s, 0, x, y); }

}  // namespace bayesflow::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace bayesflow::kernels {

HWY_EXPORT(copy_nest);
HWY_EXPORT(add_nest);

namespace {

/// The same nest with as few axes as possible: those of extent 1 dropped, neighbours that move as one joined. False if it is empty.
bool simplify(const Strided& s, Strided& out) {
  for (std::size_t k = 0; k < static_cast<std::size_t>(s.rank); ++k) {
    if (s.extents[k] == 0) return false;
    if (s.extents[k] == 1) continue;
    if (out.rank > 0) {
      const auto last = static_cast<std::size_t>(out.rank - 1);
      if (out.from[last] == s.from[k] * s.extents[k] && out.to[last] == s.to[k] * s.extents[k]) {
        out.extents[last] *= s.extents[k], out.from[last] = s.from[k], out.to[last] = s.to[k];
        continue;
      }
    }
    out.add(s.extents[k], s.from[k], s.to[k]);
  }
  return true;
}

void exchange(Strided& s, std::size_t a, std::size_t b) {
  std::swap(s.extents[a], s.extents[b]);
  std::swap(s.from[a], s.from[b]);
  std::swap(s.to[a], s.to[b]);
}

/// Matrices whose rows become columns, over the axes before the last two.
void transposes(const Strided& s, int axis, const float* x, float* y) {
  const auto k = static_cast<std::size_t>(axis);
  if (axis + 2 == s.rank) return transpose(x, s.from[k + 1], s.extents[k + 1], s.extents[k], y, s.to[k]);
  for (std::int64_t i = 0; i < s.extents[k]; ++i) transposes(s, axis + 1, x + i * s.from[k], y + i * s.to[k]);
}

}  // namespace

void copy_strided(const Strided& s, const float* x, float* y) {
  Strided n;
  if (!simplify(s, n)) return;
  const auto last = static_cast<std::size_t>(n.rank > 0 ? n.rank - 1 : 0);
  if (n.rank >= 2 && n.to[last] == 1 && n.from[last] > 1)
    for (std::size_t k = 0; k < last; ++k)
      if (n.from[k] == 1 && n.to[k] >= n.extents[last]) {
        exchange(n, k, last - 1);
        return transposes(n, 0, x, y);
      }
  HWY_DYNAMIC_DISPATCH(copy_nest)(n, x, y);
}

void add_strided(const Strided& s, const float* x, float* y) {
  Strided n;
  if (simplify(s, n)) HWY_DYNAMIC_DISPATCH(add_nest)(n, x, y);
}

}  // namespace bayesflow::kernels
#endif
