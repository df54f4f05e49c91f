/// Data that belong to draws.
#pragma once

#include "bayesflow/diagnostics/conditional.hpp"

namespace bayesflow::diagnostics {

inline constexpr std::int64_t kFewestConditional = 20;  ///< data sets of which anything can be predicted

/// Throws ShapeError unless conditions and summaries have one entry for each data set, ArgumentError if there are none or they are not
/// finite.
void check_data(const Batch& data, std::int64_t data_sets, const ConditionalOptions& options);

}  // namespace bayesflow::diagnostics
