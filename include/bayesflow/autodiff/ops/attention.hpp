/// Softmax, normalization over the last axis, attention.
#pragma once

#include <cstdint>

#include "bayesflow/autodiff/tape.hpp"
#include "bayesflow/autodiff/tensor.hpp"

namespace bayesflow::ops {

/// Over the last axis: e^x / sum e^x. A mask, which is broadcast over leading axes, is 0 at entries that are absent: they get 0, and a row
/// without any entry is 0.
Tensor softmax(Tensor x, Tensor mask = {});
/// log softmax(x); -1e30 stands for the logarithm of 0, so that a product with 0 is 0.
Tensor log_softmax(Tensor x, Tensor mask = {});

/// gain (x - mean) / sqrt(variance + epsilon) + bias over the last axis (Ba et al. 2016), Keras' epsilon. gain, bias: (d) or absent.
Tensor layer_norm(Tensor x, Tensor gain = {}, Tensor bias = {}, float epsilon = 1e-3f);
/// gain x / sqrt(mean of x^2 + epsilon) over the last axis (Zhang and Sennrich 2019). gain: (d) or absent.
Tensor rms_norm(Tensor x, Tensor gain = {}, float epsilon = 1e-6f);
/// Settings of `attention`.
struct AttentionOptions {
  std::int64_t heads = 1;  ///< parts of equal width, side by side on the last axis of queries, keys and values
  float dropout = 0;       ///< of the weights, in training
};
/// Scaled dot-product attention (Vaswani et al. 2017), for each head
///   batched_matmul(softmax(scale(batched_matmul(q, k, {.b = true}), 1 / sqrt(width of q)), mask), v).
/// q: (..., n, heads a), k: (..., m, heads a), v: (..., m, heads b) -> (..., n, heads b). q may lack the leading axes: all sets then share
/// it. mask: (..., m), 0 at absent keys, or (..., n, m), 0 where a query does not see a key. A query without keys gives 0. Weights are not
/// kept: the memory does not grow with n m.
Tensor attention(Tensor q, Tensor k, Tensor v, const AttentionOptions& options = {}, Tensor mask = {});

}  // namespace bayesflow::ops
