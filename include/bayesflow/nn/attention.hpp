/// Layers of transformers: normalization and multi-head attention, with Keras' parameters.
#pragma once

#include <cstdint>

#include "bayesflow/autodiff/ops/attention.hpp"
#include "bayesflow/nn/layers.hpp"
#include "bayesflow/nn/parameters.hpp"

namespace bayesflow {

/// Settings of multi-head attention (v1's `attention_settings`).
struct AttentionLayerOptions {
  std::int64_t num_heads = 4;
  std::int64_t key_dim = 32;  ///< width of queries, keys and values of one head
  double dropout = 0.01;      ///< of the weights, in training
  friend bool operator==(const AttentionLayerOptions&, const AttentionLayerOptions&) = default;
  void validate(const char* owner) const;  ///< throws ConfigurationError
};

template <class V>
void describe(V& v, AttentionLayerOptions& o) {
  v("num_heads", o.num_heads, width());
  v("key_dim", o.key_dim, width());
  v("dropout", o.dropout, probability());
}

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

/// What the attention blocks of a network share.
struct AttentionBlockOptions {
  AttentionLayerOptions attention = {};
  DenseOptions dense = {};  ///< of the feed-forward part
  std::int64_t num_dense_fc = 2;
  bool use_layer_norm = false;
};

/// The feed-forward part: `num_dense_fc` layers, then a linear one of `outputs` units.
[[nodiscard]] Mlp feed_forward(const AttentionBlockOptions& options, std::int64_t outputs);

/// h = norm(x + attention(x, y)), norm(h + feed_forward(h)), where norm is layer normalization or nothing.
/// Lee et al. (2019), Set transformer: the multihead attention block.
class AttentionBlock {
 public:
  AttentionBlock() = default;
  explicit AttentionBlock(const AttentionBlockOptions& options) : options_(options) {}
  /// Registers "attention", "dense", and with layer norm "norm_pre" and "norm_post".
  void build(const Builder& builder, std::int64_t query_inputs, std::int64_t inputs);
  /// Shapes and mask as those of MultiHeadAttention: (..., n, query_inputs).
  [[nodiscard]] Tensor operator()(Tape& tape, Tensor x, Tensor y, Tensor mask = {}) const;

 private:
  AttentionBlockOptions options_;
  MultiHeadAttention attention_;
  Mlp dense_;
  LayerNorm pre_, post_;
};

}  // namespace nn
}  // namespace bayesflow
