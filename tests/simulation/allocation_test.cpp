// Simulations run inside training steps of about two milliseconds: once the caches of Array are warm, they must not touch the
// heap. The sanitizers bring their own allocator and switch the caches off, so there is nothing to count with them.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "bayesflow/simulation/generative_model.hpp"

namespace {
std::atomic<long> allocations{0};

void* counted(std::size_t bytes, std::size_t alignment) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  void* p = std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
  if (!p) throw std::bad_alloc();
  return p;
}
}  // namespace

// Not inlined, because GCC would then see `free` next to `new` and warn.
[[gnu::noinline]] void* operator new(std::size_t bytes) { return counted(bytes, alignof(std::max_align_t)); }
[[gnu::noinline]] void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return counted(bytes, static_cast<std::size_t>(alignment));
}
[[gnu::noinline]] void operator delete(void* p) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::size_t) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::size_t, std::align_val_t) noexcept { std::free(p); }

namespace bayesflow {
namespace {

long allocations_of_a_warm_batch(const GenerativeModel& model) {
  for (std::uint64_t step = 0; step < 3; ++step) (void)model.simulate(32, 0, "training", 32 * step);
  const long before = allocations.load();
  for (std::uint64_t step = 3; step < 13; ++step) (void)model.simulate(32, 0, "training", 32 * step);
  return allocations.load() - before;
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
