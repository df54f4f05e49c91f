/// Where the batches of a run come from.
#pragma once

#include <cstdint>
#include <deque>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bayesflow/core/thread_pool.hpp"
#include "bayesflow/simulation/generative_model.hpp"
#include "bayesflow/training/options.hpp"
#include "training/dataset.hpp"
#include "training/shared_simulations.hpp"

namespace bayesflow::training {

/// A batch in the making; it is used again, so that its memory is.
struct PreparedBatch {
  Batch inputs;
  std::int64_t rows = 0;  // simulations that the configurator was given; 0: nothing is left of it, so there is no step
  NonFiniteCount count;   // of all batches up to this one
  std::vector<std::string> warnings;
  SimulationShare share;  // of several ranks: what this one has simulated for it
  void begin();
};

/// Batch `step` of epoch `epoch` (both from 0) is a function of these two numbers and of what the source was made from. So a run can go on
/// at any step, and the next batch can be made on another thread: `make` is called with growing (epoch, step), one call at a time.
class BatchSource {
 public:
  virtual ~BatchSource() = default;
  [[nodiscard]] virtual std::int64_t epochs() const = 0;
  [[nodiscard]] virtual std::int64_t steps(std::int64_t epoch) const = 0;
  [[nodiscard]] virtual std::int64_t total_steps() const { return epochs() * steps(0); }
  /// Simulations of the trainer's sequence that batches up to and including this one need.
  [[nodiscard]] virtual std::int64_t simulations(std::int64_t epoch, std::int64_t step) const = 0;
  /// Data sets that the network has seen after this batch: simulated ones, or given ones, which count once however often they come.
  [[nodiscard]] virtual std::int64_t seen(std::int64_t epoch, std::int64_t step) const { return simulations(epoch, step); }
  /// `pool` is null on another thread than the trainer's.
  virtual void make(std::int64_t epoch, std::int64_t step, ThreadPool* pool, PreparedBatch& batch) = 0;
  /// Of several ranks: makes the batch whole, with what the others have simulated; called on the trainer's thread, before `use`.
  virtual void join(PreparedBatch& /*batch*/) {}
  /// Whether `make` speaks to the other ranks, which can be done on the trainer's thread alone.
  [[nodiscard]] virtual bool makes_together() const { return false; }
  /// What to train on once the batch is there; called on the trainer's thread, before the next `make` that reuses `batch`.
  virtual const Batch& use(std::int64_t /*epoch*/, std::int64_t /*step*/, PreparedBatch& batch) { return batch.inputs; }
  /// The first of given simulations, at most `count`; nothing where they are simulated.
  [[nodiscard]] virtual std::optional<Simulations> given(std::int64_t /*count*/) const { return {}; }
};

/// Data sets of `rows` given ones, in `steps` batches an epoch, that were seen after batch `step` of epoch `epoch`.
[[nodiscard]] inline std::int64_t seen_of(std::int64_t rows, std::int64_t steps, std::int64_t epoch, std::int64_t step) {
  return epoch > 0 ? rows : rows * (step + 1) / steps;
}

/// Simulates for training, with the user's wish for values that are not finite, and counts these.
class Simulating {
 public:
  /// `ranks`: null for one.
  Simulating(const GenerativeModel& model, std::uint64_t seed, NonFinitePolicy policy, NonFiniteCount so_far, detail::Ranks* ranks)
      : model_(&model), seed_(seed), policy_(policy), count_(so_far), ranks_(ranks) {}
  /// All of them; of several ranks on the trainer's thread.
  [[nodiscard]] Simulations operator()(std::int64_t batch_size, std::uint64_t first, ThreadPool* pool) {
    if (ranks_) return join(share(batch_size, first, pool));
    return model_->simulate(batch_size, seed_, "train", first, pool, policy_, count_);
  }
  /// The same in two steps, the first of them on any thread.
  [[nodiscard]] SimulationShare share(std::int64_t batch_size, std::uint64_t first, ThreadPool* pool) const {
    return simulate_share(*ranks_, *model_, batch_size, seed_, "train", first, pool, policy_);
  }
  [[nodiscard]] Simulations join(const SimulationShare& mine) { return training::join(*ranks_, mine, count_); }
  [[nodiscard]] detail::Ranks* ranks() const { return ranks_; }
  [[nodiscard]] const GenerativeModel& model() const { return *model_; }
  [[nodiscard]] const NonFiniteCount& count() const { return count_; }
  void set_count(const NonFiniteCount& count) { count_ = count; }

 private:
  const GenerativeModel* model_;
  std::uint64_t seed_;
  NonFinitePolicy policy_;
  NonFiniteCount count_;
  detail::Ranks* ranks_;
};

/// train_online: every batch is simulated.
class OnlineSource : public BatchSource {
 public:
  OnlineSource(Simulating simulating, const Configurator& configurator, std::uint64_t first, std::int64_t epochs, std::int64_t iterations,
               std::int64_t batch_size);
  std::int64_t epochs() const override { return epochs_; }
  std::int64_t steps(std::int64_t) const override { return iterations_; }
  std::int64_t simulations(std::int64_t epoch, std::int64_t step) const override { return (epoch * iterations_ + step + 1) * batch_size_; }
  void make(std::int64_t epoch, std::int64_t step, ThreadPool* pool, PreparedBatch& batch) override;
  void join(PreparedBatch& batch) override;

 private:
  void fill(PreparedBatch& batch, const Simulations& simulations);

  Simulating simulating_;
  const Configurator* configurator_;
  std::uint64_t first_;
  std::int64_t epochs_, iterations_, batch_size_;
};

/// The newest batches; the oldest one makes room.
class ReplayBuffer {
 public:
  using Stored = std::shared_ptr<const Batch>;
  void set_capacity(std::int64_t batches);
  void store(Stored batch);
  [[nodiscard]] std::int64_t size() const { return static_cast<std::int64_t>(batches_.size()); }
  [[nodiscard]] const Batch& operator[](std::int64_t age_from_oldest) const { return *batches_[static_cast<std::size_t>(age_from_oldest)]; }
  [[nodiscard]] const std::deque<Stored>& batches() const { return batches_; }

 private:
  std::deque<Stored> batches_;  // the oldest first
  std::int64_t capacity_ = 1;
};

/// train_experience_replay: every batch is simulated and stored; training takes any of those stored.
class ReplaySource : public OnlineSource {
 public:
  ReplaySource(OnlineSource online, ReplayBuffer& buffer, std::uint64_t seed, std::uint64_t first_draw)
      : OnlineSource(std::move(online)), buffer_(&buffer), seed_(seed), first_draw_(first_draw) {}
  const Batch& use(std::int64_t epoch, std::int64_t step, PreparedBatch& batch) override;

 private:
  ReplayBuffer* buffer_;
  std::uint64_t seed_, first_draw_;
};

/// train_offline: passes over a dataset.
class OfflineSource : public BatchSource {
 public:
  /// Epoch e is shuffled by stream `first_shuffle` + e.
  OfflineSource(std::shared_ptr<const Dataset> data, const Configurator& configurator, std::uint64_t seed, std::uint64_t first_shuffle,
                std::int64_t epochs, std::int64_t batch_size);
  std::int64_t epochs() const override { return epochs_; }
  std::int64_t steps(std::int64_t) const override { return data_->number_of_batches(batch_size_); }
  std::int64_t simulations(std::int64_t, std::int64_t) const override { return 0; }
  std::int64_t seen(std::int64_t epoch, std::int64_t step) const override { return seen_of(data_->size(), steps(epoch), epoch, step); }
  void make(std::int64_t epoch, std::int64_t step, ThreadPool* pool, PreparedBatch& batch) override;
  std::optional<Simulations> given(std::int64_t count) const override { return data_->first(count); }

 private:
  std::shared_ptr<const Dataset> data_;
  const Configurator* configurator_;
  std::uint64_t seed_, first_shuffle_;
  std::int64_t epochs_, batch_size_, shuffled_epoch_ = -1;
  Shuffle shuffle_;
};

/// train_rounds: passes over a dataset that grows.
class RoundsSource : public BatchSource {
 public:
  struct Settings {
    std::int64_t rounds, sim_per_round, epochs, batch_size;
  };
  /// With a `folder` the simulations of each round are kept there and read instead of made again.
  RoundsSource(Simulating simulating, const Configurator& configurator, std::uint64_t seed, std::uint64_t first,
               std::uint64_t first_shuffle, Settings settings, bool overlap, std::filesystem::path folder);
  std::int64_t epochs() const override { return s_.rounds * s_.epochs; }
  std::int64_t steps(std::int64_t epoch) const override { return steps_of_round(epoch / s_.epochs); }
  std::int64_t total_steps() const override;
  std::int64_t simulations(std::int64_t epoch, std::int64_t) const override { return (epoch / s_.epochs + 1) * s_.sim_per_round; }
  void make(std::int64_t epoch, std::int64_t step, ThreadPool* pool, PreparedBatch& batch) override;
  bool makes_together() const override { return simulating_.ranks() != nullptr; }

 private:
  [[nodiscard]] bool found_file(std::uint64_t first, PreparedBatch& batch);
  [[nodiscard]] std::int64_t steps_of_round(std::int64_t round) const;
  void complete(std::int64_t round, ThreadPool* pool, PreparedBatch& batch);
  void simulate_next(std::int64_t until, ThreadPool* pool);

  Simulating simulating_;
  const Configurator* configurator_;
  std::uint64_t seed_, first_, first_shuffle_;
  Settings s_;
  bool overlap_;
  std::filesystem::path folder_;
  bool ragged_;                         // simulations with a context that is shared by a batch stay together
  Dataset data_;                        // complete rounds
  std::int64_t rounds_ = 0;             // complete ones
  std::vector<Simulations> next_;       // parts of the round in the making
  std::int64_t next_count_ = 0;         // simulations asked for so far
  std::vector<NonFiniteCount> counts_;  // up to each complete round
  std::int64_t shuffled_epoch_ = -1;
  Shuffle shuffle_;
};

}  // namespace bayesflow::training
