/// Sentences for wrong shapes.
#pragma once

#include <fmt/format.h>

#include "bayesflow/autodiff/tensor.hpp"
#include "bayesflow/core/errors.hpp"

namespace bayesflow::ops {

template <class... Args>
void require(bool condition, fmt::format_string<Args...> text, Args&&... args) {
  if (!condition) [[unlikely]]
    throw ShapeError(fmt::format(text, std::forward<Args>(args)...));
}
inline std::string shape_of(Tensor x) { return x ? x.shape().to_string() : "nothing"; }

}  // namespace bayesflow::ops
