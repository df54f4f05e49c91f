#include "io/atomic_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
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

}  // namespace

void remove_leftovers(const std::filesystem::path& path) {
  std::error_code ignored;
  const std::filesystem::path folder = path.has_parent_path() ? path.parent_path() : ".";
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
    if (!is_temporary_of(entry.path().filename().string(), path.filename().string())) continue;
    const int fd = ::open(entry.path().c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) continue;
    const Descriptor leftover(entry.path(), fd);
    if (leftover.try_lock()) std::filesystem::remove(entry.path(), ignored);
  }
}

AtomicFile::AtomicFile(std::filesystem::path path) : path_(std::move(path)) {
  detail::require_name("cannot write", path_);
  if (path_.filename().empty())
    throw IoError(fmt::format("cannot write \"{}\": this names a folder; give the path of a file", path_.string()));
  if (std::filesystem::is_directory(path_)) fail("cannot write", path_, EISDIR);
  remove_leftovers(path_);
  for (int attempt = 0;; ++attempt) {
    const std::filesystem::path name = temporary_name(path_, attempt);
    const int fd = ::open(name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0 && errno == EEXIST) continue;
    if (fd < 0) fail("cannot write", path_, errno);
    Descriptor file(name, fd);
    // Somebody else's clean-up may have come between creation and lock.
    if (!file.try_lock() || !file.has_its_name()) continue;
    file_ = std::move(file);
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
  const int fd = ::dup(temporary.fd());
  if (fd < 0) fail("cannot keep open", path_, errno);
  ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  sync_folder(path_.parent_path());
  return Descriptor(path_, fd);
}

}  // namespace bayesflow::io
