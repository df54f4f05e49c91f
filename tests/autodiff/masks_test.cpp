/// Padding changes nothing; the fused form of attention is the composed one; warm passes allocate nothing.
#include <gtest/gtest.h>

#include <cmath>

#include "bayesflow/autodiff/ops.hpp"
#include "bayesflow/core/errors.hpp"
#include "bayesflow/core/rng.hpp"
#include "kernels/random.hpp"
#include "support/expect.hpp"
#include "support/op_table.hpp"

namespace bayesflow {
namespace {

using support::sample;
using Inputs = std::span<const Tensor>;
using Op = std::function<Tensor(Tensor x, Tensor mask)>;  // x: (sets, n, d), mask: (sets, n) or absent

/// One set of n observations alone and padded with junk to n + extra: results and gradients of what is there must agree up to rounding. A
/// result of one row an observation is compared where observations are.
void expect_padding_changes_nothing(const char* what, const Op& op, std::int64_t n = 7, std::int64_t extra = 4, std::int64_t d = 6) {
  SCOPED_TRACE(what);
  const Array x = sample("padding/x", {1, n, d}), c = sample("padding/c", {1, n, 64});
  Array padded({1, n + extra, d}, 3e4), mask({1, n + extra}, 0.0);
  for (std::int64_t i = 0; i < n * d; ++i) padded.data()[i] = x.data()[i];
  for (std::int64_t i = 0; i < n; ++i) mask.data()[i] = 1;
  Tape alone, longer;
  alone.reset({});
  longer.reset({});
  Tensor short_x = alone.input(x, true), long_x = longer.input(padded, true);
  Tensor want = op(short_x, {}), got = op(long_x, longer.input(mask));
  const std::int64_t count = want.size();
  ASSERT_GE(got.size(), count);
  std::vector<float> cotangent(static_cast<std::size_t>(got.size()), 0.0f);
  for (std::int64_t i = 0; i < count; ++i) {
    cotangent[static_cast<std::size_t>(i)] = static_cast<float>(c.data()[i]);
    EXPECT_NEAR(got.data()[i], want.data()[i], 2e-6) << i;
  }
  alone.backward(want, cotangent.data());
  longer.backward(got, cotangent.data());
  for (std::int64_t i = 0; i < long_x.size(); ++i)
    EXPECT_NEAR(long_x.grad()[i], i < n * d ? short_x.grad()[i] : 0.0f, 4e-6) << "gradient " << i;
}

TEST(Masks, PaddingChangesNothing) {
  expect_padding_changes_nothing("mean_pool", [](Tensor x, Tensor m) { return m ? ops::mean_pool(x, m) : ops::mean_pool(x); });
  expect_padding_changes_nothing("sum_pool", [](Tensor x, Tensor m) { return m ? ops::sum_pool(x, m) : ops::sum_pool(x); });
  expect_padding_changes_nothing("max_pool", [](Tensor x, Tensor m) { return m ? ops::max_pool(x, m) : ops::max_pool(x); });
  expect_padding_changes_nothing(
      "softmax over observations",
      [](Tensor x, Tensor m) {
        Tensor scores = ops::slice(ops::transpose(x, {0, 2, 1}), 1, 0, 1);  // (1, 1, n)
        return ops::softmax(ops::reshape(scores, {1, scores.cols()}), m);
      },
      7, 4, 1);
  expect_padding_changes_nothing("attention", [](Tensor x, Tensor m) { return ops::attention(x, x, x, {.heads = 2}, m); });
  expect_padding_changes_nothing("attention of pairs", [](Tensor x, Tensor m) {
    const std::int64_t n = x.dim(1);
    return ops::attention(x, x, x, {.heads = 2}, m ? ops::broadcast(ops::reshape(m, {1, 1, n}), {1, n, n}) : m);
  });
  const auto cell = [](Tape& tape, std::int64_t gates, const Shape& bias) {
    return ops::Cell{tape.input(sample("cell/W", {6, gates * 5})), tape.input(sample("cell/U", {5, gates * 5}, 0, 0.5)),
                     tape.input(sample("cell/b", bias))};
  };
  for (const bool reverse : {false, true})
    for (const bool sequences : {false, true}) {
      const ops::SequenceOptions o{reverse, sequences};
      expect_padding_changes_nothing("lstm", [&](Tensor x, Tensor m) { return ops::lstm(x, cell(x.tape(), 4, {20}), o, m); });
      expect_padding_changes_nothing("gru", [&](Tensor x, Tensor m) { return ops::gru(x, cell(x.tape(), 3, {2, 15}), o, m); });
    }
  for (const auto padding : {ops::Padding::same, ops::Padding::causal}) {
    const ops::WindowOptions o{.padding = padding};
    expect_padding_changes_nothing("conv1d", [&](Tensor x, Tensor m) {
      return ops::conv1d(m ? ops::mask_rows(x, m) : x, x.tape().input(sample("conv/W", {4, 6, 3}, 0, 0.3)), {}, o);
    });
    expect_padding_changes_nothing("max_pool_1d", [&](Tensor x, Tensor m) { return ops::max_pool_1d(x, 3, o, m); });
    expect_padding_changes_nothing("mean_pool_1d", [&](Tensor x, Tensor m) { return ops::mean_pool_1d(x, 3, o, m); });
  }
  expect_padding_changes_nothing("mask_rows", [](Tensor x, Tensor m) { return m ? ops::mask_rows(x, m) : ops::scale(x, 1); });
}

/// (sets, n, heads w) -> (sets, heads, n, w)
Tensor split_heads(Tensor x, std::int64_t heads) {
  return ops::transpose(ops::reshape(x, {x.dim(0), x.dim(1), heads, x.cols() / heads}), {0, 2, 1, 3});
}

/// As the header says it, with every intermediate result. `kept`: what dropout leaves of the weights (sets, heads, n, m), or nothing.
Tensor composed_attention(Tensor q, Tensor k, Tensor v, std::int64_t heads, Tensor mask, Tensor kept) {
  Tensor scores = ops::batched_matmul(split_heads(q, heads), split_heads(k, heads), {.b = true});
  if (mask) mask = ops::reshape(mask, {q.dim(0), 1, mask.rank() == 2 ? 1 : q.dim(1), k.dim(1)});
  Tensor weights = ops::softmax(ops::scale(scores, 1 / std::sqrt(static_cast<float>(q.cols() / heads))), mask);
  if (kept) weights = ops::multiply(weights, kept);
  Tensor y = ops::transpose(ops::batched_matmul(weights, split_heads(v, heads)), {0, 2, 1, 3});
  return ops::reshape(y, {q.dim(0), q.dim(1), v.cols()});
}

TEST(Attention, AgreesWithTheComposedForm) {
  const Array q = sample("attention/q", {3, 70, 8}), k = sample("attention/k", {3, 9, 8}), v = sample("attention/v", {3, 9, 4});
  Array keys({3, 9}, 1.0), pairs({3, 70, 9}, 1.0);
  for (std::int64_t j = 5; j < 9; ++j) keys(1, j) = 0;
  for (std::int64_t i = 0; i < 70; ++i)
    for (std::int64_t j = 0; j < 9; ++j) pairs(2, i, j) = (i + j) % 3 ? 1 : 0;
  for (const float dropout : {0.0f, 0.3f})
    for (const Array* mask : {static_cast<const Array*>(nullptr), static_cast<const Array*>(&keys), static_cast<const Array*>(&pairs)}) {
      std::vector<std::vector<float>> seen[2];
      for (const bool composed : {false, true}) {
        Tape tape;
        tape.reset({.training = true, .seed = 5});
        const Tensor in[] = {tape.input(q, true), tape.input(k, true), tape.input(v, true)};
        const Tensor m = mask ? tape.input(*mask) : Tensor();
        Tensor y;
        if (composed) {
          Tensor kept;
          if (dropout > 0) {
            // The same random numbers: each row of weights begins with a block of its own.
            const Rng::Blocks noise = tape.rng().reserve(0);
            kept = tape.filled({3, 2, 70, 9}, 0);
            kernels::keep_mask(
                {noise.key, noise.index, noise.first, 3, static_cast<std::uint32_t>(dropout * 4294967296.0), 1 / (1 - dropout)}, 3 * 2 * 70,
                9, kept.data(), 9);
          }
          y = composed_attention(in[0], in[1], in[2], 2, m, kept);
        } else {
          y = ops::attention(in[0], in[1], in[2], {.heads = 2, .dropout = dropout}, m);
        }
        ASSERT_EQ(y.shape(), Shape({3, 70, 4}));
        tape.backward(ops::multiply(y, y));
        auto& out = seen[composed ? 1 : 0];
        out.emplace_back(y.data(), y.data() + y.size());
        for (const Tensor& t : in) out.emplace_back(t.grad(), t.grad() + t.size());
      }
      for (std::size_t t = 0; t < 4; ++t)
        for (std::size_t i = 0; i < seen[0][t].size(); ++i)
          ASSERT_NEAR(seen[0][t][i], seen[1][t][i], 8e-6) << t << " at " << i << ", dropout " << dropout;
    }
}

TEST(Attention, DropoutKeepsTheStatedShareOfWeights) {
  // Values of one column per key: what comes out are the weights themselves.
  constexpr std::int64_t kKeys = 37;
  Array one_hot({1, kKeys, kKeys}, 0.0);
  for (std::int64_t j = 0; j < kKeys; ++j) one_hot(0, j, j) = 1;
  Tape tape;
  tape.reset({.training = true, .seed = 3});
  Tensor q = tape.filled({1, 500, 2}, 0), k = tape.filled({1, kKeys, 2}, 0);
  Tensor y = ops::attention(q, k, tape.input(one_hot), {.dropout = 0.2f});
  double kept = 0;
  for (std::int64_t i = 0; i < y.size(); ++i) {
    if (y.data()[i] == 0) continue;
    kept += 1;
    ASSERT_NEAR(y.data()[i], 1.25 / kKeys, 1e-6);
  }
  EXPECT_NEAR(kept / static_cast<double>(y.size()), 0.8, 0.012);  // four standard errors
  tape.reset({.training = true});
  EXPECT_EQ(sentence<ArgumentError>([&] {
              (void)ops::attention(tape.filled({2, 3}, 0), tape.filled({2, 3}, 0), tape.filled({2, 3}, 0), {.dropout = 1});
            }),
            "attention: dropout must be in [0, 1), so that something is kept; got 1");
}

TEST(Attention, DropoutActsOnWeightsInTrainingOnly) {
  const Array x = sample("attention/dropout", {2, 20, 4});
  const auto run = [&](bool training, float p, std::uint64_t seed) {
    Tape tape;
    tape.reset({.training = training, .seed = seed});
    Tensor in = tape.input(x);
    Tensor y = ops::attention(in, in, in, {.heads = 2, .dropout = p});
    return std::vector<float>(y.data(), y.data() + y.size());
  };
  EXPECT_EQ(run(false, 0.5f, 1), run(true, 0.0f, 1));
  EXPECT_NE(run(true, 0.5f, 1), run(true, 0.0f, 1));
  EXPECT_NE(run(true, 0.5f, 1), run(true, 0.5f, 2));
  EXPECT_EQ(run(true, 0.5f, 1), run(true, 0.5f, 1));
}

/// The cells from the public vocabulary, one step after the other.
Tensor composed_cell(bool gru, Tensor x, const ops::Cell& cell) {
  const std::int64_t times = x.dim(1), n = cell.recurrent_kernel.dim(0);
  const auto gate = [n](Tensor z, std::int64_t k, Activation a) { return ops::activate(ops::columns(z, k * n, (k + 1) * n), a); };
  Tape& tape = x.tape();
  Tensor h = tape.filled({x.dim(0), n}, 0), c = h;
  const Tensor bias = gru ? ops::slice(cell.bias, 0, 0, 1) : cell.bias;
  for (std::int64_t t = 0; t < times; ++t) {
    Tensor z = ops::dense(ops::reshape(ops::slice(x, 1, t, t + 1), {x.dim(0), x.dim(2)}), {cell.kernel, bias});
    Tensor q = gru ? ops::dense(h, {cell.recurrent_kernel, ops::slice(cell.bias, 0, 1, 2)}) : ops::matmul(h, cell.recurrent_kernel);
    using enum Activation;
    if (gru) {
      Tensor both = ops::add(z, q), update = gate(both, 0, sigmoid), reset = gate(both, 1, sigmoid);
      Tensor candidate = ops::activate(ops::add(gate(z, 2, identity), ops::multiply(reset, gate(q, 2, identity))), tanh);
      h = ops::add(ops::multiply(update, ops::subtract(h, candidate)), candidate);
    } else {
      z = ops::add(z, q);
      c = ops::add(ops::multiply(gate(z, 1, sigmoid), c), ops::multiply(gate(z, 0, sigmoid), gate(z, 2, tanh)));
      h = ops::multiply(gate(z, 3, sigmoid), ops::activate(c, tanh));
    }
  }
  return h;
}

TEST(Recurrent, FusedCellsAgreeWithTheComposedOnes) {
  for (const bool gru : {false, true}) {
    const std::int64_t width = gru ? 15 : 20;
    const Array in[] = {sample("composed/x", {3, 6, 4}), sample("composed/W", {4, width}, 0, 0.5), sample("composed/U", {5, width}, 0, 0.5),
                        sample("composed/b", gru ? Shape{2, width} : Shape{width})};
    std::vector<std::vector<float>> seen[2];
    for (const std::size_t composed : {0, 1}) {
      Tape tape;
      tape.reset({});
      std::vector<Tensor> x;
      for (const Array& a : in) x.push_back(tape.input(a, true));
      const ops::Cell cell{x[1], x[2], x[3]};
      Tensor h = composed ? composed_cell(gru, x[0], cell) : gru ? ops::gru(x[0], cell) : ops::lstm(x[0], cell);
      tape.backward(ops::multiply(h, h));
      seen[composed].emplace_back(h.data(), h.data() + h.size());
      for (const Tensor& t : x) seen[composed].emplace_back(t.grad(), t.grad() + t.size());
    }
    for (std::size_t t = 0; t < seen[0].size(); ++t)
      for (std::size_t i = 0; i < seen[0][t].size(); ++i)
        ASSERT_NEAR(seen[0][t][i], seen[1][t][i], 4e-6) << gru << ": " << t << " at " << i;
  }
}

TEST(LogSoftmax, AnAbsentEntryHasTheLogarithmOfZeroAndNoGradient) {
  Tape tape;
  tape.reset({});
  Tensor x = tape.input(Array::of({1, 2, 3}), true);
  Tensor y = ops::log_softmax(x, tape.input(Array::of({1, 0, 1})));
  EXPECT_EQ(y.data()[1], -1e30f);
  EXPECT_NEAR(y.data()[0], -std::log(1 + std::exp(2.0)), 1e-6);
  tape.backward(y);
  EXPECT_EQ(x.grad()[1], 0.0f);
}

TEST(Masks, ShapesThatDoNotFitAreRefused) {
  Tape tape;
  tape.reset({});
  const auto of = [&](const Shape& shape) { return tape.filled(shape, 1); };
  const auto problem = [](const std::function<void()>& f) { return sentence<ShapeError>(f); };
  EXPECT_EQ(problem([&] {
              ops::mean_pool(of({2, 3, 4}), of({2, 4}));
            }),
            "mean_pool: x (2, 3, 4) needs a mask of all axes but the last; got (2, 4)");
  EXPECT_EQ(problem([&] {
              ops::softmax(of({2, 3}), of({2}));
            }),
            "softmax: a mask must be broadcast over the leading axes of x (2, 3); got (2,)");
  EXPECT_EQ(problem([&] {
              ops::attention(of({2, 3, 4}), of({2, 5, 4}), of({2, 5, 4}), {.heads = 2}, of({2, 3}));
            }),
            "attention: a mask must be (2, 5) or (2, 3, 5); got (2, 3)");
  EXPECT_EQ(
      problem([&] {
        ops::attention(of({2, 3, 4}), of({2, 5, 4}), of({2, 5, 4}), {.heads = 3});
      }),
      "attention: queries (2, 3, 4) and keys (2, 5, 4) need one width, and that and the values' (2, 5, 4) must be multiples of 3 heads");
  EXPECT_EQ(problem([&] { ops::batched_matmul(of({2, 3, 4}), of({2, 5, 6})); }), "batched_matmul: (2, 3, 4) and (2, 5, 6) have no product");
  EXPECT_EQ(problem([&] {
              ops::batched_matmul(of({2, 3, 4}), of({3, 4, 6}));
            }),
            "batched_matmul: leading axes of (2, 3, 4) and (3, 4, 6) do not fit");
  EXPECT_EQ(problem([&] { ops::transpose(of({2, 3}), {0, 0}); }), "transpose: axis 0 of (2, 3) occurs twice");
  EXPECT_EQ(problem([&] { ops::slice(of({2, 3}), 1, 2, 4); }), "slice: [2, 4) in steps of 1 is out of range for axis 1 of (2, 3)");
  EXPECT_EQ(problem([&] { ops::broadcast(of({2, 3}), {3, 3}); }), "broadcast: (2, 3) cannot be repeated to (3, 3)");
  const auto numbers = [&](double v) { return tape.input(Array::of({0, v})); };
  for (const double v : {-1.0, 0.5, 3.0, static_cast<double>(NAN)})
    EXPECT_NE(sentence<ArgumentError>([&] {
                ops::gather(of({3, 2}), numbers(v));
              }).find("gather: numbers must be whole and from 0 to 2; got"),
              std::string::npos);
  EXPECT_EQ(sentence<ArgumentError>([&] { ops::one_hot(numbers(7), 3); }), "one_hot: numbers must be whole and from 0 to 2; got 7");
}

}  // namespace
}  // namespace bayesflow
