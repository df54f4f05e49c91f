/// Operations that move elements and compute nothing.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>

#include "bayesflow/autodiff/tape.hpp"
#include "bayesflow/autodiff/tensor.hpp"

namespace bayesflow::ops {
/// The same numbers in another shape; ShapeError if their number differs.
Tensor reshape(Tensor x, const Shape& shape);
Tensor concat(std::span<const Tensor> parts);                     ///< on the last axis; at most 8
Tensor columns(Tensor x, std::int64_t first, std::int64_t last);  ///< [first, last) of the last axis
Tensor gather_columns(Tensor x, const std::int32_t* index);       ///< y[.., j] = x[.., index[j]]; index must outlive the pass
/// (groups, d) -> (groups, times, d)
Tensor repeat(Tensor x, std::int64_t times);

/// Axis k of the result is axis axes[k] of x.
Tensor transpose(Tensor x, std::span<const int> axes);
Tensor transpose(Tensor x, std::initializer_list<int> axes);
/// Indices first, first + step, ... below `last` of one axis.
Tensor slice(Tensor x, int axis, std::int64_t first, std::int64_t last, std::int64_t step = 1);
/// Tensors of one shape along a new axis, which gets that place in the result.
Tensor stack(std::span<const Tensor> parts, int axis);
/// Tensors side by side along an axis that they have; the others must agree.
Tensor concat(std::span<const Tensor> parts, int axis);
/// Axes of extent 1, and missing leading axes, are repeated as `shape` says.
Tensor broadcast(Tensor x, const Shape& shape);
/// x where `mask` is not 0, else 0, whatever x is there. x: (..., d), mask: (...).
Tensor mask_rows(Tensor x, Tensor mask);

/// Rows of a table (entries, d) by their numbers: (...) -> (..., d). Throws ArgumentError on a number that is not that of an entry.
Tensor gather(Tensor table, Tensor numbers);
/// 1 at the place that a number says, else 0: (...) -> (..., entries). Throws ArgumentError as `gather`.
Tensor one_hot(Tensor numbers, std::int64_t entries);

}  // namespace bayesflow::ops
