#include "bayesflow/simulation/multi_model.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <set>

#include "bayesflow/core/errors.hpp"
#include "bayesflow/simulation/simulation_store.hpp"
#include "io/support_files.hpp"

namespace bayesflow {
namespace {

/// Data around `center`; `parameters` of them, `observations` of each.
GenerativeModel model_at(double center, std::int64_t parameters = 1, std::int64_t observations = 5) {
  return {Prior([=](Rng& rng) { return rng.normal({parameters}); }), Simulator([=](const Array&, Rng& rng) {
            return rng.normal({observations, 2}, center, 0.1);
          })};
}

Array indices_of(const Simulations& s) { return *s.find(fields::model_indices); }

TEST(MultiGenerativeModel, MakesEachSimulationByTheModelThatItsIndexNames) {
  const MultiGenerativeModel model({model_at(0), model_at(10), model_at(20)}, {.model_probs = {0.2, 0.5, 0.3}});
  EXPECT_EQ(model.num_models(), 3);
  const Simulations s = model.simulate(3000, 1, "test", 0);
  ASSERT_EQ(indices_of(s).shape(), (Shape{3000, 3}));
  for (std::int64_t i = 0; i < 3000; ++i) {
    const Array one = indices_of(s).row(i);
    ASSERT_EQ(one.sum(), 1.0);
    ASSERT_NEAR(s.sim_data.row(i).mean(), 10 * one[1] + 20 * one[2], 1.0);
  }
  for (std::int64_t m = 0; m < 3; ++m) {
    const double p = model.model_probs()[static_cast<std::size_t>(m)];
    EXPECT_NEAR(indices_of(s).columns(m, m + 1).mean(), p, 4.5 * std::sqrt(p * (1 - p) / 3000));
  }
  EXPECT_EQ(s.prior_draws.shape(), (Shape{3000, 1}));
  EXPECT_EQ(s.find(fields::sim_data_mask), nullptr);
  EXPECT_EQ(s.find(fields::prior_draws_mask), nullptr);
  // Parameters are those of the prior, in all models: as many above zero as below.
  EXPECT_NEAR(s.prior_draws.mean(), 0.0, 0.1);
}

TEST(MultiGenerativeModel, PadsDataAndParametersAndSaysSo) {
  const MultiGenerativeModel model({model_at(5, 1, 4), model_at(-5, 3, 7)});
  for (const std::int64_t size : {1, 2, 50}) {  // also batches in which a model is absent
    const Simulations s = model.simulate(size, 3, "test", 0);
    ASSERT_EQ(s.sim_data.shape(), (Shape{size, 7, 2}));
    ASSERT_EQ(s.prior_draws.shape(), (Shape{size, 3}));
    for (std::int64_t i = 0; i < size; ++i) {
      const bool first = indices_of(s)(i, 0) == 1;
      EXPECT_EQ(s.find(fields::prior_draws_mask)->row(i), first ? Array::of({1, 0, 0}) : Array::of({1, 1, 1}));
      for (std::int64_t k = 0; k < 7; ++k) {
        const bool there = !first || k < 4;
        EXPECT_EQ((*s.find(fields::sim_data_mask))(i, k), there ? 1.0 : 0.0);
        if (there)
          EXPECT_NEAR(s.sim_data(i, k, 0), first ? 5 : -5, 1.0);
        else
          EXPECT_EQ(s.sim_data(i, k, 0), 0.0);
      }
      if (first) {
        EXPECT_EQ(s.prior_draws(i, 1), 0.0);
      }
    }
  }
}

TEST(MultiGenerativeModel, IsTheSameForAnyNumberOfThreadsAndInFiles) {
  const TemporaryFolder folder;
  const MultiGenerativeModel model({model_at(0, 1, 4), model_at(1, 2, 7)});
  EXPECT_TRUE(model.simulates_on_all_threads());
  ThreadPool pool(3);
  const Simulations alone = model.simulate(40, 5, "presimulation", 0), together = model.simulate(40, 5, "presimulation", 0, &pool);
  EXPECT_EQ(alone.sim_data, together.sim_data);
  EXPECT_EQ(indices_of(alone), indices_of(together));
  model.presimulate(folder / "whole.h5", 100, {.seed = 5, .batch_size = 20});
  model.presimulate(folder / "parts.h5", 60, {.seed = 5, .batch_size = 20});
  model.presimulate(folder / "parts.h5", 100, {.seed = 5, .batch_size = 20});
  for (std::int64_t b = 0; b < 5; ++b)
    EXPECT_EQ(SimulationStore(folder / "whole.h5").batch(b).sim_data, SimulationStore(folder / "parts.h5").batch(b).sim_data);
}

TEST(MultiGenerativeModel, SharesAContext) {
  const auto varying = [](double center) {
    return GenerativeModel(Prior([](Rng& rng) { return rng.normal({1}); }), Simulator([=](const Array&, const Context& c, Rng& rng) {
                             const auto n = c.non_batchable ? static_cast<std::int64_t>(c.non_batchable->item()) : 3;
                             return rng.normal({n, 1}, center, 0.1);
                           }));
  };
  const MultiGenerativeModel model({varying(0), varying(10)}, {.shared_context = ContextGenerator({.non_batchable = [](Rng& rng) {
                                                                 return Array::scalar(static_cast<double>(rng.integers(2, 9)));
                                                               }})});
  EXPECT_TRUE(model.has_non_batchable_context());
  std::set<std::int64_t> seen;
  for (std::uint64_t first = 0; first < 40; first += 2) {
    const Simulations s = model.simulate(2, 0, "test", first);
    EXPECT_EQ(static_cast<double>(s.sim_data.dim(1)), s.sim_non_batchable_context->item());
    EXPECT_EQ(s.find(fields::sim_data_mask), nullptr);
    seen.insert(s.sim_data.dim(1));
  }
  EXPECT_GT(seen.size(), 4U);
}

TEST(MultiGenerativeModel, RedrawsFromTheModelAndItsPrior) {
  const GenerativeModel faulty(Prior([](Rng& rng) { return rng.normal({1}); }), Simulator([](const Array&, Rng& rng) {
                                 Array x = rng.normal({3, 2}, 10.0, 0.1);
                                 if (rng.uniform() < 0.3) x[0] = std::numeric_limits<double>::quiet_NaN();
                                 return x;
                               }),
                               {.skip_test = true});
  const MultiGenerativeModel model({model_at(0, 1, 3), faulty}, {.model = {.skip_test = true}});
  NonFiniteCount count;
  const Simulations s = model.simulate(2000, 0, "test", 0, nullptr, {.action = NonFinite::redraw, .max_share = 0.5}, count);
  EXPECT_EQ(s.batch_size(), 2000);
  EXPECT_TRUE(s.sim_data.all_finite());
  // p(model | finite): 0.35 / 0.85 for the second one.
  EXPECT_NEAR(indices_of(s).columns(1, 2).mean(), 0.35 / 0.85, 0.05);
  for (std::int64_t i = 0; i < 2000; ++i) ASSERT_NEAR(s.sim_data.row(i).mean(), 10 * indices_of(s)(i, 1), 1.0);
}

TEST(MultiGenerativeModel, RefusesWhatCannotBeOneBatch) {
  EXPECT_THROW(MultiGenerativeModel(std::vector<GenerativeModel>()), ConfigurationError);
  for (const std::vector<double>& probs : {std::vector<double>{1}, {0.5, 0.6}, {1.5, -0.5}, {std::nan(""), 1}})
    EXPECT_THROW(MultiGenerativeModel({model_at(0), model_at(1)}, {.model_probs = probs}), ConfigurationError);
  const GenerativeModel wide(Prior([](Rng& rng) { return rng.normal({1}); }), Simulator([](const Array&, Rng& rng) {
                               return rng.normal({5, 3});
                             }));
  EXPECT_THROW(MultiGenerativeModel({model_at(0), wide}), ConfigurationError);
  const GenerativeModel flat(Prior([](Rng& rng) { return rng.normal({1}); }),
                             Simulator([](const Array&, Rng& rng) { return rng.normal({2}); }));
  EXPECT_THROW(MultiGenerativeModel({model_at(0), flat}), ConfigurationError);
  const auto with = [](ContextOptions context) {
    return GenerativeModel(
        Prior([](const Context&, Rng& rng) { return rng.normal({1}); }, {.context = ContextGenerator(std::move(context))}),
        Simulator([](const Array&, Rng& rng) {
          return rng.normal({5, 2});
        }));
  };
  const auto number = [](Rng&) { return Array::scalar(3); };
  EXPECT_THROW(MultiGenerativeModel({model_at(0), with({.non_batchable = number})}), ConfigurationError);
  EXPECT_THROW(MultiGenerativeModel({model_at(0), with({.batchable = number})}), ConfigurationError);
  EXPECT_NO_THROW(MultiGenerativeModel({with({.batchable = number}), with({.batchable = number})}));
}

}  // namespace
}  // namespace bayesflow
