#include "core/fork.hpp"

#include <pthread.h>

namespace bayesflow::detail {

std::atomic<std::uint64_t> process_generation_counter{0};

namespace {

// Shared by those who delay forks; a fork that waits goes before further ones.
pthread_rwlock_t changes = PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP;

[[maybe_unused]] const int registered = pthread_atfork([] { pthread_rwlock_wrlock(&changes); }, [] { pthread_rwlock_unlock(&changes); },
                                                       [] {
                                                         changes = PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP;
                                                         process_generation_counter.fetch_add(1, std::memory_order_relaxed);
                                                       });

}  // namespace

DelayFork::DelayFork() { pthread_rwlock_rdlock(&changes); }
DelayFork::~DelayFork() { pthread_rwlock_unlock(&changes); }

}  // namespace bayesflow::detail
