/// What `fit` did, as JSON.
#pragma once

#include "bayesflow/workflow/posterior.hpp"
#include "io/described_json.hpp"

namespace bayesflow::workflow {

inline constexpr io::OptionLimits kLimits{.max_count = 1 << 20, .max_width = 1 << 20};

[[nodiscard]] io::Json json_of(const FitRecord& record);
/// Throws std::exception for what is none.
[[nodiscard]] FitRecord record_from(const io::Json& json);

}  // namespace bayesflow::workflow
