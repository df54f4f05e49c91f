/// From simulations to what the networks are given.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "bayesflow/core/array.hpp"
#include "bayesflow/simulation/simulations.hpp"

namespace bayesflow {

/// Input of a posterior amortizer. Axis 0 of each is the data set.
struct Inputs {
  Array parameters = {};                          ///< (batch, P) or (batch, n, P); may be empty for sampling
  std::optional<Array> summary_conditions = {};   ///< given to the summary network: (batch, n, d), ...
  std::optional<Array> direct_conditions = {};    ///< joined to the summaries: (batch, c)
  [[nodiscard]] std::int64_t batch_size() const;  ///< from whichever is there; throws SummaryStatsError if nothing is
  /// Data sets `first` to `last` - 1.
  [[nodiscard]] Inputs rows(std::int64_t first, std::int64_t last) const;
  /// The first value that is not finite, or not in float32, as part of a sentence ("nan in direct_conditions of data set 3, column 1");
  /// empty if there is none.
  [[nodiscard]] std::string non_finite() const;
  /// Throws ShapeError if there is no data set or axis 0 of the fields differs, and ArgumentError for a value that is not finite in
  /// float32. Messages begin with `owner`. Parameters that are absent pass.
  void check(const char* owner) const;
};

/// Any callable: it may drop rows, standardize, one-hot, repeat a context.
using Configurator = std::function<Inputs(const Simulations&)>;

/// v1's default rule, with its defects mended:
/// - summary_conditions = sim_data; a batchable context is broadcast over the observations and joined on the last axis (O12);
///   data of rank 2 (batch, d) is joined directly;
/// - direct_conditions = the non-batchable contexts, repeated over the batch: a scalar (a number of observations) becomes (batch, 1) (O11);
/// - parameters = prior_draws.
/// Throws ConfigurationError naming the shapes that do not fit.
[[nodiscard]] Inputs default_configurator(const Simulations& simulations);

}  // namespace bayesflow
