/// What tests of several networks look at.
#pragma once

#include <cstdint>
#include <vector>

#include "bayesflow/core/array.hpp"
#include "bayesflow/core/rng.hpp"

namespace bayesflow {

inline double largest_difference(const Array& a, const Array& b) { return abs(a - b).max(); }

/// x (sets, observations, d) with the observations of all sets in one other order.
inline Array shuffled_observations(const Array& x, Rng& rng) {
  const std::vector<std::int64_t> order = rng.permutation(x.dim(1));
  Array out(x.shape());
  for (std::int64_t s = 0; s < x.dim(0); ++s)
    for (std::int64_t i = 0; i < x.dim(1); ++i)
      for (std::int64_t j = 0; j < x.dim(2); ++j) out(s, i, j) = x(s, order[static_cast<std::size_t>(i)], j);
  return out;
}

}  // namespace bayesflow
