#include "bayesflow/nn/layers.hpp"

#include <fmt/format.h>

#include <cmath>

#include "autodiff/ops/mean_of_chain.hpp"
#include "bayesflow/core/errors.hpp"
#include "nn/mean_of_mlp.hpp"

namespace bayesflow {

void DenseOptions::validate(const char* owner) const {
  if (units < 1) throw ConfigurationError(fmt::format("{}: units = {}; a dense layer needs at least one unit", owner, units));
  if (!(kernel_regularizer >= 0))
    throw ConfigurationError(fmt::format("{}: kernel_regularizer = {}; it must not be negative", owner, kernel_regularizer));
  for (const auto& [name, start] : {std::pair{"kernel", kernel_initializer}, std::pair{"bias", bias_initializer}})
    if (!std::isfinite(start.gain) || !std::isfinite(start.shift) || start.seed < -1)
      throw ConfigurationError(
          fmt::format("{}: {}_initializer has gain {}, shift {} and seed {}; the first two must be finite, the seed -1 "
                      "(the network's) or not negative",
                      owner, name, start.gain, start.shift, start.seed));
  const nn::Initializer of_bias = bias_initializer.initializer;
  if (of_bias == nn::Initializer::orthogonal || of_bias == nn::Initializer::identity)
    throw ConfigurationError(
        fmt::format("{}: bias_initializer = {}; that is for matrices, a bias is a vector", owner, nn::to_string(of_bias)));
}

namespace nn {

void Dense::build(const Builder& builder, std::int64_t inputs) {
  store_ = &builder.store();
  kernel_ = builder.add("kernel", {inputs, options_.units}, options_.kernel_initializer, static_cast<float>(options_.kernel_regularizer));
  if (options_.use_bias) bias_ = builder.add("bias", {options_.units}, options_.bias_initializer);
  if (spectral_norm_) {
    std::vector<float> u(static_cast<std::size_t>(options_.units));
    Rng rng = builder.rng("spectral_norm");
    rng.fill_normal(std::span<float>(u));
    vector_ = builder.add_buffer("spectral_norm", {}, std::move(u));
    for (int i = 0; i < 3; ++i) update_state();
  }
}

ops::Layer Dense::layer(Tape& tape) const {
  Tensor kernel = store_->tensor(tape, kernel_);
  if (spectral_norm_) kernel = ops::spectral_normalize(kernel, store_->buffers()[static_cast<std::size_t>(vector_)].floats);
  return {kernel, bias_ < 0 ? Tensor() : store_->tensor(tape, bias_), options_.activation};
}

void Dense::update_state() {
  if (!spectral_norm_) return;
  std::vector<float>& u = store_->buffers()[static_cast<std::size_t>(vector_)].floats;
  const std::span<const float> w = store_->value(kernel_);
  const std::size_t n = u.size(), k = n ? w.size() / n : 0;
  std::vector<double>& next = scratch_;
  next.assign(n, 0.0);
  double square = 0;
  for (std::size_t i = 0; i < k; ++i) {
    double left = 0;
    for (std::size_t j = 0; j < n; ++j) left += static_cast<double>(w[i * n + j]) * static_cast<double>(u[j]);
    for (std::size_t j = 0; j < n; ++j) next[j] += left * static_cast<double>(w[i * n + j]);
  }
  for (const double x : next) square += x * x;
  if (!(square > 0)) return;  // a zero kernel has no direction to follow
  for (std::size_t j = 0; j < n; ++j) u[j] = static_cast<float>(next[j] / std::sqrt(square));
}

Mlp::Mlp(const std::vector<DenseOptions>& layers, double dropout, bool mc_dropout, bool spectral_norm)
    : dropout_(static_cast<float>(dropout)), mc_dropout_(mc_dropout) {
  for (const DenseOptions& o : layers) layers_.emplace_back(o, spectral_norm);
}

void Mlp::build(const Builder& builder, std::int64_t inputs) {
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    layers_[i].build(builder.scope(std::to_string(i)), inputs);
    inputs = layers_[i].units();
  }
}

Tensor Mlp::operator()(Tape& tape, Tensor x, Tensor condition) const { return run(tape, x, condition, false); }
Tensor detail::mean_of(const Mlp& mlp, Tape& tape, Tensor x) { return mlp.run(tape, x, {}, true); }

Tensor Mlp::run(Tape& tape, Tensor x, Tensor condition, bool mean) const {
  constexpr std::size_t kChain = 8;
  const bool dropout = dropout_ > 0 && (mc_dropout_ || tape.training());
  for (std::size_t first = 0; first < layers_.size();) {
    ops::Layer chain[kChain];
    std::size_t n = 0;
    for (; first + n < layers_.size() && n < (dropout ? 1 : kChain); ++n) chain[n] = layers_[first + n].layer(tape);
    const std::span<const ops::Layer> links(chain, n);
    const bool ends = first + n == layers_.size();
    if (mean && ends && !dropout) return ops::mean_of_chain(links, x);
    x = ops::dense_chain(links, x, first == 0 ? condition : Tensor());
    if (dropout) x = ops::dropout(x, dropout_);
    first += n;
  }
  return mean ? ops::mean_pool(x) : x;
}

void Mlp::update_state() {
  for (Dense& layer : layers_) layer.update_state();
}

}  // namespace nn
}  // namespace bayesflow
