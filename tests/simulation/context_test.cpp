#include "bayesflow/simulation/context.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <stdexcept>

#include "bayesflow/core/errors.hpp"
#include "bayesflow/simulation/prior.hpp"
#include "support/expect.hpp"

namespace bayesflow {
namespace {

TEST(ContextGenerator, WithoutFunctionsIsEmpty) {
  const ContextGenerator generator;
  EXPECT_FALSE(generator.has_batchable());
  EXPECT_FALSE(generator.has_non_batchable());
  const Context context = generator(3, Rng(0));
  EXPECT_FALSE(context.batchable);
  EXPECT_FALSE(context.non_batchable);
}

TEST(ContextGenerator, BatchableValuesHaveTheirOwnStreams) {
  const ContextGenerator generator({.batchable = [](Rng& rng) { return rng.uniform({2}); }});
  const Rng streams(1, "test");
  const Context whole = generator(6, streams, 10);
  ASSERT_EQ(whole.batchable->shape(), (Shape{6, 2}));
  EXPECT_EQ(whole.batchable->slice(2, 6), *generator(4, streams, 12).batchable);
  Rng rng = streams.at(10);
  EXPECT_EQ(whole.batchable->row(0), rng.uniform({2}));
}

TEST(ContextGenerator, NonBatchableValueHasAStreamOfItsOwn) {
  const ContextOptions both = {.batchable = [](Rng& rng) { return rng.uniform({1}); },
                               .non_batchable = [](Rng& rng) { return rng.uniform({1}); }};
  const ContextGenerator generator(both);
  const Rng streams(1, "test");
  const Context context = generator(2, streams, 4);
  EXPECT_NE(context.batchable->row(0), *context.non_batchable);
  EXPECT_EQ(*context.non_batchable, *generator(50, streams, 4).non_batchable);
  EXPECT_NE(*context.non_batchable, *generator(2, streams, 6).non_batchable);
}

TEST(ContextGenerator, NonBatchableIsDrawnFirstAndHandedOn) {
  std::string order;
  const ContextGenerator generator({.non_batchable =
                                        [&](Rng&) {
                                          order += 'n';
                                          return Array::scalar(7.0);
                                        },
                                    .batchable_from_non_batchable =
                                        [&](const Array& n, Rng&) {
                                          order += 'b';
                                          return Array({1}, n.item() + 1.0);
                                        }});
  EXPECT_TRUE(generator.has_batchable());
  EXPECT_EQ(*generator(3, Rng(0)).batchable, Array({3, 1}, 8.0));
  EXPECT_EQ(order, "nbbb");
}

TEST(ContextGenerator, RejectsFunctionsThatContradict) {
  const auto value = [](Rng&) { return Array::scalar(1.0); };
  const auto from = [](const Array& n, Rng&) { return n; };
  EXPECT_EQ(sentence<ConfigurationError>(
                [&] { ContextGenerator generator({.batchable = value, .non_batchable = value, .batchable_from_non_batchable = from}); }),
            "ContextGenerator: give either `batchable` or `batchable_from_non_batchable`, not both");
  EXPECT_EQ(sentence<ConfigurationError>([&] { ContextGenerator generator({.batchable_from_non_batchable = from}); }),
            "ContextGenerator: `batchable_from_non_batchable` needs a `non_batchable` function to take its value from");
}

TEST(ContextGenerator, ReportsFailures) {
  const auto boom = [](Rng&) -> Array { throw std::runtime_error("boom"); };
  const auto nan = [](Rng&) { return Array::scalar(std::numeric_limits<double>::quiet_NaN()); };
  EXPECT_EQ(sentence<SimulationError>([&] { (void)ContextGenerator({.batchable = boom})(2, Rng(0), 5); }),
            "batchable context: simulation 5 failed: boom");
  EXPECT_EQ(sentence<SimulationError>([&] { (void)ContextGenerator({.non_batchable = boom})(2, Rng(0), 5); }),
            "non-batchable context: the batch of simulations 5 to 6 failed: boom");
  EXPECT_EQ(sentence<SimulationError>([&] { (void)ContextGenerator({.non_batchable = nan})(2, Rng(0), 5); }),
            "non-batchable context: the value for the batch of simulations 5 to 6 is not finite; check the function that makes it");
  EXPECT_EQ(sentence<ArgumentError>([&] { (void)ContextGenerator({.batchable = boom})(0, Rng(0)); }),
            "ContextGenerator: batch_size must be at least 1; got 0");
}

TEST(ContextGenerator, FailuresNameTheirOwner) {
  const Prior prior([](const Context&, Rng& rng) { return rng.normal({2}); },
                    {.context = ContextGenerator({.batchable = [](Rng&) -> Array { throw std::runtime_error("boom"); }})});
  EXPECT_EQ(sentence<SimulationError>([&] { (void)prior(2, Rng(0)); }), "prior: batchable context: simulation 0 failed: boom");
}

}  // namespace
}  // namespace bayesflow
