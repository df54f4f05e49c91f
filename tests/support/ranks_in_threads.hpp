/// Ranks of data-parallel training, played by threads of one process.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "bayesflow/core/communicator.hpp"

namespace bayesflow {

class RanksInThreads {
 public:
  explicit RanksInThreads(int size) : blocks_(static_cast<std::size_t>(size)) {}
  [[nodiscard]] int size() const { return static_cast<int>(blocks_.size()); }

  /// f(communicator) on a thread for each rank.
  void run(const std::function<void(std::shared_ptr<Communicator>)>& f) {
    std::vector<std::thread> threads;
    for (int r = 0; r < size(); ++r) threads.emplace_back([this, r, &f] { f(std::make_shared<OfRank>(*this, r)); });
    for (std::thread& t : threads) t.join();
  }

 private:
  class OfRank final : public Communicator {
   public:
    OfRank(RanksInThreads& all, int rank) : all_(all), rank_(rank) {}
    [[nodiscard]] int rank() const override { return rank_; }
    [[nodiscard]] int size() const override { return all_.size(); }
    void all_gather(std::span<const std::byte> mine, std::span<std::byte> out) override {
      all_.blocks_[static_cast<std::size_t>(rank_)] = mine;
      all_.meet();
      auto to = out.begin();
      for (const auto& block : all_.blocks_) to = std::ranges::copy(block, to).out;
      all_.meet();
    }

   private:
    RanksInThreads& all_;
    int rank_;
  };

  /// Threads that wait sleep: on a busy machine, spinning ones keep each other from going on.
  void meet() {
    std::unique_lock lock(mutex_);
    const std::int64_t now = meetings_;
    if (++arrived_ < size()) return all_are_here_.wait(lock, [&] { return meetings_ != now; });
    arrived_ = 0;
    ++meetings_;
    all_are_here_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable all_are_here_;
  int arrived_ = 0;
  std::int64_t meetings_ = 0;
  std::vector<std::span<const std::byte>> blocks_;
};

}  // namespace bayesflow
