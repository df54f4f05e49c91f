/// Numbers that describe each data set, made from the data's shape alone.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "bayesflow/core/array.hpp"
#include "bayesflow/data/configurator.hpp"

namespace bayesflow::diagnostics {

struct Features {
  Array values;                    ///< (B, F): mean 0, variance 1; heavy-tailed ones as normal scores; constants are left out
  std::vector<std::string> names;  ///< (F), in words
};
/// Direct conditions and summaries as they are; of each column of the summary conditions (observations, columns) mean, sd, extremes,
/// quantiles, products with the next observation, the share of the most frequent value, means of parts; products of columns. The most
/// telling come first; at most `most`.
/// `means` and `sds` (B, P) of posterior draws, if given, are features beside them.
Features data_features(const Batch& data, const std::optional<Array>& summaries, std::int64_t most, const std::optional<Array>& means = {},
                       const std::optional<Array>& sds = {});

/// The same features, their squares, and products of the first ones, again standardized: at most `most` columns.
Features with_squares(const Features& features, std::int64_t most, bool products);

}  // namespace bayesflow::diagnostics
