/// Prior and simulator together.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bayesflow/core/log.hpp"
#include "bayesflow/core/thread_pool.hpp"
#include "bayesflow/data/simulations.hpp"
#include "bayesflow/simulation/nonfinite.hpp"
#include "bayesflow/simulation/presimulation.hpp"
#include "bayesflow/simulation/prior.hpp"
#include "bayesflow/simulation/simulator.hpp"

namespace bayesflow {

/// Settings of a GenerativeModel.
struct GenerativeModelOptions {
  std::string name = "anonymous";
  std::uint64_t seed = 0;  ///< of `model(batch_size)`; training has its own seed
  int threads = 0;         ///< threads for thread-safe functions outside training; 0: as many as the machine has
  bool skip_test = false;  ///< true: no pilot runs
  Logger logger{};         ///< receives the report of the pilot runs
};

/// What a batch function is asked for.
struct BatchRequest {
  std::int64_t batch_size = 1;
  Rng streams;                    ///< simulation i of the batch draws from streams.branch("prior").at(first_index + i), say
  std::uint64_t first_index = 0;  ///< of the batch, within the sequence that `streams` names
  std::optional<Array> prior_non_batchable_context = {};  ///< if there, to be taken instead of drawn: simulations are made again
  std::optional<Array> sim_non_batchable_context = {};
  ThreadPool* pool = nullptr;  ///< threads that the function may use; null: only its own
};

/// Makes whole batches: for models that are not a prior and a simulator of this library (of another language, say).
using BatchFunction = std::function<Simulations(const BatchRequest&)>;

/// What a batch function does not tell by itself.
struct BatchTraits {
  std::vector<std::string> param_names{};
  bool one_context_per_batch = false;  ///< a non-batchable context is drawn for each batch
  bool depends_on_batch = true;        ///< simulation i may come out otherwise in a batch of another size
  bool all_threads = false;            ///< it uses the request's pool, and may run on several threads at once
  bool reproducible = true;            ///< the same request gives the same batch; false: the function has random numbers of its own
};

/// p(parameters) p(data | parameters) as a program. Construction makes two pilot simulations and reports every shape.
class GenerativeModel {
 public:
  GenerativeModel(Prior prior, Simulator simulator, GenerativeModelOptions options = {});
  /// Unless its traits say otherwise, the function is called from one thread at a time, in training from another one than the trainer's
  /// (see Overlap).
  GenerativeModel(BatchFunction function, BatchTraits traits, GenerativeModelOptions options = {});

  /// Throw ConfigurationError if the model is a batch function.
  [[nodiscard]] const Prior& prior() const;
  [[nodiscard]] const Simulator& simulator() const;
  [[nodiscard]] const std::vector<std::string>& param_names() const;
  [[nodiscard]] const GenerativeModelOptions& options() const;
  /// The pilot runs' report, one line each (v1's wording of what is reported: shapes of draws, data, and the four contexts).
  [[nodiscard]] const std::vector<std::string>& pilot_report() const;
  /// All threads can simulate one batch: its functions are called per simulation and are thread-safe.
  [[nodiscard]] bool simulates_on_all_threads() const;
  /// A non-batchable context is drawn for each batch, so simulations of different batches may differ in shape.
  [[nodiscard]] bool has_non_batchable_context() const;
  /// Simulation i may come out otherwise in a batch of another size: a function makes the whole batch.
  [[nodiscard]] bool depends_on_batch() const;
  /// One seed, one result. False: a batch function with random numbers of its own.
  [[nodiscard]] bool is_reproducible() const;

  /// The next `batch_size` simulations of the model's own sequence: calls continue where the last one ended.
  [[nodiscard]] Simulations operator()(std::int64_t batch_size) const;

  /// Simulations first_index, first_index + 1, ... of the sequence named by (seed, purpose), on the pool's threads if there
  /// is one: a pure function of its arguments. Throws SimulationError.
  [[nodiscard]] Simulations simulate(std::int64_t batch_size, std::uint64_t seed, std::string_view purpose, std::uint64_t first_index,
                                     ThreadPool* pool = nullptr) const;
  /// The same, but simulations with data that are not finite are treated as `policy` says; what was done is added to `count`. Redrawn
  /// simulations keep the batch's non-batchable contexts, and are functions of (seed, purpose, index) as well.
  [[nodiscard]] Simulations simulate(std::int64_t batch_size, std::uint64_t seed, std::string_view purpose, std::uint64_t first_index,
                                     ThreadPool* pool, const NonFinitePolicy& policy, NonFiniteCount& count) const;

  /// What a request asks for, its data finite or not: a model is a batch function too, of which others are made.
  [[nodiscard]] Simulations make(const BatchRequest& request) const;

  /// Makes the file at `path` (by custom, "simulations.h5") hold `n` simulations, on all cores. A file that is not there is made; one
  /// that this model began with the same settings is continued: after a kill where it stopped, or beyond its former n. So a program
  /// may simply be run again. The file of n simulations is the same, byte for byte, however often it was interrupted. Throws
  /// IoError (another model's file, disk full, ...: what was complete stays) and SimulationError.
  PresimulationSummary presimulate(const std::filesystem::path& path, std::int64_t n, const PresimulateOptions& options = {}) const;

 private:
  void pilot();
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace bayesflow
