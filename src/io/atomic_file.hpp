/// Files that appear whole or not at all.
#pragma once

#include <filesystem>

#include "io/descriptor.hpp"

namespace bayesflow::io {

/// A temporary file beside `path`, in the same folder, that `commit` brings to the disk and then renames to `path`: whoever looks at
/// `path`, also after a kill or a power failure, finds the old file or the new one. Without commit nothing remains.
/// Temporaries that a killed process left behind are removed by the next AtomicFile of the same path; a live one is locked.
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path path);
  AtomicFile(AtomicFile&&) noexcept = default;
  ~AtomicFile();

  [[nodiscard]] const Descriptor& file() const { return file_; }
  /// Sync, rename, sync of the folder. The descriptor stays open and is given to the caller.
  Descriptor commit();

 private:
  std::filesystem::path path_;
  Descriptor file_;
};

/// Removes temporaries of `path` that no live process holds.
void remove_leftovers(const std::filesystem::path& path);

}  // namespace bayesflow::io
