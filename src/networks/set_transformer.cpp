#include "bayesflow/networks/set_transformer.hpp"

#include <fmt/format.h>

#include "networks/inputs.hpp"

namespace bayesflow {

void SetTransformerOptions::validate() const { validate_described(*this, "SetTransformerOptions"); }

SetTransformer::SetTransformer(SetTransformerOptions options) : options_(options) { options_.validate(); }

void SetTransformer::build(const nn::Builder& builder, const SummaryShape& input) {
  networks::require_observations("SetTransformer", input.data, options_.input_dim);
  store_ = &builder.store();
  width_ = input.data[-1];
  std::int64_t width = width_;
  if (options_.embedding_dim > 0) {
    embedding_ = nn::Dense({.units = width = options_.embedding_dim, .activation = Activation::identity});
    embedding_.build(builder.scope("embedding"), width_);
  }
  const nn::AttentionBlockOptions block{options_.attention, options_.dense, options_.num_dense_fc, options_.use_layer_norm};
  blocks_.assign(static_cast<std::size_t>(options_.num_attention_blocks), {});
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    const nn::Builder at = builder.scope("attention_blocks." + std::to_string(i));
    Block& b = blocks_[i];
    b.from_points = b.to_points = nn::AttentionBlock(block);
    if (options_.num_inducing_points) {
      b.points = at.add("inducing_points", {*options_.num_inducing_points, width}, nn::Initializer::glorot_uniform);
      b.to_points.build(at.scope("mab0"), width, width);
    }
    b.from_points.build(at.scope(options_.num_inducing_points ? "mab1" : "mab"), width, width);
  }
  const nn::Builder at = builder.scope("pooling");
  before_pooling_ = nn::feed_forward(block, options_.summary_dim);
  before_pooling_.build(at.scope("dense"), width);
  pooling_ = nn::AttentionBlock(block);
  pooling_.build(at.scope("mab"), options_.summary_dim, options_.summary_dim);
  seeds_ = at.add("seeds", {options_.num_seeds, options_.summary_dim}, nn::Initializer::glorot_uniform);
}

Tensor SetTransformer::forward(Tape& tape, const SummaryInput& input) const {
  networks::check_observations("SetTransformer", input, width_);
  const Tensor mask = input.mask;
  Tensor x = mask ? ops::mask_rows(input.data, mask) : input.data;
  if (options_.embedding_dim > 0) x = embedding_(tape, x);
  for (const Block& b : blocks_)
    x = b.points >= 0 ? b.from_points(tape, x, b.to_points(tape, store_->tensor(tape, b.points), x, mask))
                      : b.from_points(tape, x, x, mask);
  const Tensor y = pooling_(tape, store_->tensor(tape, seeds_), before_pooling_(tape, x), mask);
  return ops::reshape(y, networks::with_last(y.shape(), 2, {summary_dim()}));
}

std::string SetTransformer::to_string() const {
  return fmt::format(
      "set transformer with {} attention blocks of {} heads{}, {} summaries", options_.num_attention_blocks, options_.attention.num_heads,
      options_.num_inducing_points ? fmt::format(" and {} inducing points", *options_.num_inducing_points) : "", summary_dim());
}

}  // namespace bayesflow
