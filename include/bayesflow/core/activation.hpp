/// Nonlinearities, by v1's (Keras') names: elementwise but for the last.
#pragma once

#include <cstdint>
#include <string_view>

#include "bayesflow/core/describe.hpp"

namespace bayesflow {
/// Functions of single numbers between layers; Keras' names.
enum class Activation : std::uint8_t {
  identity,      ///< x
  relu,          ///< max(x, 0)
  leaky_relu,    ///< x > 0 ? x : 0.2 x
  elu,           ///< x > 0 ? x : e^x - 1
  selu,          ///< 1.0507 (x > 0 ? x : 1.6733 (e^x - 1))
  tanh,          ///< tanh x
  sigmoid,       ///< 1 / (1 + e^-x)
  swish,         ///< x / (1 + e^-x)
  softplus,      ///< log(1 + e^x)
  exponential,   ///< e^x
  gelu,          ///< x P(Z < x), Z standard normal (Hendrycks and Gimpel 2016)
  hard_sigmoid,  ///< min(max(0.2 x + 0.5, 0), 1)
  mish,          ///< x tanh(log(1 + e^x)) (Misra 2019)
  relu6,         ///< min(max(x, 0), 6)
  softsign,      ///< x / (1 + |x|)
  softmax,       ///< e^x / sum e^x over the last axis
};
inline constexpr Activation kLastActivation = Activation::softmax;

/// "relu", ...
[[nodiscard]] const char* to_string(Activation activation);
/// The reverse; also takes "linear" and "silu". Throws ConfigurationError listing the names.
[[nodiscard]] EnumNames<Activation> names_of(Activation);
[[nodiscard]] Activation activation_from(std::string_view name);  ///< by its name; throws ConfigurationError

}  // namespace bayesflow
