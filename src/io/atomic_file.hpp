/// Files that appear whole or not at all.
#pragma once

#include <filesystem>
#include <string_view>

#include "io/descriptor.hpp"

namespace bayesflow::io {

/// A temporary file beside `path`, in the same folder, that `commit` brings to the disk and then renames to `path`: a reader of
/// `path`, also after a kill or a power failure, finds the old file or the new one. Without commit nothing remains.
/// Temporaries that a killed process left behind are removed by the next AtomicFile of the same path; a live one is locked.
/// A symbolic link stays, and the file that it points to is written. Permissions and owner of a file that is replaced are kept as far as
/// the system lets us. What exists and is no regular file (a device, a pipe, a socket, a folder) is refused.
class AtomicFile {
 public:
  /// Throws IoError.
  explicit AtomicFile(const std::filesystem::path& path);
  AtomicFile(AtomicFile&&) noexcept = default;
  ~AtomicFile();

  [[nodiscard]] const Descriptor& file() const { return file_; }
  /// Sync, rename, sync of the folder. The descriptor stays open and is given to the caller.
  Descriptor commit();

 private:
  std::filesystem::path path_;  // that of the file itself, where links were followed
  Descriptor file_;
};

/// Writes a whole file as AtomicFile does. Throws IoError.
void write_file(const std::filesystem::path& path, std::string_view content);

/// Removes temporaries of `path` that no live process holds.
void remove_leftovers(const std::filesystem::path& path);

}  // namespace bayesflow::io
