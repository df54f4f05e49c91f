/// Sentences for wrong shapes.
#pragma once

#include <fmt/format.h>

#include "bayesflow/autodiff/tensor.hpp"
#include "bayesflow/core/errors.hpp"

namespace bayesflow::ops {

/// Stands for the text of a shape; the text is only made if it is printed.
struct ShapeText {
  Tensor of;
};
inline ShapeText shape_of(Tensor x) { return {x}; }

template <class... Args>
void require(bool condition, fmt::format_string<Args...> text, Args&&... args) {
  if (!condition) [[unlikely]]
    throw ShapeError(fmt::format(text, std::forward<Args>(args)...));
}

}  // namespace bayesflow::ops

template <>
struct fmt::formatter<bayesflow::ops::ShapeText> : fmt::formatter<fmt::string_view> {
  template <class Context>
  auto format(const bayesflow::ops::ShapeText& s, Context& context) const {
    const std::string text = s.of ? s.of.shape().to_string() : "nothing";
    return fmt::formatter<fmt::string_view>::format(text, context);
  }
};
