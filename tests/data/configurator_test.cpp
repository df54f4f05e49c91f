#include "bayesflow/data/configurator.hpp"

#include <gtest/gtest.h>

#include <string>

#include "bayesflow/core/errors.hpp"

namespace bayesflow {
namespace {

Simulations example(const Shape& data) {
  Simulations s;
  s.sim_data = Array::arange(data.size()).reshape(data);
  s.prior_draws = Array::arange(2 * data[0]).reshape({data[0], 2});
  return s;
}

std::string refusal(const Simulations& s) {
  try {
    (void)default_configurator(s);
  } catch (const ConfigurationError& error) {
    return error.what();
  }
  return "no ConfigurationError";
}

TEST(DefaultConfigurator, WithoutContextsPassesDataAndParametersOn) {
  const Simulations s = example({3, 5, 2});
  const Batch inputs = default_configurator(s);
  EXPECT_EQ(inputs[roles::parameters], s.prior_draws);
  EXPECT_EQ(inputs[roles::summary_conditions], s.sim_data);
  EXPECT_FALSE(inputs.has(roles::direct_conditions));
}

TEST(DefaultConfigurator, DoesWithoutParameters) {
  Simulations s = example({3, 5, 2});
  s.prior_draws = Array();
  EXPECT_FALSE(default_configurator(s).has(roles::parameters));
}

TEST(DefaultConfigurator, ScalarNonBatchableContextBecomesAColumn) {  // O11
  Simulations s = example({3, 5, 2});
  s.sim_non_batchable_context = Array::scalar(5.0);
  EXPECT_EQ(default_configurator(s)[roles::direct_conditions], Array({3, 1}, 5.0));
}

TEST(DefaultConfigurator, NonBatchableContextsAreJoinedPriorFirst) {  // O11
  Simulations s = example({2, 5, 2});
  s.prior_non_batchable_context = Array::of({1.0, 2.0});
  s.sim_non_batchable_context = Array::scalar(5.0);
  EXPECT_EQ(default_configurator(s)[roles::direct_conditions], Array::of({{1.0, 2.0, 5.0}, {1.0, 2.0, 5.0}}));
  s.sim_non_batchable_context.reset();
  EXPECT_EQ(default_configurator(s)[roles::direct_conditions], Array::of({{1.0, 2.0}, {1.0, 2.0}}));
}

TEST(DefaultConfigurator, BatchableContextIsBroadcastOverTheObservations) {  // O12
  for (const int width : {0, 1, 3}) {                                        // 0: shape (batch,)
    Simulations s = example({4, 5, 2});
    const int columns = width == 0 ? 1 : width;
    s.sim_batchable_context = width == 0 ? Array::arange(4) : Array::arange(4 * width).reshape({4, width});
    const Array joined = default_configurator(s).array(roles::summary_conditions);
    ASSERT_EQ(joined.shape(), (Shape{4, 5, 2 + columns}));
    EXPECT_EQ(joined.columns(0, 2), s.sim_data);
    for (int b = 0; b < 4; ++b)
      for (int n = 0; n < 5; ++n)
        for (int c = 0; c < columns; ++c) EXPECT_EQ(joined(b, n, 2 + c), b * columns + c);
  }
}

TEST(DefaultConfigurator, BatchableContextMayBelongToTheObservations) {  // O12
  Simulations s = example({4, 5, 2});
  s.prior_batchable_context = Array::arange(60).reshape({4, 5, 3});
  const Array joined = default_configurator(s).array(roles::summary_conditions);
  EXPECT_EQ(joined.columns(0, 2), s.sim_data);
  EXPECT_EQ(joined.columns(2, 5), *s.prior_batchable_context);
}

TEST(DefaultConfigurator, BatchableContextsAreJoinedPriorFirst) {
  Simulations s = example({4, 5, 2});
  s.prior_batchable_context = Array({4}, 7.0);
  s.sim_batchable_context = Array({4, 1}, 8.0);
  const Array joined = default_configurator(s).array(roles::summary_conditions);
  ASSERT_EQ(joined.shape(), (Shape{4, 5, 4}));
  EXPECT_EQ(joined.columns(2, 3), Array({4, 5, 1}, 7.0));
  EXPECT_EQ(joined.columns(3, 4), Array({4, 5, 1}, 8.0));
}

TEST(DefaultConfigurator, DataOfRankTwoIsJoinedDirectly) {
  Simulations s = example({3, 2});
  s.sim_batchable_context = Array::of({7.0, 8.0, 9.0});
  EXPECT_EQ(default_configurator(s)[roles::summary_conditions], Array::of({{0.0, 1.0, 7.0}, {2.0, 3.0, 8.0}, {4.0, 5.0, 9.0}}));
  s.sim_batchable_context = Array({3, 2}, 1.0);
  EXPECT_EQ(default_configurator(s)[roles::summary_conditions].shape(), (Shape{3, 4}));
}

TEST(DefaultConfigurator, DataOfRankFour) {
  Simulations s = example({2, 3, 4, 1});
  s.sim_batchable_context = Array::of({7.0, 8.0});
  const Array joined = default_configurator(s).array(roles::summary_conditions);
  ASSERT_EQ(joined.shape(), (Shape{2, 3, 4, 2}));
  EXPECT_EQ(joined(1, 2, 3, 1), 8.0);
  EXPECT_EQ(joined(0, 2, 3, 1), 7.0);
}

TEST(DefaultConfigurator, MasksAndTimesGoToTheSummaryNetwork) {
  Simulations s;
  s.prior_draws = Array({2, 1}, 0.5);
  s.sim_data = Array({2, 3, 1}, 0.25);
  s.set(fields::sim_data_mask, Array::of({{1.0, 1.0, 0.0}, {1.0, 0.0, 0.0}}));
  s.set(fields::sim_data_times, Array({2, 3}, 2.0));
  const Batch batch = default_configurator(s);
  EXPECT_EQ(batch.array(roles::summary_mask), *s.find(fields::sim_data_mask));
  EXPECT_EQ(batch.array(roles::summary_times), *s.find(fields::sim_data_times));
  s.set("design", Array({2, 1}));
  EXPECT_THROW((void)default_configurator(s), ConfigurationError);  // nothing reads it
  EXPECT_THROW((void)likelihood_configurator(s), ConfigurationError);
}

TEST(ModelComparisonConfigurator, TakesTheModelsIndices) {
  Simulations s;
  s.sim_data = Array({2, 3, 1}, 0.25);
  EXPECT_THROW((void)model_comparison_configurator(s), ConfigurationError);
  s.set(fields::model_indices, Array::of({{1.0, 0.0}, {0.0, 1.0}}));
  s.set(fields::sim_data_mask, Array({2, 3}, 1.0));
  const Batch batch = model_comparison_configurator(s);
  EXPECT_EQ(batch.array(roles::model_indices), *s.find(fields::model_indices));
  EXPECT_EQ(batch.array(roles::summary_conditions), s.sim_data);
  EXPECT_TRUE(batch.has(roles::summary_mask));
  EXPECT_FALSE(batch.has(roles::parameters));
}

TEST(DefaultConfigurator, NamesTheShapesThatDoNotFit) {
  const std::string advice =
      ": it needs shape (batch,), (batch, c) or all axes of the data but the last; write a configurator of your own for anything else";
  Simulations s = example({4, 5, 2});
  s.prior_batchable_context = Array({3, 1});
  EXPECT_EQ(refusal(s),
            "default configurator: the prior's batchable context of shape (3, 1) cannot be joined to data of shape (4, 5, 2)" + advice);
  s = example({4, 5, 2});
  s.sim_batchable_context = Array({4, 6, 1});
  EXPECT_EQ(
      refusal(s),
      "default configurator: the simulator's batchable context of shape (4, 6, 1) cannot be joined to data of shape (4, 5, 2)" + advice);
  s.sim_batchable_context = Array::scalar(1.0);
  EXPECT_EQ(refusal(s),
            "default configurator: the simulator's batchable context of shape () cannot be joined to data of shape (4, 5, 2)" + advice);
  s = example({4, 2});
  s.sim_batchable_context = Array({4, 6, 1});
  EXPECT_EQ(refusal(s),
            "default configurator: the simulator's batchable context of shape (4, 6, 1) cannot be joined to data of shape (4, 2)" + advice);
  // Open whether the context belongs to the second or to the third axis.
  s = example({4, 5, 5, 2});
  s.sim_batchable_context = Array({4, 5, 1});
  EXPECT_EQ(
      refusal(s),
      "default configurator: the simulator's batchable context of shape (4, 5, 1) cannot be joined to data of shape (4, 5, 5, 2)" + advice);
}

TEST(DefaultConfigurator, OneNumberPerSimulationIsOneColumn) {
  const Batch inputs = default_configurator({.prior_draws = Array({3}, 1.0), .sim_data = Array({3}, 2.0)});
  EXPECT_EQ(inputs[roles::parameters], Array({3, 1}, 1.0));
  EXPECT_EQ(inputs[roles::summary_conditions], Array({3, 1}, 2.0));
}

TEST(DefaultConfigurator, NamesUnusableData) {
  Simulations s = example({4, 2});
  s.sim_data = Array({4});
  s.prior_draws = Array();  // observations: four data sets, or one of four numbers?
  EXPECT_EQ(refusal(s), "default configurator: the data needs shape (batch, d), (batch, n, d), ...; got (4,)");
  s = example({4, 2});
  s.prior_draws = Array({3, 2});
  EXPECT_EQ(refusal(s), "default configurator: parameters of shape (3, 2) and data of shape (4, 2) need the same batch on axis 0");
}

TEST(Batch, BatchSizeComesFromWhateverIsThere) {
  Batch inputs;
  EXPECT_THROW((void)inputs.batch_size(), SummaryStatsError);
  inputs.set(roles::parameters, Array({2, 3}));
  EXPECT_EQ(inputs.batch_size(), 2);
  inputs.set(roles::direct_conditions, Array({5, 1}));
  EXPECT_EQ(inputs.batch_size(), 5);
  inputs.set(roles::parameters, {});
  EXPECT_FALSE(inputs.has(roles::parameters));
  inputs.set(roles::summary_conditions, Array({6, 4, 1}));
  EXPECT_EQ(inputs.batch_size(), 5);
  EXPECT_THROW(inputs.check("here"), ShapeError);
  try {
    (void)Batch{}.batch_size();
  } catch (const SummaryStatsError& error) {
    EXPECT_STREQ(error.what(), "Batch: there are neither summary conditions nor direct conditions; set at least one of them");
  }
}

}  // namespace
}  // namespace bayesflow
