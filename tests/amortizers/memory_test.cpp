// Memory of inference: sampling works in blocks, and what a large pass needed goes back.
#include "support/allocations.hpp"

#if BAYESFLOW_COUNTS_ALLOCATIONS

#include <gtest/gtest.h>

#include <vector>

#include "amortizers/support_posterior.hpp"

namespace bayesflow {
namespace {

TEST(SamplingMemory, BeyondTheDrawsDoesNotGrowWithTheirNumber) {
  const Batch inputs = random_inputs({.sets = 3});
  const AmortizedPosterior amortizer = random_posterior(inputs, small_flow(2), {.threads = 2});
  // The tapes of both threads grow to the size of a pass; on a busy machine a thread may get its first piece of work late.
  for (int i = 0; i < 20; ++i) (void)amortizer.sample(inputs, 50'000);
  const auto beyond_the_draws = [&](std::int64_t n) {
    std::vector<float> draws(static_cast<std::size_t>(3 * n * 2));
    allocations::peak_bytes = allocations::live_bytes.load();
    const long before = allocations::live_bytes;
    amortizer.sample_into(draws, inputs, n);
    return allocations::peak_bytes - before;
  };
  EXPECT_LT(beyond_the_draws(200'000), 64 * 1024);
  EXPECT_LT(beyond_the_draws(400'000), 64 * 1024);
}

TEST(InferenceMemory, OfManyDataSetsIsGivenBack) {
  const Batch few = random_inputs({.sets = 10}), many = random_inputs({.sets = 60'000});
  const AmortizedPosterior amortizer = random_posterior(few, small_flow(2), {.threads = 1});  // of more, some may not get work
  const auto look_at_all = [&] {
    (void)amortizer.log_posterior(many);
    (void)amortizer.summary(many);
    (void)amortizer.forward(many);
    (void)amortizer.compute_loss(many);
    (void)amortizer.sample(many, 2);
  };
  look_at_all();  // results leave blocks in the arrays' own, bounded cache
  (void)amortizer.sample(few, 500);
  const long before = allocations::live_bytes;
  allocations::peak_bytes = before;
  look_at_all();
  EXPECT_GT(allocations::peak_bytes - before, 7'000'000);
  EXPECT_LT(allocations::live_bytes - before, 100'000);
  // What small passes need is kept: the next one finds it.
  (void)amortizer.sample(few, 500);
  const long warm = allocations::live_bytes;
  (void)amortizer.sample(few, 500);
  EXPECT_EQ(allocations::live_bytes, warm);
}

}  // namespace
}  // namespace bayesflow

#endif
