#include "bayesflow/autodiff/plan.hpp"

#include <algorithm>
#include <bit>

namespace bayesflow {
namespace {

// A chain cuts a chunk into blocks of at most 128 rows, so that an activation stays in the first-level cache; two of them in a chunk halve
// what is done once per chunk (nodes, transposed weights, the products of pooled rows). A lane costs one more gradient buffer to add up; a
// power of two shares out evenly.
constexpr std::int64_t kRowsPerChunk = 200, kChunksPerLane = 2;
// The product of one step waits for its weights: with two series in a chunk a SequenceNetwork takes a fifth longer than with four.
constexpr std::int64_t kSeriesPerChunk = 4;
// Fewer data sets than this keep few threads busy; those of this many rows are worth being cut, or having a lane each.
constexpr std::int64_t kFewItems = 8, kLongItem = 2 * kRowsPerChunk;

bool few_and_long(std::int64_t items, std::int64_t rows_per_item) { return items < kFewItems && rows_per_item >= kLongItem; }

}  // namespace

EnumNames<Precision> names_of(Precision) { return {{Precision::float32, "float32"}, {Precision::bfloat16, "bfloat16"}}; }

std::int64_t rows_per_item(const Shape& shape) {
  std::int64_t n = 1;
  for (int i = 1; i + 1 < shape.rank(); ++i) n *= shape[i];
  return n;
}

Plan plan_rows(std::int64_t items, std::int64_t rows_per_item) {
  Plan plan{.items = items, .rows_per_item = rows_per_item};
  if (few_and_long(items, rows_per_item)) {
    plan.chunks = plan.lanes = std::max<std::int64_t>(1, items);
    plan.inside = plan.chunks == 1;
    return plan;
  }
  const std::int64_t per_chunk = std::max<std::int64_t>(1, kRowsPerChunk / std::max<std::int64_t>(1, rows_per_item));
  plan.chunks = std::max<std::int64_t>(1, (items + per_chunk - 1) / per_chunk);
  const auto lanes = std::bit_floor(static_cast<std::uint64_t>(std::max<std::int64_t>(1, plan.chunks / kChunksPerLane)));
  plan.lanes = std::clamp<std::int64_t>(static_cast<std::int64_t>(lanes), 1, kMaxLanes);
  return plan;
}

Plan plan_series(std::int64_t items, std::int64_t rows_per_item) {
  if (few_and_long(items, rows_per_item)) return plan_rows(items, rows_per_item);
  Plan plan = plan_rows(items, std::min(rows_per_item, kRowsPerChunk / kSeriesPerChunk));
  plan.rows_per_item = rows_per_item;
  return plan;
}

Plan plan_sets(std::int64_t items, std::int64_t rows_per_item) {
  if (!few_and_long(items, rows_per_item)) return plan_rows(items, rows_per_item);
  return {.items = items, .rows_per_item = rows_per_item, .inside = true};
}

}  // namespace bayesflow
