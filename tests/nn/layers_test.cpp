/// Dense layers and stacks of them: values, derivatives, dropout, spectral norm.
#include "bayesflow/nn/layers.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "bayesflow/core/errors.hpp"
#include "bayesflow/nn/gradient_check.hpp"
#include "nn/mean_of_mlp.hpp"
#include "support/expect.hpp"
#include "support/op_table.hpp"
#include "support/twins.hpp"

namespace bayesflow::nn {
namespace {

using support::dense_twin, support::kActivations, support::sample;
using Inputs = std::span<const Tensor>;

/// The parameter as numbers, one row after the other.
Array parameter(ParameterStore& store, const std::string& name) {
  const int at = store.find(name);
  const std::span<float> v = store.value(at);
  Array out(store.table()[static_cast<std::size_t>(at)].shape);
  for (std::size_t i = 0; i < v.size(); ++i) out.data()[i] = static_cast<double>(v[i]);
  return out;
}
Array to_array(Tensor x) {
  Array out(x.shape());
  for (std::int64_t i = 0; i < x.size(); ++i) out.data()[i] = static_cast<double>(x.data()[i]);
  return out;
}

TEST(Dense, EveryActivationAgreesWithATwinAndWithDifferences) {
  for (const Activation a : kActivations)
    for (const Initializer initializer : {Initializer::glorot_uniform, Initializer::orthogonal}) {
      ParameterStore store;
      Dense dense({.units = 6, .activation = a, .kernel_initializer = initializer});
      dense.build(Builder(store, 1, "layer"), 4);
      randomize(store, 2);
      EXPECT_EQ(store.table()[0].name, "layer.kernel");
      EXPECT_EQ(store.table()[1].name, "layer.bias");
      const Array x = sample("dense", {9, 4});
      Tape tape;
      tape.reset({.gradients = false});
      const Array bias = parameter(store, "layer.bias"), want = dense_twin(x, parameter(store, "layer.kernel"), &bias, a);
      EXPECT_LT(abs(to_array(dense(tape, tape.input(x))) - want).max(), 2e-6 * std::max(1.0, want.max())) << to_string(a);
      const GradientCheck check =
          check_gradient(store, [&](Tape& t, Inputs in) { return std::vector<Tensor>{dense(t, in[0])}; }, {x}, {.unresolved = 0.3});
      EXPECT_TRUE(check.passed()) << to_string(a) << ": " << check.to_string();
    }
}

TEST(Dense, FreshBiasesAreZeroAndThePenaltyIsOnTheKernelAlone) {
  ParameterStore store;
  Dense dense({.units = 3, .kernel_regularizer = 0.125});
  dense.build(Builder(store, 1), 2);
  EXPECT_EQ(parameter(store, "bias"), Array({3}));
  EXPECT_EQ(store.table()[0].l2, 0.125f);
  EXPECT_EQ(store.table()[1].l2, 0.0f);
}

TEST(Dense, BiasesMayBeAbsentOrStartElsewhere) {
  ParameterStore store;
  Dense with({.units = 3, .activation = Activation::tanh, .bias_initializer = Initializer::ones}), without({.units = 3, .use_bias = false});
  with.build(Builder(store, 1, "with"), 2);
  without.build(Builder(store, 1, "without"), 2);
  EXPECT_EQ(parameter(store, "with.bias"), Array::of({1, 1, 1}));
  EXPECT_EQ(store.count(), 3);
  const Array x = sample("dense", {5, 2});
  Tape tape;
  tape.reset({.gradients = false});
  EXPECT_LT(
      abs(to_array(without(tape, tape.input(x))) - dense_twin(x, parameter(store, "without.kernel"), nullptr, Activation::relu)).max(),
      2e-6);
  const GradientCheck check =
      check_gradient(store, [&](Tape& t, Inputs in) { return std::vector<Tensor>{without(t, in[0])}; }, {x}, {.unresolved = 0.5});
  EXPECT_TRUE(check.passed()) << check.to_string();
}

TEST(Dense, ASoftmaxTakesWholeRowsWhereverItIsInAChain) {
  // Softmax layers first, in the middle and last; and before a mean over observations.
  const std::vector<DenseOptions> layers = {{.units = 5, .activation = Activation::softmax},
                                            {.units = 6, .activation = Activation::tanh},
                                            {.units = 2, .activation = Activation::softmax}};
  for (const bool mean : {false, true}) {
    ParameterStore store;
    Mlp mlp(layers);
    mlp.build(Builder(store, 1), 2);
    nn::randomize(store, 4, 1.5);
    const Array x = sample("softmax", {3, 7, 2});
    const auto run = [&](Tape& t, Tensor in) { return mean ? detail::mean_of(mlp, t, in) : mlp(t, in); };
    Array expected = x.reshape({21, 2});
    for (std::size_t l = 0; l < layers.size(); ++l) {
      const std::string place = std::to_string(l);
      const bool softmax = layers[l].activation == Activation::softmax;
      const Array bias = parameter(store, place + ".bias");
      expected = dense_twin(expected, parameter(store, place + ".kernel"), &bias, softmax ? Activation::identity : layers[l].activation);
      for (std::int64_t r = 0; softmax && r < 21; ++r) {
        double sum = 0;
        for (std::int64_t c = 0; c < expected.dim(1); ++c) sum += std::exp(expected(r, c));
        for (std::int64_t c = 0; c < expected.dim(1); ++c) expected(r, c) = std::exp(expected(r, c)) / sum;
      }
    }
    expected = expected.reshape({3, 7, 2});
    Tape tape;
    tape.reset({.gradients = false});
    const Array got = to_array(run(tape, tape.input(x)));
    EXPECT_LT(abs(got - (mean ? expected.sum(1) * (1.0 / 7) : expected)).max(), 3e-6);
    const GradientCheck check =
        check_gradient(store, [&](Tape& t, Inputs in) { return std::vector<Tensor>{run(t, in[0])}; }, {x}, {.unresolved = 0.5});
    EXPECT_TRUE(check.passed()) << check.to_string();
  }
}

TEST(Dense, OptionsAreValidated) {
  const auto problem = [](const DenseOptions& o) { return sentence<ConfigurationError>([&] { o.validate("dense_s1"); }); };
  EXPECT_EQ(problem({}), "no exception");
  EXPECT_EQ(problem({.units = 0}), "dense_s1: units = 0; a dense layer needs at least one unit");
  EXPECT_EQ(problem({.kernel_regularizer = -1}), "dense_s1: kernel_regularizer = -1; it must not be negative");
  EXPECT_EQ(problem({.bias_initializer = Initializer::identity}),
            "dense_s1: bias_initializer = identity; that is for matrices, a bias is a vector");
  EXPECT_EQ(problem({.kernel_initializer = {Initializer::random_normal, INFINITY, 1}}),
            "dense_s1: kernel_initializer has gain inf, shift 1 and seed -1; the first two must be finite, the seed -1 (the network's) or "
            "not negative");
}

TEST(Mlp, AgreesWithATwinAndWithDifferencesBeyondOneChain) {
  // Eleven layers: more than the eight that run as one chain.
  std::vector<DenseOptions> layers;
  for (std::size_t i = 0; i < 11; ++i)
    layers.push_back({.units = static_cast<std::int64_t>(3 + i % 4), .activation = kActivations[i % std::size(kActivations)]});
  for (const bool conditional : {false, true}) {
    ParameterStore store;
    Mlp mlp(layers);
    mlp.build(Builder(store, 1), conditional ? 5 : 3);
    randomize(store, 2);
    EXPECT_EQ(store.count(), 22);
    EXPECT_EQ(mlp.units(), 5);
    std::vector<Array> inputs = {sample("mlp", {6, 3})};
    Array h = inputs[0];
    if (conditional) {
      inputs.push_back(sample("mlp condition", {2, 2}));
      h = Array({6, 5});
      for (std::int64_t r = 0; r < 6; ++r)
        for (std::int64_t j = 0; j < 5; ++j) h(r, j) = j < 3 ? inputs[0](r, j) : inputs[1](r / 3, j - 3);
    }
    for (std::size_t i = 0; i < layers.size(); ++i) {
      const Array bias = parameter(store, std::to_string(i) + ".bias");
      h = dense_twin(h, parameter(store, std::to_string(i) + ".kernel"), &bias, layers[i].activation);
    }
    const auto f = [&](Tape& t, Inputs in) { return std::vector<Tensor>{mlp(t, in[0], in.size() > 1 ? in[1] : Tensor())}; };
    Tape tape;
    tape.reset({.gradients = false});
    std::vector<Tensor> in;
    for (const Array& x : inputs) in.push_back(tape.input(x));
    EXPECT_LT(abs(to_array(f(tape, in)[0]) - h).max(), 5e-6);
    const GradientCheck check = check_gradient(store, f, inputs, {.max_elements = 4, .unresolved = 0.5});
    EXPECT_TRUE(check.passed()) << check.to_string();
  }
}

TEST(Mlp, DropoutIsForTrainingOnlyUnlessItIsMonteCarlo) {
  // Linear layers of ones and no bias: every output is a sum of what was kept, with mean as without dropout.
  for (const bool monte_carlo : {false, true}) {
    ParameterStore store;
    Mlp mlp({{.units = 1, .activation = Activation::identity}}, 0.25, monte_carlo);
    mlp.build(Builder(store, 1), 1);
    store.value(0)[0] = 1;
    const auto run = [&](bool training, std::uint64_t seed) {
      Tape tape;
      tape.reset({.gradients = false, .training = training, .seed = seed});
      return to_array(mlp(tape, tape.filled({20000, 1}, 3)));
    };
    for (const bool training : {false, true}) {
      const Array y = run(training, 1);
      if (!training && !monte_carlo) {
        EXPECT_EQ(y.min(), 3);
        EXPECT_EQ(y.max(), 3);
        EXPECT_EQ(run(training, 2), y);
        continue;
      }
      std::int64_t kept = 0;
      for (std::int64_t i = 0; i < y.size(); ++i) {
        EXPECT_TRUE(y[i] == 0 || std::fabs(y[i] - 4) < 1e-5) << y[i];
        kept += y[i] != 0;
      }
      // Binomial(20000, 0.75): six standard deviations, a false alarm in 5e8.
      EXPECT_NEAR(static_cast<double>(kept), 15000, 6 * std::sqrt(20000 * 0.75 * 0.25));
      EXPECT_NE(run(training, 2), y);
      EXPECT_EQ(run(training, 1), y);
    }
  }
}

/// Largest singular value of a matrix, by power iteration from several starts.
double largest_singular_value(const Array& w) {
  double best = 0;
  for (std::uint64_t seed = 0; seed < 3; ++seed) {
    Rng rng(seed, "start");
    std::vector<double> u(static_cast<std::size_t>(w.dim(1)));
    rng.fill_normal(std::span<double>(u));
    double sigma = 0;
    for (int i = 0; i < 3000; ++i) {
      std::vector<double> left(static_cast<std::size_t>(w.dim(0)), 0.0), next(u.size(), 0.0);
      double square = 0, norm = 0;
      for (const double x : u) norm += x * x;
      for (std::size_t r = 0; r < left.size(); ++r)
        for (std::size_t c = 0; c < u.size(); ++c)
          left[r] += w(static_cast<std::int64_t>(r), static_cast<std::int64_t>(c)) * u[c] / std::sqrt(norm);
      for (const double x : left) square += x * x;
      for (std::size_t r = 0; r < left.size(); ++r)
        for (std::size_t c = 0; c < u.size(); ++c) next[c] += left[r] * w(static_cast<std::int64_t>(r), static_cast<std::int64_t>(c));
      sigma = std::sqrt(square);
      u = next;
    }
    best = std::max(best, sigma);
  }
  return best;
}

TEST(Dense, SpectralNormIsAtMostOneAndSmallKernelsAreLeftAlone) {
  for (const double scale : {0.05, 0.9, 4.0}) {
    ParameterStore store;
    Dense dense({.units = 12, .activation = Activation::identity}, true);
    dense.build(Builder(store, 1), 8);
    randomize(store, 2, scale);
    for (float& w : store.value(0)) w *= static_cast<float>(scale);
    for (float& b : store.value(1)) b = 0;
    for (int i = 0; i < 500; ++i) dense.update_state();
    Array identity({8, 8});
    for (std::int64_t i = 0; i < 8; ++i) identity(i, i) = 1;
    Tape tape;
    tape.reset({.gradients = false});
    const Array effective = to_array(dense(tape, tape.input(identity))), kernel = parameter(store, "kernel");
    const double sigma = largest_singular_value(kernel);
    EXPECT_NEAR(largest_singular_value(effective), std::min(sigma, 1.0), 1e-5) << scale;
    EXPECT_LT(abs(effective - kernel / std::max(sigma, 1.0)).max(), 1e-5) << scale;
    const GradientCheck check = check_gradient(store, [&](Tape& t, Inputs in) { return std::vector<Tensor>{dense(t, in[0])}; },
                                               {sample("spectral", {5, 8})}, {.tolerance = 2e-3});
    EXPECT_TRUE(check.passed()) << scale << ": " << check.to_string();
    if (scale > 1) {
      EXPECT_GT(sigma, 1.5);
    }
    if (scale < 0.1) {
      EXPECT_LT(sigma, 0.5);
    }
  }
}

TEST(Mlp, SpectralNormFollowsTheKernelsOneIterationAStep) {
  ParameterStore store;
  Mlp mlp({{.units = 6, .activation = Activation::identity}}, 0, false, true);
  mlp.build(Builder(store, 1), 6);
  ASSERT_EQ(store.buffers().size(), 1U);
  EXPECT_EQ(store.buffers()[0].name, "0.spectral_norm");
  for (float& w : store.value(0)) w *= 3;
  const std::vector<float> before = store.buffers()[0].floats;
  mlp.update_state();
  EXPECT_NE(store.buffers()[0].floats, before);
  for (int i = 0; i < 2000; ++i) mlp.update_state();
  const std::vector<float> settled = store.buffers()[0].floats;
  mlp.update_state();
  for (std::size_t i = 0; i < settled.size(); ++i) EXPECT_NEAR(store.buffers()[0].floats[i], settled[i], 1e-5f);
}

}  // namespace
}  // namespace bayesflow::nn
