#include "io/archive.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "bayesflow/core/errors.hpp"
#include "bayesflow/core/version.hpp"
#include "io/atomic_file.hpp"
#include "io/checksum.hpp"

namespace bayesflow::io {

void ArchiveWriter::attribute(const std::string& name, Attribute value) {
  if (!attributes_.emplace(name, std::move(value)).second) throw ArgumentError(fmt::format("attribute \"{}\" was given twice", name));
}

void ArchiveWriter::add(const std::string& path, const Shape& shape, NumberType type, std::span<const std::byte> bytes, std::size_t count,
                        bool text) {
  if (shape.size() != static_cast<std::int64_t>(count))
    throw ShapeError(fmt::format("array \"{}\" of shape {} needs {} numbers; got {}", path, shape.to_string(), shape.size(), count));
  if (!items_.emplace(path, Item{type, std::vector<std::uint64_t>(shape.begin(), shape.end()), bytes, text}).second)
    throw ArgumentError(fmt::format("array \"{}\" was given twice", path));
}

void ArchiveWriter::texts(const std::string& path, std::span<const std::string> values) {
  std::size_t longest = 1;
  for (const std::string& text : values) longest = std::max(longest, text.size());
  std::vector<std::byte>& bytes = owned_.emplace_back(values.size() * longest);
  for (std::size_t i = 0; i < values.size(); ++i) std::memcpy(bytes.data() + i * longest, values[i].data(), values[i].size());
  add(path, {static_cast<std::int64_t>(values.size()), static_cast<std::int64_t>(longest)}, NumberType::uint8, bytes, bytes.size(), true);
}

void ArchiveWriter::commit(const std::filesystem::path& path, const std::function<void(const std::filesystem::path&)>& check) const {
  Header header = make_header(format_);
  Index index{attributes_, {}};
  index.attributes.emplace("bayesflow_format", std::string(format_.kind));
  index.attributes.emplace("bayesflow_format_version", static_cast<std::int64_t>(format_.version));
  index.attributes.emplace("bayesflow_library_version", std::string(version()));

  std::uint64_t metadata = 8192;
  for (const auto& [name, item] : items_) metadata += 512 + name.size();
  Hdf5Skeleton skeleton(kUserBlock, metadata);
  for (const auto& [name, value] : index.attributes) skeleton.attribute(name, value);
  for (const auto& [name, item] : items_) {
    const std::uint64_t offset =
        item.text ? skeleton.text(name, item.extents[1], {item.extents[0]}) : skeleton.dataset(name, item.type, item.extents);
    index.entries[name] = {item.type, item.extents, offset};
  }
  const std::string text = to_json(index);
  header.index_offset = skeleton.text("bayesflow_index", text.size());
  header.index_bytes = text.size();
  header.file_bytes = skeleton.finish();

  AtomicFile out(path);
  const Descriptor& file = out.file();
  skeleton.copy_to(file);
  for (const auto& [name, item] : items_) file.write(index.entries[name].offset, item.bytes);
  file.write(header.index_offset, std::as_bytes(std::span(text.data(), text.size())));
  header.sealed_offset = sizeof header;
  header.sealed_bytes = header.file_bytes - sizeof header;
  header.seal = checksum_of(file, header.sealed_offset, header.sealed_bytes);
  write_header(file, header);
  if (check) check(file.path());
  out.commit();
}

ArchiveReader::ArchiveReader(const std::filesystem::path& path, Format newest) : opened_(open_verified(path, newest, O_RDONLY)) {}

void ArchiveReader::refuse(const std::string& item, const std::string& what) const {
  throw IoError(fmt::format(
      "\"{}\": {} {}; the file does not fit this {} format {}, so use another copy, or the version of the library that wrote it ({})",
      path().string(), item, what, opened_.header.kind, format_version(), library_version()));
}

const Attribute& ArchiveReader::find_attribute(const std::string& name) const {
  const auto at = opened_.index.attributes.find(name);
  if (at == opened_.index.attributes.end()) refuse(name, "is missing");
  return at->second;
}

const Entry& ArchiveReader::find(const std::string& path, NumberType type) const {
  const auto at = opened_.index.entries.find(path);
  if (at == opened_.index.entries.end()) refuse(path, "is missing");
  if (at->second.type != type) refuse(path, fmt::format("holds {} instead of {}", to_string(at->second.type), to_string(type)));
  return at->second;
}

std::vector<std::string> ArchiveReader::paths(const std::string& prefix) const {
  std::vector<std::string> out;
  for (const auto& [path, entry] : opened_.index.entries)
    if (path.starts_with(prefix)) out.push_back(path);
  return out;
}

Shape ArchiveReader::shape(const std::string& path) const {
  const auto at = opened_.index.entries.find(path);
  if (at == opened_.index.entries.end()) refuse(path, "is missing");
  Shape shape;
  for (const std::uint64_t extent : at->second.extents) shape.push_back(static_cast<std::int64_t>(extent));
  return shape;
}

}  // namespace bayesflow::io
