#include "training/interrupt.hpp"

namespace bayesflow {
namespace {
// A signal handler can only reach static storage; it is set while a guard lives.
volatile std::sig_atomic_t raised = 0;
void on_interrupt(int) { raised = 1; }
}  // namespace

InterruptGuard::InterruptGuard(bool enabled) : enabled_(enabled) {
  if (!enabled_) return;
  raised = 0;
  struct sigaction action {};
  action.sa_handler = on_interrupt;
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, &former_);
}

InterruptGuard::~InterruptGuard() {
  if (enabled_) sigaction(SIGINT, &former_, nullptr);
}

bool InterruptGuard::interrupted() const { return enabled_ && raised != 0; }

}  // namespace bayesflow
