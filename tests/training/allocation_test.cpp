// A training step of the tutorial's model takes a millisecond or two: once everything is warm it must not touch the heap, and
// a long run must not grow.
#include "support/allocations.hpp"

#if BAYESFLOW_COUNTS_ALLOCATIONS

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "bayesflow/networks/graph_network.hpp"
#include "support/inference_cases.hpp"
#include "training/support_summary_models.hpp"
#include "training/support_training.hpp"

namespace bayesflow {
namespace {

/// Allocations in `steps` steps after the first `warm`: the fewest of three stretches, because on a busy machine a thread of the pool may
/// get its first piece of work, and its memory with it, late. A step that allocates does so in every stretch.
template <class A>
long allocations_when_warm(A amortizer, const GenerativeModel& model, int threads, std::int64_t warm, std::int64_t steps,
                           const Configurator& configurator = {}) {
  long begin = 0, fewest = std::numeric_limits<long>::max();
  const auto progress = [&, step = std::int64_t{0}](const Progress& p) mutable {
    if (p.epoch_done || ++step < warm || (step - warm) % steps != 0) return Control::proceed;
    if (step > warm) fewest = std::min(fewest, allocations::count - begin);
    begin = allocations::count;
    return Control::proceed;
  };
  Trainer trainer(std::move(amortizer), model, {.configurator = configurator, .threads = threads, .progress = progress});
  (void)trainer.train_online({.epochs = 1, .iterations_per_epoch = warm + 3 * steps, .batch_size = 32});
  return fewest;
}

AmortizedPosterior tutorial_posterior(const CouplingOptions& coupling, CouplingDesign design = CouplingDesign::affine) {
  return AmortizedPosterior(InvertibleNetwork({.num_params = 4, .num_coupling_layers = 4, .coupling_design = design, .coupling = coupling}),
                            DeepSet({.summary_dim = 10}));
}

TEST(TrainingMemory, WarmStepsOfTheTutorialAllocateNothing) {
  EXPECT_EQ(allocations_when_warm(tutorial_posterior(unregularized_affine()), gaussian_model(4, 50), 1, 5, 50), 0);
  EXPECT_EQ(allocations_when_warm(tutorial_posterior(unregularized_affine()), gaussian_model(4, 50), 2, 200, 50), 0);
}

TEST(TrainingMemory, NeitherDoesAnyOptionOfTheFlow) {
  CouplingOptions coupling;  // dropout and weight decay
  coupling.spec_norm = true;
  coupling.residual = true;
  EXPECT_EQ(allocations_when_warm(tutorial_posterior(coupling, CouplingDesign::interleaved), gaussian_model(4, 10), 1, 5, 20), 0);
  AmortizedPosterior other(InvertibleNetwork({.num_params = 4,
                                              .num_coupling_layers = 2,
                                              .coupling_design = CouplingDesign::spline,
                                              .permutation = PermutationKind::learnable,
                                              .use_soft_flow = true}),
                           DeepSet({.summary_dim = 10}), {.latent = student_t_latent(10), .summary_mmd_weight = 1});
  EXPECT_EQ(allocations_when_warm(other, gaussian_model(4, 10), 1, 5, 20), 0);
}

TEST(TrainingMemory, NeitherDoGraphs) {
  using enum GraphOp;
  const GraphOptions graph{.layers = {{"hidden"}, {"joined"}, {"output", {.units = 10}}},
                           .nodes = {{.name = "hidden", .op = dense, .sources = {"data"}, .layer = "hidden"},
                                     {.name = "pooled", .op = mean_pool, .sources = {"hidden"}},
                                     {.name = "around", .op = repeat, .sources = {"pooled", "hidden"}},
                                     {.name = "both", .op = concat, .sources = {"hidden", "around", "hidden"}},
                                     {.name = "joined", .op = dense, .sources = {"both"}, .layer = "joined"},
                                     {.name = "moved", .op = shift, .sources = {"joined"}, .number = 0.5},
                                     {.name = "largest", .op = max_pool, .sources = {"moved"}},
                                     {.name = "output", .op = dense, .sources = {"largest"}, .layer = "output"}}};
  AmortizedPosterior amortizer(tiny_flow(4), GraphNetwork(graph));
  EXPECT_EQ(allocations_when_warm(amortizer, gaussian_model(4, 50), 1, 10, 50), 0);
}

TEST(TrainingMemory, NeitherDoesAnySummaryNetwork) {
  for (const support::SummaryCase& c : support::summary_cases())
    EXPECT_EQ(allocations_when_warm(AmortizedPosterior(tiny_flow(2), c.make().shared()), summary_model(c), 1, 10, 20,
                                    support::summary_configurator(c)),
              0)
        << support::name_of(c);
}

TEST(TrainingMemory, NeitherDoesAnyInferenceNetwork) {
  for (const support::InferenceCase& c : support::inference_cases()) {
    const std::shared_ptr<InferenceNetwork> net = c.make();
    const auto configurator = [&](const Simulations& s) {
      Array targets = s.prior_draws;
      net->make_valid(targets);
      return Batch{{c.kind->target, targets}, {roles::summary_conditions, s.sim_data}};
    };
    EXPECT_EQ(allocations_when_warm(AmortizerAccess::make(*c.kind, c.make(), std::make_shared<DeepSet>(tiny_deep_set()), {}),
                                    gaussian_model(c.width, 6), 1, 10, 20, configurator),
              0)
        << support::name_of(c);
  }
}

TEST(TrainingMemory, NeitherDoContexts) {
  const ContextGenerator contexts(
      {.batchable = [](Rng& rng) { return rng.uniform({1}, 0.5, 2.0); }, .non_batchable = [](Rng&) { return Array::scalar(7); }});
  const Prior prior([](const Context& c, Rng& rng) { return rng.normal({2}, 0.0, c.batchable->item()); }, {.context = contexts});
  const Simulator simulator(
      [](const Array& theta, const Context& c, Rng& rng) {
        return rng.normal({static_cast<std::int64_t>(c.non_batchable->item()), 2}, theta);
      },
      {.context = contexts});
  AmortizedPosterior amortizer(tiny_flow(2), tiny_deep_set());
  EXPECT_EQ(allocations_when_warm(amortizer, GenerativeModel(prior, simulator), 1, 10, 50), 0);
}

TEST(TrainingMemory, OfACallIsGivenBackAtItsEnd) {
  long during = 0;
  const auto progress = [&](const Progress&) {
    during = allocations::live_bytes;
    return Control::proceed;
  };
  Trainer trainer(tutorial_posterior(unregularized_affine()), gaussian_model(4, 50), {.threads = 1, .progress = progress});
  const OnlineOptions ten_steps{.epochs = 1, .iterations_per_epoch = 10, .batch_size = 32};
  (void)trainer.train_online(ten_steps);
  const long after = allocations::live_bytes;
  EXPECT_LT(after, during - 10'000'000) << "tape, gradients, moments";
  (void)trainer.train_online(ten_steps);
  EXPECT_LT(allocations::live_bytes - after, 20'000) << "one more history, and nothing else";
}

// ctest -L slow
TEST(TrainingMemorySlow, ALongRunDoesNotGrow) {
  std::vector<long> live;
  const auto progress = [&, step = std::int64_t{0}](const Progress& p) mutable {
    if (!p.epoch_done && (++step == 1000 || step % 10000 == 0)) live.push_back(allocations::live_bytes);
    return Control::proceed;
  };
  live.reserve(20);
  AmortizedPosterior amortizer(tiny_flow(2), tiny_deep_set());
  Trainer trainer(amortizer, gaussian_model(2, 3), {.threads = 2, .progress = progress});
  (void)trainer.train_online({.epochs = 1, .iterations_per_epoch = 100'000, .batch_size = 4});
  ASSERT_EQ(live.size(), 11U);
  for (const long bytes : live)
    EXPECT_LE(bytes, live.front() + 4096) << "a thread's cache of small arrays may still fill, but nothing grows with the steps";
}

}  // namespace
}  // namespace bayesflow

#endif
