#include "io/atomic_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <span>
#include <string>
#include <system_error>

#include "bayesflow/core/errors.hpp"
#include "core/path.hpp"

namespace bayesflow::io {
namespace {

/// "model.h5.4711-0.tmp"
std::filesystem::path temporary_name(const std::filesystem::path& path, int attempt) {
  std::filesystem::path name = path;
  name += fmt::format(".{}-{}.tmp", ::getpid(), attempt);
  return name;
}

bool is_temporary_of(const std::string& name, const std::string& target) {
  if (!name.starts_with(target + ".") || !name.ends_with(".tmp")) return false;
  const std::string middle = name.substr(target.size() + 1, name.size() - target.size() - 5);
  return !middle.empty() && std::ranges::all_of(middle, [](char c) { return (c >= '0' && c <= '9') || c == '-'; });
}

/// What will be replaced, if it exists. Throws IoError unless it is a regular file.
std::optional<struct stat> replaced_file(const std::filesystem::path& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) {
    if (errno == ENOENT) return {};
    fail("cannot write", path, errno);
  }
  require_regular("cannot write", path, info.st_mode);
  return info;
}

/// The file that a symbolic link leads to, whether it exists or not.
std::filesystem::path followed(std::filesystem::path path) {
  constexpr int kMostLinks = 40;  // the kernel's own limit
  for (int i = 0;; ++i) {
    std::error_code error;
    const std::filesystem::path target = std::filesystem::read_symlink(path, error);
    if (error) return path;
    if (i == kMostLinks) fail("cannot write", path, ELOOP);
    path = path.parent_path() / target;
  }
}

}  // namespace

void remove_leftovers(const std::filesystem::path& path) {
  std::error_code ignored;
  const std::filesystem::path folder = path.has_parent_path() ? path.parent_path() : ".";
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
    if (!is_temporary_of(entry.path().filename().string(), path.filename().string())) continue;
    const int fd = ::open(entry.path().c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) continue;
    Descriptor leftover(entry.path(), fd);
    if (leftover.try_lock()) std::filesystem::remove(entry.path(), ignored);
  }
}

AtomicFile::AtomicFile(const std::filesystem::path& path) {
  detail::require_name("cannot write", path);
  if (path.filename().empty())
    throw IoError(fmt::format("cannot write \"{}\": this names a folder; give the path of a file", path.string()));
  const std::optional<struct stat> old = replaced_file(path);
  path_ = followed(path);
  remove_leftovers(path_);
  for (int attempt = 0;; ++attempt) {
    const std::filesystem::path name = temporary_name(path_, attempt);
    const int fd = ::open(name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0 && errno == EEXIST) continue;
    if (fd < 0) fail("cannot write", path_, errno);
    Descriptor file(name, fd);
    // The clean-up of another process may have come between creation and lock.
    if (!file.try_lock() || !file.has_its_name()) continue;
    file_ = std::move(file);
    // The owner first: changing it clears bits of the mode. Only root may give files away; for others the file becomes theirs.
    if (old && (::fchown(fd, old->st_uid, old->st_gid) == 0 || old->st_uid == ::geteuid())) (void)::fchmod(fd, old->st_mode & 07777);
    return;
  }
}

AtomicFile::~AtomicFile() {
  if (file_) ::unlink(file_.path().c_str());
}

Descriptor AtomicFile::commit() {
  file_.sync();
  if (::rename(file_.path().c_str(), path_.c_str()) != 0) fail("cannot put the new file in the place of", path_, errno);
  const Descriptor temporary = std::move(file_);
  Descriptor out = temporary.duplicate(path_);
  sync_folder(path_.parent_path());
  return out;
}

void write_file(const std::filesystem::path& path, std::string_view content) {
  AtomicFile out(path);
  out.file().write(0, std::as_bytes(std::span(content)));
  out.commit();
}

}  // namespace bayesflow::io
