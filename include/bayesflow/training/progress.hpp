/// Progress callbacks.
#pragma once

#include <cstdint>
#include <cstdio>
#include <functional>

#include "bayesflow/training/loss_terms.hpp"

namespace bayesflow {

/// What a progress callback answers.
enum class Control : std::uint8_t { proceed, stop };

/// Handed to the callback after every step, and after every epoch's validation.
struct Progress {
  std::int64_t epoch = 1, epochs = 1;          ///< from 1
  std::int64_t iteration = 0, iterations = 0;  ///< of the epoch
  LossTerms losses;                            ///< of this step
  double average_loss = 0;                     ///< LossTerms::objective, mean over the epoch so far
  double learning_rate = 0;
  double iterations_per_second = 0;
  double seconds_left = 0;  ///< of the whole run
  bool epoch_done = false;
  const LossTerms* validation = nullptr;  ///< when epoch_done and there is validation
};
using ProgressCallback = std::function<Control(const Progress&)>;  ///< says whether to go on

/// v1's line: "Epoch: 3, Iter: 120, Loss: -2.14, Avg.Loss: -2.01, LR: 3.9E-04", with it/s and time left. On a terminal it is redrawn
/// ten times a second, with as much of it as fits into a line; in a pipe or file one line is written per epoch.
[[nodiscard]] ProgressCallback console_progress(std::FILE* out = stderr);

}  // namespace bayesflow
