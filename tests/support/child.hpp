/// Forked children, for tests of what a child may do with objects that it inherits.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <stdexcept>
#include <string>

namespace bayesflow::support {

#if defined(__SANITIZE_THREAD__)
constexpr bool kForks = false;  // this sanitizer cannot start threads in a forked child, nor set signal handlers during a fork
#else
constexpr bool kForks = true;
#endif
#if defined(__SANITIZE_ADDRESS__)
constexpr bool kForksWhileOthersAllocate = false;  // a child waits for ever for the lock of this sanitizer's allocator (GCC 12)
#else
constexpr bool kForksWhileOthersAllocate = kForks;
#endif

/// After this a child is taken as one that hangs: long enough for a machine with much else to do.
constexpr unsigned kChildSeconds = 240;

/// What became of a child that ran f: "0" (it returned), "exit 3", "signal 14" (it hung), or the sentence of an exception.
template <class F>
std::string in_child(F&& f) {
  int ends[2];
  if (pipe(ends) != 0) return "no pipe";
  std::fflush(nullptr);
  const pid_t child = fork();
  if (child == 0) {
    alarm(kChildSeconds);
    std::string text = "0";
    try {
      f();
    } catch (const std::exception& error) {
      text = error.what();
    }
    const bool written = write(ends[1], text.data(), text.size()) == static_cast<ssize_t>(text.size());
    _exit(written ? 0 : 9);
  }
  close(ends[1]);
  std::string text;
  char part[4096];
  for (ssize_t n = 0; (n = read(ends[0], part, sizeof part)) > 0;) text.append(part, static_cast<std::size_t>(n));
  close(ends[0]);
  int status = 0;
  while (waitpid(child, &status, 0) < 0) {
  }
  if (WIFSIGNALED(status)) return "signal " + std::to_string(WTERMSIG(status));
  return WEXITSTATUS(status) == 0 && !text.empty() ? text : "exit " + std::to_string(WEXITSTATUS(status));
}

/// Throws if an outcome in a child is not what it must be.
inline void require_in_child(bool good, const char* what) {
  if (!good) throw std::runtime_error(what);
}

}  // namespace bayesflow::support
