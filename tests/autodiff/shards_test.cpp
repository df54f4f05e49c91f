/// The planner's two ways to use threads: chunks of rows, and sub-networks side by side.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "autodiff/lanes.hpp"
#include "bayesflow/autodiff/ops.hpp"
#include "bayesflow/autodiff/tape.hpp"
#include "bayesflow/core/errors.hpp"
#include "support/expect.hpp"
#include "support/op_table.hpp"

namespace bayesflow {
namespace {

using support::sample;
using Inputs = std::span<const Tensor>;

// --- map_rows and fork ---

struct Pass {
  std::vector<float> value, dx, dw;
  friend bool operator==(const Pass&, const Pass&) = default;
};

/// tanh(x W) over shards; W's gradient arrives in lanes.
Pass sharded(const Plan& plan, ThreadPool* pool, bool dropout = false) {
  const Array x = sample("shard/x", {plan.items, 3, 5}), w = sample("shard/w", {5, 4}), c = sample("shard/c", {plan.items, 3, 4});
  std::vector<float> weights(20), cotangent;
  for (std::size_t i = 0; i < 20; ++i) weights[i] = static_cast<float>(w.data()[i]);
  for (const double v : c.values()) cotangent.push_back(static_cast<float>(v));
  GradientLanes lanes(20, 1);
  Tape tape;
  tape.reset({.seed = 3, .lanes = &lanes, .pool = pool});
  Tensor in = tape.input(x, true);
  const Tensor inputs[] = {in};
  Tensor y = tape.map_rows(plan, inputs, [&](Tape& t, Inputs p) {
    Tensor kernel = t.parameter({5, 4}, weights.data(), 0, 0);
    Tensor h = ops::activate(ops::matmul(p[0], kernel), Activation::tanh);
    return dropout ? ops::dropout(h, 0.3f) : h;
  });
  tape.backward(y, cotangent.data());
  Pass pass{{y.data(), y.data() + y.size()}, {in.grad(), in.grad() + in.size()}, std::vector<float>(20, 0.0f)};
  EXPECT_EQ(lanes.count(), plan.chunks > 1 ? plan.lanes : 1);
  lanes.add_up(0, 0, pass.dw);
  return pass;
}

double largest_difference(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  double worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i) worst = std::max(worst, std::fabs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
  return worst;
}

TEST(MapRows, SameBitsForAnyNumberOfThreads) {
  for (const bool dropout : {false, true}) {
    const Plan plan{.items = 37, .chunks = 9, .lanes = 4};
    const Pass alone = sharded(plan, nullptr, dropout);
    for (const int threads : {1, 2, 4}) {
      ThreadPool pool(threads);
      for (int repeat = 0; repeat < 3; ++repeat)
        EXPECT_EQ(sharded(plan, &pool, dropout), alone) << threads << " threads, dropout " << dropout;
    }
  }
}

TEST(MapRows, ShardsGiveWhatTheWholeGives) {
  const Pass whole = sharded({.items = 37, .chunks = 1, .lanes = 1}, nullptr);
  for (const Plan& plan :
       {Plan{.items = 37, .chunks = 2}, Plan{.items = 37, .chunks = 9, .lanes = 4}, Plan{.items = 37, .chunks = 37, .lanes = 16}}) {
    const Pass cut = sharded(plan, nullptr);
    EXPECT_EQ(cut.value, whole.value) << plan.chunks << " chunks";  // rows do not see each other
    EXPECT_EQ(cut.dx, whole.dx) << plan.chunks << " chunks";
    EXPECT_LT(largest_difference(cut.dw, whole.dw), 3e-5) << plan.chunks << " chunks";
  }
}

TEST(MapRows, ShardsDrawDifferentNoise) {
  Tape tape;
  tape.reset({.seed = 4});
  const Tensor inputs[] = {tape.filled({64, 16}, 1)};
  Tensor y = tape.map_rows({.items = 64, .chunks = 8, .lanes = 2}, inputs, [](Tape&, Inputs p) { return ops::dropout(p[0], 0.5f); });
  std::set<std::string> patterns;
  for (int c = 0; c < 8; ++c) {
    std::string bits;
    for (int i = 0; i < 128; ++i) bits += y.data()[c * 128 + i] > 0 ? '1' : '0';
    patterns.insert(bits);
  }
  EXPECT_EQ(patterns.size(), 8u);
}

TEST(MapRows, WithoutGradientsAndWithAbsentInputs) {
  ThreadPool pool(2);
  Tape tape;
  tape.reset({.gradients = false, .pool = &pool});
  const Array x = sample("x", {20, 3});
  const Tensor inputs[] = {tape.input(x), Tensor()};
  Tensor y = tape.map_rows({.items = 20, .chunks = 7, .lanes = 3}, inputs, [](Tape&, Inputs p) {
    EXPECT_FALSE(p[1]);
    return ops::scale(p[0], 2);
  });
  for (std::int64_t i = 0; i < x.size(); ++i) EXPECT_FLOAT_EQ(y.data()[i], static_cast<float>(2 * x.data()[i]));
}

TEST(MapRows, AnExceptionInAShardReachesTheCaller) {
  ThreadPool pool(2);
  Tape tape;
  tape.reset({.pool = &pool});
  const Tensor inputs[] = {tape.filled({8, 2}, 1)};
  EXPECT_THROW(tape.map_rows({.items = 8, .chunks = 4, .lanes = 2}, inputs,
                             [](Tape&, Inputs p) -> Tensor { throw ShapeError("no good: " + p[0].shape().to_string()); }),
               ShapeError);
}

TEST(MapRows, LanesGetMemoryWhenAPlanNeedsThem) {
  GradientLanes lanes(100, 3);
  EXPECT_EQ(lanes.count(), 0);
  Tape tape;
  const auto run = [&](std::int64_t count, bool gradients) {
    tape.reset({.gradients = gradients, .lanes = &lanes});
    const Tensor inputs[] = {tape.filled({32, 2}, 1)};
    (void)tape.map_rows({.items = 32, .chunks = 32, .lanes = count}, inputs, [](Tape&, Inputs p) { return p[0]; });
    return lanes.count();
  };
  EXPECT_EQ(run(4, false), 1);
  EXPECT_EQ(run(1, true), 1);
  EXPECT_EQ(run(4, true), 4);
  EXPECT_EQ(run(2, true), 4);  // kept
  EXPECT_EQ(lanes.reserved(), 4 * 100 * sizeof(float));
  EXPECT_EQ(run(kMaxLanes, true), kMaxLanes);
  EXPECT_THROW(run(kMaxLanes + 1, true), ArgumentError);
}

/// Two sub-networks over common inputs; the second result may stay unused.
Pass forked(ThreadPool* pool, bool use_both) {
  Tape tape;
  tape.reset({.seed = 5, .pool = pool});
  Tensor x = tape.input(sample("fork/x", {6, 4}), true), w = tape.input(sample("fork/w", {4, 3}), true);
  const Tensor inputs[] = {x, w};
  Tensor out[2];
  tape.fork(inputs, out, [](std::int64_t i, Tape&, Inputs p) {
    Tensor y = ops::matmul(p[0], p[1]);
    return i == 0 ? ops::activate(y, Activation::tanh) : ops::dropout(ops::activate(y, Activation::sigmoid), 0.25f);
  });
  tape.backward(use_both ? ops::sum(ops::multiply(out[0], out[1])) : ops::sum(out[0]));
  Pass p{{out[0].data(), out[0].data() + 18}, {x.grad(), x.grad() + 24}, {w.grad(), w.grad() + 12}};
  p.value.insert(p.value.end(), out[1].data(), out[1].data() + 18);
  return p;
}

TEST(Fork, SameBitsForAnyNumberOfThreads) {
  for (const bool both : {true, false}) {
    ThreadPool one(1);
    const Pass want = forked(&one, both);
    for (const int threads : {2, 4}) {
      ThreadPool pool(threads);
      for (int repeat = 0; repeat < 3; ++repeat) EXPECT_EQ(forked(&pool, both), want);
    }
  }
}

TEST(Fork, GivesWhatOneAfterTheOtherGives) {
  // Without dropout, whose streams differ with the number of tapes.
  const auto run = [](ThreadPool* pool) {
    Tape tape;
    tape.reset({.pool = pool});
    Tensor x = tape.input(sample("fork/x", {6, 4}), true);
    const Tensor inputs[] = {x};
    Tensor out[3];
    tape.fork(inputs, out,
              [](std::int64_t i, Tape&, Inputs p) { return ops::scale(ops::activate(p[0], Activation::tanh), static_cast<float>(i) + 1); });
    tape.backward(ops::sum(ops::multiply(ops::multiply(out[0], out[1]), out[2])));
    return std::vector<float>(x.grad(), x.grad() + x.size());
  };
  ThreadPool pool(2);
  EXPECT_LT(largest_difference(run(&pool), run(nullptr)), 1e-5);
}

TEST(Fork, SumsTheSquaresOfGradientsThatAreComplete) {
  // The first kernel is used in a sub-network alone, the second one also before the fork: its gradient grows after the sub-network's is
  // done.
  const Array x = sample("fork/x", {6, 4}), w = sample("fork/w", {32});
  std::vector<float> weights(w.data(), w.data() + 32);
  GradientLanes lanes(32, 2);
  ThreadPool pool(2);
  Tape tape;
  tape.reset({.lanes = &lanes, .pool = &pool});
  const auto kernel = [&](Tape& t, std::int64_t i) { return t.parameter({4, 4}, weights.data() + 16 * i, 16 * i, static_cast<int>(i)); };
  const Tensor inputs[] = {ops::matmul(tape.input(x), kernel(tape, 1))};
  Tensor out[2];
  tape.fork(inputs, out,
            [&](std::int64_t i, Tape& t, Inputs p) { return ops::activate(ops::matmul(p[0], kernel(t, i)), Activation::tanh); });
  tape.backward(ops::sum(ops::multiply(out[0], out[1])));
  const detail::GradientLane& lane = lanes.lanes()[0];
  double want = 0;
  for (int i = 0; i < 16; ++i) want += static_cast<double>(lane.gradients[i]) * static_cast<double>(lane.gradients[i]);
  EXPECT_GT(want, 0.01);
  EXPECT_EQ(lane.touched[0], detail::GradientLane::kSquareKnown);
  EXPECT_NEAR(lane.squares[0], want, 1e-6 * want);
  EXPECT_EQ(lane.touched[1], 1);
}

TEST(Fork, TellsWhichTaskMadeAGradientAndAddsBothPartsOfAParameterThatIsUsedTwice) {
  // y_i = tanh(x W_i) W_i in sub-network i; against the same on one tape. The third parameter is used before the fork alone.
  const Array x = sample("fork/x", {6, 4}), w = sample("fork/w", {48});
  const std::vector<float> weights(w.data(), w.data() + 48);
  struct Result {
    std::vector<float> gradient;
    std::vector<std::uint8_t> touched;
    std::vector<float> places;
  };
  const auto run = [&](ThreadPool* pool) {
    GradientLanes lanes(48, 3);
    Tape tape;
    tape.reset({.lanes = &lanes, .pool = pool});
    const auto kernel = [&](Tape& t, std::int64_t i) { return t.parameter({4, 4}, weights.data() + 16 * i, 16 * i, static_cast<int>(i)); };
    const Tensor inputs[] = {ops::matmul(tape.input(x), kernel(tape, 2))};
    Tensor out[2];
    tape.fork(inputs, out, [&](std::int64_t i, Tape& t, Inputs p) {
      Tensor first = kernel(t, i);
      return ops::matmul(ops::activate(ops::matmul(p[0], first), Activation::tanh), kernel(t, i));
    });
    tape.backward(ops::sum(ops::multiply(out[0], out[1])));
    const detail::GradientLane& lane = lanes.lanes()[0];
    return Result{{lane.gradients, lane.gradients + 48}, {lane.touched, lane.touched + 3}, {lane.places, lane.places + 3}};
  };
  ThreadPool pool(2);
  const Result pair = run(&pool), plain = run(nullptr);
  EXPECT_LT(largest_difference(pair.gradient, plain.gradient), 1e-5);
  EXPECT_GT(*std::max_element(plain.gradient.begin(), plain.gradient.end()), 0.1f);
  EXPECT_EQ(pair.places, (std::vector<float>{0.25f, 0.75f, -1.0f}));
  EXPECT_EQ(plain.places, (std::vector<float>{-1.0f, -1.0f, -1.0f}));
  EXPECT_EQ(pair.touched, (std::vector<std::uint8_t>{detail::GradientLane::kSquareKnown, detail::GradientLane::kSquareKnown, 1}));
}

}  // namespace
}  // namespace bayesflow
