/// The HDF5 around our numbers: all that HDF5 itself writes into a file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "io/descriptor.hpp"

namespace bayesflow::io {

enum class NumberType : std::uint8_t { float64, float32, int64, uint64, int32, uint8 };
[[nodiscard]] const char* to_string(NumberType type);
[[nodiscard]] std::uint64_t bytes_per_number(NumberType type);

/// A value that describes a file: stored as an HDF5 attribute of the root.
using Attribute = std::variant<std::int64_t, std::uint64_t, double, std::string, std::vector<std::string>>;

/// Product of the extents times the size of a number; throws IoError (naming `path`) if it exceeds 2^62.
[[nodiscard]] std::uint64_t checked_bytes(const std::string& path, NumberType type, const std::vector<std::uint64_t>& extents);

/// HDF5 is asked to lay out a file with attributes and contiguous datasets, all allocated at once, none written. It does so in a
/// nameless, sparse file in memory. The numbers are then written (and later read) by plain writes at the offsets that HDF5 chose.
/// So HDF5's own metadata never changes after creation, which is what makes appending safe against kills; a full disk is met
/// by our code, which can tell; and no file from a stranger is ever parsed by the HDF5 library.
///
/// HDF5 as Debian builds it is not thread-safe: every call into it is made under one lock. Its error printing is off
/// inside the lock and put back afterwards.
class Hdf5Skeleton {
 public:
  /// `user_block` bytes at the start are ours. `metadata_bytes`: room that metadata gets in front of all numbers, as far as it suffices.
  /// Arrays begin at multiples of `alignment`.
  Hdf5Skeleton(std::uint64_t user_block, std::uint64_t metadata_bytes, std::uint64_t alignment = 64);
  ~Hdf5Skeleton();
  Hdf5Skeleton(const Hdf5Skeleton&) = delete;
  Hdf5Skeleton& operator=(const Hdf5Skeleton&) = delete;

  void attribute(const std::string& name, const Attribute& value);
  /// Returns the offset of the first number in the file; groups on the way ("weights/a") are made. Empty datasets have offset 0.
  std::uint64_t dataset(const std::string& path, NumberType type, const std::vector<std::uint64_t>& extents,
                        const std::string& description = {});
  /// Texts of `bytes` characters each (at least 1, shorter ones are filled up with zeros); no extents: a single one.
  std::uint64_t text(const std::string& path, std::uint64_t bytes, const std::vector<std::uint64_t>& extents = {});

  /// A piece of HDF5's metadata.
  struct Extent {
    std::uint64_t offset = 0, bytes = 0;
  };
  /// Ends the layout: length of the file, and where metadata is.
  std::uint64_t finish();
  [[nodiscard]] std::vector<Extent> metadata() const;
  /// Copies the metadata to the same offsets of another file, whose length becomes this one's.
  void copy_to(const Descriptor& file) const;

 private:
  /// Makes a dataset and the groups on the way to it; returns the offset of its first byte, 0 if it has none.
  std::uint64_t create(const std::string& path, std::int64_t type, const std::vector<std::uint64_t>& extents,
                       const std::string& description);

  struct Ids;
  std::unique_ptr<Ids> ids_;
  Descriptor memory_;
  std::uint64_t length_ = 0;
};

}  // namespace bayesflow::io
