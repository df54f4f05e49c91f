/// Operations that move elements and compute nothing.
#pragma once

#include <cstdint>
#include <span>

#include "bayesflow/autodiff/tape.hpp"
#include "bayesflow/autodiff/tensor.hpp"

namespace bayesflow::ops {

Tensor reshape(Tensor x, const Shape& shape);
Tensor concat(std::span<const Tensor> parts);                ///< on the last axis
Tensor columns(Tensor x, std::int64_t first, std::int64_t last);  ///< [first, last) of the last axis
Tensor gather_columns(Tensor x, const std::int32_t* index);  ///< y[.., j] = x[.., index[j]]; index must outlive the pass
/// (groups, d) -> (groups, times, d)
Tensor repeat(Tensor x, std::int64_t times);

}  // namespace bayesflow::ops
