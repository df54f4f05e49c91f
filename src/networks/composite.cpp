#include "networks/composite.hpp"

#include <fmt/format.h>

#include "bayesflow/core/errors.hpp"

namespace bayesflow::networks {

void validate_parts(const char* owner, std::span<const SummaryPart> parts) {
  if (parts.empty()) throw ConfigurationError(fmt::format("{} is empty; it must have at least one network", owner));
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (!parts[i]) throw ConfigurationError(fmt::format("{}[{}] is no network", owner, i));
    if (!parts[i]->sources().empty())
      throw ConfigurationError(
          fmt::format("{}[{}] reads several sources of data ({}), and can be a part of no other network", owner, i, parts[i]->to_string()));
    for (std::size_t k = 0; k < i; ++k)
      if (parts[k].get() == parts[i].get())
        throw ConfigurationError(
            fmt::format("{}[{}] and [{}] are the same object, whose weights cannot serve twice; give a copy", owner, k, i));
  }
}

std::string describe_parts(std::span<const SummaryPart> parts, const char* between) {
  std::string out;
  for (const SummaryPart& part : parts) out += (out.empty() ? "" : between) + part->to_string();
  return out;
}

}  // namespace bayesflow::networks
