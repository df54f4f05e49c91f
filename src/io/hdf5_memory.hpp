/// Where HDF5 lays out a file: memory, of which only what was written takes room.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <vector>

namespace bayesflow::io {

/// A file as HDF5 sees it, in pages of memory. HDF5 never sees a write fail: a file that it cannot write to, it cannot close either, and
/// then it prints errors at the end of the program. If memory runs out, the pages are incomplete and `finish` throws.
class Hdf5Memory {
 public:
  Hdf5Memory() = default;
  Hdf5Memory(const Hdf5Memory&) = delete;
  Hdf5Memory& operator=(const Hdf5Memory&) = delete;

  /// Files created with these access properties (HDF5's identifier) lie here, one at a time. Returns HDF5's identifier of the driver, which
  /// the caller must unregister (H5FDunregister), and only after the file was closed: on closing a file HDF5 first releases the file's
  /// reference to the driver, and would read its freed structure afterwards.
  [[nodiscard]] std::int64_t use_for(std::int64_t access);
  /// The file is closed: throws std::bad_alloc if something was lost.
  void finish() const;

  [[nodiscard]] std::uint64_t length() const { return length_; }
  struct Extent {
    std::uint64_t offset = 0, bytes = 0;
  };
  /// Runs of pages that were written; beyond are holes.
  [[nodiscard]] std::vector<Extent> extents() const;
  /// Holes are zeros.
  void read(std::uint64_t offset, std::span<std::byte> bytes) const;

 private:
  friend struct Hdf5MemoryDriver;
  static constexpr std::uint64_t kPage = 4096;
  void write(std::uint64_t offset, std::span<const std::byte> bytes) noexcept;

  std::map<std::uint64_t, std::array<std::byte, kPage>> pages_;  // by number
  std::uint64_t length_ = 0;
  bool lost_ = false;
};

}  // namespace bayesflow::io
