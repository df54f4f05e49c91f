// Simulations run inside training steps of about two milliseconds: once the caches of Array are warm, they must not touch the heap.
#include "support/allocations.hpp"

#if BAYESFLOW_COUNTS_ALLOCATIONS

#include <gtest/gtest.h>

#include "bayesflow/simulation/generative_model.hpp"

namespace bayesflow {
namespace {

long allocations_of_a_warm_batch(const GenerativeModel& model) {
  for (std::uint64_t step = 0; step < 3; ++step) (void)model.simulate(32, 0, "training", 32 * step);
  const long before = allocations::count;
  for (std::uint64_t step = 3; step < 13; ++step) (void)model.simulate(32, 0, "training", 32 * step);
  return allocations::count - before;
}

TEST(Allocation, WarmBatchesAllocateNothing) {
  const Prior prior([](Rng& rng) { return rng.normal({4}); });
  const Simulator simulator([](const Array& theta, Rng& rng) { return rng.normal({50, 4}, theta); });
  EXPECT_EQ(allocations_of_a_warm_batch(GenerativeModel(prior, simulator)), 0);
}

TEST(Allocation, NeitherDoContexts) {
  const auto contexts = [] {
    return ContextGenerator(
        {.batchable = [](Rng& rng) { return rng.uniform({3}); }, .non_batchable = [](Rng& rng) { return rng.uniform({2}); }});
  };
  const Prior prior([](const Context& c, Rng& rng) { return rng.normal({3}, *c.batchable); }, {.context = contexts()});
  const Simulator simulator(
      [](const Array& theta, const Context& c, Rng& rng) {
        return rng.normal({5, 3}, theta + *c.batchable);
      },
      {.context = contexts()});
  EXPECT_EQ(allocations_of_a_warm_batch(GenerativeModel(prior, simulator)), 0);
}

}  // namespace
}  // namespace bayesflow

#endif
