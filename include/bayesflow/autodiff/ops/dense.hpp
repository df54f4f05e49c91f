/// Dense layers and matrix products.
#pragma once

#include <span>

#include "bayesflow/autodiff/tape.hpp"
#include "bayesflow/autodiff/tensor.hpp"
#include "bayesflow/core/activation.hpp"

namespace bayesflow::ops {

/// One layer of a chain: y = activation(x W + b), W: (in, out), b: (out) or empty.
struct Layer {
  Tensor kernel;
  Tensor bias;
  Activation activation = Activation::identity;
};

/// A chain of dense layers over the rows of x: (..., d). With a condition c: (groups, k), the first layer sees
/// concat(x, c repeated over x's rows / groups consecutive rows); the repeated copy is never made: W [x, c] = W1 x + W2 c, and
/// W2 c is computed once per group. At most 8 layers.
Tensor dense_chain(std::span<const Layer> layers, Tensor x, Tensor condition = {});
Tensor dense(Tensor x, const Layer& layer);
/// x W over the last axis.
Tensor matmul(Tensor x, Tensor kernel);

/// Which operand of a product of matrices is transposed first.
struct Transposed {
  bool a = false, b = false;
};
/// a b for every index of the leading axes, which are broadcast: (..., n, k) (..., k, m) -> (..., n, m).
Tensor batched_matmul(Tensor a, Tensor b, Transposed transposed = {});

}  // namespace bayesflow::ops
