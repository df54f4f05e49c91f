// Pools and other objects that a forked child inherits, and objects that one caller may use at a time.
#include "core/fork.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <thread>
#include <vector>

#include "bayesflow/core/errors.hpp"
#include "bayesflow/core/thread_pool.hpp"
#include "core/in_use.hpp"
#include "support/child.hpp"
#include "support/expect.hpp"

namespace bayesflow {
namespace {

using support::in_child;
using support::require_in_child;

std::int64_t sum_on(ThreadPool& pool, std::int64_t count) {
  std::atomic<std::int64_t> sum{0};
  pool.for_each(count, [&](std::int64_t i) { sum += i; });
  return sum;
}

/// Returns when all of the pool's threads run. One that is only starting allocates, and a child that is forked meanwhile waits for ever for
/// the lock of the address sanitizer's allocator.
void start_all(ThreadPool& pool) {
  std::atomic<int> there{0};
  pool.for_each(pool.threads(), [&](std::int64_t) {
    ++there;
    while (there < pool.threads()) std::this_thread::yield();
  });
}

/// A thread that has begun f(): while it was only starting, it allocated, see start_all.
template <class F>
std::thread started(const F& f) {
  std::atomic<bool> begun{false};
  std::thread thread([&begun, f] {
    begun = true;
    f();
  });
  while (!begun) std::this_thread::yield();
  return thread;
}

class Fork : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!support::kForks) GTEST_SKIP();
  }
};

TEST_F(Fork, AChildUsesAndFreesAPoolThatItsParentHasUsed) {
  for (int i = 0; i < 100; ++i) {
    auto pool = std::make_unique<ThreadPool>(3);
    start_all(*pool);
    ASSERT_EQ(sum_on(*pool, 1000), 499500);
    if (i % 2) std::this_thread::sleep_for(std::chrono::milliseconds(2));  // threads asleep, or still spinning
    ASSERT_EQ(in_child([&] {
                if (i % 4 < 2) require_in_child(sum_on(*pool, 1000) == 499500 && pool->threads() == 3, "wrong sum");
                pool.reset();
              }),
              "0")
        << i;
    ASSERT_EQ(sum_on(*pool, 1000), 499500);
  }
}

TEST_F(Fork, AChildThatIsForkedWhileAnotherThreadUsesThePoolHasThreadsOfItsOwn) {
  ThreadPool pool(2);
  start_all(pool);
  std::atomic<bool> stop{false};
  std::thread other = started([&] {
    while (!stop) (void)sum_on(pool, 200);
  });
  for (int i = 0; i < 50; ++i)
    EXPECT_EQ(in_child([&] {
                std::atomic<int> together{0};
                pool.for_each(2, [&](std::int64_t) {
                  ++together;
                  while (together < 2) std::this_thread::yield();  // needs both threads
                });
              }),
              "0");
  stop = true;
  other.join();
}

TEST_F(Fork, AChildPostsAJob) {
  ThreadPool pool(2);
  start_all(pool);
  const auto job = [](void* done) { *static_cast<std::atomic<bool>*>(done) = true; };
  std::atomic<bool> done{false};
  pool.post(job, &done);
  EXPECT_EQ(in_child([&] {
              pool.finish_posted();  // that job is the parent's
              std::atomic<bool> mine{false};
              pool.post(job, &mine);
              pool.finish_posted();
              require_in_child(mine, "the job was not done");
            }),
            "0");
  pool.finish_posted();
  EXPECT_TRUE(done);
}

TEST_F(Fork, AChildOfATaskThatDoesNotEndThereGetsASentence) {
  ThreadPool pool(2);
  start_all(pool);
  // The other thread holds its task until the child has ended, so the child can never see it done.
  std::atomic<int> running{0};
  std::atomic<bool> release{false};
  std::string outcome;
  const std::thread::id caller = std::this_thread::get_id();
  const pid_t parent = getpid();
  const auto section = [&] {
    pool.for_each(2, [&](std::int64_t) {
      ++running;
      while (running < 2) std::this_thread::yield();
      if (std::this_thread::get_id() != caller)
        while (!release) std::this_thread::yield();
      else if (getpid() == parent) {
        int ends[2];
        ASSERT_EQ(pipe(ends), 0);
        const pid_t child = fork();
        if (child == 0) {
          alarm(240);
          return;  // goes on in the section
        }
        int status = 0;
        waitpid(child, &status, 0);
        outcome = WIFEXITED(status) ? std::to_string(WEXITSTATUS(status)) : "signal";
        release = true;
      }
    });
  };
  if (const std::string text = sentence<ConfigurationError>(section); getpid() != parent)
    _exit(text.starts_with("ThreadPool: a task forked this process") ? 7 : 8);
  EXPECT_EQ(outcome, "7");
}

TEST_F(Fork, WhatBelongsToAProcessIsMadeAfreshInAChild) {
  detail::PerProcess<std::atomic<int>> numbers;
  numbers.get() = 5;
  EXPECT_EQ(numbers.get(), 5);
  EXPECT_EQ(in_child([&] {
              require_in_child(numbers.get() == 0, "the parent's");
              numbers.get() = 6;
              require_in_child(numbers.get() == 6, "made twice");
            }),
            "0");
  EXPECT_EQ(numbers.get(), 5);
}

TEST_F(Fork, WaitsForWhatMustNotBeSeenHalfChanged) {
  std::atomic<int> first{0}, second{0};
  std::atomic<bool> stop{false};
  std::thread other = started([&] {
    while (!stop) {
      const detail::DelayFork change;
      ++first;
      std::this_thread::yield();
      ++second;
    }
  });
  for (int i = 0; i < 50; ++i) EXPECT_EQ(in_child([&] { require_in_child(first == second, "half a change"); }), "0");
  stop = true;
  other.join();
}

TEST_F(Fork, NoChildFindsASharedPointerLockedOrHalfReplaced) {
  if (!support::kForksWhileOthersAllocate) GTEST_SKIP();
  detail::SharedPointer<std::vector<int>> shared;
  std::atomic<bool> stop{false};
  std::vector<std::thread> others;
  others.emplace_back([&] {
    while (!stop) (void)shared.load();
  });
  others.emplace_back([&] {
    for (int i = 0; !stop; ++i) shared.store(std::make_shared<const std::vector<int>>(3, i));
  });
  for (int i = 0; i < 300 && !HasFailure(); ++i)
    EXPECT_EQ(in_child([&] {
                if (const auto value = shared.load())
                  require_in_child(value->size() == 3 && value->front() == value->back(), "half a value");
                shared.store(std::make_shared<const std::vector<int>>(1, 7));
                require_in_child(shared.load()->front() == 7, "not replaced");
              }),
              "0")
        << i;
  stop = true;
  for (auto& t : others) t.join();
}

TEST_F(Fork, AThreadThatForksWithinAChangeDoesNotWaitForItself) {
  std::atomic<int> first{0}, second{0};
  std::atomic<bool> stop{false};
  std::thread other = started([&] {
    while (!stop) {
      const detail::DelayFork change, more_of_it;
      ++first;
      std::this_thread::yield();
      ++second;
    }
  });
  for (int i = 0; i < 50; ++i) {
    const detail::DelayFork mine, twice;
    EXPECT_EQ(in_child([&] {
                require_in_child(first == second, "half a change of another thread");
                const detail::DelayFork another;
              }),
              "0");
  }
  EXPECT_EQ(in_child([] {}), "0");
  stop = true;
  other.join();
}

TEST(PerProcess, ThreadsThatComeFirstTogetherGetOneObject) {
  for (int round = 0; round < 100; ++round) {
    detail::PerProcess<std::atomic<int>> number;
    std::atomic<int>* seen[4] = {};
    std::vector<std::thread> threads;
    for (auto& s : seen) threads.emplace_back([&number, &s] { s = &number.get(); });
    for (auto& t : threads) t.join();
    for (const auto* s : seen) EXPECT_EQ(s, seen[0]);
  }
}

TEST(InUse, TheSecondUserGetsASentence) {
  detail::InUse object;
  const auto use = [&] { const detail::InUse::Scope scope(object, "Oven::bake", "oven is baking", "wait for the bell"); };
  EXPECT_EQ(sentence<ConfigurationError>(use), "no exception");
  const detail::InUse::Scope first(object, "Oven::bake", "oven is baking", "wait for the bell");
  EXPECT_EQ(sentence<ConfigurationError>(use),
            "Oven::bake: this oven is baking already, in another thread or in the function that makes this call; wait for the bell");
  if (support::kForks) {
    EXPECT_EQ(in_child(use),
              "Oven::bake: this oven is baking in the parent process, from which this process was forked meanwhile, so that it is "
              "incomplete here; "
              "make another one in this process");
  }
}

}  // namespace
}  // namespace bayesflow
