// One seed, one result: weights, history and draws, for any number of threads and simulators that end in any order.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <string>
#include <thread>

#include "bayesflow/networks/graph_network.hpp"
#include "training/support_training.hpp"

namespace bayesflow {
namespace {

struct Result {
  std::vector<float> weights;
  History history;
  Array draws;
};

Result train(AmortizedPosterior amortizer, const GenerativeModel& model, int threads, std::int64_t batch_size) {
  Trainer trainer(amortizer, model, {.seed = 11, .threads = threads});
  const TrainingSummary run =
      trainer.train_online({.epochs = 2, .iterations_per_epoch = 3, .batch_size = batch_size, .run = {.validation_sims = 40}});
  EXPECT_EQ(run.threads, threads);
  const Array draws = amortizer.sample(trainer.configure(model.simulate(3, 1, "test", 0)), 300);
  return {weights_of(amortizer), run.history, draws};
}

void expect_same(const Result& a, const Result& b, const std::string& what) {
  const auto same = [](const LossTerms& x, const LossTerms& y) {
    return std::ranges::equal(x.values(), y.values()) && *x.names() == *y.names();
  };
  EXPECT_TRUE(a.weights == b.weights) << what;
  ASSERT_EQ(a.history.steps.size(), b.history.steps.size());
  for (std::size_t i = 0; i < a.history.steps.size(); ++i) {
    EXPECT_TRUE(same(a.history.steps[i].losses, b.history.steps[i].losses)) << what << ", step " << i;
    EXPECT_EQ(a.history.steps[i].gradient_norm, b.history.steps[i].gradient_norm) << what << ", step " << i;
  }
  for (std::size_t i = 0; i < a.history.epochs.size(); ++i) {
    EXPECT_TRUE(same(a.history.epochs[i].train, b.history.epochs[i].train)) << what;
    EXPECT_TRUE(same(a.history.epochs[i].validation, b.history.epochs[i].validation)) << what;
  }
  EXPECT_TRUE(a.draws == b.draws) << what;
}

struct Case {
  const char* name;
  InvertibleNetworkOptions flow = {.num_params = 3, .num_coupling_layers = 2};
  AmortizedPosteriorOptions amortizer = {};
  std::int64_t batch_size = 40;  // times 30 observations: several shards and two lanes
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }
class SameBits : public testing::TestWithParam<Case> {};

TEST_P(SameBits, ForAnyNumberOfThreads) {
  const Case& c = GetParam();
  const GenerativeModel model = gaussian_model(3, 30);
  const auto result = [&](int threads) {
    AmortizedPosteriorOptions options = c.amortizer;
    options.threads = threads;
    return train(AmortizedPosterior(InvertibleNetwork(c.flow), DeepSet({.summary_dim = 6}), options), model, threads, c.batch_size);
  };
  const Result one = result(1);
  for (const LossTerms& l : {one.history.epochs.back().train, one.history.epochs.back().validation}) EXPECT_TRUE(std::isfinite(l.total()));
  expect_same(result(2), one, "two threads");
  expect_same(result(4), one, "four threads");
}

std::vector<Case> cases() {
  CouplingOptions mc_dropout, plain = unregularized_coupling(), spectral = plain, residual = plain;
  mc_dropout.mc_dropout = true;
  spectral.spec_norm = true;
  residual.residual = true;
  using enum CouplingDesign;
  const auto flow = [](CouplingDesign design, const CouplingOptions& coupling, PermutationKind permutation = PermutationKind::fixed) {
    return InvertibleNetworkOptions{
        .num_params = 3, .num_coupling_layers = 2, .coupling_design = design, .coupling = coupling, .permutation = permutation};
  };
  InvertibleNetworkOptions soft = flow(affine, plain);
  soft.use_soft_flow = true;
  return {{.name = "dropout_and_weight_decay"},
          {.name = "mc_dropout", .flow = flow(affine, mc_dropout)},
          {.name = "spectral_norm", .flow = flow(affine, spectral)},
          {.name = "residual", .flow = flow(affine, residual)},
          {.name = "soft_flow", .flow = soft},
          {.name = "spline_learnable_permutation", .flow = flow(spline, plain, PermutationKind::learnable)},
          {.name = "interleaved_dropout", .flow = flow(interleaved, CouplingOptions())},
          {.name = "student_t", .flow = flow(affine, plain), .amortizer = {.latent = student_t_latent(5)}},
          {.name = "summary_loss", .flow = flow(affine, plain), .amortizer = {.summary_mmd_weight = 1}},
          {.name = "many_data_sets_dropout", .batch_size = 600}};
}
INSTANTIATE_TEST_SUITE_P(Options, SameBits, testing::ValuesIn(cases()), [](const auto& c) { return std::string(c.param.name); });

TEST(SameBitsOfGraphs, ForAnyNumberOfThreads) {
  using enum GraphOp;
  const GraphOptions graph{.layers = {{"hidden", {.units = 16}}, {"block", {.units = 16}}, {"output", {.units = 6}}},
                           .nodes = {{.name = "hidden", .op = dense, .sources = {"data"}, .layer = "hidden"},
                                     {.name = "kept", .op = dropout, .sources = {"hidden"}, .number = 0.1},
                                     {.name = "block", .op = dense, .sources = {"kept"}, .layer = "block"},
                                     {.name = "residual", .op = add, .sources = {"hidden", "block"}},
                                     {.name = "pooled", .op = mean_pool, .sources = {"residual"}},
                                     {.name = "output", .op = dense, .sources = {"pooled"}, .layer = "output"}}};
  const GenerativeModel model = gaussian_model(3, 30);
  const auto result = [&](int threads) {
    return train(
        AmortizedPosterior(InvertibleNetwork({.num_params = 3, .num_coupling_layers = 2}), GraphNetwork(graph), {.threads = threads}),
        model, threads, 40);
  };
  const Result one = result(1);
  expect_same(result(2), one, "two threads");
  expect_same(result(4), one, "four threads");
}

TEST(SameBitsOfSimulations, WhateverOrderTheyEndIn) {
  const auto result = [](bool thread_safe, bool slow_ones) {
    const Prior prior([](Rng& rng) { return rng.normal({2}); });
    const Simulator simulator(
        [slow_ones](const Array& theta, Rng& rng) {
          if (slow_ones && theta[0] > 0) std::this_thread::sleep_for(std::chrono::microseconds(300));
          return rng.normal({4, 2}, theta);
        },
        {.thread_safe = thread_safe});
    return train(tiny_posterior(), GenerativeModel(prior, simulator), 4, 16);
  };
  const Result one_by_one = result(false, false);
  expect_same(result(true, false), one_by_one, "on four threads");
  expect_same(result(true, true), one_by_one, "on four threads, some slow");
}

TEST(SameBitsOfSimulations, AnotherSeedIsAnotherRun) {
  const auto weights = [](std::uint64_t seed) {
    AmortizedPosterior amortizer = tiny_posterior();
    Trainer trainer(amortizer, gaussian_model(2, 4), {.seed = seed});
    (void)trainer.train_online({.epochs = 1, .iterations_per_epoch = 3});
    return weights_of(amortizer);
  };
  EXPECT_EQ(weights(1), weights(1));
  EXPECT_NE(weights(1), weights(2));
}

}  // namespace
}  // namespace bayesflow
