/// Who may look at weights while they are trained.
#pragma once

#include <atomic>
#include <cstdint>

namespace bayesflow::nn {

/// A lock of many readers or one writer. A training step writes for as long as its update takes; a draw, a density or a save reads for one
/// call, and so sees the weights of one step. A writer that waits holds back new readers, so that training never starves.
/// A thread that reads may read again, and the thread that writes may read and write again. A process that was forked does not wait for
/// threads that it does not have.
///
/// Writing is for anything, Updating for what takes little time: a fork() of another thread waits for its end, so that a forked child has
/// the weights from before or from afterwards.
class WeightLock {
 public:
  WeightLock() = default;
  WeightLock(const WeightLock&) = delete;
  WeightLock& operator=(const WeightLock&) = delete;
  /// Holds the weights for reading, as long as it lives; several threads at once.
  class Reading {
   public:
    /// Throws ConfigurationError in a process that was forked in the middle of a Writing: its weights are of no step.
    explicit Reading(WeightLock& lock) : lock_(lock) { lock_.begin_reading(); }
    ~Reading() { lock_.end_reading(); }
    Reading(const Reading&) = delete;
    Reading& operator=(const Reading&) = delete;

   private:
    WeightLock& lock_;
  };
  class Writing {
   public:
    /// Throws ConfigurationError if this thread is reading: it would wait for itself.
    explicit Writing(WeightLock& lock) : Writing(lock, false) {}
    ~Writing() { lock_.end_writing(); }
    Writing(const Writing&) = delete;
    Writing& operator=(const Writing&) = delete;

   protected:
    Writing(WeightLock& lock, bool delays_forks) : lock_(lock) { lock_.begin_writing(delays_forks); }

   private:
    WeightLock& lock_;
  };  ///< Holds them for writing, as long as it lives; one thread at a time
  class Updating : public Writing {
   public:
    /// Throws as Writing does.
    explicit Updating(WeightLock& lock) : Writing(lock, true) {}
  };  ///< Holds them for a write that takes little time

 private:
  void begin_reading();
  void end_reading() noexcept;
  void begin_writing(bool delays_forks);
  void end_writing() noexcept;

  // From the highest bit: how many forks lie between this process and the first one (modulo 256), a writer writes, a writer waits, readers.
  std::atomic<std::uint32_t> word_ = 0;
};

}  // namespace bayesflow::nn
