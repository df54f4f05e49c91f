/// Axes of arrays as users give them.
#pragma once

#include "bayesflow/core/shape.hpp"

namespace bayesflow::detail {

/// The axis counted from the front; negative ones count from the end. Throws ShapeError naming the verb `op`.
int checked_axis(const char* op, const Shape& shape, int axis);

}  // namespace bayesflow::detail
