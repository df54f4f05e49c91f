/// Arena and tape: memory, shards, forks, dropout, plans.
#include "bayesflow/autodiff/tape.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>
#include <tuple>

#include "bayesflow/autodiff/ops.hpp"
#include "bayesflow/core/errors.hpp"
#include "support/expect.hpp"
#include "support/op_table.hpp"

namespace bayesflow {
namespace {

using support::sample;
using Inputs = std::span<const Tensor>;

// --- Arena ---

TEST(Arena, PiecesAreAlignedAndDoNotOverlap) {
  Arena arena;
  std::vector<std::pair<std::byte*, std::size_t>> pieces;
  for (std::size_t size : {1u, 63u, 64u, 65u, 1000u, 100000u, 4u, 1u << 20}) {
    auto* p = static_cast<std::byte*>(arena.bytes(size));
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(p) % 64, 0u);
    std::memset(p, static_cast<int>(pieces.size() + 1), size);
    pieces.emplace_back(p, size);
  }
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    EXPECT_EQ(static_cast<std::size_t>(pieces[i].first[0]), i + 1);
    EXPECT_EQ(static_cast<std::size_t>(pieces[i].first[pieces[i].second - 1]), i + 1);
  }
}

TEST(Arena, ResetReusesMemoryAndJoinsBlocks) {
  Arena arena;
  const auto fill = [&] {
    for (int i = 0; i < 50; ++i) std::ignore = arena.floats(3000);
  };
  fill();
  arena.reset();
  const std::size_t held = arena.reserved();
  float* first = arena.floats(3000);
  arena.reset();
  for (int step = 0; step < 10; ++step) {
    fill();
    EXPECT_EQ(arena.reserved(), held) << "a like step needed more memory";
    arena.reset();
    EXPECT_EQ(arena.reserved(), held) << "memory went back to the system";
    EXPECT_EQ(arena.floats(3000), first) << "one block, from its start";
    arena.reset();
  }
}

TEST(Arena, RewindFreesScratchAlsoAcrossBlocks) {
  Arena arena;
  std::ignore = arena.floats(10);
  const Arena::Mark mark = arena.mark();
  float* scratch = arena.floats(100);
  arena.rewind(mark);
  EXPECT_EQ(arena.floats(100), scratch);
  arena.rewind(mark);
  std::ignore = arena.floats(1 << 20);  // another block
  const std::size_t held = arena.reserved();
  arena.rewind(mark);
  EXPECT_EQ(arena.floats(100), scratch);
  std::ignore = arena.floats(1 << 20);
  EXPECT_EQ(arena.reserved(), held) << "the block left by the rewind was not used again";
  Arena empty;
  empty.rewind(empty.mark());
  EXPECT_EQ(empty.reserved(), 0u);
}

TEST(ArenaGroup, ArenasLieApartAndLikePassesNeedNoMore) {
  ArenaGroup group;
  const auto pass = [&](std::size_t count, std::int64_t floats) {
    group.reset(count);
    std::vector<std::pair<float*, float>> pieces;
    for (int part = 0; part < 4; ++part)
      for (std::size_t i = 0; i < count; ++i) {
        float* p = group[i].floats(floats);
        std::fill_n(p, floats, static_cast<float>(pieces.size()));
        pieces.emplace_back(p, static_cast<float>(pieces.size()));
      }
    for (const auto& [p, value] : pieces) {
      EXPECT_EQ(p[0], value);
      EXPECT_EQ(p[floats - 1], value);
    }
  };
  pass(3, 10000);
  pass(3, 10000);
  const std::size_t held = group.reserved();
  EXPECT_GE(held, 3U * 4 * 40000);
  for (const std::size_t count : {3, 1, 2, 3}) {
    pass(count, 10000);
    EXPECT_EQ(group.reserved(), held) << "a like or a smaller pass needed more memory";
  }
  pass(9, 100);  // more of them that need little
  pass(9, 100);
  EXPECT_EQ(group.reserved(), held + 6 * 65536) << "the smallest blocks there are";
  pass(3, 50000);  // beyond their shares
  pass(5, 50000);  // more of them
  pass(5, 50000);
  const std::size_t more = group.reserved();
  pass(5, 50000);
  EXPECT_EQ(group.reserved(), more);
}

// --- plans ---

TEST(ShardPlan, DependsOnShapesAloneAndCoversEveryItem) {
  for (const std::int64_t items : {1, 2, 31, 32, 33, 127, 128, 129, 500, 4096, 100000})
    for (const std::int64_t rows : {1, 2, 50, 127, 128, 129, 5000}) {
      const ShardPlan p = plan_shards(items, rows);
      EXPECT_EQ(p.items, items);
      EXPECT_GE(p.chunks, 1);
      EXPECT_LE(p.chunks, items);
      EXPECT_GE(p.lanes, 1);
      EXPECT_LE(p.lanes, std::min(kMaxLanes, p.chunks));
      EXPECT_EQ(p.first_item(0), 0);
      EXPECT_EQ(p.first_item(p.chunks), items);
      EXPECT_EQ(p.first_chunk(0), 0);
      EXPECT_EQ(p.first_chunk(p.lanes), p.chunks);
      for (std::int64_t c = 0; c < std::min<std::int64_t>(p.chunks, 300); ++c)
        EXPECT_LT(p.first_item(c), p.first_item(c + 1)) << "an empty chunk";
      for (std::int64_t l = 0; l < p.lanes; ++l) EXPECT_LT(p.first_chunk(l), p.first_chunk(l + 1)) << "an empty lane";
      const ShardPlan again = plan_shards(items, rows);
      EXPECT_EQ(again.chunks, p.chunks);
      EXPECT_EQ(again.lanes, p.lanes);
    }
  const ShardPlan quickstart = plan_shards(32, 50);
  EXPECT_EQ(quickstart.chunks, 8);  // four sets of 50 observations a chunk
  EXPECT_EQ(quickstart.lanes, 4);
}

// --- tape ---

TEST(Tape, ResetKeepsMemoryFromTheSecondLikeStepOn) {
  Tape tape;
  const Array x = sample("x", {300, 20}), w = sample("w", {20, 30});
  std::size_t held = 0;
  for (int step = 0; step < 6; ++step) {
    tape.reset({.step = static_cast<std::uint64_t>(step)});
    Tensor in = tape.input(x, true), kernel = tape.input(w, true);
    const ShardPlan plan{.items = 300, .chunks = 10, .lanes = 2};
    const Tensor inputs[] = {in};
    Tensor y = tape.map_rows(plan, inputs, [](Tape&, Inputs p) { return ops::activate(p[0], Activation::tanh); });
    tape.backward(ops::mean(ops::matmul(y, kernel)));
    if (step == 2) held = tape.reserved();
    if (step > 2) {
      EXPECT_EQ(tape.reserved(), held);
    }
  }
}

TEST(Tape, NothingIsRecordedWithoutGradients) {
  Tape tape;
  tape.reset({.gradients = false});
  Tensor x = tape.input(sample("x", {3, 4}), true);
  Tensor y = ops::mean(ops::activate(x, Activation::tanh));
  EXPECT_FALSE(x.needs_grad());
  EXPECT_FALSE(y.needs_grad());
  tape.backward(y);
  EXPECT_EQ(x.grad(), nullptr);
}

TEST(Tape, BackwardFromACotangentAndWithoutOne) {
  Tape tape;
  const Array x = Array::of({1, 2, 3});
  tape.reset({});
  Tensor in = tape.input(x, true);
  const float cotangent[] = {1, -2, 0.5f};
  tape.backward(ops::multiply(in, in), cotangent);
  EXPECT_EQ(in.grad()[0], 2);
  EXPECT_EQ(in.grad()[1], -8);
  EXPECT_EQ(in.grad()[2], 3);
  tape.reset({});
  in = tape.input(x, true);
  tape.backward(ops::multiply(in, in));
  EXPECT_EQ(in.grad()[2], 6);
}

TEST(Tape, ALeafThatNothingReachesHasNoGradient) {
  Tape tape;
  tape.reset({});
  Tensor a = tape.input(Array::of({1.0}), true), b = tape.input(Array::of({2.0}), true);
  ops::scale(b, 3);  // not part of the loss
  tape.backward(ops::scale(a, 2));
  EXPECT_NE(a.grad(), nullptr);
  EXPECT_EQ(b.grad(), nullptr);
}

TEST(Tape, WrapDoesNotCopyAndInputRoundsToFloat) {
  Tape tape;
  tape.reset({});
  const float values[] = {1, 2};
  EXPECT_EQ(tape.wrap({2}, values).data(), values);
  EXPECT_EQ(tape.input(Array::of({0.1})).data()[0], 0.1f);
  EXPECT_EQ(tape.filled({2, 2}, 3).data()[3], 3);
}

// --- map_rows and fork ---

struct Pass {
  std::vector<float> value, dx, dw;
  friend bool operator==(const Pass&, const Pass&) = default;
};

/// tanh(x W) over shards; W's gradient arrives in lanes.
Pass sharded(const ShardPlan& plan, ThreadPool* pool, bool dropout = false) {
  const Array x = sample("shard/x", {plan.items, 3, 5}), w = sample("shard/w", {5, 4}), c = sample("shard/c", {plan.items, 3, 4});
  std::vector<float> weights(20), cotangent;
  for (std::size_t i = 0; i < 20; ++i) weights[i] = static_cast<float>(w.data()[i]);
  for (const double v : c.values()) cotangent.push_back(static_cast<float>(v));
  std::vector<std::vector<float>> memory(kMaxLanes, std::vector<float>(20));
  std::vector<std::uint8_t> touched(kMaxLanes, 0);
  std::vector<GradientLane> lanes;
  for (std::size_t l = 0; l < kMaxLanes; ++l) lanes.push_back({memory[l].data(), &touched[l]});
  Tape tape;
  tape.reset({.seed = 3, .lanes = lanes, .pool = pool});
  Tensor in = tape.input(x, true);
  const Tensor inputs[] = {in};
  Tensor y = tape.map_rows(plan, inputs, [&](Tape& t, Inputs p) {
    Tensor kernel = t.parameter({5, 4}, weights.data(), 0, 0);
    Tensor h = ops::activate(ops::matmul(p[0], kernel), Activation::tanh);
    return dropout ? ops::dropout(h, 0.3f) : h;
  });
  tape.backward(y, cotangent.data());
  Pass pass{{y.data(), y.data() + y.size()}, {in.grad(), in.grad() + in.size()}, std::vector<float>(20, 0.0f)};
  for (std::size_t l = 0; l < kMaxLanes; ++l)
    if (touched[l])
      for (std::size_t i = 0; i < 20; ++i) pass.dw[i] += memory[l][i];
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
    const ShardPlan plan{.items = 37, .chunks = 9, .lanes = 4};
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
  for (const ShardPlan& plan : {ShardPlan{37, 2, 1}, ShardPlan{37, 9, 4}, ShardPlan{37, 37, 16}}) {
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

TEST(MapRows, TooFewLanesAreAnError) {
  float gradient[1];
  std::uint8_t touched = 0;
  GradientLane lane{gradient, &touched};
  Tape tape;
  tape.reset({.lanes = {&lane, 1}});
  const Tensor inputs[] = {tape.filled({8, 2}, 1)};
  EXPECT_THROW(tape.map_rows({.items = 8, .chunks = 4, .lanes = 2}, inputs, [](Tape&, Inputs p) { return p[0]; }), ArgumentError);
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
  std::vector<float> weights(w.data(), w.data() + 32), gradient(32);
  std::uint8_t touched[2] = {0, 0};
  double squares[2] = {-1, -1};
  GradientLane lane{gradient.data(), touched, squares};
  ThreadPool pool(2);
  Tape tape;
  tape.reset({.lanes = {&lane, 1}, .pool = &pool});
  const auto kernel = [&](Tape& t, std::int64_t i) { return t.parameter({4, 4}, weights.data() + 16 * i, 16 * i, static_cast<int>(i)); };
  const Tensor inputs[] = {ops::matmul(tape.input(x), kernel(tape, 1))};
  Tensor out[2];
  tape.fork(inputs, out,
            [&](std::int64_t i, Tape& t, Inputs p) { return ops::activate(ops::matmul(p[0], kernel(t, i)), Activation::tanh); });
  tape.backward(ops::sum(ops::multiply(out[0], out[1])));
  double want = 0;
  for (int i = 0; i < 16; ++i) want += static_cast<double>(gradient[i]) * static_cast<double>(gradient[i]);
  EXPECT_GT(want, 0.01);
  EXPECT_EQ(touched[0], GradientLane::kSquareKnown);
  EXPECT_NEAR(squares[0], want, 1e-6 * want);
  EXPECT_EQ(touched[1], 1);
}

TEST(Fork, TellsWhichTaskMadeAGradientAndAddsBothPartsOfAParameterThatIsUsedTwice) {
  // y_i = tanh(x W_i) W_i in sub-network i; against the same on one tape. The third parameter is used before the fork alone.
  const Array x = sample("fork/x", {6, 4}), w = sample("fork/w", {48});
  const std::vector<float> weights(w.data(), w.data() + 48);
  struct Result {
    std::vector<float> gradient = std::vector<float>(48);
    std::vector<std::uint8_t> touched = {0, 0, 0};
    std::vector<double> squares = {-1, -1, -1};
    std::vector<float> places = {-1, -1, -1};
  };
  const auto run = [&](ThreadPool* pool) {
    Result r;
    GradientLane lane{r.gradient.data(), r.touched.data(), r.squares.data(), r.places.data()};
    Tape tape;
    tape.reset({.lanes = {&lane, 1}, .pool = pool});
    const auto kernel = [&](Tape& t, std::int64_t i) { return t.parameter({4, 4}, weights.data() + 16 * i, 16 * i, static_cast<int>(i)); };
    const Tensor inputs[] = {ops::matmul(tape.input(x), kernel(tape, 2))};
    Tensor out[2];
    tape.fork(inputs, out, [&](std::int64_t i, Tape& t, Inputs p) {
      Tensor first = kernel(t, i);
      return ops::matmul(ops::activate(ops::matmul(p[0], first), Activation::tanh), kernel(t, i));
    });
    tape.backward(ops::sum(ops::multiply(out[0], out[1])));
    return r;
  };
  ThreadPool pool(2);
  const Result pair = run(&pool), plain = run(nullptr);
  EXPECT_LT(largest_difference(pair.gradient, plain.gradient), 1e-5);
  EXPECT_GT(*std::max_element(plain.gradient.begin(), plain.gradient.end()), 0.1f);
  EXPECT_EQ(pair.places, (std::vector<float>{0.25f, 0.75f, -1.0f}));
  EXPECT_EQ(plain.places, (std::vector<float>{-1.0f, -1.0f, -1.0f}));
  EXPECT_EQ(pair.touched, (std::vector<std::uint8_t>{GradientLane::kSquareKnown, GradientLane::kSquareKnown, 1}));
}

// --- dropout ---

TEST(Dropout, KeepsTheRightShareScalesAndChangesWithStepAndSeed) {
  const auto draw = [](std::uint64_t seed, std::uint64_t step) {
    Tape tape;
    tape.reset({.seed = seed, .step = step});
    Tensor y = ops::dropout(tape.filled({100, 1001}, 3), 0.2f);
    return std::vector<float>(y.data(), y.data() + y.size());
  };
  const std::vector<float> y = draw(1, 0);
  std::int64_t kept = 0;
  for (const float v : y) {
    if (v != 0) {
      EXPECT_FLOAT_EQ(v, 3.75f);  // 3 / (1 - 0.2)
      ++kept;
    }
  }
  // Binomial(100100, 0.8): six standard deviations, a false alarm in 5e8.
  EXPECT_NEAR(static_cast<double>(kept), 80080, 6 * std::sqrt(100100 * 0.16));
  EXPECT_EQ(y, draw(1, 0));
  EXPECT_NE(y, draw(1, 1));
  EXPECT_NE(y, draw(2, 0));
}

TEST(Dropout, SharesThatKeepNothingOrAreNoneAreAnError) {
  Tape tape;
  tape.reset({});
  const Tensor x = tape.filled({2, 3}, 1);
  EXPECT_EQ(sentence<ArgumentError>([&] { ops::dropout(x, 1); }), "dropout: p must be in [0, 1), so that something is kept; got 1");
  EXPECT_EQ(sentence<ArgumentError>([&] { ops::dropout(x, 1.5f); }), "dropout: p must be in [0, 1), so that something is kept; got 1.5");
  EXPECT_EQ(sentence<ArgumentError>([&] { ops::dropout(x, -0.5f); }), "dropout: p must be in [0, 1), so that something is kept; got -0.5");
  EXPECT_EQ(sentence<ArgumentError>([&] { ops::dropout(x, NAN); }), "dropout: p must be in [0, 1), so that something is kept; got nan");
  EXPECT_EQ(ops::dropout(x, 0).data(), x.data());
}

TEST(StudentT, DegreesOfFreedomMustBePositive) {
  Tape tape;
  tape.reset({});
  const Tensor z = tape.filled({2, 3}, 1);
  for (const auto& [df, text] : {std::pair{0.0f, "0"}, {-2.0f, "-2"}, {INFINITY, "inf"}, {NAN, "nan"}})
    EXPECT_EQ(sentence<ArgumentError>([&] { ops::student_t_log_density(z, df); }),
              std::string("student_t_log_density: df must be positive and finite; got ") + text);
}

// --- sentences ---

template <class F>
std::string shape_error(F&& f) {
  return sentence<ShapeError>(std::forward<F>(f));
}

TEST(Ops, ErrorsSayWhatWasNeededAndWhatWasGot) {
  Tape tape;
  tape.reset({});
  const auto t = [&](const Shape& s) { return tape.filled(s, 1); };
  EXPECT_EQ(shape_error([&] { ops::add(t({2, 3}), t({3, 2})); }), "add: shapes must be equal; got (2, 3) and (3, 2)");
  EXPECT_EQ(shape_error([&] { ops::subtract(t({2}), t({3})); }), "subtract: shapes must be equal; got (2,) and (3,)");
  EXPECT_EQ(shape_error([&] { ops::multiply(t({2}), t({3})); }), "multiply: shapes must be equal; got (2,) and (3,)");
  EXPECT_EQ(shape_error([&] { ops::add_scalar(t({2}), t({3})); }), "add_scalar: needs one element to add; got (3,)");
  EXPECT_EQ(shape_error([&] { ops::reshape(t({2, 3}), {4}); }), "reshape: 6 elements of shape (2, 3) do not fit (4,)");
  EXPECT_EQ(shape_error([&] { ops::concat({}); }), "concat: needs 1 to 8 tensors; got 0");
  EXPECT_EQ(shape_error([&] {
              const Tensor parts[] = {t({2, 3}), t({3, 3})};
              ops::concat(parts);
            }),
            "concat: all axes but the last must agree; got (2, 3) and (3, 3)");
  EXPECT_EQ(shape_error([&] { ops::columns(t({2, 3}), 1, 4); }), "columns: [1, 4) is out of range for (2, 3)");
  EXPECT_EQ(shape_error([&] {
              ops::repeat(t({2, 3}), 0);
            }),
            "repeat: needs shape (..., d) and a positive number of times; got (2, 3) and 0");
  EXPECT_EQ(shape_error([&] { ops::mean_pool(t({3})); }), "mean_pool: needs shape (..., N, d) with N >= 1; got (3,)");
  EXPECT_EQ(shape_error([&] { ops::max_pool(t({2, 0, 3})); }), "max_pool: needs shape (..., N, d) with N >= 1; got (2, 0, 3)");
  EXPECT_EQ(shape_error([&] { ops::sum_columns(t({})); }), "sum_columns: needs at least one axis; got ()");
  EXPECT_EQ(shape_error([&] { ops::mean(t({0})); }), "mean: needs at least one element; got (0,)");
  EXPECT_EQ(shape_error([&] {
              ops::matmul(t({2, 3}), t({2, 3}));
            }),
            "dense_chain: layer 0 needs inputs of width 2 (kernel (2, 3)); got width 3");
  EXPECT_EQ(shape_error([&] {
              ops::dense(t({2, 3}), {t({3, 4}), t({3}), Activation::relu});
            }),
            "dense_chain: layer 0 has kernel (3, 4) but bias (3,)");
  EXPECT_EQ(shape_error([&] { ops::dense_chain({}, t({2, 3})); }), "dense_chain: needs 1 to 8 layers; got 0");
  EXPECT_EQ(shape_error([&] {
              const ops::Layer layer{t({3, 4}), {}, Activation::relu};
              ops::mean_of_chain({&layer, 1}, t({3}));
            }),
            "mean_of_chain: needs shape (..., N, d) with N >= 1; got (3,)");
  EXPECT_EQ(shape_error([&] {
              const ops::Layer layer{t({5, 4}), {}, Activation::relu};
              ops::dense_chain({&layer, 1}, t({5, 3}), t({2, 2}));
            }),
            "dense_chain: rows of x (5, 3) must be a multiple of the condition's rows (2, 2)");
  EXPECT_EQ(shape_error([&] {
              ops::affine_columns(t({2, 3}), t({2}), t({3}));
            }),
            "affine_columns: x (2, 3) needs scale and bias of its last width; got (2,) and (3,)");
  EXPECT_EQ(shape_error([&] {
              ops::affine_columns_inverse(t({2, 3}), t({3}), t({1}));
            }),
            "affine_columns_inverse: x (2, 3) needs scale and bias of its last width; got (3,) and (1,)");
  EXPECT_EQ(shape_error([&] { ops::log_abs_det(t({2, 3})); }), "log_abs_det: needs a square matrix; got (2, 3)");
  EXPECT_EQ(shape_error([&] { ops::inverse_matrix(t({4})); }), "inverse_matrix: needs a square matrix; got (4,)");
  EXPECT_EQ(shape_error([&] { ops::affine_coupling(t({2}), t({3}), t({2}), 1); }),
            "affine_coupling: shapes of u, s and t must be equal; got (2,), (3,) and (2,)");
  EXPECT_EQ(shape_error([&] { ops::affine_coupling_inverse(t({2}), t({2}), t({3}), 1); }),
            "affine_coupling_inverse: shapes of v, s and t must be equal; got (2,), (2,) and (3,)");
  EXPECT_EQ(shape_error([&] {
              ops::spline_coupling(t({2, 2}), t({2, 20}), {.bins = 4});
            }),
            "spline_coupling: values (2, 2) and 4 bins need parameters of last width 26; got (2, 20)");
  EXPECT_EQ(shape_error([&] {
              ops::spline_coupling_inverse(t({2, 2}), t({2, 2}), {.bins = 0});
            }),
            "spline_coupling_inverse: needs at least one bin; got 0");
  EXPECT_EQ(shape_error([&] { ops::mmd(t({2, 3}), t({2, 2})); }), "mmd: needs two samples (n, d) and (m, d); got (2, 3) and (2, 2)");
  const float u[] = {1, 2};
  EXPECT_EQ(shape_error([&] {
              ops::spectral_normalize(t({2, 3}), u);
            }),
            "spectral_normalize: kernel (2, 3) needs a vector of 3 values; got 2");
}

TEST(Ops, AnExceptionLeavesTheTapeUsable) {
  Tape tape;
  tape.reset({});
  Tensor x = tape.input(Array::of({1, 2}), true);
  EXPECT_THROW(ops::add(x, tape.filled({3}, 1)), ShapeError);
  tape.backward(ops::sum(ops::scale(x, 2)));
  EXPECT_EQ(x.grad()[1], 2);
}

TEST(Mmd, GoldenNumberOfV1) {
  Tape tape;
  tape.reset({});
  const Tensor y = ops::mmd(tape.input(Array::of({{0, 0}, {1, 0}})), tape.input(Array::of({{0, 1}})));
  EXPECT_NEAR(static_cast<double>(y.data()[0]), 10.4550906, 1e-6);
}

TEST(Activation, NamesGoBothWaysAndAWrongOneListsThem) {
  for (const Activation a : {Activation::identity, Activation::relu, Activation::leaky_relu, Activation::elu, Activation::selu,
                             Activation::tanh, Activation::sigmoid, Activation::swish, Activation::softplus})
    EXPECT_EQ(activation_from(to_string(a)), a);
  EXPECT_EQ(activation_from("linear"), Activation::identity);
  EXPECT_EQ(activation_from("silu"), Activation::swish);
  try {
    std::ignore = activation_from("gelu");
    FAIL();
  } catch (const ConfigurationError& e) {
    EXPECT_STREQ(e.what(),
                 "activation \"gelu\" is not known; use one of: identity, relu, leaky_relu, elu, selu, tanh, sigmoid, swish, softplus, "
                 "linear, silu");
  }
}

// --- means of chains ---

/// The mean, and the gradients of x, W and b; the plain twin makes the mean an operation of its own.
std::vector<std::vector<float>> mean_and_gradients(bool plain, const Shape& shape, std::int64_t units, Activation activation) {
  const Array x = sample("x", shape), w = sample("w", {shape[-1], units}), b = sample("b", {units});
  Tape tape;
  tape.reset({});
  const Tensor leaves[] = {tape.input(x, true), tape.input(w, true), tape.input(b, true)};
  const ops::Layer layer{leaves[1], leaves[2], activation};
  const std::span<const ops::Layer> layers(&layer, 1);
  Tensor y = plain ? ops::mean_pool(ops::dense_chain(layers, leaves[0])) : ops::mean_of_chain(layers, leaves[0]);
  const Array cotangent = sample("cotangent", y.shape());
  tape.backward(y, std::vector<float>(cotangent.data(), cotangent.data() + cotangent.size()).data());
  std::vector<std::vector<float>> all = {{y.data(), y.data() + y.size()}};
  for (const Tensor& leaf : leaves) all.emplace_back(leaf.grad(), leaf.grad() + leaf.size());
  return all;
}

TEST(Tape, AMeanThatIsPartOfAChainIsThatOfThePlainOperation) {
  // Where no set lies in two blocks of rows, all is added in the same order; elsewhere means are added in parts.
  struct {
    Shape x;
    bool same_bits;
  } const cases[] = {{{4, 50, 6}, true}, {{1, 3, 6}, true}, {{7, 1, 6}, true}, {{3, 71, 6}, false}, {{2, 301, 6}, false}};
  for (const auto& c : cases)
    for (const std::int64_t units : {1, 3, 16, 37, 64})
      for (const Activation activation : {Activation::relu, Activation::identity, Activation::tanh}) {
        const auto plain = mean_and_gradients(true, c.x, units, activation), fused = mean_and_gradients(false, c.x, units, activation);
        ASSERT_EQ(plain.size(), fused.size());
        for (std::size_t part = 0; part < plain.size(); ++part) {
          const std::string about = c.x.to_string() + " units " + std::to_string(units) + " part " + std::to_string(part);
          if (c.same_bits || part > 0) {
            EXPECT_EQ(plain[part], fused[part]) << about;
          }
          ASSERT_EQ(plain[part].size(), fused[part].size());
          for (std::size_t i = 0; i < plain[part].size(); ++i) EXPECT_NEAR(plain[part][i], fused[part][i], 1e-5F) << about;
        }
      }
}

// --- a relu's derivative, taken by whoever hands it a gradient ---

/// The gradients of x, W and b where y = relu(x W + b) goes to `consumer`. The plain twin applies the relu as an operation of its own.
std::vector<float> relu_gradients(bool plain, bool with_condition, Tensor (*consumer)(Tensor y)) {
  const Array x = sample("x", {3, 4, 5}), c = sample("c", {3, 2}), w = sample("w", {with_condition ? 7 : 5, 6}), b = sample("b", {6});
  Tape tape;
  tape.reset({});
  const Tensor leaves[] = {tape.input(x, true), tape.input(c, true), tape.input(w, true), tape.input(b, true)};
  const ops::Layer layer{leaves[2], leaves[3], plain ? Activation::identity : Activation::relu};
  Tensor y = ops::dense_chain(std::span<const ops::Layer>(&layer, 1), leaves[0], with_condition ? leaves[1] : Tensor());
  if (plain) y = ops::activate(y, Activation::relu);
  const Tensor out = consumer(y);
  const Array cotangent = sample("cotangent", out.shape());
  tape.backward(out, std::vector<float>(cotangent.data(), cotangent.data() + cotangent.size()).data());
  std::vector<float> all(y.data(), y.data() + y.size());
  for (const Tensor& leaf : leaves)
    if (leaf.grad()) all.insert(all.end(), leaf.grad(), leaf.grad() + leaf.size());
  return all;
}

Tensor dense_of(Tensor y, const char* name) {
  return ops::matmul(y, y.tape().input(sample(name, {6, 3}), false));
}

TEST(Tape, AReluWhoseDerivativeIsTakenByItsConsumersHasTheGradientOfAPlainOne) {
  using Consumer = Tensor (*)(Tensor);
  const std::pair<const char*, Consumer> consumers[] = {
      {"nothing", [](Tensor y) { return y; }},
      {"product", [](Tensor y) { return dense_of(y, "v"); }},
      {"two products", [](Tensor y) { return ops::add(dense_of(y, "v"), dense_of(y, "u")); }},
      {"mean", [](Tensor y) { return ops::mean_pool(y); }},
      {"mean and largest", [](Tensor y) { return ops::add(ops::mean_pool(y), ops::max_pool(y)); }},
      {"largest and mean", [](Tensor y) { return ops::add(ops::max_pool(y), ops::mean_pool(y)); }},
      {"product and scale", [](Tensor y) { return ops::add(dense_of(y, "v"), dense_of(ops::scale(y, 2), "u")); }},
      {"scale and product", [](Tensor y) { return ops::add(dense_of(ops::scale(y, 2), "u"), dense_of(y, "v")); }},
      {"condition", [](Tensor y) {
         Tensor pooled = ops::mean_pool(y);
         const ops::Layer layer{y.tape().input(sample("v", {12, 3}), false), {}, Activation::identity};
         return ops::dense_chain(std::span<const ops::Layer>(&layer, 1), y, pooled);
       }},
  };
  for (const auto& [name, consumer] : consumers)
    for (const bool with_condition : {false, true}) {
      const std::vector<float> plain = relu_gradients(true, with_condition, consumer), fused = relu_gradients(false, with_condition, consumer);
      ASSERT_EQ(plain.size(), fused.size());
      double largest = 0;
      for (std::size_t i = 0; i < plain.size(); ++i) {
        EXPECT_NEAR(fused[i], plain[i], 1e-5f) << name << " " << i;
        largest = std::max(largest, std::fabs(static_cast<double>(plain[i])));
      }
      EXPECT_GT(largest, 0.1);
    }
}

}  // namespace
}  // namespace bayesflow
