/// Batches one after the other, made ahead of time if wished.
#pragma once

#include <array>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>

#include "training/sources.hpp"

namespace bayesflow::training {

/// Hands out a source's batches from a given position on. With overlap the next batch is made while the caller works with the present one;
/// the first is made by the caller, on all threads. A batch lies in the same place when it is handed out and when it is made anew, so its
/// memory stays where it was. What a source throws comes out of `next` for that batch.
///
/// Who makes the next batch: a thread of the pool, whose share of the training the others take over meanwhile. So there are never more busy
/// threads than cores: one thread more would take a core from a thread on which the others wait (measured: docs/training.md, Overlap). A
/// source that waits rather than computes (for another program, for a disk) is moved to a thread of its own, so that no core idles with it.
class Prefetcher {
 public:
  Prefetcher(BatchSource& source, ThreadPool& pool, bool overlap, std::int64_t epoch, std::int64_t step);
  ~Prefetcher();
  Prefetcher(const Prefetcher&) = delete;
  Prefetcher& operator=(const Prefetcher&) = delete;

  /// Valid until the next call.
  PreparedBatch& next();

 private:
  struct Position {
    std::int64_t epoch = 0, step = 0;
  };
  [[nodiscard]] bool at_end(const Position& p) const { return p.epoch >= source_->epochs(); }
  void advance(Position& p) const;
  void order();  // asks for the batch at next_
  void make();   // it, wherever this runs
  void make_on_pool();
  void loop();  // of the own thread

  BatchSource* source_;
  ThreadPool* pool_;
  Position next_;
  std::array<PreparedBatch, 2> slots_;
  std::size_t current_ = 0;
  bool overlap_, ordered_ = false;
  bool waits_ = false;                         // the source spends most of its time waiting
  double wall_seconds_ = 0, cpu_seconds_ = 0;  // of batches made on the pool

  std::thread thread_;
  std::mutex mutex_;
  std::condition_variable changed_;
  enum class Work { none, wanted, done };
  Work work_ = Work::none;
  bool stop_ = false;
  Position wanted_;
  std::size_t wanted_slot_ = 0;
  std::exception_ptr error_;
};

}  // namespace bayesflow::training
