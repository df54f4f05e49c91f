/// A file of named arrays and attributes that is written as a whole: models and checkpoints.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <list>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bayesflow/core/shape.hpp"
#include "io/header.hpp"

namespace bayesflow::io {

template <class T>
concept Stored = std::is_same_v<T, double> || std::is_same_v<T, float> || std::is_same_v<T, std::int64_t> ||
    std::is_same_v<T, std::uint64_t> || std::is_same_v<T, std::int32_t> || std::is_same_v<T, std::uint8_t>;

template <Stored T>
constexpr NumberType number_type() {
  if constexpr (std::is_same_v<T, double>) return NumberType::float64;
  if constexpr (std::is_same_v<T, float>) return NumberType::float32;
  if constexpr (std::is_same_v<T, std::int64_t>) return NumberType::int64;
  if constexpr (std::is_same_v<T, std::uint64_t>) return NumberType::uint64;
  if constexpr (std::is_same_v<T, std::int32_t>) return NumberType::int32;
  return NumberType::uint8;
}

/// Collects what goes into a file; nothing touches the disk before `commit`. Arrays are not copied: they must live until then
/// (temporary vectors are copied).
///   ArchiveWriter out({.kind = "checkpoint", .version = 1});
///   out.attribute("seed", std::uint64_t{4});
///   out.array("weights/output.kernel", {64, 10}, std::span<const float>(w));
///   out.commit("checkpoint.h5");
class ArchiveWriter {
 public:
  explicit ArchiveWriter(Format format) : format_(format) {}
  /// Of the whole file. Names and paths are unique; ArgumentError otherwise.
  void attribute(const std::string& name, Attribute value);
  /// Throws ShapeError if `values` has another size than `shape`. "a/b" is array b in group a.
  template <Stored T>
  void array(const std::string& path, const Shape& shape, std::span<const T> values) {
    add(path, shape, number_type<T>(), std::as_bytes(values), values.size());
  }
  template <Stored T>
  void array(const std::string& path, const Shape& shape, const std::vector<T>& values) {
    array(path, shape, std::span<const T>(values));
  }
  /// A temporary is copied.
  template <Stored T>
  void array(const std::string& path, const Shape& shape, std::vector<T>&& values) {
    const auto bytes = std::as_bytes(std::span(values));
    add(path, shape, number_type<T>(), owned_.emplace_back(bytes.begin(), bytes.end()), values.size());
  }
  /// A list of texts: in HDF5 of a fixed length, UTF-8; in the index bytes of shape (texts, length of the longest), filled up with zeros.
  void texts(const std::string& path, std::span<const std::string> values);
  /// Writes a temporary file beside `path`, syncs it and renames it: a reader sees the former file or this one. Throws IoError.
  /// The same contents give the same bytes. `check` is called with the complete temporary file; if it throws, the former file stays.
  void commit(const std::filesystem::path& path, const std::function<void(const std::filesystem::path& written)>& check = {}) const;

 private:
  struct Item {
    NumberType type;
    std::vector<std::uint64_t> extents;
    std::span<const std::byte> bytes;
    bool text = false;
  };
  void add(const std::string& path, const Shape& shape, NumberType type, std::span<const std::byte> bytes, std::size_t count,
           bool text = false);

  Format format_;
  std::map<std::string, Attribute> attributes_;
  std::map<std::string, Item> items_;
  std::list<std::vector<std::byte>> owned_;
};

/// An archive whose seal was verified. Every method throws IoError naming the file and the item that is missing or is of another
/// type. HDF5 is not involved: the file's own index says where the numbers lie, and it is checked against the file's length, so
/// that no file can make this allocate more than its own size.
class ArchiveReader {
 public:
  /// Files of this kind and of a version up to `newest.version`.
  ArchiveReader(const std::filesystem::path& path, Format newest);

  [[nodiscard]] std::uint32_t format_version() const { return opened_.header.format_version; }
  [[nodiscard]] std::string library_version() const { return opened_.header.library_version; }
  [[nodiscard]] const std::filesystem::path& path() const { return opened_.file.path(); }
  [[nodiscard]] bool has_attribute(const std::string& name) const { return opened_.index.attributes.contains(name); }
  template <class T>
  [[nodiscard]] const T& attribute(const std::string& name) const {
    if (const T* value = std::get_if<T>(&find_attribute(name))) return *value;
    refuse(name, "is of another type");
  }

  [[nodiscard]] bool has(const std::string& path) const { return opened_.index.entries.contains(path); }
  /// Paths of all arrays that begin with this, in order.
  [[nodiscard]] std::vector<std::string> paths(const std::string& prefix = "") const;
  [[nodiscard]] Shape shape(const std::string& path) const;
  template <Stored T>
  [[nodiscard]] std::vector<T> array(const std::string& path) const {
    std::vector<T> out(static_cast<std::size_t>(find(path, number_type<T>()).count()));
    opened_.file.read(find(path, number_type<T>()).offset, std::as_writable_bytes(std::span<T>(out)));
    return out;
  }
  /// Into given memory; the stored shape must be this one.
  template <Stored T>
  void read(const std::string& path, const Shape& shape, std::span<T> out) const {
    const Entry& entry = find(path, number_type<T>());
    if (this->shape(path) != shape || entry.count() != out.size())
      refuse(path, "has shape " + this->shape(path).to_string() + " instead of " + shape.to_string());
    opened_.file.read(entry.offset, std::as_writable_bytes(out));
  }
  /// Throws the IoError '"<file>": <item> <what>; ...'.
  [[noreturn]] void refuse(const std::string& item, const std::string& what) const;

 private:
  [[nodiscard]] const Attribute& find_attribute(const std::string& name) const;
  [[nodiscard]] const Entry& find(const std::string& path, NumberType type) const;

  Opened opened_;
};

}  // namespace bayesflow::io
