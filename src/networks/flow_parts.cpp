#include "networks/flow_parts.hpp"

#include <algorithm>
#include <numeric>

namespace bayesflow::networks {

std::vector<std::int32_t> draw_permutation(Rng& rng, std::int64_t n, const std::vector<std::int32_t>& before) {
  std::vector<std::int32_t> identity(static_cast<std::size_t>(n));
  std::iota(identity.begin(), identity.end(), 0);
  for (;;) {
    const std::vector<std::int64_t> drawn = rng.permutation(n);
    std::vector<std::int32_t> p(drawn.begin(), drawn.end());
    if (p == identity || (n > 2 && p == before)) continue;
    return p;
  }
}

Plan plan_of_flow(const Shape& targets) {
  constexpr std::int64_t kLeastRows = 16, kRowsPerChunk = 64;
  const std::int64_t items = targets[0], each = rows_per_item(targets), rows = items * each;
  if (rows > kFewRows) return plan_rows(items, each);
  if (rows < 2 * kLeastRows) return {.items = items};
  const std::int64_t chunks = std::min(items, std::max<std::int64_t>(2, rows / kRowsPerChunk));
  return {.items = items, .chunks = chunks, .lanes = chunks};
}

}  // namespace bayesflow::networks
