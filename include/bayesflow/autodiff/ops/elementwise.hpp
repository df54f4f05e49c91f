/// Elementwise operations.
#pragma once

#include "bayesflow/autodiff/tape.hpp"
#include "bayesflow/autodiff/tensor.hpp"
#include "bayesflow/core/activation.hpp"

namespace bayesflow::ops {
/// The activation of each element.
Tensor activate(Tensor x, Activation activation);
Tensor add(Tensor a, Tensor b);       ///< equal shapes
Tensor subtract(Tensor a, Tensor b);  ///< equal shapes
Tensor multiply(Tensor a, Tensor b);  ///< equal shapes
Tensor scale(Tensor x, float factor);
Tensor log(Tensor x);                   ///< natural logarithm of positive numbers
Tensor add_scalar(Tensor x, Tensor s);  ///< s: one element, added to all of x
/// Inverted dropout: each element is kept with probability 1 - p and divided by it. Throws ArgumentError unless 0 <= p < 1.
Tensor dropout(Tensor x, float p);

}  // namespace bayesflow::ops
