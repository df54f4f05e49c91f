#include "core/interruption.hpp"

namespace bayesflow::detail {

namespace {

thread_local InterruptionCheck* innermost = nullptr;

}  // namespace

InterruptionCheck::InterruptionCheck(Check check) noexcept : check_(check), outer_(innermost), last_(std::chrono::steady_clock::now()) {
  innermost = this;
}

InterruptionCheck::~InterruptionCheck() { innermost = outer_; }

void check_interruption() {
  InterruptionCheck* const mine = innermost;
  if (!mine) return;
  const auto now = std::chrono::steady_clock::now();
  if (now - mine->last_ < InterruptionCheck::kInterval) return;
  mine->last_ = now;
  mine->interrupted_ = true;
  mine->check_();
  mine->interrupted_ = false;
}

bool interrupted() noexcept { return innermost && innermost->interrupted_; }

}  // namespace bayesflow::detail
