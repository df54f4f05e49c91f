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
  const std::pair<const char*, const Array*> there[] = {{"prior_batchable_context", &*s.prior_batchable_context},
                                                        {"prior_draws", &s.prior_draws},
                                                        {"sim_non_batchable_context", &*s.sim_non_batchable_context},
                                                        {"sim_data", &s.sim_data}};
  ASSERT_EQ(fields.size(), std::size(there));
  for (std::size_t i = 0; i < fields.size(); ++i) {
    EXPECT_EQ(fields[i].name, there[i].first);
    EXPECT_EQ(fields[i].values, there[i].second);
    EXPECT_EQ(s.find(fields[i].name), fields[i].values);
    EXPECT_EQ(fields[i].role, i == 2 ? FieldRole::shared : FieldRole::per_simulation);
  }
  EXPECT_EQ(s.find("sim_batchable_context"), nullptr);
}

TEST(Simulations, SetsEveryFieldByItsName) {
  Simulations s;
  for (const StandardField& f : kStandardFields) {
    EXPECT_TRUE(Simulations::is_standard(f.name));
    s.set(f.name, Array({2, 1}), f.role);
  }
  EXPECT_EQ(s.fields().size(), 6U);
  EXPECT_TRUE(s.further.empty());
  EXPECT_THROW(s.set("sim_data", Array({2, 1}), FieldRole::shared), ArgumentError);
  EXPECT_THROW(s.set("sim_non_batchable_context", Array({2, 1}), FieldRole::per_simulation), ArgumentError);
}

TEST(Simulations, FurtherFieldsGoWhereTheOthersGo) {
  Simulations s = example();
  s.set("mask", Array::arange(8).reshape({4, 2}));
  s.set("design", Array::of({1.0, 2.0}), FieldRole::shared);
  EXPECT_TRUE(s.has_shared());
  const Simulations taken = s.take({2, 0});
  EXPECT_EQ(*taken.find("mask"), Array::of({{4.0, 5.0}, {0.0, 1.0}}));
  EXPECT_EQ(*taken.find("design"), *s.find("design"));
  const std::vector<Simulations::Row> rows = {{&taken, 1}, {&s, 3}, {&taken, 0}};
  const Simulations gathered = Simulations::gather(rows);
  EXPECT_EQ(*gathered.find("mask"), Array::of({{0.0, 1.0}, {6.0, 7.0}, {4.0, 5.0}}));
  EXPECT_EQ(gathered.prior_draws, s.prior_draws.take(std::vector<std::int64_t>{0, 3, 2}));
  EXPECT_EQ(*gathered.find("design"), *s.find("design"));
  Simulations changed = s;
  changed.set_row(0, {&s, 3});
  EXPECT_EQ(changed.find("mask")->row(0), s.find("mask")->row(3));
  EXPECT_EQ(changed.sim_data.row(0), s.sim_data.row(3));
  s.set("mask", Array({3, 2}));  // another value; of three rows, where four are needed
  EXPECT_EQ(s.further.size(), 2U);
  EXPECT_THROW(s.check_rows("test"), ShapeError);
}

TEST(Simulations, RefusesNamesThatAreNone) {
  Simulations s;
  for (const char* name : {"", "a b", "a/b", "1a", "a-b", "\xc3\xa4", "a23456789012345678901234567890123"})
    EXPECT_THROW(s.set(name, Array({1, 1})), ArgumentError) << name;
  EXPECT_TRUE(s.further.empty());
}

// A hierarchical model has no prior_draws.
TEST(Simulations, CountsRowsWithoutParameters) {
  Simulations s;
  EXPECT_EQ(s.batch_size(), 0);
  s.set("design", Array({7}), FieldRole::shared);
  s.set("local_prior_draws", Array({3, 4, 2}));
  EXPECT_EQ(s.batch_size(), 3);
}

}  // namespace
}  // namespace bayesflow
