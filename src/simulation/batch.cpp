#include "simulation/batch.hpp"

#include <fmt/format.h>

#include <cmath>
#include <string>

#include "bayesflow/core/errors.hpp"
#include "bayesflow/simulation/nonfinite.hpp"
#include "core/float32_range.hpp"

namespace bayesflow::detail {
namespace {

/// "[0.1, 2, ...]", at most ten values.
std::string describe(std::span<const double> values) {
  std::string out = "[";
  for (std::size_t i = 0; i < values.size() && i < 10; ++i) out += fmt::format("{}{:.6g}", i ? ", " : "", values[i]);
  return out + (values.size() > 10 ? ", ...]" : "]");
}

std::uint64_t index_of(std::uint64_t first_index, std::int64_t row) { return first_index + static_cast<std::uint64_t>(row); }

/// The text of the exception in flight, as the end of a sentence.
std::string failure() {
  try {
    throw;
  } catch (const std::exception& error) {
    return fmt::format("failed: {}", error.what());
  } catch (...) {
    return "failed with an exception that is not a std::exception";
  }
}

}  // namespace

void require_batch(const char* what, std::int64_t batch_size) {
  if (batch_size < 1) throw ArgumentError(fmt::format("{}: batch_size must be at least 1; got {}", what, batch_size));
}

void require_finite(const char* what, const Array& batch, const Array* parameters, std::uint64_t first_index, bool missing) {
  if (batch.all_finite()) return;
  const NonFinitePolicy policy{.missing = missing};
  for (std::int64_t i = 0; i < batch.dim(0); ++i) {
    const auto row = batch.row_values(i);
    const auto bad = std::find_if_not(row.begin(), row.end(), [&](double v) { return policy.allows(v); });
    if (bad == row.end()) continue;
    // Only data may be left out: that leaves the posterior given a finite simulation. `parameters` come with data.
    throw SimulationError(
        fmt::format("{}: simulation {} returned {} at entry {}{}; every value must be finite: check the {} there{}", what,
                    index_of(first_index, i), unsigned_nan(*bad), bad - row.begin(),
                    parameters && !parameters->empty() ? " with parameters " + describe(parameters->row_values(i)) : std::string(), what,
                    parameters ? ", or set TrainerOptions::nonfinite to NonFinite::drop, which leaves such simulations out" : ""));
  }
}

void rethrow_simulation(const char* what, const Array* parameters, std::uint64_t first_index, std::int64_t row) {
  throw SimulationError(fmt::format("{}: simulation {}{} {}", what, index_of(first_index, row),
                                    parameters ? " with parameters " + describe(parameters->row_values(row)) : std::string(), failure()));
}

void rethrow_batch(const char* what, std::int64_t batch_size, std::uint64_t first_index) {
  throw SimulationError(
      fmt::format("{}: the batch of simulations {} to {} {}", what, first_index, index_of(first_index, batch_size - 1), failure()));
}

void fail_shape(const char* what, const Shape& got, const Shape& first, std::uint64_t first_index, std::int64_t row) {
  throw SimulationError(
      fmt::format("{}: simulation {} returned shape {}, but simulation {} returned {}; return one shape for all simulations of a batch (a "
                  "size that varies "
                  "belongs into a non-batchable context)",
                  what, index_of(first_index, row), got.to_string(), first_index, first.to_string()));
}

Array allocate_batch(const char* what, const Shape& row, std::int64_t batch_size) {
  if (row.rank() == Shape::kMaxRank)
    throw SimulationError(fmt::format("{}: a simulation may have at most {} axes, because the batch is one more; got shape {}", what,
                                      Shape::kMaxRank - 1, row.to_string()));
  return uninitialized_array((row.rank() == 0 ? Shape{1} : row).prepend(batch_size));
}

Context draw_context(const ContextGenerator& generator, const char* owner, std::int64_t batch_size, const Rng& streams,
                     std::uint64_t first_index, const std::optional<Array>& non_batchable) {
  if (!generator.has_batchable() && !generator.has_non_batchable()) return {.batchable = {}, .non_batchable = non_batchable};
  try {
    return generator(batch_size, streams.branch("context"), first_index, non_batchable);
  } catch (const SimulationError& error) {
    throw SimulationError(fmt::format("{}: {}", owner, error.what()));
  }
}

Array checked_batch(const char* what, Array out, std::int64_t batch_size) {
  if (out.rank() == 0 || out.dim(0) != batch_size)
    throw SimulationError(fmt::format("{}: a batched function must return {} rows on axis 0, one per simulation; got shape {}", what,
                                      batch_size, out.shape().to_string()));
  if (out.rank() == 1) out = out.expand_dims(1);
  return out;
}

}  // namespace bayesflow::detail
