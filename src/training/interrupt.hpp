/// Ctrl-C and SIGTERM while trainings are going on.
#pragma once

#include <pthread.h>

#include <atomic>
#include <cstdint>

namespace bayesflow {

/// While at least one lives, the first SIGINT or SIGTERM only asks the trainings to end, and the next one of the same kind meets the former
/// handlers, which by default end the process. One registry serves all guards of the process, so trainings may overlap in several threads
/// or begin within each other: a signal ends all that are going on, and those that begin before one of these has noticed it. The former
/// handlers are put back when the last guard ends, unless the program has set others meanwhile.
class InterruptGuard {
 public:
  explicit InterruptGuard(bool enabled);
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;
  [[nodiscard]] bool interrupted() const;

  /// Signals that trainings of this process have received.
  [[nodiscard]] static std::uint64_t signals();

 private:
  friend class InterruptRegistry;
  bool enabled_;
  pthread_t thread_;                               // that it was made in
  std::uint64_t before_ = 0;                       // signals that do not concern it
  mutable std::atomic<std::uint64_t> noticed_{0};  // signals when `interrupted` was last asked, if that was true
};

}  // namespace bayesflow
