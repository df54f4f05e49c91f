#include "io/descriptor.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <pthread.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <utility>
#include <vector>

#include "bayesflow/core/errors.hpp"
#include "core/fork.hpp"
#include "core/path.hpp"

namespace bayesflow::io {
namespace {

const char* advice(int error) {
  switch (error) {
    case ENOENT:
      return "check the path, and create the folder if it does not exist";
    case EACCES:
    case EPERM:
      return "change the permissions of the file and its folder, or choose another path";
    case EROFS:
      return "the disk is mounted read-only; choose another path";
    case ENOSPC:
      return "free some room on this disk, or choose a path on another one";
    case EDQUOT:
      return "your quota on this disk is used up; delete something, or choose a path on another one";
    case EFBIG:
      return "raise the limit on file sizes (ulimit -f), or choose another file system";
    case EISDIR:
      return "this is a folder; give the path of a file";
    case ENOTDIR:
      return "a part of the path is a file, not a folder; check it";
    case EMFILE:
    case ENFILE:
      return "too many files are open; close some, or raise the limit (ulimit -n)";
    case EIO:
      return "the disk reports a hardware error; look after it and use another one";
    default:
      return "look at the path and the disk it is on";
  }
}

/// Descriptors that hold locks. A lock belongs to the open file, which a forked child shares: without this it would hold the lock as long
/// as it lives, even if the process that took it has ended.
class Locks {
 public:
  static Locks& instance() {
    static Locks* const locks = new Locks;  // never destroyed: static objects may hold files
    return *locks;
  }
  void add(int fd) {
    const std::lock_guard lock(mutex_);
    fds_.push_back(fd);
  }
  void remove(int fd) noexcept {
    const std::lock_guard lock(mutex_);
    std::erase(fds_, fd);
  }

 private:
  Locks() {
    pthread_atfork([] { instance().mutex_.lock(); }, [] { instance().mutex_.unlock(); }, [] { instance().begin_child(); });
  }
  void begin_child() {
    const int nowhere = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    for (const int fd : fds_)
      if (nowhere >= 0) ::dup3(nowhere, fd, O_CLOEXEC);
    if (nowhere >= 0) ::close(nowhere);
    mutex_.unlock();
  }
  std::mutex mutex_;
  std::vector<int> fds_;
};
[[maybe_unused]] const Locks& made_at_load = Locks::instance();

}  // namespace

void fail(const char* what, const std::filesystem::path& path, int error) {
  throw IoError(fmt::format("{} \"{}\": {}; {}", what, path.string(), std::strerror(error), advice(error)));
}

void require_regular(const char* what, const std::filesystem::path& path, unsigned mode) {
  if (S_ISREG(mode)) return;
  if (S_ISDIR(mode)) fail(what, path, EISDIR);
  const char* kind = S_ISCHR(mode)    ? "a character device"
                     : S_ISBLK(mode)  ? "a block device"
                     : S_ISFIFO(mode) ? "a pipe"
                     : S_ISSOCK(mode) ? "a socket"
                                      : "no regular file";
  throw IoError(fmt::format("{} \"{}\": this is {}; give the path of a file", what, path.string(), kind));
}

/// Of the process that took it.
struct Descriptor::Lock {
  std::uint64_t process = detail::process_generation();
};

Descriptor::Descriptor(std::filesystem::path path, int flags, const char* purpose) : path_(std::move(path)) {
  detail::require_name(fmt::format("cannot {}", purpose).c_str(), path_);
  // Not blocking, so that a pipe with that name cannot make us wait; for files it means nothing.
  do fd_ = ::open(path_.c_str(), flags | O_CLOEXEC | O_NONBLOCK, 0666);
  while (fd_ < 0 && errno == EINTR);
  int error = fd_ < 0 ? errno : 0;
  struct stat info {};
  const bool known = (error ? ::stat(path_.c_str(), &info) : ::fstat(fd_, &info)) == 0;
  if (!error && known && S_ISREG(info.st_mode)) return;
  if (!error && !known) error = errno;
  close();
  const std::string what = fmt::format("cannot {}", purpose);
  if (known) require_regular(what.c_str(), path_, info.st_mode);  // a socket cannot even be opened
  fail(what.c_str(), path_, error);
}

Descriptor::Descriptor(Descriptor&& other) noexcept
    : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)), lock_(std::move(other.lock_)) {}

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  if (this == &other) return *this;
  close();
  path_ = std::move(other.path_);
  fd_ = std::exchange(other.fd_, -1);
  lock_ = std::move(other.lock_);
  return *this;
}

Descriptor::~Descriptor() { close(); }

void Descriptor::close() noexcept {
  if (lock_) {
    Locks::instance().remove(fd_);
    // Closing does not end the lock while a child that was forked just now still has the open file, until the child has dropped its copy.
    const bool is_last = lock_.use_count() == 1 && lock_->process == detail::process_generation();
    if (is_last) ::flock(fd_, LOCK_UN);
    lock_.reset();
  }
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

Descriptor Descriptor::duplicate(std::filesystem::path path) const {
  const int fd = ::fcntl(fd_, F_DUPFD_CLOEXEC, 0);
  if (fd < 0) fail("cannot keep open", path, errno);
  Descriptor out(std::move(path), fd);
  if (lock_) Locks::instance().add(fd);
  out.lock_ = lock_;
  return out;
}

std::uint64_t Descriptor::size() const {
  struct stat info {};
  if (::fstat(fd_, &info) != 0) fail("cannot look at", path_, errno);
  return static_cast<std::uint64_t>(info.st_size);
}

void Descriptor::resize(std::uint64_t bytes) const {
  if (::ftruncate(fd_, static_cast<off_t>(bytes)) != 0) fail("cannot set the length of", path_, errno);
}

void Descriptor::read(std::uint64_t offset, std::span<std::byte> bytes) const {
  while (!bytes.empty()) {
    const ssize_t got = ::pread(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail("cannot read", path_, errno);
    if (got == 0)
      throw IoError(
          fmt::format("cannot read \"{}\": it ends at byte {}, but {} more are needed; the file was cut short, so use another copy",
                      path_.string(), offset, bytes.size()));
    offset += static_cast<std::uint64_t>(got);
    bytes = bytes.subspan(static_cast<std::size_t>(got));
  }
}

void Descriptor::write(std::uint64_t offset, std::span<const std::byte> bytes) const {
  while (!bytes.empty()) {
    const ssize_t put = ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) fail("cannot write", path_, errno);
    if (put == 0) fail("cannot write", path_, ENOSPC);
    offset += static_cast<std::uint64_t>(put);
    bytes = bytes.subspan(static_cast<std::size_t>(put));
  }
}

void Descriptor::sync() const {
  if (::fsync(fd_) != 0) fail("cannot bring to the disk", path_, errno);
}

bool Descriptor::try_lock() {
  if (::flock(fd_, LOCK_EX | LOCK_NB) == 0) {
    if (!lock_) {
      lock_ = std::make_shared<const Lock>();
      Locks::instance().add(fd_);
    }
    return true;
  }
  if (errno == EWOULDBLOCK || errno == EINTR) return false;
  if (errno == ENOLCK || errno == EOPNOTSUPP || errno == EINVAL) return true;  // a file system without locks: no process can hold one
  fail("cannot lock", path_, errno);
}

bool Descriptor::has_its_name() const {
  struct stat by_name {
  }, by_fd{};
  return ::stat(path_.c_str(), &by_name) == 0 && ::fstat(fd_, &by_fd) == 0 && by_name.st_ino == by_fd.st_ino &&
         by_name.st_dev == by_fd.st_dev;
}

void copy_range(const Descriptor& from, std::uint64_t from_offset, const Descriptor& to, std::uint64_t to_offset, std::uint64_t bytes) {
  while (bytes) {
    auto in = static_cast<off_t>(from_offset), out = static_cast<off_t>(to_offset);
    const ssize_t copied = ::copy_file_range(from.fd(), &in, to.fd(), &out, bytes, 0);
    if (copied < 0 && errno == EINTR) continue;
    if (copied <= 0) break;  // a file system that cannot; real errors show up again below
    from_offset += static_cast<std::uint64_t>(copied);
    to_offset += static_cast<std::uint64_t>(copied);
    bytes -= static_cast<std::uint64_t>(copied);
  }
  std::vector<std::byte> piece;
  for (; bytes; bytes -= piece.size()) {
    piece.resize(static_cast<std::size_t>(std::min<std::uint64_t>(bytes, std::uint64_t{1} << 20)));
    from.read(from_offset, piece);
    to.write(to_offset, piece);
    from_offset += piece.size();
    to_offset += piece.size();
  }
}

void sync_folder(const std::filesystem::path& folder) {
  const int fd = ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) fail("cannot open the folder", folder, errno);
  const int error = ::fsync(fd) == 0 ? 0 : errno;
  ::close(fd);
  if (error && error != EINVAL && error != EROFS) fail("cannot bring to the disk the folder", folder, error);
}

}  // namespace bayesflow::io
