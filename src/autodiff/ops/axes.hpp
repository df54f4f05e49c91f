/// Axes, strides and broadcasts of operations.
#pragma once

#include <algorithm>
#include <array>

#include "autodiff/check.hpp"
#include "kernels/strided.hpp"

namespace bayesflow::ops {

/// An axis counted from the front. Negative ones count from the end.
inline int axis_of(const char* op, Tensor x, int axis) {
  require(axis >= -x.rank() && axis < x.rank(), "{}: axis {} is out of range for {}", op, axis, shape_of(x));
  return axis < 0 ? axis + x.rank() : axis;
}

/// A tensor seen along one axis: `outer` blocks of `length` rows of `inner` elements.
struct Along {
  std::int64_t outer, length, inner;
  Along(const Shape& shape, int axis)
      : outer(shape.slice(0, axis).size()), length(shape[axis]), inner(shape.slice(axis + 1, shape.rank()).size()) {}
};

/// How far each axis of `shape` moves in memory.
using Strides = std::array<std::int64_t, Shape::kMaxRank>;
inline Strides strides_of(const Shape& shape) {
  Strides s{};
  std::int64_t step = 1;
  for (int k = shape.rank() - 1; k >= 0; --k) s[static_cast<std::size_t>(k)] = step, step *= shape[k];
  return s;
}
/// How far each axis of `to` moves in a tensor of shape `from` that is broadcast to it: 0 where it is repeated.
inline Strides broadcast_strides(const Shape& from, const Shape& to) {
  const Strides own = strides_of(from);
  Strides s{};
  const int front = to.rank() - from.rank();
  for (int k = front; k < to.rank(); ++k)
    s[static_cast<std::size_t>(k)] = from[k - front] == 1 && to[k] != 1 ? 0 : own[static_cast<std::size_t>(k - front)];
  return s;
}
/// True if axes of `from`, aligned with the last ones of `to`, have the same extents or 1.
inline bool broadcasts_to(const Shape& from, const Shape& to) {
  if (from.rank() > to.rank()) return false;
  for (int k = 1; k <= from.rank(); ++k)
    if (from[-k] != to[-k] && from[-k] != 1) return false;
  return true;
}

/// f(offset in a, offset in b) for every index of `shape`, in order.
template <class F>
void for_offsets(const Shape& shape, const Strides& a, const Strides& b, F f) {
  std::array<std::int64_t, Shape::kMaxRank> at{};
  std::int64_t in_a = 0, in_b = 0;
  for (std::int64_t left = shape.size(); left > 0; --left) {
    f(in_a, in_b);
    for (int axis = shape.rank() - 1; axis >= 0; --axis) {
      const auto k = static_cast<std::size_t>(axis);
      in_a += a[k], in_b += b[k];
      if (++at[k] < shape[axis]) break;
      in_a -= a[k] * shape[axis], in_b -= b[k] * shape[axis];
      at[k] = 0;
    }
  }
}

}  // namespace bayesflow::ops
