#include "bayesflow/simulation/simulator.hpp"

#include "bayesflow/core/errors.hpp"
#include "simulation/batch.hpp"

namespace bayesflow {

Simulator::Simulator(Function function, bool batched, SimulatorOptions options)
    : function_(std::move(function)), batched_(batched), options_(std::move(options)) {
  if (!function_) throw ConfigurationError("Simulator: the function is empty; give one that makes data from parameters");
}

SimulatedData Simulator::operator()(const Array& parameters, const Rng& streams, std::uint64_t first_index, ThreadPool* pool) const {
  SimulatedData out = draw(parameters, streams, first_index, pool, {});
  detail::require_finite("simulator", out.sim_data, &parameters, first_index);
  return out;
}

SimulatedData Simulator::draw(const Array& parameters, const Rng& streams, std::uint64_t first_index, ThreadPool* pool,
                              const std::optional<Array>& non_batchable_context) const {
  if (parameters.rank() < 1) throw ShapeError("Simulator: parameters need a batch axis; got a scalar");
  const std::int64_t batch_size = parameters.dim(0);
  detail::require_batch("Simulator", batch_size);
  Context context = detail::draw_context(options_.context, "simulator", batch_size, streams, first_index, non_batchable_context);
  SimulatedData out;
  if (batched_) {
    Rng rng = streams.at(first_index);
    Array data;
    try {
      data = function_(parameters, context, rng);
    } catch (...) {
      detail::rethrow_batch("simulator", batch_size, first_index);
    }
    out.sim_data = detail::checked_batch("simulator", std::move(data), batch_size);
  } else {
    out.sim_data = detail::run_batch("simulator", batch_size, first_index, options_.thread_safe, pool, &parameters, [&](std::int64_t i) {
      Rng rng = streams.at(first_index + static_cast<std::uint64_t>(i));
      const Array theta = parameters.row(i);
      if (!context.batchable) return function_(theta, context, rng);
      return function_(theta, Context{context.batchable->row(i), context.non_batchable}, rng);
    });
  }
  out.batchable_context = std::move(context.batchable);
  out.non_batchable_context = std::move(context.non_batchable);
  return out;
}

SimulatedData Simulator::operator()(const Array& parameters, std::uint64_t seed) const {
  return (*this)(parameters, Rng(seed, "simulator"));
}

}  // namespace bayesflow
