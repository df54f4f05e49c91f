/// A run of a training function: all that its outcome depends on beside the weights, the optimizer and the call's own settings.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "bayesflow/data/seen_data.hpp"
#include "bayesflow/nn/optimizer.hpp"
#include "bayesflow/training/early_stopping.hpp"
#include "bayesflow/training/history.hpp"
#include "bayesflow/training/lr_adjuster.hpp"
#include "training/sources.hpp"

namespace bayesflow::training {

/// Indices of random streams; they only grow, so that calls in a row never repeat a number.
struct Counters {
  std::uint64_t simulated = 0;  ///< training simulations
  std::uint64_t validated = 0;  ///< validation simulations
  std::uint64_t shuffled = 0;   ///< passes over data
  std::uint64_t steps = 0;      ///< training steps
};

/// The best weights so far, to return to when a run diverges. They are judged by the mean loss of kStretch steps, and taken
/// before the update of the last of these, so that they have just given a finite loss.
struct BestWeights {
  static constexpr std::int64_t kStretch = 100;
  std::vector<float> values;
  std::int64_t step = 0;  ///< updates before them; 0: those from before training
  std::int64_t count = 0;
  double loss = 0, sum = 0;

  void begin(const nn::ParameterStore& store);
  /// The loss of the present weights, `steps` updates after the start; to be called before the next update.
  void judge(const nn::ParameterStore& store, double present, std::int64_t steps);
  /// Puts them back; the answer says which they are.
  std::string restore(nn::ParameterStore& store) const;
};

/// The weights of the epoch with the lowest validation loss, for early stopping.
struct BestEpoch {
  std::vector<float> values;
  std::int64_t epoch = 0;  ///< from 1; 0: none yet
  double loss = 0;
};

/// Averages of the weights over the last eighth of the steps before each power of two, the newest three. An average over steps at a high
/// learning rate has about the loss that the weights would have if the rate had fallen to zero then.
struct WeightMarks {
  struct Average {
    std::int64_t step = 0;      ///< the last of it; 0: none yet, or in the making
    std::vector<float> values;  ///< a sum while it is made
  };
  std::array<Average, 3> averages;  // a ring: that of step 2^k is number k modulo 3

  static constexpr std::int64_t kFirst = 64;
  void begin(const nn::ParameterStore& store);
  /// To be called after the update of step `step`, from 1.
  void add(const nn::ParameterStore& store, std::int64_t step);
  /// The newest that ends at most at `step`; null: none.
  [[nodiscard]] const Average* before(double step) const;
};

struct Run {
  Counters first;                    // when it began
  std::int64_t optimizer_first = 0;  // the optimizer's step then
  bool keeps_optimizer = false;      // for the next call
  std::int64_t epoch = 0, step = 0;  // epochs done, and steps done of the present one
  NonFiniteCount nonfinite;          // of all batches so far
  EpochRecord record;                // of the present epoch
  TrainingSummary summary;
  BestWeights best;
  BestEpoch best_epoch;
  EarlyStopper::State stopper;
  RegressionLRAdjuster::State adjuster;
  WeightMarks marks;
};

struct OptimizerState {
  nn::OptimizerOptions options;  // without its schedule
  std::int64_t steps = 0;
  std::vector<float> first, second;
};

/// A copy of everything that a trainer's future depends on.
struct Snapshot {
  std::uint64_t seed = 0;
  std::vector<nn::ParameterInfo> table;
  std::vector<float> weights;  // flat, laid out as the table says
  std::vector<nn::Buffer> buffers;
  std::optional<OptimizerState> optimizer;
  Counters counters;
  std::vector<TrainingSummary> runs;  // that have ended
  std::optional<Run> unfinished;
  std::deque<ReplayBuffer::Stored> replay;
  SeenData seen;
  std::vector<std::string> adapters;  // as text, of each amortizer; none in older files
};

}  // namespace bayesflow::training
