#include "training/interrupt.hpp"

#include <atomic>

namespace bayesflow {
namespace {
// A signal handler can only reach static storage; it is set while a guard lives. The handler may run on any thread.
std::atomic<bool> raised{false};
static_assert(std::atomic<bool>::is_always_lock_free);
void on_interrupt(int) { raised.store(true, std::memory_order_relaxed); }
}  // namespace

InterruptGuard::InterruptGuard(bool enabled) : enabled_(enabled) {
  if (!enabled_) return;
  raised = false;
  struct sigaction action {};
  action.sa_handler = on_interrupt;
  action.sa_flags = static_cast<int>(SA_RESETHAND | SA_RESTART);
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, &former_int_);
  sigaction(SIGTERM, &action, &former_term_);
  // A signal that was ignored stays so: shells start background jobs like that.
  if (former_int_.sa_handler == SIG_IGN) sigaction(SIGINT, &former_int_, nullptr);
  if (former_term_.sa_handler == SIG_IGN) sigaction(SIGTERM, &former_term_, nullptr);
}

InterruptGuard::~InterruptGuard() {
  if (!enabled_) return;
  sigaction(SIGINT, &former_int_, nullptr);
  sigaction(SIGTERM, &former_term_, nullptr);
}

bool InterruptGuard::interrupted() const { return enabled_ && raised.load(std::memory_order_relaxed); }

}  // namespace bayesflow
