/// Simulating once, for later: simulations that are kept in a file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "bayesflow/data/simulations.hpp"
#include "bayesflow/simulation/nonfinite.hpp"

namespace bayesflow {

/// How numbers are stored. float64 loses nothing; float32 halves the file, and is what the networks compute with.
enum class StoredPrecision : std::uint8_t { float64, float32 };

/// Handed to the callback of presimulate after every batch or so.
struct PresimulationProgress {
  std::int64_t done = 0, total = 0;   ///< simulations in the file, and asked for
  double simulations_per_second = 0;  ///< of this call
  double seconds_left = 0;
};

/// Settings of GenerativeModel::presimulate.
struct PresimulateOptions {
  std::uint64_t seed = 0;       ///< simulation i of the file is a function of (seed, i), for any number of threads and calls
  std::int64_t batch_size = 0;  ///< simulations that share a non-batchable context; 0: 32 if there is one, else about 1 MiB
  StoredPrecision precision = StoredPrecision::float64;
  int threads = 0;  ///< 0: as many as the machine has
  NonFinitePolicy nonfinite = {};
  /// The file is a part of a larger one: it gets simulations first, ..., first + n - 1, without those that `nonfinite` drops. Parts of
  /// several processes or machines, each begun at a multiple of batch_size, become one file by join_simulations.
  std::optional<std::uint64_t> first = {};
  std::function<bool(const PresimulationProgress&)> progress = {};  ///< false: stop after this batch; the file keeps what it has
  void validate() const;                                            ///< throws ConfigurationError
};

/// What a call of presimulate did.
struct PresimulationSummary {
  std::int64_t simulations = 0;  ///< in the file now
  std::int64_t found = 0;        ///< in the file before
  NonFiniteCount nonfinite;      ///< of this call
  bool completed = true;         ///< false: the progress callback stopped it
  double seconds = 0;
  std::uint64_t file_bytes = 0;
};

/// Writes given simulations as a file of one batch, as presimulate does. Replaces the file at once or not at all. Throws IoError.
struct SaveSimulationsOptions {
  std::string model_name = "anonymous";
  std::vector<std::string> param_names = {};
  StoredPrecision precision = StoredPrecision::float64;
};
void save_simulations(const Simulations& simulations, const std::filesystem::path& path, const SaveSimulationsOptions& options = {});

/// Writes the parts (PresimulateOptions::first) of simulations 0, 1, ... as one file, the same, byte for byte, that one process would have
/// written. Their order is that of their simulations, not of `parts`. Replaces the file at once or not at all. Returns how many simulations
/// there are. Throws IoError if a part is not complete, is missing, is there twice, or has other settings than the first one.
std::int64_t join_simulations(const std::vector<std::filesystem::path>& parts, const std::filesystem::path& path);

}  // namespace bayesflow
