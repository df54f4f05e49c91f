/// DeepSetOptions::linear_path: y = W [invariant(x), mean x] + b.
#include <gtest/gtest.h>

#include <algorithm>

#include "bayesflow/networks/deep_set.hpp"

namespace bayesflow {
namespace {

TEST(DeepSet, LinearPathAddsTheMeanOfTheObservations) {
  constexpr std::int64_t kSets = 3, kObservations = 7, kWidth = 2, kSummary = 4;
  nn::ParameterStore store;
  DeepSet net({.summary_dim = kSummary, .linear_path = true});
  net.build(nn::Builder(store, 5), Shape{kSets, kObservations, kWidth});
  // Without what comes from the invariant module only the linear path is left.
  const int kernel = store.find("output.kernel");
  const Shape shape = store.table()[static_cast<std::size_t>(kernel)].shape;
  ASSERT_EQ(shape, (Shape{64 + kWidth, kSummary}));
  const std::span<float> w = store.value(kernel);
  std::fill_n(w.begin(), 64 * kSummary, 0.0f);
  Rng rng(1);
  const Array x = rng.normal({kSets, kObservations, kWidth}), mean = x.mean(1);
  Tape tape;
  tape.reset({.gradients = false});
  const Tensor y = net.forward(tape, tape.input(x));
  ASSERT_EQ(y.shape(), (Shape{kSets, kSummary}));
  for (std::int64_t b = 0; b < kSets; ++b)
    for (std::int64_t j = 0; j < kSummary; ++j) {
      double want = 0;
      for (std::int64_t d = 0; d < kWidth; ++d)
        want += mean(b, d) * static_cast<double>(w[static_cast<std::size_t>((64 + d) * kSummary + j)]);
      EXPECT_NEAR(static_cast<double>(y.data()[b * kSummary + j]), want, 1e-6);
    }
}

TEST(DeepSet, LinearPathIsOffByDefault) {
  nn::ParameterStore store;
  DeepSet net;
  net.build(nn::Builder(store, 5), Shape{1, 2, 3});
  EXPECT_EQ(store.table()[static_cast<std::size_t>(store.find("output.kernel"))].shape, (Shape{64, 10}));
}

}  // namespace
}  // namespace bayesflow
