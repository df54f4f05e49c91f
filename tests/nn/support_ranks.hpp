/// Ranks of data-parallel training, played by threads of one process.
#pragma once

#include <algorithm>
#include <barrier>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "bayesflow/nn/reducer.hpp"

namespace bayesflow::nn {

class RanksInThreads {
 public:
  explicit RanksInThreads(int size) : meet_(size), parts_(static_cast<std::size_t>(size)), blocks_(parts_.size()) {}
  [[nodiscard]] int size() const { return static_cast<int>(parts_.size()); }

  /// f(reducer) on a thread for each rank.
  void run(const std::function<void(std::shared_ptr<Reducer>)>& f) {
    std::vector<std::thread> threads;
    for (int r = 0; r < size(); ++r) threads.emplace_back([this, r, &f] { f(std::make_shared<OfRank>(*this, r)); });
    for (std::thread& t : threads) t.join();
  }

 private:
  class OfRank final : public Reducer {
   public:
    OfRank(RanksInThreads& all, int rank) : all_(all), rank_(rank) {}
    [[nodiscard]] int rank() const override { return rank_; }
    [[nodiscard]] int size() const override { return all_.size(); }
    void all_sum(std::span<const float* const> parts, std::span<float> sum) override {
      all_.parts_[static_cast<std::size_t>(rank_)] = parts;
      all_.meet_.arrive_and_wait();
      std::vector<const float*> every;
      for (const auto& of_rank : all_.parts_) every.insert(every.end(), of_rank.begin(), of_rank.end());
      Reducer::all_sum(every, sum);
      all_.meet_.arrive_and_wait();
    }
    void all_gather(std::span<const std::byte> mine, std::span<std::byte> out) override {
      all_.blocks_[static_cast<std::size_t>(rank_)] = mine;
      all_.meet_.arrive_and_wait();
      auto to = out.begin();
      for (const auto& block : all_.blocks_) to = std::ranges::copy(block, to).out;
      all_.meet_.arrive_and_wait();
    }

   private:
    RanksInThreads& all_;
    int rank_;
  };

  std::barrier<> meet_;
  std::vector<std::span<const float* const>> parts_;
  std::vector<std::span<const std::byte>> blocks_;
};

}  // namespace bayesflow::nn
