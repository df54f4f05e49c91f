#include "training/interrupt.hpp"

#include <atomic>

namespace bayesflow {
namespace {
// A signal handler can only reach static storage; it is set while a guard lives. The handler may run on any thread.
std::atomic<bool> raised{false};
static_assert(std::atomic<bool>::is_always_lock_free);
struct sigaction former_int, former_term;
/// The second signal finds the former handlers: an end at once, or what the program around (an interpreter, say) does with it.
void on_interrupt(int signal) {
  raised.store(true, std::memory_order_relaxed);
  sigaction(signal, signal == SIGINT ? &former_int : &former_term, nullptr);
}
}  // namespace

InterruptGuard::InterruptGuard(bool enabled) : enabled_(enabled) {
  if (!enabled_) return;
  raised = false;
  struct sigaction action {};
  action.sa_handler = on_interrupt;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, nullptr, &former_int);
  sigaction(SIGTERM, nullptr, &former_term);
  // A signal that was ignored stays so: shells start background jobs like that.
  if (former_int.sa_handler != SIG_IGN) sigaction(SIGINT, &action, nullptr);
  if (former_term.sa_handler != SIG_IGN) sigaction(SIGTERM, &action, nullptr);
  former_int_ = former_int;
  former_term_ = former_term;
}

InterruptGuard::~InterruptGuard() {
  if (!enabled_) return;
  sigaction(SIGINT, &former_int_, nullptr);
  sigaction(SIGTERM, &former_term_, nullptr);
}

bool InterruptGuard::interrupted() const { return enabled_ && raised.load(std::memory_order_relaxed); }

}  // namespace bayesflow
