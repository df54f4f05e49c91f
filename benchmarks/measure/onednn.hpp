/// oneDNN's primitive for a row of the op table, where there is one.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "support/op_table.hpp"

namespace bench {

/// A primitive, created once, on one thread, row-major operands: `run` executes it on its own copies of the inputs.
struct OneDnnTwin {
  std::function<void()> run;                        ///< empty: oneDNN has nothing of the kind
  std::shared_ptr<std::vector<float>> result = {};  ///< what run leaves
};
[[nodiscard]] OneDnnTwin onednn_twin(const bayesflow::support::Op& op, const bayesflow::support::OpCase& c);

}  // namespace bench
