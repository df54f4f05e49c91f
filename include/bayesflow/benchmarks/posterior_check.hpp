/// Learned posteriors of benchmark problems beside reference posteriors.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <vector>

#include "bayesflow/amortizers/amortized_posterior.hpp"
#include "bayesflow/benchmarks/benchmark.hpp"
#include "bayesflow/core/array.hpp"
#include "bayesflow/diagnostics/table.hpp"
#include "bayesflow/diagnostics/two_sample.hpp"

namespace bayesflow::benchmarks {

/// One of sbibm's observations, numbered from 1.
struct Reference {
  Array observation;        ///< as the benchmark's simulator gives data
  Array true_parameters;    ///< (P): what the observation was simulated with
  Array posterior_samples;  ///< (10,000, P): draws of the posterior
};

/// Reads an observation and its reference posterior from the files of the package sbibm (pip download sbibm). `path` is the package's
/// folder, its folder tasks, or a problem's folder in there:
///   .../num_observation_K/observation.csv, true_parameters.csv, reference_posterior_samples.csv.bz2 (or .csv).
/// Throws IoError for a file that is missing or damaged, ConfigurationError if the benchmark is not sbibm's (Benchmark::from_sbibm), and
/// ShapeError for other numbers of columns.
[[nodiscard]] Reference read_reference(const Benchmark& benchmark, const std::filesystem::path& path, std::int64_t observation);

/// Settings of `posterior_check`.
struct PosteriorCheckOptions {
  std::vector<std::int64_t> observations{};  ///< their numbers; empty: 1 to 10
  std::int64_t n_samples = 0;                ///< draws for each; 0: as many as the reference has
  std::uint64_t seed = 0;                    ///< of the draws
  diagnostics::C2stOptions c2st{};
};

/// What is found for each observation.
struct PosteriorCheck {
  std::vector<std::int64_t> observations{};
  std::vector<diagnostics::C2st> c2st{};                         ///< 0.5: as the reference; 1: apart from it
  diagnostics::Estimate mean{};                                  ///< of the accuracies, and its standard error over observations
  [[nodiscard]] std::vector<diagnostics::Table> tables() const;  ///< "posterior_check"
};

/// (n_samples, P) draws of a posterior, given data as the benchmark's simulator gives them.
using PosteriorSampler = std::function<Array(const Array& data, std::int64_t n_samples, std::uint64_t seed)>;

/// Draws from a posterior for each observation, and classifier two-sample tests against the reference draws (diagnostics::c2st). Throws
/// what read_reference does, and ShapeError if draws have another shape.
[[nodiscard]] PosteriorCheck posterior_check(const Benchmark& benchmark, const PosteriorSampler& sampler, const std::filesystem::path& path,
                                             const PosteriorCheckOptions& options = {});
/// The same for an amortizer that was trained with the benchmark's configurator.
[[nodiscard]] PosteriorCheck posterior_check(const Benchmark& benchmark, const AmortizedPosterior& amortizer,
                                             const std::filesystem::path& path, const PosteriorCheckOptions& options = {});

}  // namespace bayesflow::benchmarks
