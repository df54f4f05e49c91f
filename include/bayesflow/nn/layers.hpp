/// Layers: options, parameters, forward pass.
#pragma once

#include <cstdint>
#include <vector>

#include "bayesflow/autodiff/ops.hpp"
#include "bayesflow/core/activation.hpp"
#include "bayesflow/core/describe.hpp"
#include "bayesflow/nn/parameters.hpp"

namespace bayesflow {

/// Settings of a dense layer (v1's `dense_args`).
struct DenseOptions {
  std::int64_t units = 64;  ///< width of the output
  Activation activation = Activation::relu;
  nn::Start kernel_initializer = nn::Initializer::glorot_uniform;
  double kernel_regularizer = 0.0;  ///< L2: this times sum w^2 is added to the loss
  bool use_bias = true;
  nn::Start bias_initializer = nn::Initializer::zeros;
  friend bool operator==(const DenseOptions&, const DenseOptions&) = default;
  void validate(const char* owner) const;  ///< throws ConfigurationError
};

template <class V>
void describe(V& v, DenseOptions& o) {
  v("units", o.units, width());
  v("activation", o.activation);
  v("kernel_initializer", o.kernel_initializer.initializer);
  v("kernel_regularizer", o.kernel_regularizer, at_least(0));
  v.later("use_bias", o.use_bias, true);
  v.later("bias_initializer", o.bias_initializer.initializer, nn::Initializer::zeros);
  v.later("kernel_gain", o.kernel_initializer.gain, 1.0);
  v.later("kernel_shift", o.kernel_initializer.shift, 0.0);
  v.later("kernel_seed", o.kernel_initializer.seed, std::int64_t{-1}, steps(-1, 9007199254740991.0));
  v.later("bias_gain", o.bias_initializer.gain, 1.0);
  v.later("bias_shift", o.bias_initializer.shift, 0.0);
  v.later("bias_seed", o.bias_initializer.seed, std::int64_t{-1}, steps(-1, 9007199254740991.0));
}

namespace nn {

class Mlp;
namespace detail {
Tensor mean_of(const Mlp& mlp, Tape& tape, Tensor x);
}

/// y = activation(x W + b), or activation(x W) without `use_bias`
class Dense {
 public:
  Dense() = default;
  explicit Dense(DenseOptions options, bool spectral_norm = false) : options_(options), spectral_norm_(spectral_norm) {}
  void build(const Builder& builder, std::int64_t inputs);  ///< registers "kernel", and "bias" if there is one
  [[nodiscard]] ops::Layer layer(Tape& tape) const;         ///< parameters as leaves of the tape
  [[nodiscard]] Tensor operator()(Tape& tape, Tensor x) const { return ops::dense(x, layer(tape)); }
  [[nodiscard]] std::int64_t units() const { return options_.units; }
  [[nodiscard]] bool spectral_norm() const { return spectral_norm_; }
  /// One more power iteration of the spectral norm's vector; once per training step.
  void update_state();

 private:
  DenseOptions options_;
  bool spectral_norm_ = false;
  ParameterStore* store_ = nullptr;
  int kernel_ = -1, bias_ = -1, vector_ = -1;
  std::vector<double> scratch_;  // of the power iteration
};

/// A stack of dense layers, optionally with dropout after each.
class Mlp {
 public:
  Mlp() = default;
  /// `layers` in order. Dropout is active in training only, or always (`mc_dropout`, Gal and Ghahramani 2016).
  explicit Mlp(const std::vector<DenseOptions>& layers, double dropout = 0.0, bool mc_dropout = false, bool spectral_norm = false);
  void build(const Builder& builder, std::int64_t inputs);  ///< registers "0.kernel", "0.bias", "1.kernel", ...
  /// x: (..., d); the condition's rows are repeated over x's as in ops::dense_chain.
  [[nodiscard]] Tensor operator()(Tape& tape, Tensor x, Tensor condition = {}) const;
  [[nodiscard]] std::int64_t units() const { return layers_.empty() ? 0 : layers_.back().units(); }
  void update_state();

 private:
  friend Tensor detail::mean_of(const Mlp& mlp, Tape& tape, Tensor x);
  [[nodiscard]] Tensor run(Tape& tape, Tensor x, Tensor condition, bool mean) const;

  std::vector<Dense> layers_;
  float dropout_ = 0;
  bool mc_dropout_ = false;
};

}  // namespace nn
}  // namespace bayesflow
