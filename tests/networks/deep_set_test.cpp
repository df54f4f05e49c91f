/// Deep sets: gradients, invariance, sizes.
#include "bayesflow/networks/deep_set.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "bayesflow/core/errors.hpp"
#include "bayesflow/nn/gradient_check.hpp"
#include "networks/support_networks.hpp"
#include "support/op_table.hpp"

namespace bayesflow {
namespace {

using support::sample;
using Inputs = std::span<const Tensor>;

DeepSetOptions small(Activation activation = Activation::tanh) {
  const DenseOptions dense{.units = 7, .activation = activation};
  return {.summary_dim = 3, .dense_s1 = dense, .dense_s2 = dense, .dense_s3 = dense};
}

struct Built {
  nn::ParameterStore store;
  DeepSet net;
  Built(const DeepSetOptions& o, const Shape& input) : net(o) {
    net.build(nn::Builder(store, 1), input);
    nn::randomize(store, 2);
  }
  Array operator()(const Array& x) const {
    Tape tape;
    tape.reset({.gradients = false, .training = false});
    const Tensor y = net.forward(tape, tape.input(x));
    Array out(y.shape());
    for (std::int64_t i = 0; i < y.size(); ++i) out.data()[i] = static_cast<double>(y.data()[i]);
    return out;
  }
};

TEST(DeepSet, GradientsAgreeWithDifferences) {
  for (const Shape& shape : {Shape{3, 5, 2}, Shape{2, 1, 3}, Shape{2, 3, 4, 2}})
    for (int kind = 0; kind < 3; ++kind)
      for (const std::int64_t equivariant : {0, 2}) {
        DeepSetOptions o = small();
        o.num_equiv = equivariant;
        o.pooling = kind == 1 ? Pooling::max : Pooling::mean;
        if (kind == 2) o.pooling_fun = [](Tensor x) { return ops::scale(ops::sum_pool(ops::activate(x, Activation::softplus)), 0.3f); };
        Built b(o, shape);
        const GradientCheck check =
            nn::check_gradient(b.store, [&](Tape& t, Inputs x) { return std::vector<Tensor>{b.net.forward(t, x[0])}; },
                               {sample("deep set", shape)}, {.tolerance = 2e-3, .max_elements = 4, .unresolved = 0.6, .floor = 0.1});
        EXPECT_TRUE(check.passed()) << shape.to_string() << " pooling " << kind << " equivariant " << equivariant << ": "
                                    << check.to_string();
      }
}

TEST(DeepSet, InvariantUnderPermutationsOfObservations) {
  for (const Pooling pooling : {Pooling::mean, Pooling::max}) {
    DeepSetOptions o = small(Activation::relu);
    o.pooling = pooling;
    Built b(o, {2, 30, 4});
    const Array x = sample("invariance", {2, 30, 4});
    const Array y = b(x);
    Rng rng(3);
    for (int trial = 0; trial < 10; ++trial) {
      EXPECT_LT(largest_difference(b(shuffled_observations(x, rng)), y), 1e-5);
    }
    // Not because the summary ignores its data.
    EXPECT_GT(largest_difference(b(x * 1.5), y), 1e-3);
  }
}

TEST(DeepSet, ModulesArePermutationEquivariant) {
  // Sum, then products with one observation: a pooling that weighs observation i shows in the output if and only if order is kept.
  DeepSetOptions o = small();
  const auto with_first = [](Tensor x) {  // picks the first observation: not invariant, so equivariance becomes visible
    Shape flat = x.shape().slice(0, -2);
    flat.push_back(x.dim(-2) * x.cols());
    return ops::columns(ops::reshape(x, flat), 0, x.cols());
  };
  int pools = 0;
  o.num_equiv = 1;
  o.pooling_fun = [&pools, with_first](Tensor x) { return pools++ % 2 == 0 ? ops::mean_pool(x) : with_first(x); };
  Built b(o, {1, 4, 2});
  const Array x = sample("equivariance", {1, 4, 2});
  pools = 0;
  const Array first = b(x);
  // Swapping observations 1 and 3 leaves what the module says about observation 0 alone; swapping 0 and 2 does not.
  const auto swapped = [&](std::int64_t a, std::int64_t c) {
    Array y = x;
    for (std::int64_t j = 0; j < 2; ++j) std::swap(y(0, a, j), y(0, c, j));
    pools = 0;
    return b(y);
  };
  EXPECT_LT(largest_difference(swapped(1, 3), first), 1e-6);
  EXPECT_GT(largest_difference(swapped(0, 2), first), 1e-3);
}

TEST(DeepSet, NumberOfObservationsMayChangeAndSetsDoNotSeeEachOther) {
  Built b(small(), {2, 10, 3});
  for (const std::int64_t n : {1, 2, 7, 100}) {
    const Array x = sample("sizes", {3, n, 3});
    const Array all = b(x);
    EXPECT_EQ(all.shape(), (Shape{3, 3}));
    for (std::int64_t s = 0; s < 3; ++s) EXPECT_LT(largest_difference(b(x.slice(s, s + 1)), all.slice(s, s + 1)), 1e-6);
  }
  // Mean pooling: a set said twice is the same set.
  const Array x = sample("twice", {2, 5, 3});
  EXPECT_LT(largest_difference(b(concatenate({x, x}, 1)), b(x)), 1e-5);
}

TEST(DeepSet, NestedAxesAreSetsOfTheirOwn) {
  Built b(small(), {2, 3, 6, 2});
  const Array x = sample("nested", {2, 3, 6, 2});
  EXPECT_EQ(b(x).shape(), (Shape{2, 3, 3}));
  EXPECT_LT(largest_difference(b(x.reshape({6, 6, 2})), b(x).reshape({6, 3})), 1e-6);
}

TEST(DeepSet, ParameterCountsOfV1) {
  for (const auto& [width, count] : {std::pair(2L, 67466L), std::pair(4L, 67722L)}) {
    nn::ParameterStore store;
    DeepSet net;
    net.build(nn::Builder(store, 0), Shape{1, 1, width});
    EXPECT_EQ(store.number_of_values(), count);
  }
}

TEST(DeepSet, Errors) {
  const auto sentence = [](const DeepSetOptions& o) {
    try {
      DeepSet net(o);
    } catch (const ConfigurationError& e) {
      return std::string(e.what());
    }
    return std::string("nothing");
  };
  EXPECT_EQ(sentence({.summary_dim = 0}), "DeepSetOptions::summary_dim = 0; it must be at least 1");
  EXPECT_EQ(sentence({.num_equiv = -1}), "DeepSetOptions::num_equiv = -1; it must be at least 0");
  EXPECT_EQ(sentence({.dense_s2 = {.units = 0}}), "DeepSetOptions::dense_s2: units = 0; a dense layer needs at least one unit");
  Built b(small(), {2, 10, 3});
  EXPECT_THROW(b(sample("x", {2, 10, 4})), ShapeError);
  EXPECT_THROW(b(sample("x", {2, 0, 3})), ShapeError);
  EXPECT_THROW(b(sample("x", {10, 3})), ShapeError);
}

}  // namespace
}  // namespace bayesflow
