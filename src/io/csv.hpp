/// Tables of numbers as text.
#pragma once

#include <filesystem>

#include "bayesflow/core/array.hpp"

namespace bayesflow::io {

/// The numbers below the header line of a CSV file: (rows, columns). Names that end with ".bz2" are decompressed. Throws IoError naming the
/// file, and the line where one is not as wide as the header or holds no number.
[[nodiscard]] Array read_csv(const std::filesystem::path& path);

}  // namespace bayesflow::io
