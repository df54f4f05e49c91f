/// Chains of dense layers whose products are made in bfloat16.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "autodiff/ops/mean_of_chain.hpp"
#include "bayesflow/autodiff/ops/dense.hpp"
#include "bayesflow/autodiff/ops/elementwise.hpp"
#include "bayesflow/autodiff/tape.hpp"
#include "bayesflow/core/errors.hpp"

namespace bayesflow {
namespace {

struct Case {
  std::string name;
  Shape x;
  std::vector<std::int64_t> units;
  std::vector<Activation> activations;
  std::optional<Shape> condition = {};
  bool pools = false, x_is_a_relu = false;
  int threads = 0;
};

/// Small integers, so that every number of a pass has at most eight significant bits: bfloat16 changes none of them.
Array integers(const Shape& shape, std::int64_t most, double share, Rng& rng) {
  Array out(shape);
  for (double& v : out.values()) v = rng.uniform() < share ? static_cast<double>(rng.integers(-most, most + 1)) : 0.0;
  return out;
}
Array normals(const Shape& shape, double scale, Rng& rng) {
  Array out(shape);
  for (double& v : out.values()) v = scale * rng.normal();
  return out;
}

struct Result {
  std::vector<std::vector<float>> all;  // the value, then the gradients of x, the condition, weights and biases
  std::int64_t flops = 0, bfloat16_flops = 0;
};

Result run(const Case& c, Precision precision, bool exact, bool gradients = true) {
  Rng rng(7, c.name);
  std::optional<ThreadPool> pool;
  if (c.threads) pool.emplace(c.threads);
  Tape tape;
  tape.reset({.gradients = gradients, .pool = pool ? &*pool : nullptr, .precision = precision});
  const auto draw = [&](const Shape& shape, std::int64_t most, double share, double scale) {
    return exact ? integers(shape, most, share, rng) : normals(shape, scale, rng);
  };
  std::vector<Tensor> leaves = {tape.input(draw(c.x, 2, 1, 1), gradients)};
  if (c.condition) leaves.push_back(tape.input(draw(*c.condition, 2, 1, 1), gradients));
  std::int64_t width = c.x[-1] + (c.condition ? (*c.condition)[-1] : 0);
  std::vector<ops::Layer> layers;
  for (std::size_t l = 0; l < c.units.size(); ++l) {
    const double share = 3.0 / static_cast<double>(width);
    leaves.push_back(tape.input(draw({width, c.units[l]}, 1, share, std::sqrt(2.0 / static_cast<double>(width))), gradients));
    leaves.push_back(tape.input(draw({c.units[l]}, 1, 1, 0.1), gradients));
    layers.push_back({leaves[leaves.size() - 2], leaves.back(), c.activations[l]});
    width = c.units[l];
  }
  Plan plan{.items = c.x[0], .rows_per_item = c.x.rank() > 2 ? c.x[1] : 1, .inside = true};
  const Tensor inputs[] = {leaves[0], c.condition ? leaves[1] : Tensor()};
  const Tensor y = tape.map_rows(plan, inputs, [&](Tape&, std::span<const Tensor> in) {
    const Tensor x = c.x_is_a_relu ? ops::activate(in[0], Activation::relu) : in[0];
    return c.pools ? ops::mean_of_chain(layers, x, in[1]) : ops::dense_chain(layers, x, in[1]);
  });
  Result out;
  out.all.emplace_back(y.data(), y.data() + y.size());
  if (gradients) {
    const Array cotangent = draw(y.shape(), 1, 0.5, 1);
    tape.backward(y, std::vector<float>(cotangent.data(), cotangent.data() + cotangent.size()).data());
    for (const Tensor& leaf : leaves) out.all.emplace_back(leaf.grad(), leaf.grad() + leaf.size());
  }
  out.flops = tape.product_flops();
  out.bfloat16_flops = tape.bfloat16_flops();
  return out;
}

constexpr Activation kRelu = Activation::relu, kNone = Activation::identity;

std::vector<Case> cases() {
  return {
      {"a flow's network", {32, 2}, {128, 128, 2}, {kRelu, kRelu, kNone}, Shape{32, 10}},
      {"deep set, first", {4, 64, 4}, {64, 64}, {kRelu, kRelu}},
      {"deep set, later", {4, 64, 64}, {64, 64}, {kRelu, kRelu}, Shape{4, 64}, false, true},
      {"deep set, pooled", {4, 64, 64}, {64, 48}, {kRelu, kRelu}, {}, true, true},
      {"pooled without activation", {4, 64, 40}, {64, 48}, {kRelu, kNone}, {}, true},
      {"odd widths", {7, 33}, {35, 37, 41, 3}, {kRelu, kNone, kRelu, kNone}},
      {"a condition for each row", {9, 40}, {50, 40}, {kRelu, kRelu}, Shape{9, 35}},
      {"narrow between wide", {33, 40}, {8, 64, 40}, {kRelu, kRelu, kRelu}},
      {"many rows", {300, 40}, {64, 64}, {kRelu, kRelu}},
      {"one long set", {1, 512, 40}, {64, 64, 33}, {kRelu, kRelu, kRelu}, {}, true},
      {"one long set, its rows", {1, 500, 40}, {64, 64}, {kRelu, kRelu}, Shape{1, 36}},
      {"one row", {1, 40}, {64, 64}, {kRelu, kRelu}},
  };
}

TEST(BFloat16, ChainsOfSmallIntegersHaveTheBitsOfFloat32) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.name);
    const Result plain = run(c, Precision::float32, true), half = run(c, Precision::bfloat16, true);
    EXPECT_EQ(plain.bfloat16_flops, 0);
    EXPECT_GT(half.bfloat16_flops, 0);
    ASSERT_EQ(plain.all.size(), half.all.size());
    for (std::size_t i = 0; i < plain.all.size(); ++i) EXPECT_EQ(plain.all[i], half.all[i]) << "part " << i;
    EXPECT_EQ(run(c, Precision::bfloat16, true, false).all[0], half.all[0]) << "without gradients";
  }
}

double norm(const std::vector<float>& x) {
  double sum = 0;
  for (const float v : x) sum += static_cast<double>(v) * static_cast<double>(v);
  return std::sqrt(sum);
}

TEST(BFloat16, ChainsAreRightToRounding) {
  std::vector<Case> all = cases();
  for (const Activation a : {Activation::tanh, Activation::elu, Activation::swish, Activation::gelu, Activation::softmax}) {
    const std::string name = to_string(a);
    all.push_back({"hidden " + name, {33, 40}, {64, 48, 36, 8}, {a, a, kRelu, kNone}, Shape{33, 4}});
    all.push_back({"hidden, from narrow " + name, {33, 4}, {64, 48, 2}, {a, a, a}});
    all.push_back({"last " + name, {5, 60, 40}, {64, 48}, {kRelu, a}});
  }
  for (const Case& c : all) {
    SCOPED_TRACE(c.name);
    const Result plain = run(c, Precision::float32, false), half = run(c, Precision::bfloat16, false);
    for (std::size_t i = 0; i < plain.all.size(); ++i) {
      std::vector<float> error = plain.all[i];
      for (std::size_t k = 0; k < error.size(); ++k) error[k] -= half.all[i][k];
      // Roundings to eight bits: 2^-9 each, of a few in a row. Sums of them open or close relus: of some 0.3 % of the values, which are a
      // share of sqrt(0.003) of a gradient for each layer. (Integers, above, leave relus as they are.)
      const bool relus = i > 0 && std::ranges::find(c.activations, kRelu) != c.activations.end();
      EXPECT_LE(norm(error), (relus ? 0.2 : 0.03) * norm(plain.all[i])) << "part " << i;
    }
    EXPECT_NE(plain.all[0], half.all[0]);
    EXPECT_EQ(run(c, Precision::bfloat16, false, false).all[0], half.all[0]) << "without gradients";
  }
}

TEST(BFloat16, OneResultForAnyNumberOfThreads) {
  for (Case c : cases()) {
    SCOPED_TRACE(c.name);
    const Result alone = run(c, Precision::bfloat16, false);
    for (const int threads : {1, 2, 4}) {
      c.threads = threads;
      EXPECT_EQ(run(c, Precision::bfloat16, false).all, alone.all) << threads;
    }
  }
}

TEST(BFloat16, ARowDoesNotDependOnTheOthers) {
  const Case many{"rows", {300, 40}, {64, 64}, {kRelu, kRelu}};
  const std::vector<float> all = run(many, Precision::bfloat16, false, false).all[0];
  Rng rng(7, many.name);
  const Array x = normals(many.x, 1, rng), w = normals({40, 64}, std::sqrt(2.0 / 40), rng), b = normals({64}, 0.1, rng),
              w2 = normals({64, 64}, std::sqrt(2.0 / 64), rng), b2 = normals({64}, 0.1, rng);
  for (const std::int64_t row : {0, 150, 299}) {
    Tape tape;
    tape.reset({.gradients = false, .precision = Precision::bfloat16});
    const ops::Layer layers[] = {{tape.input(w), tape.input(b), kRelu}, {tape.input(w2), tape.input(b2), kRelu}};
    Array one({1, 40});
    std::copy_n(x.data() + row * 40, 40, one.data());
    const Tensor y = ops::dense_chain(layers, tape.input(one));
    EXPECT_TRUE(std::equal(y.data(), y.data() + 64, all.begin() + row * 64)) << row;
  }
}

TEST(BFloat16, MatricesOfFlowsAreMultipliedInFloat32) {
  Rng rng(1, "matmul");
  const Array x = normals({40, 40}, 1, rng), w = normals({40, 40}, 1, rng);
  std::vector<float> of[2];
  for (const Precision p : {Precision::float32, Precision::bfloat16}) {
    Tape tape;
    tape.reset({.gradients = false, .precision = p});
    const Tensor y = ops::matmul(tape.input(x), tape.input(w));
    of[p == Precision::bfloat16].assign(y.data(), y.data() + y.size());
    EXPECT_EQ(tape.bfloat16_flops(), 0);
  }
  EXPECT_EQ(of[0], of[1]);
}

TEST(BFloat16, APlanMayHaveAPrecisionOfItsOwn) {
  Rng rng(1, "plans");
  const Array x = normals({600, 40}, 1, rng);
  for (const bool cut : {false, true}) {
    Tape tape;
    tape.reset({.gradients = false});
    Plan plan = plan_rows(cut ? 600 : 8, 1);
    EXPECT_EQ(plan.chunks > 1, cut);
    const auto section = [&](std::optional<Precision> precision) {
      plan.precision = precision;
      const std::int64_t before = tape.bfloat16_flops();
      const Tensor in[] = {cut ? tape.input(x) : tape.filled({8, 40}, 1)};
      (void)tape.map_rows(plan, in, [&](Tape& t, std::span<const Tensor> rows) {
        const ops::Layer layer{t.filled({40, 40}, 1), {}, kNone};
        return ops::dense(rows[0], layer);
      });
      return tape.bfloat16_flops() - before;
    };
    EXPECT_EQ(section({}), 0);
    EXPECT_EQ(section(Precision::bfloat16), 2 * (cut ? 600 : 8) * 40 * 40);
    EXPECT_EQ(section({}), 0);
  }
}

}  // namespace
}  // namespace bayesflow
