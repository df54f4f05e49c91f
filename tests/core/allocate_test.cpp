/// Storage of arrays across threads, counted at the allocator.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <numeric>
#include <thread>
#include <vector>

#include "bayesflow/core/array.hpp"
#include "bayesflow/core/rng.hpp"

namespace {
// Blocks of arrays are the only ones in this program that ask for an alignment.
std::atomic<std::int64_t> taken{0}, alive{0};
}  // namespace

void* operator new(std::size_t bytes, std::align_val_t alignment) {
  const auto a = static_cast<std::size_t>(alignment);
  void* p = std::aligned_alloc(a, (bytes + a - 1) / a * a);
  if (!p) throw std::bad_alloc();
  taken.fetch_add(1);
  alive.fetch_add(1);
  return p;
}
void operator delete(void* p, std::align_val_t) noexcept {
  if (p) alive.fetch_sub(1);
  std::free(p);
}
void operator delete(void* p, std::size_t, std::align_val_t alignment) noexcept { operator delete(p, alignment); }

namespace bayesflow {
namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kCaching = false;
#else
constexpr bool kCaching = true;
#endif

TEST(Allocate, ALoopOfArraysTakesNoNewMemory) {
  if (!kCaching) GTEST_SKIP() << "the cache is off, so that the sanitizer sees every block's life";
  Rng rng(1);
  const auto step = [&] {
    const Array theta = rng.normal({4}), data = rng.normal({50, 4}, theta);
    const Array wide({100000});
    return data.mean(0) + theta + wide.slice(0, 4);
  };
  for (int i = 0; i < 3; ++i) (void)step();
  const std::int64_t before = taken.load();
  for (int i = 0; i < 1000; ++i) (void)step();
  EXPECT_EQ(taken.load(), before);
}

TEST(Allocate, BlocksOfEverySizeAreTheirOwn) {
  std::vector<Array> arrays;
  for (std::int64_t n : {1, 2, 3, 4, 5, 7, 8, 9, 31, 32, 33, 1000, 131071, 131072, 131073, 300000, 524287, 524288, 600000}) {
    arrays.emplace_back(Shape{n}, static_cast<double>(n));
    arrays.emplace_back(Shape{n}, static_cast<double>(-n));
    arrays.push_back(arrays.back());
  }
  for (const Array& a : arrays) {
    EXPECT_EQ(a.min(), a.max());
    EXPECT_EQ(std::abs(a.min()), static_cast<double>(a.size()));
  }
}

// A thread's cache is bounded: of many freed blocks most go back at once.
TEST(Allocate, TheCacheIsBounded) {
  std::thread([] {
    const std::int64_t before = alive.load();
    { const std::vector<Array> many(100, Array({100000})); }  // 100 blocks of 1 MiB; 8 MiB are kept
    EXPECT_LE(alive.load() - before, 8);
  }).join();
}

TEST(Allocate, ThreadsGiveTheirMemoryBack) {
  const std::int64_t before = alive.load();
  for (int repeat = 0; repeat < 5; ++repeat) {
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
      threads.emplace_back([t] {
        Rng rng(static_cast<std::uint64_t>(t));
        for (int i = 0; i < 200; ++i) (void)rng.normal({rng.integers(1, 500), 3}).mean(0);
      });
    for (std::thread& t : threads) t.join();
  }
  EXPECT_EQ(alive.load(), before);
}

TEST(Allocate, ArraysMoveBetweenThreads) {
  const std::int64_t before = alive.load();
  {
    std::vector<Array> arrays(200);
    for (int round = 0; round < 3; ++round) {
      std::vector<std::thread> threads;
      for (std::size_t t = 0; t < 4; ++t)
        threads.emplace_back([&, t] {
          // Each thread replaces arrays that another one made in the round before.
          for (std::size_t i = (t + static_cast<std::size_t>(round)) % 4; i < arrays.size(); i += 4)
            arrays[i] = Array({static_cast<std::int64_t>(i % 17 + 1)}, static_cast<double>(i));
        });
      for (std::thread& t : threads) t.join();
      for (std::size_t i = 0; i < arrays.size(); ++i) {
        ASSERT_EQ(arrays[i].min(), static_cast<double>(i));
        ASSERT_EQ(arrays[i].max(), static_cast<double>(i));
      }
    }
    std::thread([&] { arrays.clear(); }).join();
  }
  EXPECT_LE(alive.load(), before);
}

// An array may outlive the cache of the thread that destroys it: one with static or thread storage is destroyed late.
TEST(Allocate, ThreadLocalArraysAreDestroyedCleanly) {
  const std::int64_t before = alive.load();
  for (int i = 0; i < 3; ++i)
    std::thread([] {
      struct Late {
        Array early;  // made before the cache is first used by this thread, so destroyed after it
        Late() = default;
        ~Late() { early = Array({3}, 2.0) + early; }
      };
      thread_local Late late;
      late.early = Array({3}, 1.0);
      (void)Array({10});
    }).join();
  EXPECT_EQ(alive.load(), before);
}

}  // namespace
}  // namespace bayesflow
