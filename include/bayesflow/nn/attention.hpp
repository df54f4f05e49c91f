/// Layers of transformers: normalization and multi-head attention, with Keras' parameters.
#pragma once

#include <cstdint>

#include "bayesflow/autodiff/ops/attention.hpp"
#include "bayesflow/nn/parameters.hpp"

namespace bayesflow {

/// Settings of multi-head attention (v1's `attention_settings`).
struct AttentionLayerOptions {
  std::int64_t num_heads = 4;
  std::int64_t key_dim = 32;               ///< width of queries, keys and values of one head
  double dropout = 0.01;                   ///< of the weights, in training
  void validate(const char* owner) const;  ///< throws ConfigurationError
};

namespace nn {

/// gain (x - mean) / sqrt(variance + 1e-3) + bias over the last axis.
class LayerNorm {
 public:
  void build(const Builder& builder, std::int64_t inputs);  ///< registers "gain" and "bias"
  [[nodiscard]] Tensor operator()(Tape& tape, Tensor x) const;

 private:
  ParameterStore* store_ = nullptr;
  int gain_ = -1, bias_ = -1;
};

/// Queries from x, keys and values from y, attention in each head, and a product back to the width of x.
class MultiHeadAttention {
 public:
  MultiHeadAttention() = default;
  explicit MultiHeadAttention(AttentionLayerOptions options) : options_(options) {}
  /// Registers "query", "key", "value" and "output", each with "kernel" and "bias".
  void build(const Builder& builder, std::int64_t query_inputs, std::int64_t inputs);
  /// x: (..., n, query_inputs), or (n, query_inputs) for queries that all sets share; y: (..., m, inputs). mask: as that of ops::attention.
  [[nodiscard]] Tensor operator()(Tape& tape, Tensor x, Tensor y, Tensor mask = {}) const;

 private:
  struct Projection {
    int kernel = -1, bias = -1;
    std::int64_t inputs = 0, outputs = 0;
  };
  [[nodiscard]] static Projection add(const Builder& builder, const Shape& kernel, const Shape& bias, std::int64_t inputs);
  [[nodiscard]] Tensor project(Tape& tape, const Projection& p, Tensor x) const;

  AttentionLayerOptions options_;
  ParameterStore* store_ = nullptr;
  Projection query_, key_, value_, output_;
};

}  // namespace nn
}  // namespace bayesflow
