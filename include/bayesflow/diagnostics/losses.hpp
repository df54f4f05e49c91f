/// The course of training in numbers.
#pragma once

#include <string>
#include <vector>

#include "bayesflow/core/array.hpp"
#include "bayesflow/diagnostics/table.hpp"
#include "bayesflow/training/history.hpp"

namespace bayesflow::diagnostics {

/// Settings of `losses`.
struct LossesOptions {
  double ma_window_fraction = 0.01;  ///< window of the moving average as a fraction of the steps; at least one step
  void validate() const;
};

/// Losses per step and per validation, a column for each term of the loss. Terms that are zero throughout (no weight decay, say) are left
/// out, but for the first.
struct LossCurves {
  std::vector<std::string> names;  ///< (C) "Loss" (all terms but weight decay), the terms where there are several, "W.Decay", "Total"
  std::vector<double> steps;       ///< (N) 1, 2, ...
  Array train;                     ///< (N, C)
  Array moving_average;            ///< (N, C) trailing mean over `window` steps (fewer at the start)
  std::int64_t window = 0;
  std::vector<double> validation_steps;             ///< (V) step at the end of each validated epoch
  Array validation;                                 ///< (V, C)
  std::vector<Estimate> last_average;               ///< (C) mean over the last window, its error from batch means
  [[nodiscard]] std::vector<Table> tables() const;  ///< "losses", "validation_losses"
};
[[nodiscard]] LossCurves losses(const History& history, const LossesOptions& options = {});
/// Any training and validation losses: (N, C) or (N), (V, C) or (V), with a name per column and the steps of the validations.
[[nodiscard]] LossCurves losses(std::vector<std::string> names, const Array& train, const Array& validation,
                                std::vector<double> validation_steps, const LossesOptions& options = {});

}  // namespace bayesflow::diagnostics
