/// Simulations that several processes make together.
#pragma once

#include <cstdint>
#include <string_view>

#include "bayesflow/simulation/generative_model.hpp"
#include "core/ranks.hpp"

namespace bayesflow::training {

/// What one rank has made of a batch.
struct SimulationShare {
  Simulations simulations;  ///< may have none
  NonFiniteCount count;     ///< of these alone
};

/// The share of this rank of simulations first, first + 1, ..., first + n - 1; no exchange, on any thread. Each rank makes as many as the
/// others where simulation i depends on i alone. A model that makes whole batches, or draws a context for each batch, would make others
/// in smaller batches: then rank 0 makes all.
[[nodiscard]] SimulationShare simulate_share(const detail::Ranks& ranks, const GenerativeModel& model, std::int64_t n, std::uint64_t seed,
                                             std::string_view purpose, std::uint64_t first, ThreadPool* pool,
                                             const NonFinitePolicy& policy);
/// The shares of all ranks, in their order; what was done about values that are not finite is added to `count`. On the thread that trains.
[[nodiscard]] Simulations join(detail::Ranks& ranks, const SimulationShare& mine, NonFiniteCount& count);

}  // namespace bayesflow::training
