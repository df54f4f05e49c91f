/// Ranks of scalar quantities of several parameters, for faults that single parameters do not show.
#pragma once

#include <cstdint>

#include "bayesflow/core/array.hpp"
#include "bayesflow/core/thread_pool.hpp"
#include "diagnostics/numbers.hpp"

namespace bayesflow::diagnostics {

/// All quantities are functions of a parameter vector that may also depend on the set of S + 1 vectors (truth and draws together)
/// but not on which of them is the truth: so the truth's rank is uniform for an exact posterior, whatever the quantity.
struct JointRanks {
  Array sums, differences;  ///< (B, pairs) of standardized parameters i > j: (1,0), (2,0), (2,1), ...
  Array correlation;        ///< (pairs) of the draws, mean over data sets
  Array distance;           ///< (B) squared Mahalanobis distance from the mean
  Array projections;        ///< (B, K) on the given directions
};
/// directions: (K, P), or empty. `with_pairs` leaves sums and differences empty if false.
JointRanks joint_ranks(const Array& draws, const Array& truths, const Sizes& n, const Array& directions, bool with_pairs,
                       std::uint64_t seed, ThreadPool& pool);

/// K random directions of length one: (K, P).
Array random_directions(std::int64_t count, std::int64_t parameters, std::uint64_t seed);

}  // namespace bayesflow::diagnostics
