/// Running an unbatched user function once per simulation, on all cores, into one array.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <string>

#include "bayesflow/core/array.hpp"
#include "bayesflow/core/errors.hpp"
#include "bayesflow/core/rng.hpp"
#include "bayesflow/core/thread_pool.hpp"

namespace bayesflow::detail {

inline void require_batch(const char* what, std::int64_t batch_size) {
  if (batch_size < 1) throw ArgumentError(fmt::format("{}: batch_size must be at least 1; got {}", what, batch_size));
}

/// "parameters [0.1, 2, ...]", at most ten values.
inline std::string describe(std::span<const double> values) {
  std::string out = "[";
  for (std::size_t i = 0; i < values.size() && i < 10; ++i) out += fmt::format("{}{:.6g}", i ? ", " : "", values[i]);
  return out + (values.size() > 10 ? ", ...]" : "]");
}

/// Throws SimulationError if a value of `batch` is not finite. `parameters` may be null.
inline void require_finite(const char* what, const Array& batch, const Array* parameters, std::uint64_t first_index) {
  if (batch.all_finite()) return;
  for (std::int64_t i = 0; i < batch.dim(0); ++i) {
    const auto row = batch.row_values(i);
    for (std::size_t k = 0; k < row.size(); ++k)
      if (!(row[k] - row[k] == 0)) {
        const std::string with = parameters ? " from parameters " + describe(parameters->row_values(i)) : "";
        throw SimulationError(fmt::format("{}: simulation {} returned {} at entry {}{}; every value must be finite: check the {} there, or drop "
                                          "such simulations in the configurator",
                                          what, first_index + static_cast<std::uint64_t>(i), row[k], k, with, what));
      }
  }
}

/// call(i) -> Array for every i, stacked. `parameters` (or null) are named in errors.
template <class Call>
Array run_batch(const char* what, std::int64_t batch_size, std::uint64_t first_index, bool parallel, ThreadPool* pool, const Array* parameters,
                Call call) {
  const auto guarded = [&](std::int64_t i) -> Array {
    const auto at = [&] {
      return fmt::format("{}: simulation {}{}", what, first_index + static_cast<std::uint64_t>(i),
                         parameters ? " with parameters " + describe(parameters->row_values(i)) : std::string());
    };
    try {
      return call(i);
    } catch (const std::exception& error) {
      throw SimulationError(fmt::format("{} failed: {}", at(), error.what()));
    } catch (...) {
      throw SimulationError(fmt::format("{} failed with an exception that is not a std::exception", at()));
    }
  };
  // The first result tells the shape of all.
  const Array first = guarded(0);
  Shape row = first.shape();
  if (row.rank() == 0) row = Shape{1};
  if (row.rank() == Shape::kMaxRank) throw SimulationError(fmt::format("{}: a simulation may have at most 5 axes; got shape {}", what, row.to_string()));
  Array out = uninitialized_array(row.prepend(batch_size));
  const std::int64_t width = first.size();
  std::copy_n(first.data(), width, out.data());
  const auto rest = [&](std::int64_t k) {
    const std::int64_t i = k + 1;
    const Array result = guarded(i);
    if (result.shape() != first.shape())
      throw SimulationError(
          fmt::format("{}: simulation {} returned shape {}, but simulation {} returned {}; return one shape for all simulations of a batch (a size "
                      "that varies belongs into a non-batchable context)",
                      what, first_index + static_cast<std::uint64_t>(i), result.shape().to_string(), first_index, first.shape().to_string()));
    std::copy_n(result.data(), width, out.data() + i * width);
  };
  if (parallel && pool) {
    pool->for_each(batch_size - 1, rest);
  } else {
    for (std::int64_t k = 0; k + 1 < batch_size; ++k) rest(k);
  }
  require_finite(what, out, parameters, first_index);
  return out;
}

/// What a batched function returned: its first axis must be the batch.
inline Array checked_batch(const char* what, Array out, std::int64_t batch_size, const Array* parameters, std::uint64_t first_index) {
  if (out.rank() == 0 || out.dim(0) != batch_size)
    throw SimulationError(fmt::format("{}: a batched function must return {} rows on axis 0, one per simulation; got shape {}", what, batch_size,
                                      out.shape().to_string()));
  if (out.rank() == 1) out = out.expand_dims(1);
  require_finite(what, out, parameters, first_index);
  return out;
}

}  // namespace bayesflow::detail
