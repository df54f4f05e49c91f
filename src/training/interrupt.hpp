/// Ctrl-C and SIGTERM while a run is going on.
#pragma once

#include <csignal>

namespace bayesflow {

/// While it lives, the first SIGINT or SIGTERM only raises a flag, and another one of the same kind ends the process at once. The former
/// handlers come back afterwards.
class InterruptGuard {
 public:
  explicit InterruptGuard(bool enabled);
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;
  [[nodiscard]] bool interrupted() const;

 private:
  bool enabled_;
  struct sigaction former_int_ {
  }, former_term_{};
};

}  // namespace bayesflow
