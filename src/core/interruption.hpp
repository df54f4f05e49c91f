/// Long calls that the caller's thread can end early: Python's bindings look for Ctrl-C while a call draws or computes diagnostics.
#pragma once

#include <chrono>

namespace bayesflow::detail {

/// While one lives, calls of the library on this thread run `check` about every kInterval, between two tasks. An exception of it ends the
/// call: tasks that have begun are finished, the others are not done. Training loops, which end between two steps, do not use it: see
/// InterruptGuard. The innermost one counts.
class InterruptionCheck {
 public:
  using Check = void (*)();
  static constexpr std::chrono::milliseconds kInterval{50};

  explicit InterruptionCheck(Check check) noexcept;
  ~InterruptionCheck();
  InterruptionCheck(const InterruptionCheck&) = delete;
  InterruptionCheck& operator=(const InterruptionCheck&) = delete;

 private:
  friend void check_interruption();
  friend bool interrupted() noexcept;
  Check check_;
  bool interrupted_ = false;
  InterruptionCheck* outer_;
  std::chrono::steady_clock::time_point last_;
};

/// Runs this thread's check, if there is one and kInterval has passed since it ran.
void check_interruption();

/// Whether this thread's check has thrown: whatever catches exceptions of tasks and goes on with others then does not.
bool interrupted() noexcept;

}  // namespace bayesflow::detail
