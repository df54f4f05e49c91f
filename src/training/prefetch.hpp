/// Batches one after the other, made ahead of time if wished.
#pragma once

#include <array>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>

#include "training/sources.hpp"

namespace bayesflow::training {

/// Hands out a source's batches from a given position on. With overlap a thread of its own makes the next batch while the caller works with
/// the present one; the first is made by the caller, on all threads. A batch lies in the same place when it is handed out and when it is
/// made anew, so its memory stays with the thread that made it. What a source throws comes out of `next` for that batch.
class Prefetcher {
 public:
  Prefetcher(BatchSource& source, ThreadPool& pool, bool overlap, std::int64_t epoch, std::int64_t step);
  ~Prefetcher();
  Prefetcher(const Prefetcher&) = delete;
  Prefetcher& operator=(const Prefetcher&) = delete;

  /// Valid until the next call.
  Batch& next();

 private:
  struct Position {
    std::int64_t epoch = 0, step = 0;
  };
  [[nodiscard]] bool at_end(const Position& p) const { return p.epoch >= source_->epochs(); }
  void advance(Position& p) const;
  void order();  // asks the thread for the batch at next_
  void loop();

  BatchSource* source_;
  ThreadPool* pool_;
  Position next_;
  std::array<Batch, 2> slots_;
  std::size_t current_ = 0;
  bool overlap_, ordered_ = false;

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
