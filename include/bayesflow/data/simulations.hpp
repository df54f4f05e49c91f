/// What a generative model returns.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bayesflow/core/array.hpp"

namespace bayesflow {

/// The six fields of v1's forward dictionary, in its order. Axis 0 of draws, data and batchable contexts is the batch.
struct Simulations {
  std::optional<Array> prior_non_batchable_context = {};
  std::optional<Array> prior_batchable_context = {};
  Array prior_draws = {};  ///< (batch, parameters) or (batch, n, parameters)
  std::optional<Array> sim_non_batchable_context = {};
  std::optional<Array> sim_batchable_context = {};
  Array sim_data = {};  ///< (batch, ...)

  [[nodiscard]] std::int64_t batch_size() const { return prior_draws.dim(0); }
  /// Rows of every batched field.
  [[nodiscard]] Simulations take(const std::vector<std::int64_t>& rows) const;
  /// Given simulations as models make them: one number per simulation becomes one column. Without parameters such data might be one data
  /// set; they stay.
  void make_columns();
  /// Field name -> array, absent ones as nullptr, in the order above.
  [[nodiscard]] std::vector<std::pair<std::string, const Array*>> fields() const;
};

}  // namespace bayesflow
