/// Simulators that are programs of their own: R, Octave, Julia, Fortran, C, a shell script.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bayesflow/core/array.hpp"
#include "bayesflow/core/log.hpp"
#include "bayesflow/core/rng.hpp"
#include "bayesflow/simulation/context.hpp"

namespace bayesflow {

/// How requests and answers are written; docs/external_programs.md has the three with examples.
///   json    {"simulation": 17, "seed": 5, "parameters": [0.5, 1], "context": []} -> {"simulation": 17, "data": [[1, 2], [3, 4]]}
///   csv     17,5,2,0.5,1 (number, seed, how many parameters, parameters, context) -> 17,1,2,3,4 (number, values)
///   binary  int64 number, seed, parameters, context values; then these as float64 -> int64 number, values; then these as float64
enum class ExternalFormat : std::uint8_t { json, csv, binary };

/// Settings of an ExternalProgram.
struct ExternalProgramOptions {
  std::vector<std::string> command{};  ///< the program, found in PATH, and its arguments; no shell reads them
  ExternalFormat format = ExternalFormat::json;
  Shape shape{};                           ///< of a data set; rank 0: JSON's nesting tells it, other formats give one axis
  int workers = 0;                         ///< processes, at most; 0: as many as there are threads that simulate
  double timeout_seconds = 600;            ///< for one simulation, start of the program included
  std::vector<std::string> environment{};  ///< "NAME=value", beside the variables of this process
  Logger logger{};                         ///< is given what the program writes to standard error
  void validate() const;                   ///< throws ConfigurationError
};

/// A program that simulates. It is started at the first simulation, once for each worker, and kept running: it reads a request from
/// standard input, writes an answer to standard output, and ends when its input does. Its random numbers must come from the request's seed
/// alone; then simulation i is the same for any number of workers.
///   Simulator simulator(ExternalProgram({.command = {"Rscript", "model.R"}, .format = ExternalFormat::csv, .shape = {50, 4}}));
/// A program that ends, or is killed, is started again and asked again, three times for one simulation. Throws SimulationError if it does
/// not answer in time, ends, or answers something else than the data of this simulation, with the last lines of its standard error; and
/// ConfigurationError if it cannot be started. Copies share the processes. They end with the last copy, and with this process however that
/// ends (Linux). The number of the simulation is that of the Rng's stream.
class ExternalProgram {
 public:
  explicit ExternalProgram(ExternalProgramOptions options);
  [[nodiscard]] const ExternalProgramOptions& options() const;

  /// One data set: the function of a Simulator. The request's context has the batchable values, then the non-batchable ones.
  [[nodiscard]] Array operator()(const Array& parameters, const Context& context, Rng& rng) const;

  /// Simulations first, first + 1, ... on all workers: (batch, ...). Row b of `parameters` and `contexts` (batch, values) belongs to
  /// simulation first + b, whose stream is streams.at(first + b). `waiting`, if there is one, is called on this thread every 50 ms; an
  /// exception of it ends the programs that are at work and leaves. Throws SimulationError with number and parameters of the first
  /// simulation that failed.
  [[nodiscard]] Array simulate(const Array& parameters, const std::optional<Array>& contexts, const Rng& streams, std::uint64_t first = 0,
                               const std::function<void()>& waiting = {}) const;

  /// Ends the programs; the next simulation starts others. Not while one is going on.
  void close() const;
  /// Process ids of the programs that run and wait.
  [[nodiscard]] std::vector<std::int64_t> processes() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace bayesflow
