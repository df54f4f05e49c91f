#include "training/interrupt.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <mutex>
#include <vector>

namespace bayesflow {
namespace {

// A signal handler can only reach static storage. It may run on any thread.
std::atomic<std::uint64_t> received{0};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free && std::atomic<bool>::is_always_lock_free);

struct Handled {
  int signal;
  std::atomic<bool> armed{false};  // the next signal is for the trainings
  struct sigaction former {};
};
Handled handled[] = {{SIGINT}, {SIGTERM}};

void on_interrupt(int signal) {
  const int error = errno;
  Handled& h = handled[signal == SIGINT ? 0 : 1];
  if (h.armed.exchange(false, std::memory_order_acq_rel)) {
    received.fetch_add(1, std::memory_order_acq_rel);
  } else {
    // What the program around (an interpreter, say) does with it, or an end at once.
    sigaction(signal, &h.former, nullptr);
    raise(signal);
  }
  errno = error;
}

bool is_ours(const struct sigaction& action) { return (action.sa_flags & SA_SIGINFO) == 0 && action.sa_handler == on_interrupt; }

void arm(Handled& h) {
  struct sigaction present {};
  sigaction(h.signal, nullptr, &present);
  if (!is_ours(present)) {
    const bool is_plain = (present.sa_flags & SA_SIGINFO) == 0;
    if (is_plain && present.sa_handler == SIG_IGN) return;  // shells start background jobs like that
    h.former = present;
    struct sigaction action {};
    action.sa_handler = on_interrupt;
    // System calls are restarted, unless the program's own handler wants them to end (Python's does).
    action.sa_flags = is_plain && present.sa_handler == SIG_DFL ? SA_RESTART : present.sa_flags & SA_RESTART;
    sigemptyset(&action.sa_mask);
    h.armed.store(true, std::memory_order_release);
    sigaction(h.signal, &action, nullptr);
  } else {
    h.armed.store(true, std::memory_order_release);
  }
}

void disarm(Handled& h) {
  h.armed.store(false, std::memory_order_release);
  struct sigaction present {};
  sigaction(h.signal, nullptr, &present);
  if (is_ours(present)) sigaction(h.signal, &h.former, nullptr);
}

}  // namespace

class InterruptRegistry {
 public:
  static InterruptRegistry& instance() {
    static InterruptRegistry* const registry = new InterruptRegistry;  // never destroyed: threads may outlive static objects
    return *registry;
  }
  void add(InterruptGuard& guard) {
    const std::lock_guard lock(mutex_);
    const std::uint64_t now = received.load(std::memory_order_acquire);
    const bool pending = std::ranges::any_of(guards_, [now](const InterruptGuard* g) { return g->noticed_.load() < now; });
    guards_.push_back(&guard);
    guard.before_ = pending ? now - 1 : now;
    guard.noticed_ = guard.before_;
    if (!pending) std::ranges::for_each(handled, arm);
  }
  void remove(InterruptGuard& guard) {
    const std::lock_guard lock(mutex_);
    std::erase(guards_, &guard);
    if (guards_.empty()) std::ranges::for_each(handled, disarm);
  }

 private:
  InterruptRegistry() {
    pthread_atfork([] { instance().mutex_.lock(); }, [] { instance().mutex_.unlock(); }, [] { instance().begin_child(); });
  }
  /// A forked child has the forking thread's trainings only.
  void begin_child() {
    const bool had = !guards_.empty();
    std::erase_if(guards_, [](const InterruptGuard* g) { return !pthread_equal(g->thread_, pthread_self()); });
    if (had && guards_.empty()) std::ranges::for_each(handled, disarm);
    mutex_.unlock();
  }

  std::mutex mutex_;
  std::vector<InterruptGuard*> guards_;
};

[[maybe_unused]] static const InterruptRegistry& made_at_load = InterruptRegistry::instance();

InterruptGuard::InterruptGuard(bool enabled) : enabled_(enabled), thread_(pthread_self()) {
  if (enabled_) InterruptRegistry::instance().add(*this);
}

InterruptGuard::~InterruptGuard() {
  if (enabled_) InterruptRegistry::instance().remove(*this);
}

bool InterruptGuard::interrupted() const {
  if (!enabled_) return false;
  const std::uint64_t now = received.load(std::memory_order_acquire);
  if (now <= before_) return false;
  noticed_.store(now);
  return true;
}

std::uint64_t InterruptGuard::signals() { return received.load(std::memory_order_acquire); }

}  // namespace bayesflow
