/// A fused operation.
#pragma once

#include <span>

#include "bayesflow/autodiff/ops/dense.hpp"

namespace bayesflow::ops {

/// mean_pool(dense_chain(layers, x, condition)), x: (..., N, d): the outputs of a last layer with a relu, or without activation, are not
/// kept.
Tensor mean_of_chain(std::span<const Layer> layers, Tensor x, Tensor condition = {});

}  // namespace bayesflow::ops
