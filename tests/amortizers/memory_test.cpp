// Sampling works in blocks: beyond the draws themselves it needs no more memory for many than for few.
#include "support/allocations.hpp"

#if BAYESFLOW_COUNTS_ALLOCATIONS

#include <gtest/gtest.h>

#include "amortizers/support_posterior.hpp"

namespace bayesflow {
namespace {

TEST(SamplingMemory, BeyondTheDrawsDoesNotGrowWithTheirNumber) {
  const Inputs inputs = random_inputs({.sets = 3});
  const AmortizedPosterior amortizer = random_posterior(inputs, small_flow(2), {.threads = 2});
  (void)amortizer.sample(inputs, 50'000);  // the tapes of both threads grow to the size of a block
  const auto beyond_the_draws = [&](std::int64_t n) {
    allocations::peak_bytes = allocations::live_bytes.load();
    const long before = allocations::live_bytes;
    const Array draws = amortizer.sample(inputs, n);
    return allocations::peak_bytes - before - draws.size() * static_cast<long>(sizeof(double));
  };
  // The draws' own block is rounded up to whole pages, and is the only thing that grows.
  EXPECT_LT(beyond_the_draws(200'000), 64 * 1024);
  EXPECT_LT(beyond_the_draws(400'000), 64 * 1024);
}

}  // namespace
}  // namespace bayesflow

#endif
