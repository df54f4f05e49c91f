#include "bayesflow/nn/reducer.hpp"

#include <algorithm>

#include "kernels/elementwise.hpp"

namespace bayesflow::nn {

void Reducer::all_sum(std::span<const float* const> parts, std::span<float> sum) {
  const auto n = static_cast<std::int64_t>(sum.size());
  std::copy_n(parts[0], n, sum.data());
  for (const float* part : parts.subspan(1)) kernels::add(sum.data(), part, n);
}

void Reducer::all_gather(std::span<const std::byte> mine, std::span<std::byte> all) { std::ranges::copy(mine, all.begin()); }

}  // namespace bayesflow::nn
