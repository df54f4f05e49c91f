// One amortizer in several threads and processes.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "amortizers/support_posterior.hpp"
#include "bayesflow/core/errors.hpp"
#include "support/child.hpp"
#include "support/expect.hpp"

namespace bayesflow {
namespace {

using support::in_child;
using support::require_in_child;

/// The mean over observations, which calls `hook` on its way.
class Hooked : public SummaryNetwork {
 public:
  std::function<void()> on_forward = [] {}, on_build = [] {};
  void build(const nn::Builder&, const SummaryShape& input) override {
    width_ = input.data[-1];
    on_build();
  }
  Tensor forward(Tape&, const SummaryInput& given) const override {
    const Tensor x = given.data;
    on_forward();
    return ops::mean_pool(x);
  }
  std::int64_t summary_dim() const override { return width_; }

 private:
  std::int64_t width_ = 0;
};

std::vector<double> values_of(const Array& a) { return {a.data(), a.data() + a.size()}; }

TEST(Concurrency, TwoCallsAreInProgressAtOnce) {
  // Each call waits within the summary network until the other is there too.
  std::atomic<int> there{0};
  std::atomic<bool> met{true}, on{false};
  auto hooked = std::make_shared<Hooked>();
  hooked->on_forward = [&] {
    if (!on) return;
    ++there;
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(200);
    while (there < 2 && std::chrono::steady_clock::now() < until) std::this_thread::yield();
    if (there < 2) met = false;
  };
  const Batch inputs = random_inputs({.sets = 2});
  AmortizedPosterior amortizer(small_flow(2), hooked);
  amortizer.build(inputs, 1);
  on = true;
  std::thread other([&] { (void)amortizer.sample(inputs, 10); });
  (void)amortizer.sample(inputs, 10);
  other.join();
  EXPECT_TRUE(met);
}

TEST(Concurrency, ACallWithinACallDoesNotWaitForItself) {
  auto hooked = std::make_shared<Hooked>();
  std::optional<AmortizedPosterior> amortizer;
  std::atomic<bool> on{false};
  hooked->on_forward = [&] {
    if (on.exchange(false)) (void)amortizer->sample(random_inputs({.sets = 1}), 5);
  };
  amortizer.emplace(small_flow(2), hooked);
  amortizer->build(random_inputs({}), 1);
  on = true;
  EXPECT_EQ(amortizer->sample(random_inputs({}), 20).dim(1), 20);
}

TEST(Concurrency, EightThreadsGetTheBitsOfOne) {
  const Batch small = random_inputs({.sets = 1}), large = random_inputs({.sets = 40});
  for (const auto design : {CouplingDesign::affine, CouplingDesign::spline}) {
    const AmortizedPosterior amortizer = random_posterior(large, small_flow(2, design), {.threads = 2});
    const auto everything = [&](std::uint64_t i) {
      const Batch& inputs = i % 2 ? small : large;
      std::vector<double> out = values_of(amortizer.sample(inputs, i % 3 ? 100 : 700, {.seed = i}));
      for (const Array& a : {amortizer.log_posterior(inputs), amortizer.summary(inputs), amortizer.forward(inputs).z})
        out.insert(out.end(), a.data(), a.data() + a.size());
      out.push_back(amortizer.compute_loss(inputs)["loss"]);
      return out;
    };
    constexpr std::uint64_t kCalls = 48;
    std::vector<std::vector<double>> expected, got(kCalls);
    for (std::uint64_t i = 0; i < kCalls; ++i) expected.push_back(everything(i));
    std::atomic<std::uint64_t> next{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 8; ++t)
      threads.emplace_back([&] {
        for (std::uint64_t i = 0; (i = next++) < kCalls;) got[i] = everything(i);
      });
    for (auto& t : threads) t.join();
    EXPECT_EQ(got, expected);
  }
}

TEST(Concurrency, ThreadsThatBuildTogetherGetOneSetOfWeights) {
  const Batch inputs = random_inputs({});
  for (int round = 0; round < 20; ++round) {
    AmortizedPosterior amortizer(small_flow(2), small_deep_set());
    std::vector<std::thread> threads;
    std::array<std::int64_t, 4> counts{};
    for (auto& count : counts)
      threads.emplace_back([&] {
        amortizer.build(inputs, 3);
        count = amortizer.num_weights();
      });
    for (auto& t : threads) t.join();
    AmortizedPosterior alone(small_flow(2), small_deep_set());
    alone.build(inputs, 3);
    for (const std::int64_t count : counts) EXPECT_EQ(count, alone.num_weights());
  }
}

TEST(Concurrency, ANetworkThatBuildsItsAmortizerGetsASentence) {
  auto hooked = std::make_shared<Hooked>();
  AmortizedPosterior amortizer(small_flow(2), hooked);
  hooked->on_build = [&] { amortizer.build(random_inputs({}), 1); };
  EXPECT_EQ(
      sentence<ConfigurationError>([&] { amortizer.build(random_inputs({}), 1); }),
      "AmortizedPosterior::build: one of its networks calls it while it is being built; a network's build must not use the amortizer");
}

TEST(Seeds, CallsWithoutOneAreCounted) {
  const Batch inputs = random_inputs({.sets = 1});
  const AmortizedPosterior amortizer = random_posterior(inputs, small_flow(2));
  const AmortizedPosterior copy = amortizer;
  const auto drawn = [&](std::uint64_t seed) { return values_of(amortizer.sample(inputs, 10, {.seed = seed})); };
  EXPECT_EQ(values_of(amortizer.sample(inputs, 10)), drawn(0));
  EXPECT_EQ(values_of(copy.sample(inputs, 10)), drawn(1));
  std::vector<float> room(20);
  amortizer.sample_into(room, inputs, 10);
  EXPECT_EQ(std::vector<double>(room.begin(), room.end()), drawn(2));
  EXPECT_NE(drawn(0), drawn(1));
  EXPECT_EQ(amortizer.unseeded_calls(), 3U);
}

class ForkedAmortizer : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!support::kForks) GTEST_SKIP();
  }
};

TEST_F(ForkedAmortizer, AHundredChildrenUseOrFreeIt) {
  const Batch inputs = random_inputs({.sets = 40});
  std::optional<AmortizedPosterior> amortizer = random_posterior(inputs, small_flow(2), {.threads = 2});
  const std::vector<double> draws = values_of(amortizer->sample(inputs, 600, {.seed = 4}));
  for (int i = 0; i < 100; ++i)
    ASSERT_EQ(in_child([&] {
                if (i % 2) require_in_child(values_of(amortizer->sample(inputs, 600, {.seed = 4})) == draws, "other draws");
                amortizer.reset();
              }),
              "0")
        << i;
}

TEST_F(ForkedAmortizer, ChildrenThatAreForkedWhileOtherThreadsDrawDrawToo) {
  if (!support::kForksWhileOthersAllocate) GTEST_SKIP();
  const Batch inputs = random_inputs({.sets = 40});
  const AmortizedPosterior amortizer = random_posterior(inputs, small_flow(2), {.threads = 2});
  const std::vector<double> draws = values_of(amortizer.sample(inputs, 300, {.seed = 4}));
  std::atomic<bool> stop{false};
  std::vector<std::thread> others;
  for (int t = 0; t < 2; ++t)
    others.emplace_back([&] {
      while (!stop) (void)amortizer.sample(inputs, 300);
    });
  for (int i = 0; i < 50; ++i)
    EXPECT_EQ(in_child([&] { require_in_child(values_of(amortizer.sample(inputs, 300, {.seed = 4})) == draws, "other draws"); }), "0") << i;
  stop = true;
  for (auto& t : others) t.join();
}

TEST_F(ForkedAmortizer, ChildrenThatAreForkedWhileOtherThreadsLookAtSeenDataDrawToo) {
  if (!support::kForksWhileOthersAllocate) GTEST_SKIP();
  const Batch inputs = random_inputs({.sets = 1});
  AmortizedPosterior amortizer = random_posterior(inputs, small_flow(2), {.threads = 1, .logger = [](LogLevel, std::string_view) {}});
  SeenData seen;
  seen.add(random_inputs({.sets = 30}, 5));
  const std::vector<double> draws = values_of(amortizer.sample(inputs, 1, {.seed = 4}));
  std::atomic<bool> stop{false};
  std::vector<std::thread> others;
  others.emplace_back([&] {
    while (!stop) (void)amortizer.seen();
  });
  others.emplace_back([&] {
    while (!stop) (void)amortizer.sample(inputs, 1);
  });
  others.emplace_back([&] {
    while (!stop) amortizer.set_seen(seen);
  });
  for (int i = 0; i < 300 && !HasFailure(); ++i)
    EXPECT_EQ(in_child([&] { require_in_child(values_of(amortizer.sample(inputs, 1, {.seed = 4})) == draws, "other draws"); }), "0") << i;
  stop = true;
  for (auto& t : others) t.join();
}

TEST_F(ForkedAmortizer, ALoggerThatForksWithinACallWaitsForNothing) {
  if (!support::kForksWhileOthersAllocate) GTEST_SKIP();
  // Meanwhile another thread's call makes the threads of calls, under a lock, and the child ends its call with that lock as it was.
  const Batch inputs = random_inputs({.sets = 1}), many = random_inputs({.sets = 70});
  SeenData seen;
  Batch far = random_inputs({.sets = 30}, 5);
  far.update(roles::summary_conditions, [](Array& x) { x += 100.0; });
  seen.add(far);
  const pid_t parent = getpid();
  for (int i = 0; i < 200 && !HasFailure(); ++i) {
    std::thread other;
    pid_t child = -1;
    std::function<void()> on_warning = [] {};
    const Logger logger = [&](LogLevel, std::string_view) { std::exchange(on_warning, [] {})(); };
    AmortizedPosterior amortizer = random_posterior(inputs, small_flow(2), {.threads = 8, .logger = logger});
    amortizer.set_seen(seen);
    on_warning = [&] {
      std::atomic<bool> begins{false};
      other = std::thread([&] {
        begins = true;
        std::vector<Foreign> ignored;
        (void)amortizer.log_posterior(many, &ignored);
      });
      while (!begins) std::this_thread::yield();
      std::this_thread::sleep_for(std::chrono::microseconds(10 * (i % 20)));
      child = fork();
      if (child == 0) alarm(support::kChildSeconds);
    };
    (void)amortizer.sample(inputs, 1);
    if (getpid() != parent) {
      (void)amortizer.sample(inputs, 1);
      _exit(7);
    }
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 7) << i << ": " << status;
    other.join();
  }
}

}  // namespace
}  // namespace bayesflow
