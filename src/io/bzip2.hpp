/// Files that bzip2 has compressed.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace bayesflow::io {

/// What bzip2 made `compressed` of: one stream, or several after each other. Checksums are verified. Throws std::runtime_error for anything
/// else, and for more than `max_bytes` of output.
[[nodiscard]] std::string bunzip2(std::string_view compressed, std::size_t max_bytes = std::size_t{1} << 28);

}  // namespace bayesflow::io
