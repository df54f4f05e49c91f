/// An open file whose failures are sentences.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

namespace bayesflow::io {

/// A POSIX file descriptor. Every method throws IoError with the path, what failed, and what to do about it.
class Descriptor {
 public:
  Descriptor() = default;
  /// `flags` as for open(2); O_CLOEXEC is added. `purpose` completes "cannot ...": "read", "write".
  Descriptor(std::filesystem::path path, int flags, const char* purpose);
  /// Takes over an open descriptor.
  Descriptor(std::filesystem::path path, int fd) : path_(std::move(path)), fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept;
  Descriptor& operator=(Descriptor&& other) noexcept;
  ~Descriptor();

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] int fd() const { return fd_; }
  [[nodiscard]] explicit operator bool() const { return fd_ >= 0; }
  [[nodiscard]] std::uint64_t size() const;
  void resize(std::uint64_t bytes) const;  ///< new bytes are zeros and take no room on the disk
  /// All of `bytes` from `offset` on; less is an error.
  void read(std::uint64_t offset, std::span<std::byte> bytes) const;
  void write(std::uint64_t offset, std::span<const std::byte> bytes) const;
  void sync() const;  ///< contents and length are on the disk
  /// Takes the file's exclusive lock, which ends with this object and its duplicates, or with this process: a forked child's copy leads to
  /// /dev/null, or the child would hold the lock too. False if another open file has it.
  [[nodiscard]] bool try_lock();
  /// Another descriptor of the same open file, which shares its lock.
  [[nodiscard]] Descriptor duplicate(std::filesystem::path path) const;
  /// The path still leads to this file: no other file was renamed over it, and it was not removed.
  [[nodiscard]] bool has_its_name() const;
  void close() noexcept;

 private:
  struct Lock;
  std::filesystem::path path_;
  int fd_ = -1;
  std::shared_ptr<const Lock> lock_;  ///< shared by duplicates
};

/// Throws IoError: "<what> "<path>": <errno's text>; <what to do>".
[[noreturn]] void fail(const char* what, const std::filesystem::path& path, int error);

/// Throws IoError, '<what> "<path>": this is a pipe; ...', unless a file of this mode (as stat(2) gives it) is a regular one.
void require_regular(const char* what, const std::filesystem::path& path, unsigned mode);

/// The kernel copies, and shares blocks where the file system can.
void copy_range(const Descriptor& from, std::uint64_t from_offset, const Descriptor& to, std::uint64_t to_offset, std::uint64_t bytes);

/// A rename or a new file in `folder` survives a power failure after this.
void sync_folder(const std::filesystem::path& folder);

template <class T>
std::span<const std::byte> bytes_of(const T& value) {
  return {reinterpret_cast<const std::byte*>(&value), sizeof value};
}

}  // namespace bayesflow::io
