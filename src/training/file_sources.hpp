/// Batches from files of simulations.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "bayesflow/simulation/simulation_store.hpp"
#include "training/sources.hpp"

namespace bayesflow::training {

/// Leaves out rows that are not finite, or refuses them, as the user wished.
class FiniteRows {
 public:
  FiniteRows(NonFinitePolicy policy, NonFiniteCount so_far) : policy_(policy), count_(so_far) {}
  [[nodiscard]] Simulations operator()(Simulations simulations, const std::filesystem::path& file);
  [[nodiscard]] const NonFiniteCount& count() const { return count_; }

 private:
  NonFinitePolicy policy_;
  NonFiniteCount count_;
};

/// train_offline from a file: passes over it in a new order each epoch, with bounded memory.
class StreamSource : public BatchSource {
 public:
  StreamSource(SimulationStream stream, const Configurator& configurator, FiniteRows finite, std::uint64_t first_shuffle,
               std::int64_t epochs);
  std::int64_t epochs() const override { return epochs_; }
  std::int64_t steps(std::int64_t) const override { return steps_; }
  std::int64_t simulations(std::int64_t, std::int64_t) const override { return 0; }
  std::int64_t seen(std::int64_t epoch, std::int64_t step) const override { return seen_of(stream_.store().size(), steps_, epoch, step); }
  void make(std::int64_t epoch, std::int64_t step, ThreadPool* pool, PreparedBatch& batch) override;
  std::optional<Simulations> given(std::int64_t count) const override;

 private:
  SimulationStream stream_;
  const Configurator* configurator_;
  FiniteRows finite_;
  std::uint64_t first_shuffle_;
  std::int64_t epochs_, steps_, epoch_ = -1, next_ = 0;
};

/// train_from_presimulation: one epoch per file, batches in stored order.
class PresimulationSource : public BatchSource {
 public:
  using Loader = std::function<std::vector<Simulations>(const std::filesystem::path&)>;
  PresimulationSource(std::vector<std::filesystem::path> files, const Configurator& configurator, FiniteRows finite, Loader loader,
                      std::int64_t epochs, std::int64_t batch_size);
  std::int64_t epochs() const override { return epochs_; }
  std::int64_t steps(std::int64_t epoch) const override { return steps_[file_of(epoch)]; }
  std::int64_t total_steps() const override;
  std::int64_t simulations(std::int64_t, std::int64_t) const override { return 0; }
  std::int64_t seen(std::int64_t epoch, std::int64_t step) const override;
  void make(std::int64_t epoch, std::int64_t step, ThreadPool* pool, PreparedBatch& batch) override;
  std::optional<Simulations> given(std::int64_t count) const override;

 private:
  [[nodiscard]] std::size_t file_of(std::int64_t epoch) const { return static_cast<std::size_t>(epoch) % files_.size(); }
  std::vector<std::filesystem::path> files_;
  const Configurator* configurator_;
  FiniteRows finite_;
  Loader loader_;
  std::int64_t epochs_, batch_size_;
  std::vector<std::int64_t> steps_, rows_;  // per file
  std::int64_t open_ = -1, next_ = 0;       // the epoch whose file is open, and its next batch
  std::optional<SimulationStream> stream_;
  Dataset data_;
  Shuffle order_;
};

/// The file itself, or the files of a folder, ordered by the numbers in their names. Throws IoError if there is none.
[[nodiscard]] std::vector<std::filesystem::path> presimulated_files(const std::filesystem::path& path, bool any_ending);
/// "a2" before "a10".
[[nodiscard]] bool natural_less(const std::string& a, const std::string& b);
/// What tells one file of simulations from another.
[[nodiscard]] nlohmann::json describe_data(const SimulationStore& store);

}  // namespace bayesflow::training
