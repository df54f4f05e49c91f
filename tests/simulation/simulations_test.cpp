#include "bayesflow/data/simulations.hpp"

#include <gtest/gtest.h>

#include "bayesflow/core/errors.hpp"

namespace bayesflow {
namespace {

Simulations example() {
  Simulations s;
  s.prior_draws = Array::arange(8).reshape({4, 2});
  s.sim_data = Array::arange(24).reshape({4, 3, 2});
  s.prior_batchable_context = Array::arange(4).expand_dims(1);
  s.sim_non_batchable_context = Array::scalar(3.0);
  return s;
}

TEST(Simulations, TakesRowsOfEveryBatchedField) {
  const Simulations s = example();
  const Simulations part = s.take({3, 1, 1});
  EXPECT_EQ(s.batch_size(), 4);
  EXPECT_EQ(part.batch_size(), 3);
  EXPECT_EQ(part.prior_draws, Array::of({{6.0, 7.0}, {2.0, 3.0}, {2.0, 3.0}}));
  EXPECT_EQ(part.sim_data.row(0), s.sim_data.row(3));
  EXPECT_EQ(part.prior_batchable_context->flatten(), Array::of({3.0, 1.0, 1.0}));
  EXPECT_EQ(*part.sim_non_batchable_context, Array::scalar(3.0));
  EXPECT_FALSE(part.prior_non_batchable_context);
  EXPECT_FALSE(part.sim_batchable_context);
  EXPECT_THROW((void)s.take({4}), ShapeError);
}

TEST(Simulations, TakesTheSimulatorsBatchableContextToo) {
  Simulations s = example();
  s.sim_batchable_context = Array::arange(12).reshape({4, 3});
  EXPECT_EQ(*s.take({2}).sim_batchable_context, Array::of({{6.0, 7.0, 8.0}}));
}

TEST(Simulations, FieldsComeInTheForwardDictionarysOrder) {
  const Simulations s = example();
  const auto fields = s.fields();
  ASSERT_EQ(fields.size(), 6U);
  const char* names[] = {"prior_non_batchable_context", "prior_batchable_context", "prior_draws",
                         "sim_non_batchable_context",   "sim_batchable_context",   "sim_data"};
  for (std::size_t i = 0; i < 6; ++i) EXPECT_EQ(fields[i].first, names[i]);
  EXPECT_EQ(fields[0].second, nullptr);
  EXPECT_EQ(fields[1].second, &*s.prior_batchable_context);
  EXPECT_EQ(fields[2].second, &s.prior_draws);
  EXPECT_EQ(fields[3].second, &*s.sim_non_batchable_context);
  EXPECT_EQ(fields[4].second, nullptr);
  EXPECT_EQ(fields[5].second, &s.sim_data);
}

}  // namespace
}  // namespace bayesflow
