/// Forked processes: only the thread that called fork() goes on in the child; locks and condition variables of others stay as they were.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>

namespace bayesflow::detail {

extern std::atomic<std::uint64_t> process_generation_counter;

/// Forks between the load of the library and this process: what another number was noted for belongs to a parent process.
inline std::uint64_t process_generation() noexcept { return process_generation_counter.load(std::memory_order_relaxed); }

/// A T for each process, made when it is first used there: threads, and the locks that they share. In a forked child the parent's T is left
/// as it is and never destroyed, because its threads do not exist there and its locks may be held for ever. `get` may be called by several
/// threads.
template <class T>
class PerProcess {
 public:
  PerProcess() = default;
  PerProcess(const PerProcess&) = delete;
  PerProcess& operator=(const PerProcess&) = delete;
  ~PerProcess() {
    Holder* holder = holder_.load(std::memory_order_acquire);
    if (holder && holder->generation == process_generation()) delete holder;
  }

  T& get() {
    return get([] { return std::make_unique<T>(); });
  }
  /// `make` returns a std::unique_ptr<T>.
  template <class Make>
  T& get(const Make& make) {
    Holder* holder = holder_.load(std::memory_order_acquire);
    if (holder && holder->generation == process_generation()) return *holder->value;
    auto mine = std::make_unique<Holder>(process_generation(), make());
    if (holder_.compare_exchange_strong(holder, mine.get(), std::memory_order_acq_rel)) return *mine.release()->value;
    return *holder->value;  // another thread was first
  }

 private:
  struct Holder {
    Holder(std::uint64_t g, std::unique_ptr<T> v) : generation(g), value(std::move(v)) {}
    std::uint64_t generation;
    std::unique_ptr<T> value;
  };
  std::atomic<Holder*> holder_{nullptr};
};

/// Deletes what this process made. A forked child leaves its copy as it is: threads that it shares memory with do not exist there.
template <class T>
struct DeleteInProcess {
  std::uint64_t generation = process_generation();
  void operator()(T* object) const {
    if (generation == process_generation()) delete object;
  }
};
template <class T>
using ProcessUnique = std::unique_ptr<T, DeleteInProcess<T>>;

template <class T, class... Arguments>
ProcessUnique<T> make_in_process(Arguments&&... arguments) {
  return ProcessUnique<T>(new T(std::forward<Arguments>(arguments)...));
}
template <class T>
bool is_of_this_process(const ProcessUnique<T>& object) {
  return object.get_deleter().generation == process_generation();
}

void delay_forks();
void stop_delaying_forks();

/// While one lives, a fork() of another thread waits, so that a child sees what is being changed either before or afterwards. A thread may
/// have several. Nothing may be waited for meanwhile that can itself wait for a fork: Python's GIL, for example, which os.fork() holds.
class DelayFork {
 public:
  DelayFork() { delay_forks(); }
  ~DelayFork() { stop_delaying_forks(); }
  DelayFork(const DelayFork&) = delete;
  DelayFork& operator=(const DelayFork&) = delete;
};

/// A pointer to something that does not change, which threads read and replace. No child is forked while its lock is held: std::mutex and
/// std::atomic<std::shared_ptr> stay locked for ever in a child that is forked while another thread of the parent has them.
template <class T>
class SharedPointer {
 public:
  [[nodiscard]] std::shared_ptr<const T> load() const {
    const DelayFork no_fork_meanwhile;
    const std::lock_guard lock(mutex_);
    return value_;
  }
  void store(std::shared_ptr<const T> value) {
    const DelayFork no_fork_meanwhile;
    const std::lock_guard lock(mutex_);
    value_.swap(value);  // the former one is freed without the lock
  }

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<const T> value_;
};

}  // namespace bayesflow::detail
