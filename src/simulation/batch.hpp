/// Running a user function once per simulation, on all cores, into one array.
#pragma once

#include <algorithm>
#include <cstdint>
#include <exception>

#include "bayesflow/core/array.hpp"
#include "bayesflow/core/rng.hpp"
#include "bayesflow/core/thread_pool.hpp"
#include "bayesflow/simulation/context.hpp"

namespace bayesflow::detail {

/// Throws ArgumentError unless batch_size is positive.
void require_batch(const char* what, std::int64_t batch_size);

/// Throws SimulationError if a value of `batch` is not finite. `parameters` (or null) are named with it.
void require_finite(const char* what, const Array& batch, const Array* parameters, std::uint64_t first_index, bool missing = false);

/// Inside a catch block: throws SimulationError with row `row`'s index and parameters and the text of the exception in flight.
[[noreturn]] void rethrow_simulation(const char* what, const Array* parameters, std::uint64_t first_index, std::int64_t row);
/// The same for a function that was called once for the whole batch.
[[noreturn]] void rethrow_batch(const char* what, std::int64_t batch_size, std::uint64_t first_index);
[[noreturn]] void fail_shape(const char* what, const Shape& got, const Shape& first, std::uint64_t first_index, std::int64_t row);

/// (batch_size, ...) for rows of this shape; a scalar becomes one column.
Array allocate_batch(const char* what, const Shape& row, std::int64_t batch_size);

/// The generator's context, or an empty one without a generator's functions; errors begin with `owner`.
Context draw_context(const ContextGenerator& generator, const char* owner, std::int64_t batch_size, const Rng& streams,
                     std::uint64_t first_index, const std::optional<Array>& non_batchable);

/// What a batched function returned: its first axis must be the batch; one value per simulation becomes one column.
Array checked_batch(const char* what, Array out, std::int64_t batch_size);

/// call(i) -> Array for every i, stacked, finite or not. `parameters` (or null) are named in errors. Without an error nothing but arrays is
/// allocated: this runs inside training steps.
template <class Call>
Array run_batch(const char* what, std::int64_t batch_size, std::uint64_t first_index, bool parallel, ThreadPool* pool,
                const Array* parameters, const Call& call) {
  const auto guarded = [&](std::int64_t i) -> Array {
    try {
      return call(i);
    } catch (...) {
      rethrow_simulation(what, parameters, first_index, i);
    }
  };
  // The first result tells the shape of all. It is made before the parallel section, so that every later one can be copied to
  // its place and its storage go back to the cache of the thread that made it.
  const Array first = guarded(0);
  Array out = allocate_batch(what, first.shape(), batch_size);
  const std::int64_t width = first.size();
  std::copy_n(first.data(), width, out.data());
  const auto rest = [&](std::int64_t k) {
    const std::int64_t i = k + 1;
    const Array result = guarded(i);
    if (result.shape() != first.shape()) fail_shape(what, result.shape(), first.shape(), first_index, i);
    std::copy_n(result.data(), width, out.data() + i * width);
  };
  if (parallel && pool) {
    pool->for_each(batch_size - 1, rest);  // rethrows the failure of the lowest index
  } else {
    for (std::int64_t k = 0; k + 1 < batch_size; ++k) rest(k);
  }
  return out;
}

}  // namespace bayesflow::detail
