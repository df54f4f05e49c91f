#include "bayesflow/simulation/simulator.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <stdexcept>

#include "bayesflow/core/errors.hpp"
#include "support/expect.hpp"

namespace bayesflow {
namespace {

Simulator gauss(SimulatorOptions options = {}) {
  return Simulator([](const Array& theta, Rng& rng) { return rng.normal({50, 4}, theta); }, std::move(options));
}

/// Row i holds i in every column.
Array numbered(std::int64_t rows, std::int64_t columns = 1) { return Array::arange(rows).expand_dims(1).repeat(columns, 1); }

TEST(Simulator, SimulatesEachRowFromItsOwnStream) {
  const Rng streams(2, "test");
  const Array thetas = Rng(8).normal({6, 4});
  const Array data = gauss()(thetas, streams, 40).sim_data;
  ASSERT_EQ(data.shape(), (Shape{6, 50, 4}));
  for (int i = 0; i < 6; ++i) {
    Rng rng = streams.at(40 + static_cast<std::uint64_t>(i));
    EXPECT_EQ(data.row(i), rng.normal({50, 4}, thetas.row(i)));
  }
}

TEST(Simulator, NumbersDoNotDependOnThreads) {
  const Rng streams(2, "test");
  const Array thetas = Rng(8).normal({67, 4});
  const Array serial = gauss()(thetas, streams, 9).sim_data;
  for (const int threads : {1, 2, 4}) {
    ThreadPool pool(threads);
    EXPECT_EQ(gauss()(thetas, streams, 9, &pool).sim_data, serial) << threads;
    EXPECT_EQ(gauss({.thread_safe = false})(thetas, streams, 9, &pool).sim_data, serial) << threads;
  }
}

TEST(Simulator, ScalarsBecomeOneColumnAndOneSimulationIsEnough) {
  const Simulator sum([](const Array& theta, Rng&) { return Array::scalar(theta.sum()); });
  EXPECT_EQ(sum(numbered(3, 2), Rng(0)).sim_data, numbered(3) * 2.0);
  EXPECT_EQ(sum(numbered(1, 2), 0).sim_data.shape(), (Shape{1, 1}));
}

TEST(Simulator, BatchedFunctionRunsOnceOnTheFirstStream) {
  const Simulator simulator = Simulator::batched([](const Array& thetas, Rng& rng) { return rng.normal({thetas.dim(0), 5}, thetas); });
  EXPECT_TRUE(simulator.is_batched());
  const Rng streams(2, "test");
  Rng rng = streams.at(17);
  EXPECT_EQ(simulator(numbered(3), streams, 17).sim_data, rng.normal({3, 5}, numbered(3)));
}

TEST(Simulator, NumberOfObservationsVariesBetweenBatchesThroughANonBatchableContext) {
  const Simulator simulator(
      [](const Array& theta, const Context& c, Rng& rng) {
        return rng.normal({static_cast<std::int64_t>(c.non_batchable->item()), theta.dim(0)}, theta);
      },
      {.context = ContextGenerator({.non_batchable = [](Rng& rng) { return Array::scalar(static_cast<double>(rng.integers(10, 60))); }})});
  const Rng streams(5, "test");
  std::int64_t least = 1000, most = 0;
  for (std::uint64_t first = 0; first < 80; first += 8) {
    const SimulatedData data = simulator(numbered(8, 2), streams, first);
    ASSERT_TRUE(data.non_batchable_context);
    const auto n = static_cast<std::int64_t>(data.non_batchable_context->item());
    EXPECT_EQ(data.sim_data.shape(), (Shape{8, n, 2}));
    least = std::min(least, n);
    most = std::max(most, n);
  }
  EXPECT_LT(least, most);
}

TEST(Simulator, BothContextsReachEachSimulation) {
  const Simulator simulator(
      [](const Array& theta, const Context& c, Rng&) { return theta + *c.batchable + *c.non_batchable; },
      {.context = ContextGenerator(
           {.non_batchable = [](Rng&) { return Array::scalar(100.0); },
            .batchable_from_non_batchable = [](const Array& n, Rng& rng) { return Array({1}, n.item() * rng.uniform()); }})});
  ThreadPool pool(3);
  const SimulatedData data = simulator(numbered(20), Rng(5, "test"), 0, &pool);
  EXPECT_EQ(data.sim_data, numbered(20) + *data.batchable_context + 100.0);
}

TEST(Simulator, ReportsVaryingShapes) {
  const Simulator simulator([](const Array& theta, Rng& rng) { return rng.normal({theta(0) >= 17.0 ? 49 : 50, 4}); });
  const std::string expected =
      "simulator: simulation 17 returned shape (49, 4), but simulation 0 returned (50, 4); return one shape for all simulations of a batch "
      "(a size that varies belongs into a non-batchable context)";
  EXPECT_EQ(sentence<SimulationError>([&] { (void)simulator(numbered(32), Rng(0)); }), expected);
  ThreadPool pool(4);
  EXPECT_EQ(sentence<SimulationError>([&] { (void)simulator(numbered(32), Rng(0), 0, &pool); }), expected);
}

TEST(Simulator, TheLowestIndexOfSeveralFailuresWins) {
  const Simulator simulator([](const Array& theta, Rng&) -> Array {
    if (theta(0) >= 5.0) throw std::domain_error("no solution");
    return theta;
  });
  const std::string expected = "simulator: simulation 1005 with parameters [5, 5, 5] failed: no solution";
  EXPECT_EQ(sentence<SimulationError>([&] { (void)simulator(numbered(64, 3), Rng(0), 1000); }), expected);
  for (const int threads : {1, 2, 4}) {
    ThreadPool pool(threads);
    EXPECT_EQ(sentence<SimulationError>([&] { (void)simulator(numbered(64, 3), Rng(0), 1000, &pool); }), expected) << threads;
  }
}

TEST(Simulator, NamesAtMostTenParameters) {
  const Simulator simulator([](const Array&, Rng&) -> Array { throw std::runtime_error("boom"); });
  EXPECT_EQ(sentence<SimulationError>([&] {
              (void)simulator(Array({1, 12}, 0.5), Rng(0));
            }),
            "simulator: simulation 0 with parameters [0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, ...] failed: boom");
}

TEST(Simulator, NamesTheSimulationThatIsNotFinite) {
  const Simulator simulator([](const Array& theta, Rng&) {
    Array out({2, 2});
    if (theta(0) == 3.0) out(1, 0) = std::numeric_limits<double>::quiet_NaN();
    return out;
  });
  ThreadPool pool(2);
  EXPECT_EQ(sentence<SimulationError>([&] { (void)simulator(numbered(8), Rng(0), 20, &pool); }),
            "simulator: simulation 23 returned nan at entry 2 with parameters [3]; every value must be finite: check the simulator there, "
            "or set TrainerOptions::nonfinite to NonFinite::drop, which leaves such simulations out");
}

TEST(Simulator, ReportsBatchedFailures) {
  const Simulator boom = Simulator::batched([](const Array&, Rng&) -> Array { throw std::runtime_error("boom"); });
  EXPECT_EQ(sentence<SimulationError>([&] { (void)boom(numbered(4), Rng(0), 8); }),
            "simulator: the batch of simulations 8 to 11 failed: boom");
  const Simulator odd = Simulator::batched([](const Array&, Rng&) -> Array { throw 1; });
  EXPECT_EQ(sentence<SimulationError>([&] { (void)odd(numbered(4), Rng(0)); }),
            "simulator: the batch of simulations 0 to 3 failed with an exception that is not a std::exception");
  const Simulator wrong = Simulator::batched([](const Array&, Rng&) { return Array::scalar(0.0); });
  EXPECT_EQ(sentence<SimulationError>([&] { (void)wrong(numbered(4), Rng(0)); }),
            "simulator: a batched function must return 4 rows on axis 0, one per simulation; got shape ()");
}

TEST(Simulator, ReportsUnusableArguments) {
  EXPECT_EQ(sentence<ArgumentError>([] { (void)gauss()(Array({0, 4}), Rng(0)); }), "Simulator: batch_size must be at least 1; got 0");
  EXPECT_EQ(sentence<ShapeError>([] { (void)gauss()(Array::scalar(1.0), Rng(0)); }),
            "Simulator: parameters need a batch axis; got a scalar");
  EXPECT_EQ(sentence<ConfigurationError>([] { Simulator simulator{Simulator::Function{}}; }),
            "Simulator: the function is empty; give one that makes data from parameters");
  const Simulator deep([](const Array&, Rng&) { return Array({1, 1, 1, 1, 1, 1}); });
  EXPECT_EQ(sentence<SimulationError>([&] { (void)deep(numbered(2), Rng(0)); }),
            "simulator: a simulation may have at most 5 axes, because the batch is one more; got shape (1, 1, 1, 1, 1, 1)");
}

}  // namespace
}  // namespace bayesflow
