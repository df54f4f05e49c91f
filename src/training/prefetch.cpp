#include "training/prefetch.hpp"

#include <utility>

namespace bayesflow::training {

Prefetcher::Prefetcher(BatchSource& source, ThreadPool& pool, bool overlap, std::int64_t epoch, std::int64_t step)
    : source_(&source), pool_(&pool), next_{epoch, step}, overlap_(overlap) {}

Prefetcher::~Prefetcher() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void Prefetcher::advance(Position& p) const {
  if (++p.step < source_->steps(p.epoch)) return;
  p.step = 0;
  ++p.epoch;
}

Batch& Prefetcher::next() {
  while (!at_end(next_) && next_.step >= source_->steps(next_.epoch)) next_ = {next_.epoch + 1, 0};
  if (ordered_) {
    ordered_ = false;
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return work_ == Work::done; });
    work_ = Work::none;
    current_ = wanted_slot_;
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
  } else {
    Batch& batch = slots_[current_];
    batch.begin();
    source_->make(next_.epoch, next_.step, pool_, batch);
  }
  advance(next_);
  if (overlap_ && !at_end(next_)) order();
  return slots_[current_];
}

void Prefetcher::order() {
  if (!thread_.joinable()) thread_ = std::thread([this] { loop(); });
  {
    const std::lock_guard lock(mutex_);
    wanted_ = next_;
    wanted_slot_ = 1 - current_;
    work_ = Work::wanted;
  }
  ordered_ = true;
  changed_.notify_all();
}

void Prefetcher::loop() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return stop_ || work_ == Work::wanted; });
    if (stop_) return;
    const Position at = wanted_;
    Batch& batch = slots_[wanted_slot_];
    lock.unlock();
    std::exception_ptr error;
    try {
      batch.begin();
      source_->make(at.epoch, at.step, nullptr, batch);
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    error_ = error;
    work_ = Work::done;
    changed_.notify_all();
  }
}

}  // namespace bayesflow::training
