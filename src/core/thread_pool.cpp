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
#include "core/fork.hpp"
#include "core/interruption.hpp"

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
// about that long, and then sleeps, because a spinning thread takes time from other threads on its core.
constexpr int kSpins = 4000;

// A range of task units in one word, so that taking one is one compare-and-swap: generation of the section, next unit, end. The
// generation keeps a late worker from taking a unit of another section than the one that it woke for.
struct Range {
  std::uint64_t generation, next, end;
  static constexpr int kUnitBits = 18;
  static constexpr std::uint64_t kUnits = std::uint64_t{1} << kUnitBits, kGenerations = std::uint64_t{1} << (64 - 2 * kUnitBits);
  static Range unpack(std::uint64_t word) { return {word >> (2 * kUnitBits), word >> kUnitBits & (kUnits - 1), word & (kUnits - 1)}; }
  [[nodiscard]] std::uint64_t pack() const { return generation << (2 * kUnitBits) | next << kUnitBits | end; }
};

struct Section {
  void (*task)(void*, std::int64_t) = nullptr;
  void* context = nullptr;
  std::int64_t count = 0;
  std::int64_t unit = 1;  // consecutive tasks that are taken together: 1 below 2^18 tasks
  std::uint64_t generation = 0;
};

// One cache line each: a thread takes units of its own range without disturbing the others.
struct alignas(64) Slot {
  std::atomic<std::uint64_t> range{0};
};

/// What waiting threads poll: one cache line, so that noticing a new section and reading its fields costs one transfer between cores. A
/// late thread may read it while the next section is being written. It then takes no unit, because all units of the generation that it read
/// are taken. A thread that does take a unit has read the fields of that generation: the next one is written only when all units are done.
struct alignas(64) Command {
  std::atomic<std::uint64_t> generation{0};
  std::atomic<void (*)(void*, std::int64_t)> task{nullptr};
  std::atomic<void*> context{nullptr};
  std::atomic<std::int64_t> count{0}, unit{1};

  void write(const Section& s) {
    task.store(s.task, std::memory_order_relaxed);
    context.store(s.context, std::memory_order_relaxed);
    count.store(s.count, std::memory_order_relaxed);
    unit.store(s.unit, std::memory_order_relaxed);
    generation.store(s.generation, std::memory_order_seq_cst);
  }
  [[nodiscard]] Section read(std::uint64_t seen) const {
    return {task.load(std::memory_order_relaxed), context.load(std::memory_order_relaxed), count.load(std::memory_order_relaxed),
            unit.load(std::memory_order_relaxed), seen};
  }
};

}  // namespace

namespace {

/// The threads of one process, and what they share.
struct Threads {
  Command command;
  alignas(64) std::atomic<std::int64_t> done{0};
  std::vector<Slot> slots;
  alignas(64) std::atomic<int> sleepers{0};
  std::atomic<bool> caller_sleeps{false};
  std::atomic<bool> stop{false};
  std::atomic<bool> busy{false};    // a section is going on
  std::atomic<bool> posted{false};  // a job is to be done, or being done, by the last worker
  void (*job)(void*) = nullptr;
  void* job_context = nullptr;

  std::mutex mutex;
  std::condition_variable wake, finished;
  std::mutex error_mutex;
  std::exception_ptr error;
  static constexpr std::int64_t kInterrupted = -1;  // goes before the exceptions of tasks
  std::int64_t error_index = std::numeric_limits<std::int64_t>::max();
  std::vector<std::thread> workers;

  explicit Threads(int threads) : slots(static_cast<std::size_t>(threads)) {
    workers.reserve(static_cast<std::size_t>(threads - 1));
    try {
      for (int i = 1; i < threads; ++i) workers.emplace_back([this, i] { loop(static_cast<std::size_t>(i)); });
    } catch (const std::system_error& failure) {
      const std::size_t started = workers.size() + 1;
      join();
      throw ConfigurationError(
          fmt::format("ThreadPool: the machine gives no more than {} of {} threads ({}); ask for fewer", started, threads, failure.what()));
    } catch (...) {
      join();  // started threads must not outlive the pool
      throw;
    }
  }
  ~Threads() { join(); }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

  /// Takes a unit of a range, from its front (the owner) or its back (everybody else); -1: nothing is left.
  std::int64_t take(Slot& slot, std::uint64_t generation_now, bool front) {
    std::uint64_t seen = slot.range.load(std::memory_order_acquire);
    for (;;) {
      Range r = Range::unpack(seen);
      if (r.generation != generation_now || r.next >= r.end) return -1;
      const std::uint64_t taken = front ? r.next++ : --r.end;
      if (slot.range.compare_exchange_weak(seen, r.pack(), std::memory_order_acq_rel)) return static_cast<std::int64_t>(taken);
    }
  }

  /// Returns how many tasks the unit has.
  std::int64_t run_unit(const Section& s, std::int64_t unit) {
    const std::int64_t first = unit * s.unit, last = std::min(s.count, first + s.unit);
    for (std::int64_t index = first; index < last; ++index) {
      try {
        s.task(s.context, index);
      } catch (...) {
        const std::int64_t rank = detail::interrupted() ? kInterrupted : index;  // within the task
        const std::lock_guard lock(error_mutex);
        if (rank < error_index) {
          error_index = rank;
          error = std::current_exception();
        }
      }
    }
    return last - first;
  }

  /// Only on the caller's thread, which is number 0. Returns how many tasks are left undone: none, unless the check throws; then all that
  /// no thread has taken.
  std::int64_t end_if_interrupted(const Section& s) {
    try {
      if (!detail::interrupted()) detail::check_interruption();
    } catch (...) {
      const std::lock_guard lock(error_mutex);
      error_index = kInterrupted;
      error = std::current_exception();
    }
    if (!detail::interrupted()) return 0;
    std::int64_t left = 0;
    for (Slot& slot : slots)
      for (std::int64_t unit = 0; (unit = take(slot, s.generation, true)) >= 0;)
        left += std::min(s.count, (unit + 1) * s.unit) - unit * s.unit;
    return left;
  }

  /// The thread's own range first, then what others have left over. What was done is told once per range: the line of `done` travels
  /// between cores, which takes longer than a short task.
  void work(const Section& s, std::size_t self) {
    for (std::size_t k = 0; k < slots.size(); ++k) {
      Slot& slot = slots[(self + k) % slots.size()];
      std::int64_t ended = 0;
      for (std::int64_t unit = 0; (unit = take(slot, s.generation, k == 0)) >= 0;) {
        ended += run_unit(s, unit);
        if (self == 0) ended += end_if_interrupted(s);
      }
      if (ended == 0) continue;
      // Sequentially consistent on both sides: either this thread sees the caller asleep, or the caller sees the last task done.
      if (done.fetch_add(ended, std::memory_order_seq_cst) + ended == s.count && caller_sleeps.load(std::memory_order_seq_cst)) {
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

  void loop(std::size_t self) {
    const bool does_jobs = self + 1 == slots.size();
    const auto has_job = [&] { return does_jobs && posted.load(std::memory_order_acquire); };
    std::uint64_t last = 0;
    for (;;) {
      std::uint64_t now = command.generation.load(std::memory_order_acquire);
      for (int i = 0; i < kSpins && now == last && !has_job() && !stop.load(std::memory_order_relaxed); ++i) {
        relax();
        now = command.generation.load(std::memory_order_acquire);
      }
      if (has_job()) {
        job(job_context);
        const std::lock_guard lock(mutex);
        posted.store(false, std::memory_order_release);
        finished.notify_all();
        continue;
      }
      if (stop.load(std::memory_order_relaxed)) return;
      if (now != last) {
        last = now;
        work(command.read(now), self);
        continue;
      }
      // Sequentially consistent on both sides: either this thread sees the new section, or the caller sees a sleeper and wakes it.
      std::unique_lock lock(mutex);
      sleepers.fetch_add(1, std::memory_order_seq_cst);
      wake.wait(lock, [&] { return command.generation.load(std::memory_order_seq_cst) != last || stop.load() || has_job(); });
      sleepers.fetch_sub(1, std::memory_order_seq_cst);
    }
  }
};

}  // namespace

struct ThreadPool::State {
  int threads = 1;
  detail::PerProcess<Threads> in_process;
  Threads& here() {
    return in_process.get([this] { return std::make_unique<Threads>(threads); });
  }
};

ThreadPool::ThreadPool(int threads) {
  if (threads < 0)
    throw ConfigurationError(fmt::format("ThreadPool: threads must not be negative; got {} (0 means as many as the machine has)", threads));
  if (threads == 0) threads = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  constexpr int kMost = 1 << 16;  // no system starts more; the bookkeeping of a wrong number must not eat the memory either
  if (threads > kMost) throw ConfigurationError(fmt::format("ThreadPool: threads = {}; it must be at most {}", threads, kMost));
  state_ = std::make_unique<State>();
  state_->threads = threads;
  (void)state_->here();
}

ThreadPool::~ThreadPool() = default;

int ThreadPool::threads() const { return state_->threads; }

void ThreadPool::run(std::int64_t count, void (*task)(void*, std::int64_t), void* context) {
  Threads& s = state_->here();
  if (count <= 0) return;
  if (s.workers.empty() || count == 1 || s.busy.exchange(true, std::memory_order_acquire)) {
    // The same promise as below: every task runs, then the first exception goes on. An interruption ends both at once.
    std::exception_ptr first;
    for (std::int64_t i = 0; i < count; ++i) {
      detail::check_interruption();
      try {
        task(context, i);
      } catch (...) {
        if (detail::interrupted()) throw;
        if (!first) first = std::current_exception();
      }
    }
    if (first) std::rethrow_exception(first);
    return;
  }
  const std::uint64_t process = detail::process_generation();
  Section mine{task, context, count, 1, 0};
  mine.unit = (count + static_cast<std::int64_t>(Range::kUnits) - 2) / (static_cast<std::int64_t>(Range::kUnits) - 1);
  mine.generation = (s.command.generation.load(std::memory_order_relaxed) + 1) % Range::kGenerations;
  if (mine.generation == 0) mine.generation = 1;
  s.done.store(0, std::memory_order_relaxed);
  s.caller_sleeps.store(false, std::memory_order_relaxed);
  s.error = nullptr;
  s.error_index = std::numeric_limits<std::int64_t>::max();
  const auto units = static_cast<std::uint64_t>((count + mine.unit - 1) / mine.unit), threads = static_cast<std::uint64_t>(s.slots.size());
  for (std::uint64_t t = 0; t < threads; ++t)
    s.slots[t].range.store(Range{mine.generation, units * t / threads, units * (t + 1) / threads}.pack(), std::memory_order_release);
  s.command.write(mine);
  if (s.sleepers.load(std::memory_order_seq_cst) > 0) {
    const std::lock_guard lock(s.mutex);  // a thread on its way to sleep then waits already
    s.wake.notify_all();
  }
  s.work(mine, 0);
  for (int i = 0; i < kSpins && s.done.load(std::memory_order_acquire) < count; ++i) relax();
  if (s.done.load(std::memory_order_acquire) < count) {
    if (process != detail::process_generation())
      throw ConfigurationError(
          "ThreadPool: a task forked this process, and the pool's other threads are missing in the child; end the child there");
    std::unique_lock lock(s.mutex);
    s.caller_sleeps.store(true, std::memory_order_seq_cst);
    s.finished.wait(lock, [&] { return s.done.load(std::memory_order_seq_cst) >= count; });
  }
  const std::exception_ptr error = std::exchange(s.error, nullptr);
  s.busy.store(false, std::memory_order_release);
  if (error) std::rethrow_exception(error);
}

void ThreadPool::post(void (*job)(void*), void* context) {
  Threads& s = state_->here();
  if (s.workers.empty()) throw ConfigurationError("ThreadPool::post: the pool has one thread only, so there is none for a job beside it");
  finish_posted();
  const std::lock_guard lock(s.mutex);
  s.job = job;
  s.job_context = context;
  s.posted.store(true, std::memory_order_release);
  if (s.sleepers.load(std::memory_order_relaxed) > 0) s.wake.notify_all();
}

void ThreadPool::finish_posted() {
  Threads& s = state_->here();
  for (int i = 0; i < kSpins && s.posted.load(std::memory_order_acquire); ++i) relax();
  if (!s.posted.load(std::memory_order_acquire)) return;
  std::unique_lock lock(s.mutex);
  s.finished.wait(lock, [&] { return !s.posted.load(std::memory_order_acquire); });
}

}  // namespace bayesflow
