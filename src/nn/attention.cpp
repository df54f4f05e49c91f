#include "bayesflow/nn/attention.hpp"

#include <fmt/format.h>

#include <vector>

#include "bayesflow/autodiff/ops/dense.hpp"
#include "bayesflow/autodiff/ops/elementwise.hpp"
#include "bayesflow/autodiff/ops/shape.hpp"
#include "bayesflow/core/errors.hpp"

namespace bayesflow {

void AttentionLayerOptions::validate(const char* owner) const {
  if (num_heads < 1) throw ConfigurationError(fmt::format("{}: num_heads = {}; attention needs at least one head", owner, num_heads));
  if (key_dim < 1) throw ConfigurationError(fmt::format("{}: key_dim = {}; it must be positive", owner, key_dim));
  if (!(dropout >= 0 && dropout < 1)) throw ConfigurationError(fmt::format("{}: dropout = {}; it must be in [0, 1)", owner, dropout));
}

namespace nn {

void LayerNorm::build(const Builder& builder, std::int64_t inputs) {
  store_ = &builder.store();
  gain_ = builder.add("gain", {inputs}, Initializer::ones);
  bias_ = builder.add("bias", {inputs}, Initializer::zeros);
}
Tensor LayerNorm::operator()(Tape& tape, Tensor x) const {
  return ops::layer_norm(x, store_->tensor(tape, gain_), store_->tensor(tape, bias_));
}

MultiHeadAttention::Projection MultiHeadAttention::add(const Builder& builder, const Shape& kernel, const Shape& bias,
                                                       std::int64_t inputs) {
  return {builder.add("kernel", kernel, Initializer::glorot_uniform), builder.add("bias", bias, Initializer::zeros), inputs, bias.size()};
}

void MultiHeadAttention::build(const Builder& builder, std::int64_t query_inputs, std::int64_t inputs) {
  options_.validate("multi-head attention");
  store_ = &builder.store();
  const std::int64_t heads = options_.num_heads, width = options_.key_dim;
  query_ = add(builder.scope("query"), {query_inputs, heads, width}, {heads, width}, query_inputs);
  key_ = add(builder.scope("key"), {inputs, heads, width}, {heads, width}, inputs);
  value_ = add(builder.scope("value"), {inputs, heads, width}, {heads, width}, inputs);
  output_ = add(builder.scope("output"), {heads, width, query_inputs}, {query_inputs}, heads * width);
}

Tensor MultiHeadAttention::project(Tape& tape, const Projection& p, Tensor x) const {
  return ops::dense(
      x, {ops::reshape(store_->tensor(tape, p.kernel), {p.inputs, p.outputs}), ops::reshape(store_->tensor(tape, p.bias), {p.outputs})});
}

Tensor MultiHeadAttention::operator()(Tape& tape, Tensor x, Tensor y, Tensor mask) const {
  const ops::AttentionOptions options{options_.num_heads, static_cast<float>(options_.dropout)};
  return project(tape, output_, ops::attention(project(tape, query_, x), project(tape, key_, y), project(tape, value_, y), options, mask));
}

Mlp feed_forward(const AttentionBlockOptions& options, std::int64_t outputs) {
  std::vector<DenseOptions> layers(static_cast<std::size_t>(options.num_dense_fc), options.dense);
  layers.push_back({.units = outputs, .activation = Activation::identity});
  return Mlp(layers);
}

void AttentionBlock::build(const Builder& builder, std::int64_t query_inputs, std::int64_t inputs) {
  attention_ = MultiHeadAttention(options_.attention);
  attention_.build(builder.scope("attention"), query_inputs, inputs);
  dense_ = feed_forward(options_, query_inputs);
  dense_.build(builder.scope("dense"), query_inputs);
  if (!options_.use_layer_norm) return;
  pre_.build(builder.scope("norm_pre"), query_inputs);
  post_.build(builder.scope("norm_post"), query_inputs);
}

Tensor AttentionBlock::operator()(Tape& tape, Tensor x, Tensor y, Tensor mask) const {
  Tensor h = attention_(tape, x, y, mask);
  h = ops::add(x.shape() == h.shape() ? x : ops::broadcast(x, h.shape()), h);
  if (options_.use_layer_norm) h = pre_(tape, h);
  h = ops::add(h, dense_(tape, h));
  return options_.use_layer_norm ? post_(tape, h) : h;
}

}  // namespace nn
}  // namespace bayesflow
