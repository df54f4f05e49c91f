#include "io/csv.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "bayesflow/core/errors.hpp"
#include "io/bzip2.hpp"
#include "io/descriptor.hpp"
#include "io/json_numbers.hpp"

namespace bayesflow::io {
namespace {

std::string contents(const std::filesystem::path& path) {
  const Descriptor file(path, O_RDONLY, "read");
  std::string text(file.size(), '\0');
  file.read(0, std::as_writable_bytes(std::span(text)));
  return path.extension() == ".bz2" ? bunzip2(text) : text;
}

/// Cuts the text before the first `end` off, and `end` itself.
std::string_view cut(std::string_view& text, char end) {
  const std::size_t at = std::min(text.find(end), text.size());
  const std::string_view out = text.substr(0, at);
  text.remove_prefix(std::min(at + 1, text.size()));
  return out;
}

Array parse(std::string_view text) {
  const auto line_of = [&] {
    std::string_view line = cut(text, '\n');
    if (line.ends_with('\r')) line.remove_suffix(1);
    return line;
  };
  const std::string_view header = line_of();
  if (header.empty()) throw std::runtime_error("it has no header line");
  const std::int64_t width = 1 + std::ranges::count(header, ',');
  std::vector<double> values;
  for (std::int64_t number = 2; !text.empty(); ++number) {
    std::string_view line = line_of();
    if (line.empty()) continue;
    const std::int64_t got = 1 + std::ranges::count(line, ',');
    if (got != width) throw std::runtime_error(fmt::format("line {} has {} columns; the header has {}", number, got, width));
    for (std::int64_t column = 0; column < width; ++column) {
      try {
        values.push_back(number_from(cut(line, ',')));
      } catch (const std::exception& error) {
        throw std::runtime_error(fmt::format("line {}: {}", number, error.what()));
      }
    }
  }
  return Array({static_cast<std::int64_t>(values.size()) / width, width}, values);
}

}  // namespace

Array read_csv(const std::filesystem::path& path) {
  try {
    return parse(contents(path));
  } catch (const Error&) {
    throw;
  } catch (const std::runtime_error& error) {
    throw IoError(fmt::format("cannot read \"{}\": {}", path.string(), error.what()));
  }
}

}  // namespace bayesflow::io
