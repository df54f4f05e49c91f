/// Draws that lie where a posterior of that width has hardly any.
#pragma once

#include "bayesflow/core/array.hpp"
#include "diagnostics/numbers.hpp"

namespace bayesflow::diagnostics {

constexpr double kFarSds = 10;
/// Share of a parameter's draws that lie more than `kFarSds` standard deviations from the median of their data set, where the standard
/// deviation is that of a normal with the same quartiles. Data sets whose quartiles are one number count as having none.
double far_draws(const Array& draws, const Sizes& n, std::int64_t parameter);

}  // namespace bayesflow::diagnostics
