#include "bayesflow/core/thread_pool.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <limits>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "bayesflow/core/errors.hpp"

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
  std::atomic<bool> busy{false};  // a section is going on

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
      // Sequentially consistent on both sides: either this thread sees the caller asleep, or the caller sees the last task done.
      if (done.fetch_add(1, std::memory_order_seq_cst) + 1 == n && caller_sleeps.load(std::memory_order_seq_cst)) {
        const std::lock_guard lock(mutex);
        finished.notify_all();
      }
    }
  }

  void join() {
    {
      const std::lock_guard lock(mutex);
      stop.store(true);
      wake.notify_all();
    }
    for (std::thread& w : workers) w.join();
  }

  void loop() {
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
  if (threads < 0)
    throw ConfigurationError(fmt::format("ThreadPool: threads must not be negative; got {} (0 means as many as the machine has)", threads));
  if (threads == 0) threads = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  State* s = state_.get();
  s->workers.reserve(static_cast<std::size_t>(threads - 1));
  try {
    for (int i = 1; i < threads; ++i) s->workers.emplace_back([s] { s->loop(); });
  } catch (const std::system_error& error) {
    const std::size_t started = s->workers.size() + 1;
    s->join();
    throw ConfigurationError(
        fmt::format("ThreadPool: the machine gives no more than {} of {} threads ({}); ask for fewer", started, threads, error.what()));
  }
}

ThreadPool::~ThreadPool() { state_->join(); }

int ThreadPool::threads() const { return static_cast<int>(state_->workers.size()) + 1; }

void ThreadPool::run(std::int64_t count, void (*task)(void*, std::int64_t), void* context) {
  State& s = *state_;
  if (count <= 0) return;
  if (count > std::numeric_limits<std::uint32_t>::max())
    throw ArgumentError(
        fmt::format("ThreadPool::run: a section has at most {} tasks; got {}", std::numeric_limits<std::uint32_t>::max(), count));
  if (s.workers.empty() || count == 1 || s.busy.exchange(true, std::memory_order_acquire)) {
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
  s.work(generation, task, context, count);
  for (int i = 0; i < kSpins && s.done.load(std::memory_order_acquire) < count; ++i) relax();
  if (s.done.load(std::memory_order_acquire) < count) {
    std::unique_lock lock(s.mutex);
    s.caller_sleeps.store(true, std::memory_order_seq_cst);
    s.finished.wait(lock, [&] { return s.done.load(std::memory_order_seq_cst) >= count; });
  }
  const std::exception_ptr error = std::exchange(s.error, nullptr);
  s.busy.store(false, std::memory_order_release);
  if (error) std::rethrow_exception(error);
}

}  // namespace bayesflow
