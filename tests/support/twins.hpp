/// What networks are made of, straight from the formulas and in double precision: the oracle of kernels, operations and layers.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <numbers>

#include "bayesflow/core/activation.hpp"
#include "bayesflow/core/array.hpp"

namespace bayesflow::support {

inline constexpr std::array kActivations{Activation::identity, Activation::relu,        Activation::leaky_relu, Activation::elu,
                                         Activation::selu,     Activation::tanh,        Activation::sigmoid,    Activation::swish,
                                         Activation::softplus, Activation::exponential, Activation::gelu,       Activation::hard_sigmoid,
                                         Activation::mish,     Activation::relu6,       Activation::softsign};

inline double logistic(double x) { return 1 / (1 + std::exp(-x)); }

inline double activation_twin(Activation activation, double x) {
  switch (activation) {
    case Activation::identity:
      return x;
    case Activation::relu:
      return std::max(x, 0.0);
    case Activation::leaky_relu:
      return x > 0 ? x : 0.2 * x;
    case Activation::elu:
      return x > 0 ? x : std::expm1(x);
    case Activation::selu:
      return 1.0507009873554805 * (x > 0 ? x : 1.6732632423543772 * std::expm1(x));
    case Activation::tanh:
      return std::tanh(x);
    case Activation::sigmoid:
      return logistic(x);
    case Activation::swish:
      return x * logistic(x);
    case Activation::softplus:
      return std::max(x, 0.0) + std::log1p(std::exp(-std::fabs(x)));
    case Activation::exponential:
      return std::exp(x);
    case Activation::gelu:
      return std::isinf(x) && x < 0 ? 0.0 : 0.5 * x * std::erfc(-x / std::numbers::sqrt2);
    case Activation::hard_sigmoid:
      return std::clamp(0.2 * x + 0.5, 0.0, 1.0);
    case Activation::mish:
      return x * std::tanh(std::max(x, 0.0) + std::log1p(std::exp(-std::fabs(x))));
    case Activation::relu6:
      return std::clamp(x, 0.0, 6.0);
    case Activation::softsign:
      return std::isinf(x) ? std::copysign(1.0, x) : x / (1 + std::fabs(x));
    case Activation::softmax:
      break;  // of rows
  }
  return NAN;
}

/// activation(x W + b) over the last axis; b may be absent.
inline Array dense_twin(const Array& x, const Array& w, const Array* b, Activation activation) {
  const std::int64_t in = w.dim(0), out = w.dim(1), rows = x.shape().slice(0, -1).size();
  Shape shape = x.shape();
  shape.set(-1, out);
  Array y(shape);
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < out; ++j) {
      double s = b ? b->data()[j] : 0;
      for (std::int64_t k = 0; k < in; ++k) s += x.data()[i * in + k] * w.data()[k * out + j];
      y.data()[i * out + j] = activation_twin(activation, s);
    }
  return y;
}

/// The bounded logarithm of a coupling's scale; unbounded if `clamp` is 0.
inline double soft_clamp(double s, double clamp) { return clamp > 0 ? 2 * clamp / std::numbers::pi * std::atan(s / clamp) : s; }

}  // namespace bayesflow::support
