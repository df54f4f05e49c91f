/// A small pool for short parallel sections.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <utility>

namespace bayesflow {

/// Runs numbered tasks on a fixed number of threads (the caller is one of them). Each thread begins with its share of consecutive
/// numbers, the same in every section, so that it is likely to find in its caches what it wrote in the last one, and then takes
/// over what disturbed threads have left. So which thread runs a task is open, and callers make tasks whose results do not depend
/// on it. Waiting threads spin briefly (sections of a training step are tens of microseconds apart), then sleep. The first
/// exception of a section, by task number, is rethrown on the caller's thread. While a section is going on, one that is started
/// inside its tasks, or by another thread, runs its tasks in place. In a forked child the pool starts threads of its own at its next
/// section.
class ThreadPool {
 public:
  explicit ThreadPool(int threads = 0);  ///< 0: as many as the machine has; ConfigurationError if it does not give so many
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  [[nodiscard]] int threads() const;

  /// task(context, i) for every i in [0, count); returns when all are done. No heap allocation.
  void run(std::int64_t count, void (*task)(void* context, std::int64_t index), void* context);

  /// The same with any callable: pool.for_each(n, [&](std::int64_t i) { ... });
  template <class F>
  void for_each(std::int64_t count, F&& f) {
    using Fn = std::remove_reference_t<F>;
    run(
        count, [](void* context, std::int64_t i) { (*static_cast<Fn*>(context))(i); }, const_cast<void*>(static_cast<const void*>(&f)));
  }

  /// job(context) once, on another thread than the caller's, beside the sections that follow: the other threads take over that thread's
  /// share of them until the job has ended. One job at a time: `finish_posted` waits for it. The job must not throw. Throws
  /// ConfigurationError if the pool has one thread only.
  void post(void (*job)(void* context), void* context);
  void finish_posted();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace bayesflow
