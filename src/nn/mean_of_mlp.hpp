/// A fused layer.
#pragma once

#include "bayesflow/nn/layers.hpp"

namespace bayesflow::nn::detail {

/// mean_pool(mlp(tape, x)), (..., N, d) -> (..., units): the last outputs are not kept where that can be.
[[nodiscard]] Tensor mean_of(const Mlp& mlp, Tape& tape, Tensor x);

}  // namespace bayesflow::nn::detail
