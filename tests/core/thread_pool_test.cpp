#include "bayesflow/core/thread_pool.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <mutex>
#include <numeric>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

#include "bayesflow/core/errors.hpp"
#include "core/interruption.hpp"
#include "support/expect.hpp"

namespace bayesflow {
namespace {

constexpr int kThreads[] = {1, 2, 4, 8};

/// Every task of [0, count) once.
void expect_each_task_once(ThreadPool& pool, std::int64_t count) {
  std::vector<std::atomic<int>> runs(static_cast<std::size_t>(count));
  pool.for_each(count, [&](std::int64_t i) { runs[static_cast<std::size_t>(i)].fetch_add(1); });
  for (const auto& r : runs) ASSERT_EQ(r.load(), 1);
}

TEST(ThreadPool, RunsEveryTaskOnce) {
  for (const int threads : kThreads) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.threads(), threads);
    for (const std::int64_t count : {0, 1, 2, 3, 7, 8, 9, 100, 10000}) expect_each_task_once(pool, count);
  }
}

TEST(ThreadPool, ZeroMeansAllThreadsOfTheMachine) {
  EXPECT_EQ(ThreadPool().threads(), static_cast<int>(std::max(1U, std::thread::hardware_concurrency())));
  EXPECT_EQ(ThreadPool(0).threads(), ThreadPool().threads());
}

TEST(ThreadPool, NoTasksAreNoWork) {
  ThreadPool pool(2);
  bool ran = false;
  pool.for_each(0, [&](std::int64_t) { ran = true; });
  pool.for_each(-5, [&](std::int64_t) { ran = true; });
  EXPECT_FALSE(ran);
}

TEST(ThreadPool, WhatTasksWroteIsThereAfterwards) {
  for (const int threads : kThreads) {
    ThreadPool pool(threads);
    std::vector<double> x(1000, 1.0);  // plain numbers: a missing synchronization is a data race
    for (int repeat = 0; repeat < 200; ++repeat)
      pool.for_each(10, [&](std::int64_t i) {
        for (std::size_t k = static_cast<std::size_t>(i); k < x.size(); k += 10) x[k] += static_cast<double>(repeat);
      });
    EXPECT_EQ(std::accumulate(x.begin(), x.end(), 0.0), 1000 * (1 + 199 * 200 / 2.0));
  }
}

TEST(ThreadPool, TasksRunOnSeveralThreads) {
  ThreadPool pool(4);
  std::mutex mutex;
  std::set<std::thread::id> seen;
  std::atomic<int> arrived{0};
  pool.for_each(4, [&](std::int64_t) {
    // Each task waits for the others, so each needs a thread of its own.
    arrived.fetch_add(1);
    while (arrived.load() < 4) std::this_thread::yield();
    const std::lock_guard lock(mutex);
    seen.insert(std::this_thread::get_id());
  });
  EXPECT_EQ(seen.size(), 4U);
}

TEST(ThreadPool, TheFirstExceptionByTaskNumberIsRethrown) {
  for (const int threads : kThreads) {
    ThreadPool pool(threads);
    for (int repeat = 0; repeat < 50; ++repeat) {
      std::atomic<int> ran{0};
      const auto run = [&] {
        pool.for_each(40, [&](std::int64_t i) {
          ran.fetch_add(1);
          if (i == 3) std::this_thread::sleep_for(std::chrono::microseconds(50));  // task 3 is seldom the first to fail
          if (i % 10 == 3) throw SimulationError("task " + std::to_string(i));
        });
      };
      EXPECT_EQ(sentence<SimulationError>(run), "task 3");
      EXPECT_EQ(ran.load(), 40);  // the others ran all the same
    }
    expect_each_task_once(pool, 100);  // and the pool goes on
  }
}

TEST(ThreadPool, AnyTypeOfExceptionGoesThrough) {
  ThreadPool pool(3);
  EXPECT_THROW(pool.for_each(5,
                             [](std::int64_t i) {
                               if (i == 4) throw 42;
                             }),
               int);
  EXPECT_THROW(pool.for_each(1, [](std::int64_t) { throw std::out_of_range("x"); }), std::out_of_range);
}

TEST(ThreadPool, SectionsInsideTasksRunInPlace) {
  for (const int threads : kThreads) {
    ThreadPool pool(threads);
    std::vector<std::atomic<int>> runs(64);
    pool.for_each(8, [&](std::int64_t i) {
      const auto me = std::this_thread::get_id();
      pool.for_each(8, [&](std::int64_t j) {
        if (threads > 1) {
          EXPECT_EQ(std::this_thread::get_id(), me);
        }
        runs[static_cast<std::size_t>(8 * i + j)].fetch_add(1);
      });
    });
    for (const auto& r : runs) EXPECT_EQ(r.load(), 1);
    EXPECT_EQ(sentence<ArgumentError>([&] {
                pool.for_each(6, [&](std::int64_t i) {
                  pool.for_each(6, [&](std::int64_t j) {
                    if (i >= 2 && j >= 3) throw ArgumentError(std::to_string(10 * i + j));
                  });
                });
              }),
              "23");
  }
}

TEST(ThreadPool, TwoPoolsWorkAtOnceAndInsideEachOther) {
  ThreadPool a(3), b(2);
  std::atomic<int> total{0};
  std::thread other([&] {
    for (int repeat = 0; repeat < 200; ++repeat) b.for_each(20, [&](std::int64_t) { total.fetch_add(1); });
  });
  for (int repeat = 0; repeat < 200; ++repeat) a.for_each(20, [&](std::int64_t) { total.fetch_add(1); });
  other.join();
  EXPECT_EQ(total.load(), 8000);
  // A task of a starts a section of b, whose tasks start a section of a again: no deadlock, nothing twice.
  total = 0;
  for (int repeat = 0; repeat < 50; ++repeat)
    a.for_each(4, [&](std::int64_t) { b.for_each(4, [&](std::int64_t) { a.for_each(4, [&](std::int64_t) { total.fetch_add(1); }); }); });
  EXPECT_EQ(total.load(), 50 * 64);
}

TEST(ThreadPool, SeveralThreadsMayUseOnePool) {
  ThreadPool pool(3);
  std::vector<std::thread> callers;
  std::atomic<std::int64_t> total{0};
  for (int c = 0; c < 4; ++c)
    callers.emplace_back([&, c] {
      for (int repeat = 0; repeat < 300; ++repeat) {
        std::int64_t sums[10] = {};
        pool.for_each(10, [&](std::int64_t i) { sums[i] = i * c; });
        total.fetch_add(std::accumulate(std::begin(sums), std::end(sums), std::int64_t{0}));
      }
    });
  for (std::thread& t : callers) t.join();
  EXPECT_EQ(total.load(), 300 * 45 * (0 + 1 + 2 + 3));
}

TEST(ThreadPool, ManyTinySectionsOneAfterTheOther) {
  for (const int threads : {2, 4, 16}) {  // more threads than this machine may have
    ThreadPool pool(threads);
    std::int64_t sum = 0;
    std::int64_t parts[3] = {};
    for (int section = 0; section < 5000; ++section) {
      pool.for_each(3, [&](std::int64_t i) { parts[i] = section + i; });
      sum += parts[0] + parts[1] + parts[2];
    }
    EXPECT_EQ(sum, 3 * (5000LL * 4999 / 2) + 3 * 5000);
  }
}

// The workers fall asleep between these sections; each must wake them again.
TEST(ThreadPool, SectionsAfterAPauseRun) {
  ThreadPool pool(3);
  for (int section = 0; section < 20; ++section) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    expect_each_task_once(pool, 20);
  }
}

TEST(ThreadPool, MayEndAtAnyTime) {
  for (int repeat = 0; repeat < 50; ++repeat) {
    ThreadPool unused(4);
    ThreadPool just_used(4);
    expect_each_task_once(just_used, 10);
    ThreadPool asleep(2);
    if (repeat % 10 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(3));
  }
}

TEST(ThreadPool, RunTakesPlainFunctions) {
  ThreadPool pool(2);
  std::int64_t squares[5] = {};
  pool.run(
      5, [](void* context, std::int64_t i) { static_cast<std::int64_t*>(context)[i] = i * i; }, squares);
  for (std::int64_t i = 0; i < 5; ++i) EXPECT_EQ(squares[i], i * i);
}

TEST(ThreadPool, ErrorsSayWhatIsWrong) {
  EXPECT_EQ(sentence<ConfigurationError>([] { ThreadPool pool(-1); }),
            "ThreadPool: threads must not be negative; got -1 (0 means as many as the machine has)");
  EXPECT_EQ(sentence<ConfigurationError>([] { ThreadPool pool(2147483647); }),
            "ThreadPool: threads = 2147483647; it must be at most 65536");
}

TEST(ThreadPool, MillionsOfTasksRunOnceEach) {
  // More than fit into a range of single tasks: some are taken together.
  const std::int64_t count = (std::int64_t{1} << 21) + 7;
  ThreadPool pool(3);
  std::vector<std::uint8_t> times(static_cast<std::size_t>(count), 0);
  pool.for_each(count, [&](std::int64_t i) { ++times[static_cast<std::size_t>(i)]; });
  EXPECT_EQ(std::count(times.begin(), times.end(), std::uint8_t{1}), count);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
[[noreturn]] void ask_for_too_many_threads() {
  const rlimit memory{rlim_t{1} << 30, rlim_t{1} << 30};  // room for about a hundred stacks
  setrlimit(RLIMIT_AS, &memory);
  const std::string text = sentence<ConfigurationError>([] { ThreadPool pool(3000); });
  std::fprintf(stderr, "%s\n", text.c_str());
  std::exit(text.starts_with("ThreadPool: the machine gives no more than ") && text.ends_with("; ask for fewer") ? 7 : 1);
}
TEST(ThreadPoolDeathTest, ThreadsThatTheMachineDoesNotGiveAreAnError) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(ask_for_too_many_threads(), testing::ExitedWithCode(7), "of 3000 threads");
}
#endif

}  // namespace
TEST(ThreadPool, APostedJobRunsBesideSections) {
  for (const int threads : {2, 3}) {
    ThreadPool pool(threads);
    std::atomic<bool> started{false}, go{false};
    std::thread::id where;
    struct Job {
      std::atomic<bool>&started, &go;
      std::thread::id& where;
    } job{started, go, where};
    pool.post(
        [](void* context) {
          auto& j = *static_cast<Job*>(context);
          j.where = std::this_thread::get_id();
          j.started = true;
          while (!j.go) std::this_thread::yield();
        },
        &job);
    while (!started) std::this_thread::yield();
    // The job has a thread for as long as it likes; sections are complete without it.
    for (int round = 0; round < 100; ++round) {
      std::atomic<int> sum{0};
      pool.for_each(17, [&](std::int64_t i) { sum += static_cast<int>(i); });
      ASSERT_EQ(sum, 136);
    }
    go = true;
    pool.finish_posted();
    EXPECT_NE(where, std::this_thread::get_id());
  }
}

TEST(ThreadPool, PostedJobsRunOnceEach) {
  ThreadPool pool(2);
  int jobs = 0;
  for (int i = 0; i < 2000; ++i) {
    pool.post([](void* context) { ++*static_cast<int*>(context); }, &jobs);
    std::atomic<int> tasks{0};
    pool.for_each(5, [&](std::int64_t) { ++tasks; });
    ASSERT_EQ(tasks, 5);
    if (i % 500 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));  // the worker is asleep by now
  }
  pool.finish_posted();
  EXPECT_EQ(jobs, 2000);
  ThreadPool alone(1);
  EXPECT_THROW(alone.post([](void*) {}, nullptr), ConfigurationError);
}

struct Interruption {};

/// How many of many short tasks ran before the interruption; they would take minutes.
std::int64_t tasks_until_interrupted(ThreadPool& pool) {
  std::atomic<std::int64_t> tasks{0};
  const detail::InterruptionCheck check([] { throw Interruption(); });
  EXPECT_THROW(pool.for_each(100'000,
                             [&](std::int64_t i) {
                               ++tasks;
                               std::this_thread::sleep_for(std::chrono::milliseconds(5));
                               if (i == 0) throw std::runtime_error("an error of a task, which the interruption goes before");
                             }),
               Interruption);
  return tasks;
}

TEST(ThreadPool, AnInterruptionLeavesTasksUndone) {
  for (const int threads : kThreads) {
    ThreadPool pool(threads);
    EXPECT_LT(tasks_until_interrupted(pool), 50'000);
    pool.for_each(1, [&](std::int64_t) { EXPECT_LT(tasks_until_interrupted(pool), 50'000); });  // within a task
    for (const std::int64_t count : {1, 3, 1000}) expect_each_task_once(pool, count);           // the check has gone
    // A section within a task of the caller's ends the outer one as well.
    std::atomic<int> outer{0};
    const detail::InterruptionCheck check([] { throw Interruption(); });
    EXPECT_THROW(pool.for_each(10'000,
                               [&](std::int64_t) {
                                 ++outer;
                                 pool.for_each(10, [](std::int64_t) { std::this_thread::sleep_for(std::chrono::milliseconds(1)); });
                               }),
                 Interruption);
    EXPECT_LT(outer, 5'000);
  }
}

TEST(ThreadPool, OnlyTheCallersThreadAndTheInnermostCheckCount) {
  static std::atomic<int> outer{0}, inner{0};
  ThreadPool pool(4);
  const auto slow = [](std::int64_t) { std::this_thread::sleep_for(std::chrono::milliseconds(20)); };
  const detail::InterruptionCheck first([] { ++outer; });
  {
    const detail::InterruptionCheck second([] { ++inner; });
    pool.for_each(40, slow);
  }
  EXPECT_GT(inner, 0);
  EXPECT_EQ(outer, 0);
  const int before = inner;
  std::thread([&] { pool.for_each(40, slow); }).join();
  EXPECT_EQ(outer, 0);
  pool.for_each(40, slow);
  EXPECT_GT(outer, 0);
  EXPECT_EQ(inner, before);
}

TEST(ThreadPool, EndsAfterAPostedJob) {
  std::atomic<int> done{0};
  for (int i = 0; i < 50; ++i) {
    ThreadPool pool(2);
    pool.post([](void* context) { ++*static_cast<std::atomic<int>*>(context); }, &done);
  }
  EXPECT_EQ(done, 50);
}

}  // namespace bayesflow
