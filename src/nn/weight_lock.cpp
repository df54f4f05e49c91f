#include "bayesflow/nn/weight_lock.hpp"

#include <pthread.h>

#include <algorithm>
#include <vector>

#include "bayesflow/core/errors.hpp"
#include "core/fork.hpp"

namespace bayesflow::nn {
namespace {

constexpr std::uint32_t kReaders = (1U << 22) - 1, kWaiting = 1U << 22, kWriting = 1U << 23, kForks = ~std::uint32_t{0} << 24;

std::atomic<std::uint32_t> forks = 0;  // in the bits of kForks

/// The state in a word that this process wrote; a word from before a fork counts as unlocked.
std::uint32_t held(std::uint32_t word) { return (word & kForks) == forks.load(std::memory_order_relaxed) ? word & ~kForks : 0; }
std::uint32_t with_forks(std::uint32_t held) { return held | forks.load(std::memory_order_relaxed); }

/// The locks that this thread holds.
struct Holder {
  const WeightLock* lock;
  std::uint32_t forks;  // when it took the lock
  int depth = 0;
  bool writes = false, delays_forks = false;
};
thread_local std::vector<Holder> mine;

Holder* find(const WeightLock* lock) {
  const auto at = std::ranges::find(mine, lock, &Holder::lock);
  return at == mine.end() ? nullptr : &*at;
}

/// Whether the lock itself must be released now, and whether forks may go on then.
struct Release {
  bool lock = false, forks = false;
};
Release release(const WeightLock* lock) {
  const auto at = std::ranges::find(mine, lock, &Holder::lock);
  if (--at->depth > 0) return {};
  const Release out{at->forks == forks.load(std::memory_order_relaxed), at->delays_forks};
  mine.erase(at);
  return out;
}

[[maybe_unused]] const int registered = ::pthread_atfork(nullptr, nullptr, [] { forks += 1U << 24; });

}  // namespace

void WeightLock::begin_reading() {
  if (Holder* holder = find(this)) {
    ++holder->depth;
    return;
  }
  mine.push_back({this, forks.load(std::memory_order_relaxed), 1});
  for (std::uint32_t word = word_.load(std::memory_order_relaxed);;) {
    const std::uint32_t now = held(word);
    if (now == 0 && (word & kWriting)) {
      mine.pop_back();
      throw ConfigurationError(
          "this process was forked while another thread was updating the weights, so that its copy is of no training step: fork before "
          "the training begins or after it has ended, or load the model from a file");
    }
    if (now & (kWriting | kWaiting)) {
      word_.wait(word, std::memory_order_relaxed);
      word = word_.load(std::memory_order_relaxed);
    } else if (word_.compare_exchange_weak(word, with_forks(now + 1), std::memory_order_acquire, std::memory_order_relaxed)) {
      return;
    }
  }
}

void WeightLock::end_reading() noexcept {
  if (!release(this).lock) return;
  const std::uint32_t before = word_.fetch_sub(1, std::memory_order_release);
  if ((before & kReaders) == 1 && (before & kWaiting)) word_.notify_all();
}

void WeightLock::begin_writing(bool delays_forks) {
  if (Holder* holder = find(this)) {
    if (!holder->writes)
      throw ConfigurationError(
          "the weights would change while this thread computes with them: train before or after sample, log_posterior and save, not in a "
          "function that they call");
    ++holder->depth;
    return;
  }
  mine.push_back({this, forks.load(std::memory_order_relaxed), 1, true, delays_forks});
  for (std::uint32_t word = word_.load(std::memory_order_relaxed);;) {
    const std::uint32_t now = held(word);
    if ((now & ~kWaiting) == 0) {
      // Forks wait for the update, but never for readers, which may need what the forking thread holds (Python's GIL).
      if (delays_forks) bayesflow::detail::delay_forks();
      if (word_.compare_exchange_weak(word, with_forks(kWriting), std::memory_order_acquire, std::memory_order_relaxed)) return;
      if (delays_forks) bayesflow::detail::stop_delaying_forks();
    } else if (now & kWaiting) {
      word_.wait(word, std::memory_order_relaxed);
      word = word_.load(std::memory_order_relaxed);
    } else if (word_.compare_exchange_weak(word, with_forks(now | kWaiting), std::memory_order_relaxed)) {
      word |= kWaiting;
    }
  }
}

void WeightLock::end_writing() noexcept {
  const Release now = release(this);
  if (now.lock) {
    word_.store(with_forks(0), std::memory_order_release);
    word_.notify_all();
  }
  if (now.forks) bayesflow::detail::stop_delaying_forks();
}

}  // namespace bayesflow::nn
