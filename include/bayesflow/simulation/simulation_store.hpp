/// Reading files of simulations, also those that are larger than memory.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bayesflow/data/simulations.hpp"
#include "bayesflow/simulation/presimulation.hpp"

namespace bayesflow {

/// What a file of simulations says about itself.
struct SimulationStoreInfo {
  std::string model_name;
  std::vector<std::string> param_names;
  std::uint64_t seed = 0;
  StoredPrecision precision = StoredPrecision::float64;
  std::int64_t simulations = 0;        ///< that are complete
  std::int64_t batches = 0;            ///< that are complete
  std::int64_t batch_size = 0;         ///< of a full batch
  std::int64_t reserved = 0;           ///< simulations the file was made for; more than `simulations` if presimulate did not finish
  NonFiniteCount nonfinite;            ///< over all calls that wrote it
  bool one_context_per_batch = false;  ///< batches have non-batchable contexts or shapes of their own, so rows of different ones never mix
  std::uint32_t format_version = 0;
  std::string library_version;
};

/// An open file of simulations. Copies share it; all methods may be called from several threads. Files that are still being
/// written may be opened: what is complete at that moment is seen.
class SimulationStore {
 public:
  /// Throws IoError: no such file, another kind of file, a newer format, cut short, damaged.
  explicit SimulationStore(const std::filesystem::path& path);
  [[nodiscard]] const SimulationStoreInfo& info() const;
  [[nodiscard]] const std::filesystem::path& path() const;
  [[nodiscard]] std::int64_t size() const { return info().simulations; }
  [[nodiscard]] std::int64_t batches() const { return info().batches; }
  [[nodiscard]] std::int64_t rows(std::int64_t batch) const;  ///< simulations in a batch
  /// A batch as it was simulated. Its checksum is verified: IoError if the file was damaged.
  [[nodiscard]] Simulations batch(std::int64_t index) const;
  /// Everything at once. Throws ArgumentError if one_context_per_batch, unless there is one batch only.
  [[nodiscard]] Simulations read() const;

 private:
  friend class SimulationStream;
  struct State;
  std::shared_ptr<const State> state_;
};

/// Settings of a SimulationStream.
struct StreamOptions {
  std::int64_t batch_size = 32;
  std::int64_t buffer_bytes = std::int64_t{256} << 20;  ///< memory for simulations, in all; at least two stored batches are held
  bool shuffle = true;                                  ///< false: stored order
  std::uint64_t seed = 0;                               ///< of the order
  void validate() const;                                ///< throws ConfigurationError
};

/// Batches for training from a file of any size. An epoch yields every simulation exactly once; the last batch may be smaller.
///
/// Order: the stored batches of the file are permuted; as many of them as fit into half of the buffer form a window; the
/// simulations of a window are permuted uniformly, and training batches are cut from the windows one after the other, across their
/// borders. A file that fits into half of the buffer is one window: then all orders are equally likely. While one window is used, a
/// thread reads the next. If the store has one context per batch, training batches are cut from single stored batches, and it is
/// these pieces that are permuted within a window. The order is a function of (seed, epoch), not of timing.
///
/// `start` and `next` serve one caller at a time, in the process that made the stream: ConfigurationError otherwise.
class SimulationStream {
 public:
  SimulationStream(SimulationStore store, StreamOptions options = {});
  ~SimulationStream();
  SimulationStream(SimulationStream&&) noexcept;
  SimulationStream& operator=(SimulationStream&&) noexcept;

  [[nodiscard]] const SimulationStore& store() const;
  [[nodiscard]] std::int64_t batches_per_epoch() const;
  /// Goes to an epoch (from 0), and in it to training batch `first_batch`: a run that was interrupted continues exactly there.
  void start(std::int64_t epoch, std::int64_t first_batch = 0);
  /// The next training batch; nothing at the end of the epoch (then call `start` with the next one). A new stream stands at the
  /// start of epoch 0. Throws IoError if the file turns out to be damaged.
  [[nodiscard]] std::optional<Simulations> next();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace bayesflow
