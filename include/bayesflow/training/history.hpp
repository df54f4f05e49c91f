/// What happened during training.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "bayesflow/training/loss_terms.hpp"

namespace bayesflow {

/// One training step.
struct StepRecord {
  LossTerms losses;
  double learning_rate = 0;
  double gradient_norm = 0;  ///< before clipping
};

/// One epoch: averages over its steps, and the validation loss if there is validation.
struct EpochRecord {
  LossTerms train;
  bool validated = false;
  LossTerms validation;
  std::int64_t steps = 0;
  double seconds = 0;
};

/// One call of a training function.
struct History {
  std::vector<StepRecord> steps;
  std::vector<EpochRecord> epochs;
};

/// What a run of twice as many steps would gain, whatever the schedule of the learning rate: told from the loss of averaged weights of
/// earlier steps on the same data sets, see docs/training.md. Not a number if there are too few steps or no data sets to look at.
struct Convergence {
  double gain_per_doubling =
      std::numeric_limits<double>::quiet_NaN();  ///< nats of the loss; a lower estimate: a plateau that lasts hides it
  double standard_error = std::numeric_limits<double>::quiet_NaN();
  std::string sentence;  ///< empty if it is not a number
};

/// How and why a run ended.
struct TrainingSummary {
  enum class Stop : std::uint8_t { completed, interrupted, stopped_by_callback, diverged, stopped_early, plateau };
  Stop stop = Stop::completed;
  std::string call;      ///< the function and its settings: "train_online(epochs = 10, ...)"
  std::string settings;  ///< all settings that the result depends on, as JSON; empty: from a checkpoint of an earlier format
  std::string identity;  ///< their hash, by which a checkpoint's run is recognized
  std::string reason;    ///< a sentence
  History history;
  Convergence convergence;
  std::vector<std::string> warnings;  ///< sentences, for example about a parameter that was not learnt
  std::int64_t simulations = 0;       ///< data sets seen in training: simulated ones, or given ones, once however many epochs
  std::int64_t dropped = 0;           ///< of the data sets, those left out because of a value that is not finite
  std::int64_t redrawn = 0;           ///< those replaced for that reason
  std::int64_t resumed = 0;           ///< how often the run went on from a checkpoint
  std::string checkpoint;             ///< the last file that was written
  std::int64_t kept_epoch = 0;        ///< from 1: early stopping put this epoch's weights back; 0: the weights are those of the last step
  double seconds = 0;                 ///< wall time of the whole call
  double simulate_seconds = 0, gradient_seconds = 0, update_seconds = 0, validate_seconds = 0;
  std::uint64_t seed = 0;
  int threads = 0;
  std::string instruction_set;
  [[nodiscard]] std::string brief() const;  ///< one line
  [[nodiscard]] std::string full() const;   ///< several lines
};

}  // namespace bayesflow
