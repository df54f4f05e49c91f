/// Ctrl-C while a run is going on.
#pragma once

#include <csignal>

namespace bayesflow {

/// While it lives, SIGINT only raises a flag; the former handler comes back afterwards. A second SIGINT acts as before.
class InterruptGuard {
 public:
  explicit InterruptGuard(bool enabled);
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;
  [[nodiscard]] bool interrupted() const;

 private:
  bool enabled_;
  struct sigaction former_ {};
};

}  // namespace bayesflow
