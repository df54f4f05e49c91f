#include "core/fork.hpp"

#include <pthread.h>

namespace bayesflow::detail {

std::atomic<std::uint64_t> process_generation_counter{0};

namespace {

// Shared by those who delay forks; a fork that waits goes before further ones.
pthread_rwlock_t changes = PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP;

thread_local int delays = 0;  // how often this thread delays forks; the first time it takes the lock

// A thread that forks within a change of its own does not wait for itself: the change goes on in parent and child.
void before_fork() {
  if (delays) pthread_rwlock_unlock(&changes);
  pthread_rwlock_wrlock(&changes);
}
void after_fork_in_parent() {
  pthread_rwlock_unlock(&changes);
  if (delays) pthread_rwlock_rdlock(&changes);
}
void after_fork_in_child() {
  changes = PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP;
  process_generation_counter.fetch_add(1, std::memory_order_relaxed);
  if (delays) pthread_rwlock_rdlock(&changes);
}

[[maybe_unused]] const int registered = pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);

}  // namespace

void delay_forks() {
  if (delays++ == 0) pthread_rwlock_rdlock(&changes);
}
void stop_delaying_forks() {
  if (--delays == 0) pthread_rwlock_unlock(&changes);
}

}  // namespace bayesflow::detail
