#include "figures/file.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "bayesflow/core/errors.hpp"
#include "core/path.hpp"

namespace bayesflow::figures {

void write_file(const std::filesystem::path& path, std::string_view content) {
  detail::require_name("cannot write", path);
  // Unique among processes by the number, among threads by the address.
  const std::filesystem::path part = path.string() + fmt::format(".part{}-{}", getpid(), fmt::ptr(content.data()));
  const auto fail = [&](const char* cause) {
    const std::string reason = cause;
    std::error_code ignored;
    std::filesystem::remove(part, ignored);
    throw IoError(fmt::format("\"{}\" could not be written: {}. Check that the folder exists, may be written to, and has space.",
                              path.string(), reason));
  };
  std::FILE* file = std::fopen(part.c_str(), "wb");
  if (!file) fail(std::strerror(errno));
  const bool written = std::fwrite(content.data(), 1, content.size(), file) == content.size();
  const int write_error = errno;
  if (std::fclose(file) != 0 || !written) fail(std::strerror(written ? errno : write_error));
  std::error_code error;
  std::filesystem::rename(part, path, error);
  if (error) fail(error.message().c_str());
}

}  // namespace bayesflow::figures
