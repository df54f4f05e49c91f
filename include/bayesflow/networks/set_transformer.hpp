/// Set transformers: permutation-invariant summaries by attention.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bayesflow/core/describe.hpp"
#include "bayesflow/networks/summary_network.hpp"
#include "bayesflow/nn/attention.hpp"

namespace bayesflow {

/// Settings of a SetTransformer: v1's names and defaults.
struct SetTransformerOptions {
  std::int64_t summary_dim = 10;         ///< numbers that each seed gives
  AttentionLayerOptions attention = {};  ///< 4 heads, 32 wide
  DenseOptions dense = {};               ///< of the feed-forward parts: 64 units, relu
  bool use_layer_norm = false;
  std::int64_t num_dense_fc = 2;          ///< layers `dense` of each feed-forward part
  std::int64_t num_attention_blocks = 2;  ///< before pooling
  /// Points by which observations attend to each other: time and memory grow with N. None: each attends to each, and time grows with N^2.
  std::optional<std::int64_t> num_inducing_points = 32;
  std::int64_t num_seeds = 1;  ///< learnt queries of the pooling; the summary has num_seeds * summary_dim numbers
  /// > 0: a linear layer first makes each observation this wide. 0: attention blocks are as wide as the data, as v1's are, which for one
  /// or two columns leaves little room for features.
  std::int64_t embedding_dim = 0;
  std::int64_t input_dim = 0;  ///< > 0: the width that data must have; 0: that of the first batch
  void validate() const;       ///< throws ConfigurationError
};

template <class V>
void describe(V& v, SetTransformerOptions& o) {
  v("summary_dim", o.summary_dim, width());
  v("attention", o.attention);
  v("dense", o.dense);
  v("use_layer_norm", o.use_layer_norm);
  v("num_dense_fc", o.num_dense_fc, at_least(0));
  v("num_attention_blocks", o.num_attention_blocks, at_least(0));
  v("num_inducing_points", o.num_inducing_points, width());
  v("num_seeds", o.num_seeds, width());
  v("embedding_dim", o.embedding_dim, Constraint{.low = 0, .is_width = true});
  v.later("input_dim", o.input_dim, std::int64_t{0}, Constraint{.low = 0, .is_width = true});
}

/// x: (batch, ..., N, d) -> (batch, ..., num_seeds summary_dim); N may differ between batches, masks are read. With block(x, y) =
/// nn::AttentionBlock, blocks are x = block(x, block(points, x)), or block(x, x) without inducing points; then pooling by attention,
/// block(seeds, feed_forward(x)), whose rows are put side by side. Training wants a smaller learning rate than deep sets: 1e-4.
/// Lee et al. (2019), Set transformer: a framework for attention-based permutation-invariant neural networks.
class SetTransformer final : public SummaryNetwork {
 public:
  explicit SetTransformer(SetTransformerOptions options = {});
  void build(const nn::Builder& builder, const SummaryShape& input) override;
  [[nodiscard]] Tensor forward(Tape& tape, const SummaryInput& input) const override;
  [[nodiscard]] std::int64_t summary_dim() const override { return options_.num_seeds * options_.summary_dim; }
  [[nodiscard]] bool takes_mask() const override { return true; }
  [[nodiscard]] std::string to_string() const override;
  [[nodiscard]] const SetTransformerOptions& options() const { return options_; }

 private:
  struct Block {
    int points = -1;  // parameter
    nn::AttentionBlock to_points, from_points;
  };
  SetTransformerOptions options_;
  nn::ParameterStore* store_ = nullptr;
  nn::Dense embedding_;
  std::vector<Block> blocks_;
  nn::Mlp before_pooling_;
  nn::AttentionBlock pooling_;
  int seeds_ = -1;  // parameter
  std::int64_t width_ = 0;
};

}  // namespace bayesflow
