/// How a batch is cut for caches, threads and processes.
#pragma once

#include <cstdint>
#include <optional>

#include "bayesflow/autodiff/gradient_lanes.hpp"
#include "bayesflow/core/describe.hpp"
#include "bayesflow/core/shape.hpp"

namespace bayesflow {

/// Number format of the products of dense layers. Weights, gradients, moments, sums and everything else are float32 with either; sums over
/// many rows and losses are taken in double where that costs nothing.
enum class Precision : std::uint8_t {
  float32,
  bfloat16,  ///< factors rounded to 8 significant bits, sums in float32: of layers with 32 inputs and 5 outputs or more
};

[[nodiscard]] EnumNames<Precision> names_of(Precision);

/// How `Tape::map_rows` cuts a batch. Depends on shapes alone, never on the machine, so that results do not either. Of several processes
/// that train together, number r of p has lanes r, r + p, r + 2 p, ...
struct Plan {
  std::int64_t items = 0;                   ///< data sets; they do not see each other
  std::int64_t rows_per_item = 1;           ///< observations of a data set
  std::int64_t chunks = 1;                  ///< runs of data sets that pass through all layers while they lie in a core's cache
  std::int64_t lanes = 1;                   ///< groups of consecutive chunks that share a gradient buffer
  bool inside = false;                      ///< of one chunk: chains of dense layers cut the rows of its data sets themselves
  std::optional<Precision> precision = {};  ///< empty: the pass's (TapeSettings)

  [[nodiscard]] std::int64_t first_item(std::int64_t chunk) const { return items * chunk / chunks; }
  [[nodiscard]] std::int64_t first_chunk(std::int64_t lane) const { return chunks * lane / lanes; }
};

/// Product of all axes but the first and the last.
[[nodiscard]] std::int64_t rows_per_item(const Shape& shape);
/// The plan for networks that treat the rows of a data set alike. Chunks have about 200 rows; a lane has two chunks or more, and there are
/// at most kMaxLanes. Fewer than 8 data sets of 400 rows or more have a chunk and a lane each; one alone is cut inside.
[[nodiscard]] Plan plan_rows(std::int64_t items, std::int64_t rows_per_item);
/// The same for networks with recurrent layers: chunks have four data sets or more, whose states pass through one product a
/// step, so that weights are read once for all of them.
[[nodiscard]] Plan plan_series(std::int64_t items, std::int64_t rows_per_item);
/// The same for networks whose work on rows is done by chains of dense layers (deep sets): fewer than 8 data sets of 400 rows or more are
/// cut inside, which shares the work out evenly. Recurrent and attention layers do not cut a data set.
[[nodiscard]] Plan plan_sets(std::int64_t items, std::int64_t rows_per_item);

}  // namespace bayesflow
