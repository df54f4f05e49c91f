#include "bayesflow/simulation/two_level_model.hpp"

#include <gtest/gtest.h>

#include <limits>

#include "bayesflow/core/errors.hpp"
#include "bayesflow/simulation/simulation_store.hpp"
#include "io/support_files.hpp"

namespace bayesflow {
namespace {

/// Four groups of two parameters, the first of which is the hyper parameter; six observations of each group.
TwoLevelPrior prior(TwoLevelPrior::Shared shared = {}) {
  return {[](Rng& rng) { return rng.normal({1}, 100.0); },
          [](const Array& hyper, const Context&, Rng& rng) {
            Array out = rng.normal({4, 2});
            for (std::int64_t g = 0; g < 4; ++g) out(g, 0) = hyper[0];
            return out;
          },
          std::move(shared)};
}

Array simulate(const Array& local, const Array& shared, const Context&, Rng& rng) {
  Array out({local.dim(0), 6, 2});
  for (std::int64_t g = 0; g < local.dim(0); ++g)
    for (std::int64_t i = 0; i < 6; ++i) {
      out(g, i, 0) = local(g, 0) + (shared.empty() ? 0 : shared[0]);
      out(g, i, 1) = local(g, 1) + 1e-3 * rng.normal();
    }
  return out;
}

const Array& field(const Simulations& s, const char* name) { return *s.find(name); }

TEST(TwoLevelGenerativeModel, DrawsHyperLocalAndSharedParametersOfEachSimulation) {
  const TwoLevelGenerativeModel model(prior([](Rng& rng) { return rng.normal({1}, -50.0); }), simulate);
  const Simulations s = model.simulate(5, 1, "test", 0);
  EXPECT_TRUE(s.prior_draws.empty());
  EXPECT_EQ(s.batch_size(), 5);
  ASSERT_EQ(field(s, fields::hyper_prior_draws).shape(), (Shape{5, 1}));
  ASSERT_EQ(field(s, fields::local_prior_draws).shape(), (Shape{5, 4, 2}));
  ASSERT_EQ(field(s, fields::shared_prior_draws).shape(), (Shape{5, 1}));
  ASSERT_EQ(s.sim_data.shape(), (Shape{5, 4, 6, 2}));
  for (std::int64_t i = 0; i < 5; ++i)
    for (std::int64_t g = 0; g < 4; ++g) {
      const double hyper = field(s, fields::hyper_prior_draws)(i, 0);
      EXPECT_EQ(field(s, fields::local_prior_draws)(i, g, 0), hyper);
      EXPECT_EQ(s.sim_data(i, g, 3, 0), hyper + field(s, fields::shared_prior_draws)(i, 0));
      EXPECT_NEAR(s.sim_data(i, g, 3, 1), field(s, fields::local_prior_draws)(i, g, 1), 1e-2);
    }
  EXPECT_NE(field(s, fields::hyper_prior_draws)(0, 0), field(s, fields::hyper_prior_draws)(1, 0));
}

TEST(TwoLevelGenerativeModel, IsAFunctionOfSeedAndNumber) {
  const TemporaryFolder folder;
  const TwoLevelGenerativeModel model(prior(), simulate);
  EXPECT_TRUE(model.simulates_on_all_threads());
  EXPECT_FALSE(model.depends_on_batch());
  ThreadPool pool(3);
  const Simulations whole = model.simulate(30, 2, "presimulation", 0), threads = model.simulate(30, 2, "presimulation", 0, &pool),
                    part = model.simulate(10, 2, "presimulation", 20);
  EXPECT_EQ(whole.sim_data, threads.sim_data);
  EXPECT_EQ(whole.sim_data.slice(20, 30), part.sim_data);
  model.presimulate(folder / "s.h5", 30, {.seed = 2});
  EXPECT_EQ(field(SimulationStore(folder / "s.h5").read(), fields::local_prior_draws), field(whole, fields::local_prior_draws));
}

TEST(TwoLevelGenerativeModel, PadsGroupsThatVary) {
  const TwoLevelPrior varying([](Rng& rng) { return rng.normal({1}); },
                              [](const Array&, const Context&, Rng& rng) {
                                return rng.normal({rng.integers(1, 5), 2}, 9.0);
                              });
  const auto data = [](const Array& local, const Array&, const Context&, Rng& rng) {
    return rng.normal({local.dim(0), rng.integers(2, 4), 1}, 9.0);
  };
  const TwoLevelGenerativeModel model(varying, data, {.pad_to = {4, 3}});
  const Simulations s = model.simulate(50, 0, "test", 0);
  ASSERT_EQ(s.sim_data.shape(), (Shape{50, 4, 3, 1}));
  const Array &mask = field(s, fields::sim_data_mask), &groups = field(s, fields::local_mask);
  ASSERT_EQ(mask.shape(), (Shape{50, 4, 3}));
  ASSERT_EQ(groups.shape(), (Shape{50, 4}));
  EXPECT_LT(mask.mean(), 0.9);
  for (std::int64_t i = 0; i < 50; ++i)
    for (std::int64_t g = 0; g < 4; ++g) {
      EXPECT_EQ(groups(i, g) == 1, field(s, fields::local_prior_draws)(i, g, 0) != 0);
      EXPECT_EQ(mask(i, g, 0), groups(i, g));
      for (std::int64_t k = 0; k < 3; ++k) EXPECT_EQ(mask(i, g, k) == 1, s.sim_data(i, g, k, 0) != 0);
    }
  EXPECT_THROW(TwoLevelGenerativeModel(varying, data, {.pad_to = {3, 3}}).simulate(50, 0, "test", 0), SimulationError);
  EXPECT_THROW(TwoLevelGenerativeModel(varying, data, {.model = {.skip_test = true}}).simulate(50, 0, "test", 0), SimulationError);
}

TEST(TwoLevelGenerativeModel, GivesContextsToLocalPriorAndSimulator) {
  const ContextGenerator groups({.non_batchable = [](Rng& rng) { return Array::scalar(static_cast<double>(rng.integers(2, 9))); }});
  const ContextGenerator scale({.batchable = [](Rng& rng) { return Array::scalar(rng.uniform(1, 2)); }});
  const TwoLevelPrior given([](Rng& rng) { return rng.normal({1}); },
                            [](const Array&, const Context& c, Rng& rng) {
                              return rng.normal({static_cast<std::int64_t>(c.non_batchable->item()), 1});
                            },
                            {}, {.context = groups});
  const TwoLevelGenerativeModel model(given,
                                      [](const Array& local, const Array&, const Context& c, Rng&) { return local * c.batchable->item(); },
                                      {.simulator = {.context = scale}});
  EXPECT_TRUE(model.has_non_batchable_context());
  const Simulations s = model.simulate(3, 0, "test", 0);
  EXPECT_EQ(static_cast<double>(s.sim_data.dim(1)), s.prior_non_batchable_context->item());
  for (std::int64_t i = 0; i < 3; ++i)
    EXPECT_EQ(s.sim_data.row(i), field(s, fields::local_prior_draws).row(i) * (*s.sim_batchable_context)[i]);
}

TEST(TwoLevelGenerativeModel, TreatsDataThatAreNotFiniteAsAsked) {
  const TwoLevelGenerativeModel model(
      prior(),
      [](const Array& local, const Array&, const Context&, Rng& rng) {
        Array out({local.dim(0), 1}, rng.uniform() < 0.2 ? std::numeric_limits<double>::infinity() : local(0, 0));
        return out;
      },
      {.model = {.skip_test = true}});
  EXPECT_THROW((void)model.simulate(50, 0, "test", 0), SimulationError);
  for (const NonFinite action : {NonFinite::drop, NonFinite::redraw}) {
    NonFiniteCount count;
    const Simulations s = model.simulate(50, 0, "test", 0, nullptr, {.action = action, .max_share = 0.5}, count);
    EXPECT_TRUE(s.sim_data.all_finite());
    EXPECT_EQ(s.batch_size() == 50, action == NonFinite::redraw);
    for (std::int64_t i = 0; i < s.batch_size(); ++i) EXPECT_EQ(s.sim_data(i, 0, 0), field(s, fields::hyper_prior_draws)(i, 0));
  }
}

TEST(TwoLevelGenerativeModel, RefusesFunctionsThatDoNotFit) {
  const auto hyper = [](Rng& rng) { return rng.normal({1}); };
  const auto local = [](const Array&, const Context&, Rng& rng) { return rng.normal({4, 2}); };
  EXPECT_THROW(TwoLevelPrior({}, local), ConfigurationError);
  EXPECT_THROW(TwoLevelPrior(hyper, {}), ConfigurationError);
  Rng rng(0);
  EXPECT_THROW((void)TwoLevelPrior(hyper, local).draw_shared(rng), ConfigurationError);
  EXPECT_THROW(TwoLevelGenerativeModel(prior(), {}), ConfigurationError);
  EXPECT_THROW(TwoLevelGenerativeModel(prior(), simulate, {.pad_to = {4, 0}}), ConfigurationError);
  EXPECT_THROW(TwoLevelGenerativeModel(prior(),
                                       [](const Array&, const Array&, const Context&, Rng& r) {
                                         return r.normal({3, 2});
                                       }),
               ConfigurationError);
  EXPECT_THROW(TwoLevelGenerativeModel({hyper,
                                        [](const Array&, const Context&, Rng& r) {
                                          return r.normal({4, 2, 2});
                                        }},
                                       simulate),
               ConfigurationError);
}

}  // namespace
}  // namespace bayesflow
