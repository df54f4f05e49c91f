/// The first 512 bytes of every file: what it is, how long it is, and the checksum of the rest.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "bayesflow/core/errors.hpp"
#include "bayesflow/core/shape.hpp"
#include "io/descriptor.hpp"
#include "io/hdf5_skeleton.hpp"

namespace bayesflow::io {

/// What a file is. Files of an older version are read for ever; a newer one is refused.
struct Format {
  std::string_view kind;  ///< "model", "checkpoint", "simulations"; at most 23 characters
  std::uint32_t version = 1;
};

/// HDF5 leaves this many bytes at the start of a file to us (its "user block").
inline constexpr std::uint64_t kUserBlock = 4096;

/// Header of a file, as stored (little-endian, no padding).
struct Header {
  char magic[16] = {};
  std::uint32_t layout_version = 1;  ///< of this header
  std::uint32_t format_version = 1;
  char kind[24] = {};
  char library_version[24] = {};
  std::uint64_t file_bytes = 0;
  std::uint64_t index_offset = 0, index_bytes = 0;    ///< JSON, an HDF5 dataset as well
  std::uint64_t sealed_offset = 0, sealed_bytes = 0;  ///< what `seal` covers
  std::uint64_t seal = 0;                             ///< XXH64
  char reserved[384] = {};
  std::uint64_t header_checksum = 0;  ///< XXH64 of the bytes before
};
static_assert(sizeof(Header) == 512);

/// Where one array lies.
struct Entry {
  NumberType type = NumberType::float64;
  std::vector<std::uint64_t> extents;
  std::uint64_t offset = 0;
  [[nodiscard]] std::uint64_t count() const;  ///< of numbers
};

/// What a file holds: the JSON text that `Header::index_offset` points to.
struct Index {
  std::map<std::string, Attribute> attributes;
  std::map<std::string, Entry> entries;
};
[[nodiscard]] std::string to_json(const Index& index);
/// Throws IoError naming `path` unless the text describes arrays that lie within `file_bytes` and beyond the user block.
[[nodiscard]] Index index_from_json(const std::filesystem::path& path, const std::string& text, std::uint64_t file_bytes);

/// A header for a file whose seal is not known yet.
[[nodiscard]] Header make_header(Format format);
/// Sets the header's own checksum and writes it.
void write_header(const Descriptor& file, Header header);
/// XXH64 of a stretch of a file.
[[nodiscard]] std::uint64_t checksum_of(const Descriptor& file, std::uint64_t offset, std::uint64_t bytes);

/// A good file, for a later library: nobody may replace it or go on from an older one.
class NewerFormat : public IoError {
 public:
  using IoError::IoError;
};

/// Reads and verifies header, seal and index. Throws IoError: not ours, of another kind, newer (NewerFormat), cut short, or damaged.
struct Opened {
  Descriptor file;
  Header header;
  Index index;
};
[[nodiscard]] Opened open_verified(const std::filesystem::path& path, Format newest, int flags);

}  // namespace bayesflow::io
