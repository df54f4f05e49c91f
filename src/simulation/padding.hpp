/// Arrays of different extents as one.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "bayesflow/core/array.hpp"

namespace bayesflow::detail {

/// Writes `values` of shape `from` into zeros of shape `to`, whose extents are none of them smaller.
void copy_padded(std::span<const double> values, const Shape& from, double* out, const Shape& to);

struct Padded {
  Array values;  ///< (rows, padded...)
  Array mask;    ///< (rows, padded leading axes): 1 where there is something, 0 where there is padding
};
/// Rows whose leading axes are padded to the extents `to`; what follows them must be equal. Throws SimulationError naming `what` and the
/// simulation for a row that is larger, or has other axes.
[[nodiscard]] Padded pad(const char* what, const std::vector<Array>& rows, const Shape& to, std::uint64_t first_index);

}  // namespace bayesflow::detail
