#include "bayesflow/simulation/context.hpp"

#include <fmt/format.h>

#include "bayesflow/core/errors.hpp"
#include "simulation/batch.hpp"

namespace bayesflow {

ContextGenerator::ContextGenerator(ContextOptions options) : options_(std::move(options)) {
  if (options_.batchable && options_.batchable_from_non_batchable)
    throw ConfigurationError("ContextGenerator: give either `batchable` or `batchable_from_non_batchable`, not both");
  if (options_.batchable_from_non_batchable && !options_.non_batchable)
    throw ConfigurationError("ContextGenerator: `batchable_from_non_batchable` needs a `non_batchable` function to take its value from");
}

bool ContextGenerator::has_batchable() const { return options_.batchable || options_.batchable_from_non_batchable; }
bool ContextGenerator::has_non_batchable() const { return static_cast<bool>(options_.non_batchable); }

Context ContextGenerator::operator()(std::int64_t batch_size, const Rng& streams, std::uint64_t first_index,
                                     const std::optional<Array>& non_batchable) const {
  detail::require_batch("ContextGenerator", batch_size);
  Context context;
  if (non_batchable) {
    context.non_batchable = non_batchable;
  } else if (options_.non_batchable) {
    Rng rng = streams.branch("non_batchable", first_index);
    try {
      context.non_batchable = options_.non_batchable(rng);
    } catch (...) {
      detail::rethrow_batch("non-batchable context", batch_size, first_index);
    }
    if (!context.non_batchable->all_finite())
      throw SimulationError(
          fmt::format("non-batchable context: the value for the batch of simulations {} to {} is not finite; check the "
                      "function that makes it",
                      first_index, first_index + static_cast<std::uint64_t>(batch_size) - 1));
  }
  if (has_batchable()) {
    context.batchable = detail::run_batch("batchable context", batch_size, first_index, false, nullptr, nullptr, [&](std::int64_t i) {
      Rng rng = streams.at(first_index + static_cast<std::uint64_t>(i));
      return options_.batchable ? options_.batchable(rng) : options_.batchable_from_non_batchable(*context.non_batchable, rng);
    });
    detail::require_finite("batchable context", *context.batchable, nullptr, first_index);
  }
  return context;
}

}  // namespace bayesflow
