/// Attention, normalization, recurrent and convolutional layers: first weights, derivatives, masks, the same bits for any number of
/// threads.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "bayesflow/core/errors.hpp"
#include "bayesflow/nn/attention.hpp"
#include "bayesflow/nn/convolution.hpp"
#include "bayesflow/nn/gradient_check.hpp"
#include "bayesflow/nn/recurrent.hpp"
#include "support/expect.hpp"
#include "support/op_table.hpp"

namespace bayesflow::nn {
namespace {

using support::sample;
using Inputs = std::span<const Tensor>;

std::span<float> value(ParameterStore& store, const std::string& name) { return store.value(store.find(name)); }
float largest(std::span<const float> x) {
  float top = 0;
  for (const float v : x) top = std::max(top, std::fabs(v));
  return top;
}

/// A small network of all of them: (sets, n, 3) and a mask (sets, n) -> (sets, 9).
struct Network {
  Conv1d conv{{.filters = 6, .size = 3, .window = {.padding = ops::Padding::same}, .activation = Activation::tanh}};
  LayerNorm norm;
  MultiHeadAttention attention{{.num_heads = 2, .key_dim = 3, .dropout = 0.0}};
  Recurrent gru{CellKind::gru, 4}, lstm{CellKind::lstm, 5, {.reverse = true}};
  explicit Network(const Builder& b) {
    conv.build(b.scope("conv"), 3);
    norm.build(b.scope("norm"), 6);
    attention.build(b.scope("attention"), 6, 6);
    gru.build(b.scope("gru"), 6);
    lstm.build(b.scope("lstm"), 6);
  }
  Tensor operator()(Tape& t, Tensor x, Tensor mask) const {
    Tensor h = norm(t, conv(t, x, mask));
    h = ops::add(h, attention(t, h, h, mask));
    const Tensor states[] = {gru(t, h, mask), lstm(t, h, mask)};
    return ops::concat(states, -1);
  }
};

TEST(SequenceLayers, FirstWeightsAreKeras) {
  ParameterStore store;
  const Network net(Builder(store, 1));
  // Glorot's limit sqrt(6 / (fan_in + fan_out)), with the fans of all axes; a drawn maximum comes close to it.
  const auto expect_limit = [&](const char* name, double fans) {
    const double limit = std::sqrt(6 / fans);
    EXPECT_LE(largest(value(store, name)), limit) << name;
    EXPECT_GE(largest(value(store, name)), 0.8 * limit) << name;
  };
  expect_limit("conv.kernel", 3 * 3 + 3 * 6);
  expect_limit("attention.query.kernel", 6 * 2 + 6 * 3);
  expect_limit("attention.output.kernel", 2 * 3 + 2 * 6);
  expect_limit("lstm.kernel", 6 + 20);
  const std::span<float> u = value(store, "lstm.recurrent_kernel"), b = value(store, "lstm.bias");
  for (std::size_t i = 0; i < 5; ++i)
    for (std::size_t j = 0; j < 5; ++j) {
      double dot = 0;
      for (std::size_t k = 0; k < 20; ++k) dot += static_cast<double>(u[i * 20 + k]) * static_cast<double>(u[j * 20 + k]);
      EXPECT_NEAR(dot, i == j ? 1 : 0, 1e-6);
    }
  for (std::size_t k = 0; k < 20; ++k) EXPECT_EQ(b[k], k >= 5 && k < 10 ? 1.0f : 0.0f);
  EXPECT_EQ(largest(value(store, "gru.bias")), 0.0f);
  EXPECT_EQ(largest(value(store, "norm.gain")), 1.0f);
}

TEST(SequenceLayers, DerivativesAgreeWithDifferences) {
  ParameterStore store;
  const Network net(Builder(store, 1));
  randomize(store, 2, 0.3);
  Array mask({2, 5}, 1.0);
  mask(1, 3) = mask(1, 4) = 0;
  const GradientCheck check = check_gradient(store, [&](Tape& t, Inputs in) { return std::vector<Tensor>{net(t, in[0], t.input(mask))}; },
                                             {sample("sequence_layers", {2, 5, 3})});
  EXPECT_TRUE(check.passed()) << check.to_string();
}

TEST(SequenceLayers, Conv2dAgreesWithDifferences) {
  ParameterStore store;
  Conv2d conv({.filters = 3, .size = {2, 3}, .window = {.stride = {2, 1}, .padding = ops::Padding::same}, .activation = Activation::tanh});
  conv.build(Builder(store, 1), 2);
  randomize(store, 2);
  const GradientCheck check =
      check_gradient(store, [&](Tape& t, Inputs in) { return std::vector<Tensor>{conv(t, in[0])}; }, {sample("conv2d", {2, 4, 5, 2})});
  EXPECT_TRUE(check.passed()) << check.to_string();
}

TEST(SequenceLayers, PaddingChangesNothing) {
  ParameterStore store;
  const Network net(Builder(store, 1));
  const Array x = sample("sequence_layers", {3, 8, 3});
  for (const std::int64_t n : {1, 3, 8}) {
    Array padded({3, 8, 3}, -7.0), mask({3, 8}, 0.0), alone({3, n, 3});
    for (std::int64_t i = 0; i < 3; ++i)
      for (std::int64_t k = 0; k < n; ++k) {
        mask(i, k) = 1;
        for (std::int64_t j = 0; j < 3; ++j) padded(i, k, j) = alone(i, k, j) = x(i, k, j);
      }
    Tape tape;
    tape.reset({.gradients = false});
    Tensor got = net(tape, tape.input(padded), tape.input(mask)), want = net(tape, tape.input(alone), {});
    for (std::int64_t i = 0; i < want.size(); ++i) EXPECT_NEAR(got.data()[i], want.data()[i], 2e-6) << n;
  }
}

TEST(SequenceLayers, AnyNumberOfThreadsGivesTheSameBits) {
  ParameterStore store;
  const Network net(Builder(store, 1));
  const Array x = sample("sequence_layers/threads", {33, 40, 3});
  Array mask({33, 40}, 1.0);
  for (std::int64_t i = 0; i < 33; ++i)
    for (std::int64_t k = 40 - i; k < 40; ++k) mask(i, k) = 0;
  std::vector<float> first, first_gradient;
  for (const int threads : {1, 2, 4}) {
    ThreadPool pool(threads);
    const Plan plan = plan_rows(33, 40);
    ASSERT_GT(plan.lanes, 1);
    GradientBuffers gradients(store);
    Tape tape;
    tape.reset({.lanes = &gradients, .pool = &pool});
    const Tensor in[] = {tape.input(x, true), tape.input(mask)};
    Tensor y = tape.map_rows(plan, in, [&](Tape& t, Inputs p) { return net(t, p[0], p[1]); });
    tape.backward(ops::multiply(y, y));
    std::vector<float> values(y.data(), y.data() + y.size()), gradient(in[0].grad(), in[0].grad() + in[0].size());
    EXPECT_EQ(gradients.count(), plan.lanes);
    for (std::int64_t l = 0; l < gradients.count(); ++l)
      for (const ParameterInfo& p : store.table()) {
        const auto part = gradients.lane(l).subspan(static_cast<std::size_t>(p.offset), static_cast<std::size_t>(p.shape.size()));
        gradient.insert(gradient.end(), part.begin(), part.end());
      }
    if (first.empty()) first = values, first_gradient = gradient;
    EXPECT_EQ(values, first) << threads;
    EXPECT_EQ(gradient, first_gradient) << threads;
  }
}

TEST(SequenceLayers, OptionsAreValidated) {
  const auto problem = [](const AttentionLayerOptions& o) { return sentence<ConfigurationError>([&] { o.validate("mab"); }); };
  EXPECT_EQ(problem({}), "no exception");
  EXPECT_EQ(problem({.num_heads = 0}), "mab: num_heads = 0; attention needs at least one head");
  EXPECT_EQ(problem({.key_dim = 0}), "mab: key_dim = 0; it must be positive");
  EXPECT_EQ(problem({.dropout = 1}), "mab: dropout = 1; it must be in [0, 1)");
  ParameterStore store;
  EXPECT_EQ(sentence<ConfigurationError>([&] { Recurrent(CellKind::gru, 0).build(Builder(store, 1), 2); }),
            "recurrent layer: units = 0; it needs at least one unit");
  EXPECT_EQ(sentence<ConfigurationError>([&] { Conv1d({.filters = 0}).build(Builder(store, 1), 2); }),
            "Conv1d: filters = 0; it needs at least one filter");
}

}  // namespace
}  // namespace bayesflow::nn
