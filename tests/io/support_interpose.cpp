#include "io/support_interpose.hpp"

#include <dlfcn.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>

namespace bayesflow::interpose {
namespace {

std::atomic<std::int64_t> bytes_left{-1};
std::atomic<bool> sync_fails{false}, rename_fails{false};

template <class F>
F next(const char* name) {
  return reinterpret_cast<F>(::dlsym(RTLD_NEXT, name));
}

}  // namespace

void fail_writes_after(std::int64_t bytes) { bytes_left = bytes; }
void fail_next_sync() { sync_fails = true; }
void fail_next_rename() { rename_fails = true; }
void reset() {
  bytes_left = -1;
  sync_fails = rename_fails = false;
}

}  // namespace bayesflow::interpose

using namespace bayesflow::interpose;

extern "C" ssize_t pwrite(int fd, const void* data, size_t size, off_t offset) {
  static const auto real = next<ssize_t (*)(int, const void*, size_t, off_t)>("pwrite");
  const std::int64_t left = bytes_left;
  if (left < 0) return real(fd, data, size, offset);
  const size_t now = std::min(size, static_cast<size_t>(left));
  if (now == 0 && size > 0) {
    errno = ENOSPC;
    return -1;
  }
  const ssize_t put = real(fd, data, now, offset);
  if (put > 0) bytes_left = left - put;
  return put;
}

extern "C" int fsync(int fd) {
  static const auto real = next<int (*)(int)>("fsync");
  if (!sync_fails.exchange(false)) return real(fd);
  errno = EIO;
  return -1;
}

extern "C" int rename(const char* from, const char* to) noexcept {
  static const auto real = next<int (*)(const char*, const char*)>("rename");
  if (!rename_fails.exchange(false)) return real(from, to);
  errno = EACCES;
  return -1;
}
