#include "bayesflow/core/activation.hpp"

#include <fmt/format.h>

#include <utility>

#include "bayesflow/core/errors.hpp"

namespace bayesflow {
namespace {
constexpr std::pair<const char*, Activation> kNames[] = {
    {"identity", Activation::identity},
    {"relu", Activation::relu},
    {"leaky_relu", Activation::leaky_relu},
    {"elu", Activation::elu},
    {"selu", Activation::selu},
    {"tanh", Activation::tanh},
    {"sigmoid", Activation::sigmoid},
    {"swish", Activation::swish},
    {"softplus", Activation::softplus},
    {"exponential", Activation::exponential},
    {"gelu", Activation::gelu},
    {"hard_sigmoid", Activation::hard_sigmoid},
    {"mish", Activation::mish},
    {"relu6", Activation::relu6},
    {"softsign", Activation::softsign},
    {"softmax", Activation::softmax},
    {"linear", Activation::identity},
    {"silu", Activation::swish},
};
}

const char* to_string(Activation activation) {
  for (const auto& [name, value] : kNames)
    if (value == activation) return name;
  return "identity";
}

Activation activation_from(std::string_view name) {
  std::string known;
  for (const auto& [text, value] : kNames) {
    if (name == text) return value;
    known += known.empty() ? "" : ", ";
    known += text;
  }
  throw ConfigurationError(fmt::format("activation \"{}\" is not known; use one of: {}", name, known));
}

EnumNames<Activation> names_of(Activation) { return detail::names_up_to(kLastActivation); }

}  // namespace bayesflow
