#include "simulation/padding.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "bayesflow/core/errors.hpp"

namespace bayesflow::detail {

void copy_padded(std::span<const double> values, const Shape& from, double* out, const Shape& to) {
  if (from.rank() <= 1) {
    std::ranges::copy(values, out);
    return;
  }
  const Shape inner = from.slice(1, from.rank()), to_inner = to.slice(1, to.rank());
  const auto step = static_cast<std::size_t>(inner.size());
  for (std::int64_t i = 0; i < from[0]; ++i)
    copy_padded(values.subspan(static_cast<std::size_t>(i) * step, step), inner, out + i * to_inner.size(), to_inner);
}

Padded pad(const char* what, const std::vector<Array>& rows, const Shape& to, std::uint64_t first_index) {
  const Shape& first = rows.front().shape();
  const int leading = to.rank();
  Shape shape = to;
  for (int axis = leading; axis < first.rank(); ++axis) shape.push_back(first[axis]);
  const auto count = static_cast<std::int64_t>(rows.size());
  Padded out{Array(shape.prepend(count)), Array(to.prepend(count))};
  for (std::int64_t i = 0; i < count; ++i) {
    const Shape& is = rows[static_cast<std::size_t>(i)].shape();
    bool fits = is.rank() == shape.rank() && is.rank() >= leading;
    for (int axis = 0; fits && axis < is.rank(); ++axis) fits = axis < leading ? is[axis] <= shape[axis] : is[axis] == shape[axis];
    if (!fits)
      throw SimulationError(fmt::format(
          "{}: simulation {} returned shape {}, which cannot be padded to {}; return no more than that, and one shape beyond these "
          "axes for all simulations",
          what, first_index + static_cast<std::uint64_t>(i), is.to_string(), shape.to_string()));
    copy_padded(rows[static_cast<std::size_t>(i)].values(), is, out.values.data() + i * shape.size(), shape);
    const Shape there = is.slice(0, leading);
    const std::vector<double> ones(static_cast<std::size_t>(there.size()), 1.0);
    copy_padded(ones, there, out.mask.data() + i * to.size(), to);
  }
  return out;
}

}  // namespace bayesflow::detail
