#include "bayesflow/core/thread_pool.hpp"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <limits>
#include <mutex>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace bayesflow {
namespace {

void relax() {
#if defined(__x86_64__)
  _mm_pause();
#else
  std::this_thread::yield();
#endif
}

// Sections of a training step are tens of microseconds apart; a sleeping thread needs about 50 to wake. So waiting spins for
// about that long, and then sleeps, because a spinning thread hurts whoever shares the core.
constexpr int kSpins = 4000;

thread_local const void* inside_pool = nullptr;

}  // namespace

struct ThreadPool::State {
  // A section. Written under the mutex by the caller before `generation` moves on.
  void (*task)(void*, std::int64_t) = nullptr;
  void* context = nullptr;
  std::int64_t count = 0;

  // Upper 32 bits: generation; lower 32: next task. A late worker compares the generation with the one it woke for, so that
  // it can never take a task of another section.
  std::atomic<std::uint64_t> ticket{0};
  std::atomic<std::int64_t> done{0};
  std::atomic<std::uint32_t> generation{0};
  std::atomic<int> sleepers{0};
  std::atomic<bool> caller_sleeps{false};
  std::atomic<bool> stop{false};

  std::mutex mutex;
  std::condition_variable wake, finished;
  std::mutex error_mutex;
  std::exception_ptr error;
  std::int64_t error_index = std::numeric_limits<std::int64_t>::max();
  std::vector<std::thread> workers;

  void work(std::uint32_t generation_now, void (*f)(void*, std::int64_t), void* c, std::int64_t n) {
    std::uint64_t seen = ticket.load(std::memory_order_acquire);
    for (;;) {
      if (static_cast<std::uint32_t>(seen >> 32) != generation_now) break;
      const auto index = static_cast<std::int64_t>(seen & 0xFFFFFFFFU);
      if (index >= n) break;
      if (!ticket.compare_exchange_weak(seen, seen + 1, std::memory_order_acq_rel)) continue;
      try {
        f(c, index);
      } catch (...) {
        const std::lock_guard lock(error_mutex);
        if (index < error_index) {
          error_index = index;
          error = std::current_exception();
        }
      }
      seen = ticket.load(std::memory_order_acquire);
      if (done.fetch_add(1, std::memory_order_acq_rel) + 1 == n && caller_sleeps.load(std::memory_order_seq_cst)) {
        const std::lock_guard lock(mutex);
        finished.notify_all();
      }
    }
  }

  void loop() {
    inside_pool = this;
    std::uint32_t last = 0;
    for (;;) {
      std::uint32_t now = generation.load(std::memory_order_seq_cst);
      for (int i = 0; i < kSpins && now == last && !stop.load(std::memory_order_relaxed); ++i) {
        relax();
        now = generation.load(std::memory_order_acquire);
      }
      void (*f)(void*, std::int64_t);
      void* c;
      std::int64_t n;
      {
        // The mutex makes the section's fields readable and pairs them with their generation.
        std::unique_lock lock(mutex);
        if (generation.load(std::memory_order_relaxed) == last && !stop.load()) {
          sleepers.fetch_add(1, std::memory_order_seq_cst);
          wake.wait(lock, [&] { return generation.load(std::memory_order_relaxed) != last || stop.load(); });
          sleepers.fetch_sub(1, std::memory_order_seq_cst);
        }
        if (stop.load()) return;
        last = generation.load(std::memory_order_relaxed);
        f = task;
        c = context;
        n = count;
      }
      work(last, f, c, n);
    }
  }
};

ThreadPool::ThreadPool(int threads) : state_(std::make_unique<State>()) {
  if (threads <= 0) threads = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  State* s = state_.get();
  s->workers.reserve(static_cast<std::size_t>(threads - 1));
  for (int i = 1; i < threads; ++i) s->workers.emplace_back([s] { s->loop(); });
}

ThreadPool::~ThreadPool() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->stop.store(true);
    state_->wake.notify_all();
  }
  for (std::thread& w : state_->workers) w.join();
}

int ThreadPool::threads() const { return static_cast<int>(state_->workers.size()) + 1; }

void ThreadPool::run(std::int64_t count, void (*task)(void*, std::int64_t), void* context) {
  State& s = *state_;
  if (count <= 0) return;
  if (s.workers.empty() || count == 1 || inside_pool == &s) {
    // The same promise as below: every task runs, then the first exception goes on.
    std::exception_ptr first;
    for (std::int64_t i = 0; i < count; ++i) {
      try {
        task(context, i);
      } catch (...) {
        if (!first) first = std::current_exception();
      }
    }
    if (first) std::rethrow_exception(first);
    return;
  }
  std::uint32_t generation = 0;
  {
    const std::lock_guard lock(s.mutex);
    s.task = task;
    s.context = context;
    s.count = count;
    s.done.store(0, std::memory_order_relaxed);
    s.caller_sleeps.store(false, std::memory_order_relaxed);
    s.error = nullptr;
    s.error_index = std::numeric_limits<std::int64_t>::max();
    generation = s.generation.load(std::memory_order_relaxed) + 1;
    if (generation == 0) generation = 1;
    s.ticket.store(static_cast<std::uint64_t>(generation) << 32, std::memory_order_release);
    s.generation.store(generation, std::memory_order_seq_cst);
    if (s.sleepers.load(std::memory_order_seq_cst) > 0) s.wake.notify_all();
  }
  const void* outer = inside_pool;
  inside_pool = &s;
  s.work(generation, task, context, count);
  inside_pool = outer;
  for (int i = 0; i < kSpins && s.done.load(std::memory_order_acquire) < count; ++i) relax();
  if (s.done.load(std::memory_order_acquire) < count) {
    std::unique_lock lock(s.mutex);
    s.caller_sleeps.store(true, std::memory_order_seq_cst);
    s.finished.wait(lock, [&] { return s.done.load(std::memory_order_acquire) >= count; });
  }
  if (s.error) {
    const std::exception_ptr error = s.error;
    s.error = nullptr;
    std::rethrow_exception(error);
  }
}

}  // namespace bayesflow
