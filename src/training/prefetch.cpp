#include "training/prefetch.hpp"

#include <ctime>
#include <utility>

namespace bayesflow::training {
namespace {

double clock_seconds(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

}  // namespace

Prefetcher::Prefetcher(BatchSource& source, ThreadPool& pool, bool overlap, std::int64_t epoch, std::int64_t step)
    : source_(&source), pool_(&pool), next_{epoch, step}, overlap_(overlap) {}

Prefetcher::~Prefetcher() {
  if (pool_->threads() > 1) pool_->finish_posted();
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

PreparedBatch& Prefetcher::next() {
  while (!at_end(next_) && next_.step >= source_->steps(next_.epoch)) next_ = {next_.epoch + 1, 0};
  if (ordered_) {
    ordered_ = false;
    if (thread_.joinable()) {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return work_ == Work::done; });
      work_ = Work::none;
    } else {
      pool_->finish_posted();
    }
    current_ = wanted_slot_;
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
  } else {
    PreparedBatch& batch = slots_[current_];
    batch.begin();
    source_->make(next_.epoch, next_.step, pool_, batch);
  }
  advance(next_);
  if (overlap_ && !at_end(next_)) order();
  return slots_[current_];
}

void Prefetcher::order() {
  ordered_ = true;
  if (!waits_ && pool_->threads() > 1) {
    wanted_ = next_;
    wanted_slot_ = 1 - current_;
    pool_->post([](void* self) { static_cast<Prefetcher*>(self)->make_on_pool(); }, this);
    return;
  }
  if (!thread_.joinable()) thread_ = std::thread([this] { loop(); });
  {
    const std::lock_guard lock(mutex_);
    wanted_ = next_;
    wanted_slot_ = 1 - current_;
    work_ = Work::wanted;
  }
  changed_.notify_all();
}

void Prefetcher::make() {
  try {
    PreparedBatch& batch = slots_[wanted_slot_];
    batch.begin();
    source_->make(wanted_.epoch, wanted_.step, nullptr, batch);
    error_ = nullptr;
  } catch (...) {
    error_ = std::current_exception();
  }
}

void Prefetcher::make_on_pool() {
  const double wall = clock_seconds(CLOCK_MONOTONIC), cpu = clock_seconds(CLOCK_THREAD_CPUTIME_ID);
  make();
  wall_seconds_ += clock_seconds(CLOCK_MONOTONIC) - wall;
  cpu_seconds_ += clock_seconds(CLOCK_THREAD_CPUTIME_ID) - cpu;
  constexpr double kEnough = 0.02;  // seconds to judge by
  waits_ = wall_seconds_ > kEnough && cpu_seconds_ < 0.5 * wall_seconds_;
}

void Prefetcher::loop() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return stop_ || work_ == Work::wanted; });
    if (stop_) return;
    lock.unlock();
    make();
    lock.lock();
    work_ = Work::done;
    changed_.notify_all();
  }
}

}  // namespace bayesflow::training
