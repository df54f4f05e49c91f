/// Temporary folders and whole files, for tests of what is on the disk.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <string>

#include "bayesflow/core/errors.hpp"
#include "io/checksum.hpp"
#include "io/header.hpp"
#include "simulation/store_file.hpp"

namespace bayesflow {

/// A folder that vanishes with the object; in memory where there is such a place, because every file is synced.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    const std::filesystem::path memory = "/dev/shm";
    const bool usable = ::access(memory.c_str(), W_OK) == 0;
    std::string name = ((usable ? memory : std::filesystem::temp_directory_path()) / "bayesflow-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  [[nodiscard]] std::filesystem::path operator/(const std::string& name) const { return path_ / name; }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] std::size_t entries() const {
    return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(path_), std::filesystem::directory_iterator()));
  }

 private:
  std::filesystem::path path_;
};

/// While this lives, a program of root is nobody: permissions, which do not bind root, bind it. False where the system does not allow that.
class Unprivileged {
 public:
  Unprivileged() : was_root_(::geteuid() == 0), is_(!was_root_ || ::seteuid(65534) == 0) {}
  ~Unprivileged() {
    if (was_root_ && is_ && ::seteuid(0) != 0) std::abort();
  }
  Unprivileged(const Unprivileged&) = delete;
  Unprivileged& operator=(const Unprivileged&) = delete;
  explicit operator bool() const { return is_; }

 private:
  bool was_root_, is_;
};

inline std::string contents(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

inline void put_contents(const std::filesystem::path& path, const std::string& bytes) { std::ofstream(path, std::ios::binary) << bytes; }

/// The statement throws an IoError whose text holds `part`.
#define EXPECT_IO_ERROR(statement, part)                                                  \
  do {                                                                                    \
    try {                                                                                 \
      statement;                                                                          \
      ADD_FAILURE() << "no exception";                                                    \
    } catch (const ::bayesflow::IoError& error) {                                         \
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what(); \
    }                                                                                     \
  } while (false)

/// Makes the checksums of a file right again, as far as its header makes sense: what forgers do.
inline void reseal(std::string& bytes) {
  io::Header header;
  if (bytes.size() < io::kUserBlock) return;
  std::memcpy(&header, bytes.data(), sizeof header);
  const auto part = [&](std::uint64_t offset, std::uint64_t count) { return std::as_bytes(std::span(bytes.data() + offset, count)); };
  if (header.sealed_bytes <= bytes.size() && header.sealed_offset <= bytes.size() - header.sealed_bytes)
    header.seal = io::xxh64(part(header.sealed_offset, header.sealed_bytes));
  std::memcpy(bytes.data(), &header, sizeof header);
  header.header_checksum = io::xxh64(part(0, offsetof(io::Header, header_checksum)));
  std::memcpy(bytes.data(), &header, sizeof header);
  if (std::string_view(header.kind, sizeof "simulations") != std::string_view("simulations", sizeof "simulations")) return;
  for (const std::uint64_t slot : {1024, 2048}) {
    const std::uint64_t checksum = io::xxh64(part(slot, offsetof(detail::CommitRecord, checksum)));
    std::memcpy(bytes.data() + slot + offsetof(detail::CommitRecord, checksum), &checksum, sizeof checksum);
  }
}

}  // namespace bayesflow
