/// The engine's own count of what a training step multiplies, against counting by hand.
#include <gtest/gtest.h>

#include <algorithm>
#include <bayesflow/bayesflow.hpp>
#include <utility>

namespace bayesflow {
namespace {

struct Sizes {
  std::int64_t batch, n_obs;
};

// Widths that all differ, so that no mistaken operand gives the right number by chance.
constexpr std::int64_t kData = 3, kParams = 5, kSummary = 7, kS1 = 11, kS2 = 13, kS3 = 17, kCoupling = 19, kLayers = 2;

AmortizedPosterior small_posterior(CouplingDesign design = CouplingDesign::affine) {
  CouplingOptions coupling = unregularized_coupling();
  coupling.dense.units = kCoupling;
  DeepSetOptions deep_set{.summary_dim = kSummary, .num_equiv = 1};
  deep_set.dense_s1.units = kS1;
  deep_set.dense_s2.units = kS2;
  deep_set.dense_s3.units = kS3;
  return AmortizedPosterior(
      InvertibleNetwork({.num_params = kParams, .num_coupling_layers = kLayers, .coupling_design = design, .coupling = coupling}),
      DeepSet(deep_set));
}

Batch random_inputs(Sizes sizes) {
  Rng rng(1);
  Batch inputs;
  inputs.set(roles::parameters, rng.normal({sizes.batch, kParams}));
  inputs.set(roles::summary_conditions, rng.normal({sizes.batch, sizes.n_obs, kData}));
  return inputs;
}

std::int64_t counted(AmortizedPosterior& posterior, const Batch& inputs, bool backward, int threads) {
  posterior.build(inputs, 0);
  nn::GradientBuffers gradients(posterior.store());
  ThreadPool pool(std::max(1, threads));
  Tape tape;
  // Twice: a pass starts from zero.
  for (int pass = 0; pass < 2; ++pass) {
    tape.reset({.gradients = backward, .lanes = &gradients, .pool = threads > 0 ? &pool : nullptr});
    const auto loss = posterior.loss(tape, inputs);
    if (backward) tape.backward(loss.total);
  }
  return tape.product_flops();
}

/// Multiply-adds of each kind of product: forward and weight gradient are made for every layer, the data gradient only where something
/// below has parameters.
struct ByHand {
  std::int64_t forward = 0, data_gradient = 0;
  void layer(std::int64_t rows, std::int64_t in, std::int64_t out, bool data = true) {
    forward += rows * in * out;
    if (data) data_gradient += rows * in * out;
  }
  [[nodiscard]] std::int64_t forward_flops() const { return 2 * forward; }
  [[nodiscard]] std::int64_t step_flops() const { return 2 * (2 * forward + data_gradient); }
};

ByHand by_hand(Sizes sizes, std::int64_t outputs_per_target, std::int64_t nets) {
  ByHand h;
  const std::int64_t sets = sizes.batch, rows = sizes.batch * sizes.n_obs;
  // The equivariant module sees the data, which need no gradient; what it pools is split off and multiplied once per set.
  h.layer(rows, kData, kS1, false);
  h.layer(rows, kS1, kS1);
  h.layer(sets, kS1, kS2);
  h.layer(sets, kS2, kS2);
  h.layer(rows, kData, kS3, false);
  h.layer(sets, kS2, kS3);
  h.layer(rows, kS3, kS3);
  // The invariant module and the output.
  h.layer(rows, kS3, kS1);
  h.layer(rows, kS1, kS1);
  h.layer(sets, kS1, kS2);
  h.layer(sets, kS2, kS2);
  h.layer(sets, kS2, kSummary);
  // Two halves of the parameters in turn, each given the other and the summary.
  constexpr std::int64_t kFirst = kParams / 2, kSecond = kParams - kFirst;
  for (std::int64_t l = 0; l < kLayers; ++l)
    for (const auto& [seen, changed] : {std::pair{kSecond, kFirst}, std::pair{kFirst, kSecond}})
      for (std::int64_t net = 0; net < nets; ++net) {
        h.layer(sets, seen, kCoupling);
        h.layer(sets, kSummary, kCoupling);
        h.layer(sets, kCoupling, kCoupling);
        h.layer(sets, kCoupling, changed * outputs_per_target);
      }
  return h;
}

TEST(ProductFlops, TrainingStepAsCountedByHand) {
  // One shard, several shards, several lanes.
  for (const Sizes sizes : {Sizes{2, 6}, Sizes{8, 50}, Sizes{32, 50}}) {
    AmortizedPosterior posterior = small_posterior();
    const ByHand expected = by_hand(sizes, 1, 2);
    for (const int threads : {0, 1, 3}) {
      EXPECT_EQ(counted(posterior, random_inputs(sizes), false, threads), expected.forward_flops())
          << sizes.batch << " sets, threads " << threads;
      EXPECT_EQ(counted(posterior, random_inputs(sizes), true, threads), expected.step_flops())
          << sizes.batch << " sets, threads " << threads;
    }
  }
}

TEST(ProductFlops, SplinesHaveOneWideNet) {
  AmortizedPosterior posterior = small_posterior(CouplingDesign::spline);
  const std::int64_t outputs = 3 * ops::SplineOptions{}.bins + 3;  // the spline, and the scale and shift before it
  EXPECT_EQ(counted(posterior, random_inputs({32, 50}), true, 2), by_hand({32, 50}, outputs, 1).step_flops());
}

TEST(ProductFlops, ManyTargetRowsRunInShards) {
  // Above a few hundred rows the flow is cut into shards too: the count stays.
  AmortizedPosterior posterior = small_posterior();
  EXPECT_EQ(counted(posterior, random_inputs({1000, 2}), true, 2), by_hand({1000, 2}, 1, 2).step_flops());
}

}  // namespace
}  // namespace bayesflow
