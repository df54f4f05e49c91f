// Simulations run inside training steps: once the caches of Array are warm, none of the problems touches the heap.
#include "support/allocations.hpp"

#if BAYESFLOW_COUNTS_ALLOCATIONS

#include <gtest/gtest.h>

#include "bayesflow/benchmarks/benchmark.hpp"

namespace bayesflow::benchmarks {
namespace {

TEST(Benchmarks, WarmBatchesAllocateNothing) {
  for (const std::string& name : available_benchmarks()) {
    const GenerativeModel model = Benchmark(name).generative_model();
    for (std::uint64_t step = 0; step < 3; ++step) (void)model.simulate(32, 0, "training", 32 * step);
    const long before = allocations::count;
    for (std::uint64_t step = 3; step < 13; ++step) (void)model.simulate(32, 0, "training", 32 * step);
    EXPECT_EQ(allocations::count - before, 0) << name;
  }
}

}  // namespace
}  // namespace bayesflow::benchmarks

#endif
