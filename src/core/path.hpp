/// Names of files, before the system sees them.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <string>

#include "bayesflow/core/errors.hpp"

namespace bayesflow::detail {

/// Throws IoError if the name holds a zero byte: the system takes it for the end and would open another file than the one that was meant.
inline void require_name(const char* what, const std::filesystem::path& path) {
  std::string name = path.string();
  if (name.find('\0') == std::string::npos) return;
  std::replace(name.begin(), name.end(), '\0', '?');
  throw IoError(fmt::format("{} \"{}\": the name contains a zero byte (shown as ?); give a name without it", what, name));
}

}  // namespace bayesflow::detail
