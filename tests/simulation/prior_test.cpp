#include "bayesflow/simulation/prior.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <thread>

#include "bayesflow/core/errors.hpp"
#include "support/expect.hpp"

namespace bayesflow {
namespace {

Prior gauss(PriorOptions options = {}) {
  return Prior([](Rng& rng) { return rng.normal({4}); }, std::move(options));
}

TEST(Prior, DrawsRowsFromTheirOwnStreams) {
  const Rng streams(7, "test");
  const PriorDraws draws = gauss()(5, streams, 100);
  ASSERT_EQ(draws.prior_draws.shape(), (Shape{5, 4}));
  for (int i = 0; i < 5; ++i) {
    Rng rng = streams.at(100 + static_cast<std::uint64_t>(i));
    EXPECT_EQ(draws.prior_draws.row(i), rng.normal({4}));
  }
  EXPECT_FALSE(draws.batchable_context);
  EXPECT_FALSE(draws.non_batchable_context);
}

TEST(Prior, BatchesContinueOneAnother) {
  const Rng streams(7, "test");
  const Array whole = gauss()(8, streams, 0).prior_draws;
  EXPECT_EQ(whole.slice(0, 3), gauss()(3, streams, 0).prior_draws);
  EXPECT_EQ(whole.slice(3, 8), gauss()(5, streams, 3).prior_draws);
}

TEST(Prior, NumbersDoNotDependOnThreads) {
  const Rng streams(3, "test");
  const Array serial = gauss()(101, streams, 5).prior_draws;
  for (const int threads : {1, 2, 4}) {
    ThreadPool pool(threads);
    EXPECT_EQ(gauss()(101, streams, 5, &pool).prior_draws, serial) << threads;
    EXPECT_EQ(gauss({.thread_safe = false})(101, streams, 5, &pool).prior_draws, serial) << threads;
  }
}

TEST(Prior, RunsThreadUnsafeFunctionsOnTheCallersThread) {
  ThreadPool pool(4);
  const auto caller = std::this_thread::get_id();
  std::atomic<int> elsewhere{0};
  const Prior prior(
      [&](Rng& rng) {
        if (std::this_thread::get_id() != caller) ++elsewhere;
        return rng.normal({2});
      },
      {.thread_safe = false});
  (void)prior(64, Rng(0), 0, &pool);
  EXPECT_EQ(elsewhere, 0);
}

TEST(Prior, ScalarsBecomeOneColumn) {
  const Rng streams(1, "test");
  const Array from_double = Prior([](Rng& rng) { return rng.normal(); })(3, streams).prior_draws;
  const Array from_scalar = Prior([](Rng& rng) { return Array::scalar(rng.normal()); })(3, streams).prior_draws;
  const Array from_batch = Prior::batched([](std::int64_t n, Rng& rng) { return rng.normal({n}); })(3, streams).prior_draws;
  EXPECT_EQ(from_double.shape(), (Shape{3, 1}));
  EXPECT_EQ(from_scalar, from_double);
  EXPECT_EQ(from_batch.shape(), (Shape{3, 1}));
}

TEST(Prior, BatchedFunctionRunsOnceOnTheFirstStream) {
  int calls = 0;
  const Prior prior = Prior::batched([&](std::int64_t n, Rng& rng) {
    ++calls;
    return rng.normal({n, 3});
  });
  const Rng streams(4, "test");
  const Array draws = prior(6, streams, 11).prior_draws;
  Rng rng = streams.at(11);
  EXPECT_EQ(draws, rng.normal({6, 3}));
  EXPECT_EQ(calls, 1);
  EXPECT_TRUE(prior.is_batched());
  EXPECT_FALSE(gauss().is_batched());
}

TEST(Prior, BatchedFunctionSeesTheWholeContext) {
  const Prior prior = Prior::batched([](std::int64_t, const Context& c, Rng&) { return *c.batchable * 2.0; },
                                     {.context = ContextGenerator({.batchable = [](Rng& rng) { return rng.uniform({1}); }})});
  const PriorDraws draws = prior(4, Rng(5, "test"));
  EXPECT_EQ(draws.prior_draws, *draws.batchable_context * 2.0);
}

// Power scaling: each draw's own exponent widens the prior, and the exponents come back for the networks.
TEST(Prior, SensitivityThroughABatchableContext) {
  const Prior prior([](const Context& c, Rng& rng) { return rng.normal({2}, 0.0, c.batchable->item()); },
                    {.context = ContextGenerator({.batchable = [](Rng& rng) { return Array({1}, rng.uniform(0.5, 2.0)); }})});
  const Rng streams(9, "test");
  ThreadPool pool(3);
  const PriorDraws draws = prior(40, streams, 6, &pool);
  ASSERT_TRUE(draws.batchable_context);
  ASSERT_EQ(draws.batchable_context->shape(), (Shape{40, 1}));
  for (int i = 0; i < 40; ++i) {
    Rng rng = streams.at(6 + static_cast<std::uint64_t>(i));
    EXPECT_EQ(draws.prior_draws.row(i), rng.normal({2}, 0.0, (*draws.batchable_context)(i, 0)));
  }
  EXPECT_GT(draws.batchable_context->max() - draws.batchable_context->min(), 0.5);
}

TEST(Prior, EstimatesMeansAndStandardDeviations) {
  const Prior prior([](Rng& rng) { return rng.normal({2}, Array::of({1.0, -3.0}), Array::of({0.5, 2.0})); });
  const Prior::Moments moments = prior.estimate_means_and_stds(20000, 1);
  ASSERT_EQ(moments.means.shape(), (Shape{1, 2}));
  ASSERT_EQ(moments.stds.shape(), (Shape{1, 2}));
  // Four standard errors.
  EXPECT_NEAR(moments.means(0, 0), 1.0, 0.015);
  EXPECT_NEAR(moments.means(0, 1), -3.0, 0.06);
  EXPECT_NEAR(moments.stds(0, 0), 0.5, 0.01);
  EXPECT_NEAR(moments.stds(0, 1), 2.0, 0.04);

  const Array three = prior(3, 1).prior_draws;
  EXPECT_DOUBLE_EQ(prior.estimate_means_and_stds(3, 1).stds(0, 0), three.columns(0, 1).std(1));
  EXPECT_EQ(sentence<ArgumentError>([&] { (void)prior.estimate_means_and_stds(1); }),
            "Prior::estimate_means_and_stds: n_draws must be at least 2, because the deviation has ddof 1; got 1");
}

TEST(Prior, RejectsAnEmptyBatch) {
  EXPECT_EQ(sentence<ArgumentError>([] { (void)gauss()(0, Rng(0)); }), "Prior: batch_size must be at least 1; got 0");
  EXPECT_EQ(sentence<ArgumentError>([] { (void)gauss()(-3, 1); }), "Prior: batch_size must be at least 1; got -3");
}

TEST(Prior, NamesTheDrawThatIsNotFinite) {
  const Prior prior([](Rng& rng) {
    Array a = rng.uniform({2});
    if (a(0) > 0.5) a(1) = std::numeric_limits<double>::infinity();
    return a;
  });
  const Rng streams(1, "test");
  std::uint64_t bad = 0;
  while (streams.at(bad).uniform() <= 0.5) ++bad;
  EXPECT_EQ(sentence<SimulationError>([&] { (void)prior(64, streams); }),
            "prior: simulation " + std::to_string(bad) + " returned inf at entry 1; every value must be finite: check the prior there");
}

TEST(Prior, WrapsExceptions) {
  const Prior boom([](Rng&) -> Array { throw std::runtime_error("boom"); });
  EXPECT_EQ(sentence<SimulationError>([&] { (void)boom(4, Rng(0), 30); }), "prior: simulation 30 failed: boom");
  const Prior odd([](Rng&) -> Array { throw 3; });
  EXPECT_EQ(sentence<SimulationError>([&] { (void)odd(4, Rng(0)); }),
            "prior: simulation 0 failed with an exception that is not a std::exception");
  const Prior batched = Prior::batched([](std::int64_t, Rng&) -> Array { throw std::runtime_error("boom"); });
  EXPECT_EQ(sentence<SimulationError>([&] { (void)batched(4, Rng(0), 30); }), "prior: the batch of simulations 30 to 33 failed: boom");
}

TEST(Prior, BatchedResultNeedsARowPerSimulation) {
  const Prior prior = Prior::batched([](std::int64_t, Rng& rng) { return rng.normal({3, 2}); });
  EXPECT_EQ(sentence<SimulationError>([&] { (void)prior(4, Rng(0)); }),
            "prior: a batched function must return 4 rows on axis 0, one per simulation; got shape (3, 2)");
}

TEST(Prior, RejectsAnEmptyFunction) {
  EXPECT_EQ(sentence<ConfigurationError>([] { (void)Prior::batched(Prior::BatchedFunction{}); }),
            "Prior: the function is empty; give one that draws parameters");
}

}  // namespace
}  // namespace bayesflow
