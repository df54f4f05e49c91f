/// Convolutional layers with Keras' parameters.
#pragma once

#include <cstdint>

#include "bayesflow/autodiff/ops/convolution.hpp"
#include "bayesflow/core/activation.hpp"
#include "bayesflow/nn/parameters.hpp"

namespace bayesflow::nn {
/// Settings of Conv1d.
struct Conv1dOptions {
  std::int64_t filters = 32;
  std::int64_t size = 3;
  ops::WindowOptions window = {};
  Activation activation = Activation::identity;
};

/// activation(conv1d(x)): (..., T, in) -> (..., T', filters).
class Conv1d {
 public:
  Conv1d() = default;
  explicit Conv1d(const Conv1dOptions& options) : options_(options) {}
  void build(const Builder& builder, std::int64_t inputs);  ///< registers "kernel" (size, in, filters), Glorot, and "bias"
  /// mask: (..., T), 0 at times that a series does not have; they count as zeros.
  [[nodiscard]] Tensor operator()(Tape& tape, Tensor x, Tensor mask = {}) const;

 private:
  Conv1dOptions options_;
  ParameterStore* store_ = nullptr;
  int kernel_ = -1, bias_ = -1;
};
/// Settings of Conv2d.
struct Conv2dOptions {
  std::int64_t filters = 32;
  ops::Pair size = {3, 3};  ///< height, width
  ops::WindowOptions2d window = {};
  Activation activation = Activation::identity;
};

/// activation(conv2d(x)): (..., height, width, in) -> (..., height', width', filters).
class Conv2d {
 public:
  Conv2d() = default;
  explicit Conv2d(const Conv2dOptions& options) : options_(options) {}
  void build(const Builder& builder, std::int64_t inputs);  ///< registers "kernel" (height, width, in, filters), Glorot, and "bias"
  [[nodiscard]] Tensor operator()(Tape& tape, Tensor x) const;

 private:
  Conv2dOptions options_;
  ParameterStore* store_ = nullptr;
  int kernel_ = -1, bias_ = -1;
};

}  // namespace bayesflow::nn
