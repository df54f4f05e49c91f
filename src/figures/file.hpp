/// Writes whole files.
#pragma once

#include <filesystem>
#include <string_view>

namespace bayesflow::figures {

/// Writes beside the file and renames, so that a reader never sees half of it. Throws IoError with path and cause.
void write_file(const std::filesystem::path& path, std::string_view content);

}  // namespace bayesflow::figures
