/// What normalizing flows have in common.
#pragma once

#include <cstdint>
#include <vector>

#include "bayesflow/autodiff/plan.hpp"
#include "bayesflow/core/rng.hpp"
#include "bayesflow/core/shape.hpp"

namespace bayesflow::networks {

/// A permutation of n, random, never the identity, never the one before (both are possible from three on; of two, always the swap).
[[nodiscard]] std::vector<std::int32_t> draw_permutation(Rng& rng, std::int64_t n, const std::vector<std::int32_t>& before);

/// Batches of at most this many rows are not worth the usual cuts.
inline constexpr std::int64_t kFewRows = 512;
/// How the rows of targets are cut for flows whose layers have one network each, which would leave all threads but one without work: few
/// rows into chunks of at least 16, each with its own lane of gradients, which are worth the reduction; more as those of a summary network.
[[nodiscard]] Plan plan_of_flow(const Shape& targets);

}  // namespace bayesflow::networks
