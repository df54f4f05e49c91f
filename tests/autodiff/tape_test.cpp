/// Arena and tape: memory, leaves, backward passes; dropout, sentences of ops, gradients that ops share out between them.
#include "bayesflow/autodiff/tape.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "autodiff/ops/mean_of_chain.hpp"
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

// --- tape ---

TEST(Tape, ResetKeepsMemoryFromTheSecondLikeStepOn) {
  Tape tape;
  const Array x = sample("x", {300, 20}), w = sample("w", {20, 30});
  std::size_t held = 0;
  for (int step = 0; step < 6; ++step) {
    tape.reset({.step = static_cast<std::uint64_t>(step)});
    Tensor in = tape.input(x, true), kernel = tape.input(w, true);
    const Plan plan{.items = 300, .chunks = 10, .lanes = 2};
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
    EXPECT_EQ(sentence<ArgumentError>([&, value = df] { ops::student_t_log_density(z, value); }),
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
                             Activation::tanh, Activation::sigmoid, Activation::swish, Activation::softplus, Activation::exponential,
                             Activation::gelu, Activation::hard_sigmoid, Activation::mish, Activation::relu6, Activation::softsign})
    EXPECT_EQ(activation_from(to_string(a)), a);
  EXPECT_EQ(activation_from("linear"), Activation::identity);
  EXPECT_EQ(activation_from("silu"), Activation::swish);
  try {
    std::ignore = activation_from("sine");
    FAIL();
  } catch (const ConfigurationError& e) {
    EXPECT_STREQ(e.what(),
                 "activation \"sine\" is not known; use one of: identity, relu, leaky_relu, elu, selu, tanh, sigmoid, swish, softplus, "
                 "exponential, gelu, hard_sigmoid, mish, relu6, softsign, softmax, linear, silu");
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

// --- a relu's derivative, applied by the op that delivers a gradient to it ---

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

Tensor dense_of(Tensor y, const char* name) { return ops::matmul(y, y.tape().input(sample(name, {6, 3}), false)); }

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
      {"condition",
       [](Tensor y) {
         Tensor pooled = ops::mean_pool(y);
         const ops::Layer layer{y.tape().input(sample("v", {12, 3}), false), {}, Activation::identity};
         return ops::dense_chain(std::span<const ops::Layer>(&layer, 1), y, pooled);
       }},
  };
  for (const auto& [name, consumer] : consumers)
    for (const bool with_condition : {false, true}) {
      const std::vector<float> plain = relu_gradients(true, with_condition, consumer),
                               fused = relu_gradients(false, with_condition, consumer);
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
