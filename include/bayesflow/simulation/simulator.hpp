/// Simulators: functions from parameters to data.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <type_traits>

#include "bayesflow/core/array.hpp"
#include "bayesflow/core/rng.hpp"
#include "bayesflow/core/thread_pool.hpp"
#include "bayesflow/simulation/context.hpp"

namespace bayesflow {

/// Settings of a Simulator beside its function.
struct SimulatorOptions {
  ContextGenerator context{};  ///< makes the contexts that the function sees
  bool thread_safe = true;     ///< the function may run on several threads at once; false: one simulation after another
};

/// What a simulator call returns (v1's dictionary of the same keys).
struct SimulatedData {
  Array sim_data;  ///< (batch, ...)
  std::optional<Array> batchable_context;
  std::optional<Array> non_batchable_context;
};

/// A simulator. The function makes one data set from one parameter vector:
///   Simulator simulator([](const Array& theta, Rng& rng) { return rng.normal({50, 4}, theta); });
///   Simulator simulator([](const Array& theta, const Context& c, Rng& rng) {...}, {.context = ...});
/// or, batched, all data sets from (batch, parameters):
///   auto simulator = Simulator::batched([](const Array& thetas, Rng& rng) {...});
class Simulator {
 public:
  using Function = std::function<Array(const Array&, const Context&, Rng&)>;

  template <class F>
  requires std::is_invocable_r_v<Array, F&, const Array&, Rng&> || std::is_invocable_r_v<Array, F&, const Array&, const Context&, Rng&>
  explicit Simulator(F function, SimulatorOptions options = {}) : Simulator(wrap(std::move(function)), false, std::move(options)) {}

  template <class F>
  requires std::is_invocable_r_v<Array, F&, const Array&, Rng&> || std::is_invocable_r_v<Array, F&, const Array&, const Context&, Rng&>
  [[nodiscard]] static Simulator batched(F function, SimulatorOptions options = {}) {
    return Simulator(wrap(std::move(function)), true, std::move(options));
  }

  [[nodiscard]] bool is_batched() const { return batched_; }
  [[nodiscard]] const SimulatorOptions& options() const { return options_; }

  /// Simulates one data set per row of `parameters`. Simulation i of an unbatched simulator uses `streams.at(first_index + i)`.
  /// Throws SimulationError (with index and parameters) if the function throws, returns varying shapes or something not finite.
  [[nodiscard]] SimulatedData operator()(const Array& parameters, const Rng& streams, std::uint64_t first_index = 0,
                                         ThreadPool* pool = nullptr) const;
  [[nodiscard]] SimulatedData operator()(const Array& parameters, std::uint64_t seed = 0) const;

 private:
  friend class GenerativeModel;
  /// Data as they come, finite or not; with a given non-batchable context instead of a generated one.
  [[nodiscard]] SimulatedData draw(const Array& parameters, const Rng& streams, std::uint64_t first_index, ThreadPool* pool,
                                   const std::optional<Array>& non_batchable_context) const;
  Simulator(Function function, bool batched, SimulatorOptions options);

  template <class F>
  static Function wrap(F function) {
    if constexpr (std::is_invocable_v<F&, const Array&, Rng&>)
      return [f = std::move(function)](const Array& theta, const Context&, Rng& rng) mutable { return f(theta, rng); };
    else
      return function;
  }

  Function function_;
  bool batched_ = false;
  SimulatorOptions options_;
};

}  // namespace bayesflow
