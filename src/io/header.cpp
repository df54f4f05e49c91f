#include "io/header.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <nlohmann/json.hpp>

#include "bayesflow/core/errors.hpp"
#include "bayesflow/core/version.hpp"
#include "io/checksum.hpp"
#include "io/json_numbers.hpp"

namespace bayesflow::io {
namespace {

using Json = nlohmann::json;

// As PNG's: a byte beyond ASCII, a line end of each kind and an end-of-file sign show what a transfer as text did to the file.
constexpr char kMagic[16] = {'\x89', 'b', 'a', 'y', 'e', 's', 'f', 'l', 'o', 'w', '\r', '\n', '\x1a', '\n', 'h', '5'};
constexpr std::uint32_t kLayoutVersion = 1;
constexpr std::uint64_t kMaxIndex = std::uint64_t{64} << 20;

template <std::size_t N>
void copy_text(char (&to)[N], std::string_view text) {
  std::copy_n(text.data(), std::min(text.size(), N - 1), to);
}

std::uint64_t own_checksum(const Header& header) { return xxh64(bytes_of(header).first(offsetof(Header, header_checksum))); }

NumberType type_from(const std::string& name) {
  for (const NumberType type :
       {NumberType::float64, NumberType::float32, NumberType::int64, NumberType::uint64, NumberType::int32, NumberType::uint8})
    if (name == to_string(type)) return type;
  throw IoError(fmt::format("unknown type of numbers \"{}\"", name));
}

// JSON has no infinities, and telling 1 from 1.0 should not depend on a parser: numbers carry their type, and doubles are text.
Json attribute_json(const Attribute& value) {
  if (const auto* i = std::get_if<std::int64_t>(&value)) return {{"int64", *i}};
  if (const auto* u = std::get_if<std::uint64_t>(&value)) return {{"uint64", *u}};
  if (const auto* d = std::get_if<double>(&value)) return {{"float64", fmt::format("{}", *d)}};
  if (const auto* text = std::get_if<std::string>(&value)) return {{"text", *text}};
  return {{"texts", std::get<std::vector<std::string>>(value)}};
}

Attribute attribute_from(const Json& json) {
  if (json.contains("int64")) return integer<std::int64_t>(json["int64"]);
  if (json.contains("uint64")) return integer<std::uint64_t>(json["uint64"]);
  if (json.contains("float64")) return number_from(json["float64"].get<std::string>());
  if (json.contains("text")) return json["text"].get<std::string>();
  return json.at("texts").get<std::vector<std::string>>();
}

[[noreturn]] void damaged(const std::filesystem::path& path, std::string_view what) {
  throw IoError(fmt::format("\"{}\" is damaged: {}; use another copy of this file", path.string(), what));
}

}  // namespace

std::uint64_t Entry::count() const {
  std::uint64_t n = 1;
  for (const std::uint64_t extent : extents) n *= extent;
  return n;
}

std::string to_json(const Index& index) {
  Json json = {{"attributes", Json::object()}, {"datasets", Json::object()}};
  for (const auto& [name, value] : index.attributes) json["attributes"][name] = attribute_json(value);
  for (const auto& [path, entry] : index.entries)
    json["datasets"][path] = {{"type", to_string(entry.type)}, {"shape", entry.extents}, {"offset", entry.offset}};
  return json.dump(1);
}

Index index_from_json(const std::filesystem::path& path, const std::string& text, std::uint64_t file_bytes) {
  Index index;
  try {
    const Json json = parse_json(text);
    for (const auto& [name, value] : json.at("attributes").items()) index.attributes.emplace(name, attribute_from(value));
    for (const auto& [name, value] : json.at("datasets").items()) {
      Entry entry{type_from(value.at("type").get<std::string>()), integers<std::uint64_t>(value.at("shape")),
                  integer<std::uint64_t>(value.at("offset"))};
      if (entry.extents.size() > static_cast<std::size_t>(Shape::kMaxRank))
        throw IoError(fmt::format("dataset \"{}\" has too many axes", name));
      for (const std::uint64_t extent : entry.extents)
        if (extent > std::uint64_t{1} << 62) throw IoError(fmt::format("dataset \"{}\" has an axis longer than any file", name));
      const std::uint64_t bytes = checked_bytes(name, entry.type, entry.extents);
      if (bytes != 0 && (entry.offset < kUserBlock || bytes > file_bytes || entry.offset > file_bytes - bytes))
        throw IoError(fmt::format("dataset \"{}\" does not lie within the file", name));
      index.entries.emplace(name, std::move(entry));
    }
  } catch (const std::exception& error) {
    damaged(path, fmt::format("its index makes no sense ({})", error.what()));
  }
  return index;
}

Header make_header(Format format) {
  Header header;
  std::copy_n(kMagic, sizeof kMagic, header.magic);
  header.layout_version = kLayoutVersion;
  header.format_version = format.version;
  copy_text(header.kind, format.kind);
  copy_text(header.library_version, version());
  return header;
}

void write_header(const Descriptor& file, Header header) {
  header.header_checksum = own_checksum(header);
  file.write(0, bytes_of(header));
}

std::uint64_t checksum_of(const Descriptor& file, std::uint64_t offset, std::uint64_t bytes) {
  Xxh64 hash;
  std::vector<std::byte> piece(static_cast<std::size_t>(std::min<std::uint64_t>(bytes, std::uint64_t{1} << 20)));
  while (bytes) {
    const std::span<std::byte> now(piece.data(), static_cast<std::size_t>(std::min<std::uint64_t>(bytes, piece.size())));
    file.read(offset, now);
    hash.update(now);
    offset += now.size();
    bytes -= now.size();
  }
  return hash.digest();
}

Opened open_verified(const std::filesystem::path& path, Format newest, int flags) {
  Opened out{Descriptor(path, flags, "open"), {}, {}};
  const std::uint64_t length = out.file.size();
  Header& h = out.header;
  const std::string name = path.string();
  if (length < sizeof kMagic)
    throw IoError(fmt::format("\"{}\" is not a file of this library: it has {} bytes; check the path", name, length));
  out.file.read(0, std::as_writable_bytes(std::span(h.magic)));
  if (std::memcmp(h.magic, kMagic, sizeof kMagic) != 0)
    throw IoError(fmt::format("\"{}\" is not a file of this library: it begins differently; check the path", name));
  if (length < kUserBlock) damaged(path, fmt::format("it was cut short to {} bytes", length));
  out.file.read(0, std::as_writable_bytes(std::span(&h, 1)));
  const auto refuse_newer = [&](std::uint32_t version, const std::string& by) {
    throw NewerFormat(fmt::format("\"{}\" has format {} of a {} file{}; this library, {}, reads formats up to {}: update it", name, version,
                                  newest.kind, by, bayesflow::version(), newest.version));
  };
  if (h.layout_version > kLayoutVersion && h.layout_version < 1000) refuse_newer(h.format_version, "");
  if (h.header_checksum != own_checksum(h)) damaged(path, "its header was changed");
  h.kind[sizeof h.kind - 1] = h.library_version[sizeof h.library_version - 1] = '\0';
  if (newest.kind != h.kind)
    throw IoError(fmt::format("\"{}\" is a {} file; a {} file is needed here, so check the path", name, h.kind, newest.kind));
  if (h.format_version > newest.version) refuse_newer(h.format_version, fmt::format(", written by version {}", h.library_version));
  if (length < h.file_bytes) damaged(path, fmt::format("it has {} bytes instead of {}: it was cut short", length, h.file_bytes));
  if (length > h.file_bytes) damaged(path, fmt::format("it has {} bytes instead of {}: something was appended", length, h.file_bytes));
  const auto inside = [&](std::uint64_t offset, std::uint64_t bytes) { return bytes <= length && offset <= length - bytes; };
  if (!inside(h.sealed_offset, h.sealed_bytes) || !inside(h.index_offset, h.index_bytes) || h.index_bytes > kMaxIndex ||
      h.index_offset < kUserBlock)
    damaged(path, "its header makes no sense");
  if (checksum_of(out.file, h.sealed_offset, h.sealed_bytes) != h.seal) damaged(path, "its contents do not match their checksum");
  std::string text(static_cast<std::size_t>(h.index_bytes), '\0');
  out.file.read(h.index_offset, std::as_writable_bytes(std::span(text.data(), text.size())));
  out.index = index_from_json(path, text, length);
  return out;
}

}  // namespace bayesflow::io
