/// Objects that one caller may use at a time.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string_view>
#include <thread>

#include "core/fork.hpp"

namespace bayesflow::detail {

/// A mutex that knows its holder, so that a thread that would wait for itself can be told.
class OwnedMutex {
 public:
  void lock() {
    mutex_.lock();
    owner_.store(std::this_thread::get_id());
  }
  void unlock() {
    owner_.store(std::thread::id());
    mutex_.unlock();
  }
  [[nodiscard]] bool is_mine() const { return owner_.load() == std::this_thread::get_id(); }

 private:
  std::mutex mutex_;
  std::atomic<std::thread::id> owner_{};
};

/// Marks the use of an object whose use changes it: a second user gets a sentence instead of waiting.
class InUse {
 public:
  /// The use. Throws ConfigurationError if there is one already, or if there was one in the parent process when this one was forked.
  class Scope {
   public:
    /// "Trainer::train_online", "trainer is training", what to do.
    Scope(InUse& object, std::string_view function, std::string_view state, std::string_view advice)
        : Scope(object.by_, function, state, advice) {}
    /// The same for an object of a public class, which holds the number itself, 0 at first.
    Scope(std::atomic<std::uint64_t>& by, std::string_view function, std::string_view state, std::string_view advice);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    std::atomic<std::uint64_t>& by_;
  };
  [[nodiscard]] bool now() const { return by_.load() == process_generation() + 1; }

 private:
  std::atomic<std::uint64_t> by_{0};  // 0: not in use; otherwise 1 + the process generation
};

}  // namespace bayesflow::detail
