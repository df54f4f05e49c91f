/// Ctrl-C and SIGTERM while a run is going on.
#pragma once

#include <csignal>

namespace bayesflow {

/// While it lives, the first SIGINT or SIGTERM only raises a flag, and another one of the same kind meets the former handlers, which by default
/// end the process at once. They come back afterwards in any case.
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
