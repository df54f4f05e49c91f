/// Places and labels of ticks.
#pragma once

#include <string>
#include <vector>

#include "bayesflow/figures/figure.hpp"

namespace bayesflow::figures {

struct Ticks {
  std::vector<Tick> at;  ///< labels are markup
  std::string factor;    ///< markup of a common factor ("×10^5"), or empty
};

/// Round numbers (1, 2, 2.5 or 5 times a power of ten) in [low, high]: at most `at_most` of them, at least two where possible.
[[nodiscard]] Ticks choose_ticks(double low, double high, int at_most);

}  // namespace bayesflow::figures
