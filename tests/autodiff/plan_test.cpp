/// How batches are cut.
#include "bayesflow/autodiff/plan.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "bayesflow/core/errors.hpp"
#include "support/expect.hpp"

namespace bayesflow {
namespace {

TEST(Plan, DependsOnShapesAloneAndCoversEveryItem) {
  for (const std::int64_t items : {1, 2, 7, 8, 31, 32, 33, 127, 128, 129, 500, 4096, 100000})
    for (const std::int64_t rows : {1, 2, 50, 127, 128, 129, 399, 400, 5000})
      for (const auto make : {plan_rows, plan_sets, plan_series}) {
        const bool sets = make == plan_sets;
        const Plan p = make(items, rows);
        EXPECT_EQ(p.items, items);
        EXPECT_EQ(p.rows_per_item, rows);
        EXPECT_FALSE(p.precision);  // the pass's
        EXPECT_GE(p.chunks, 1);
        EXPECT_LE(p.chunks, items);
        EXPECT_GE(p.lanes, 1);
        EXPECT_LE(p.lanes, std::min(kMaxLanes, p.chunks));
        EXPECT_EQ(p.first_item(0), 0);
        EXPECT_EQ(p.first_item(p.chunks), items);
        EXPECT_EQ(p.first_chunk(0), 0);
        EXPECT_EQ(p.first_chunk(p.lanes), p.chunks);
        for (std::int64_t c = 0; c < std::min<std::int64_t>(p.chunks, 300); ++c)
          EXPECT_LT(p.first_item(c), p.first_item(c + 1)) << "an empty chunk";
        for (std::int64_t l = 0; l < p.lanes; ++l) EXPECT_LT(p.first_chunk(l), p.first_chunk(l + 1)) << "an empty lane";
        EXPECT_EQ(p.inside, rows >= 400 && items < 8 && (sets || items == 1));
      }
  const Plan quickstart = plan_rows(32, 50);
  EXPECT_EQ(quickstart.chunks, 8);  // four sets of 50 observations a chunk
  EXPECT_EQ(quickstart.lanes, 4);
  EXPECT_EQ(plan_rows(3, 5000).lanes, 3);
  EXPECT_EQ(plan_rows(32, 100).chunks, 16);
  EXPECT_EQ(plan_series(32, 100).chunks, 8);
  EXPECT_EQ(plan_series(32, 20).chunks, plan_rows(32, 20).chunks);
}

}  // namespace
}  // namespace bayesflow
