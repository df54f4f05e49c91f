/// Every figure of the library, from made-up data.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "bayesflow/core/array.hpp"
#include "bayesflow/figures/plots.hpp"

namespace bayesflow::test {

struct Example {
  Array draws, truths;  ///< (B, S, P), (B, P)
};
/// Gaussian posteriors of known truths; every third parameter is overconfident, so that both outcomes are seen.
[[nodiscard]] Example example(std::int64_t sets, std::int64_t draws, std::int64_t parameters);
[[nodiscard]] std::vector<std::string> names(std::int64_t parameters);

/// Name of the plot function (with a suffix for its variants), figure. `parameters` is also the number of models and statistics.
[[nodiscard]] std::vector<std::pair<std::string, Figure>> all_figures(std::int64_t parameters);

}  // namespace bayesflow::test
