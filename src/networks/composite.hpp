/// What networks that are composed of others check of them.
#pragma once

#include <span>
#include <string>

#include "bayesflow/networks/summary_network.hpp"

namespace bayesflow::networks {

/// Throws ConfigurationError unless there are parts, all are networks, and none is there twice; `owner`: "SplitOptions::networks".
void validate_parts(const char* owner, std::span<const SummaryPart> parts);
/// "deep set ..., then set transformer ...": of all parts.
[[nodiscard]] std::string describe_parts(std::span<const SummaryPart> parts, const char* between);

}  // namespace bayesflow::networks
