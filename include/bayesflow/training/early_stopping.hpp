/// When to stop before the last epoch.
#pragma once

#include <cstdint>
#include <limits>

#include "bayesflow/core/describe.hpp"

namespace bayesflow {

/// Settings of an EarlyStopper. Losses are negative log densities, so an improvement is measured in nats, not relative to a
/// value that passes through zero.
struct EarlyStoppingOptions {
  std::int64_t patience = 5;       ///< this many epochs in a row without improvement end the run
  double min_improvement = 0.001;  ///< nats; smaller gains count once they add up to this
  void validate() const;           ///< throws ConfigurationError naming field, value and constraint
};

template <class V>
void describe(V& v, EarlyStoppingOptions& o) {
  v("patience", o.patience, at_least(1));
  v("min_improvement", o.min_improvement, at_least(0));
}

/// Compares each value with the best so far. The answer "stop" comes with the `patience`-th value in a row that is not at least
/// `min_improvement` below the last value that counted as an improvement.
class EarlyStopper {
 public:
  explicit EarlyStopper(EarlyStoppingOptions options = {});
  /// The next validation loss; true: stop. A loss that is not finite is no improvement.
  [[nodiscard]] bool update_and_recommend(double loss);
  [[nodiscard]] const EarlyStoppingOptions& options() const { return options_; }

  /// All that it remembers, for checkpoints.
  struct State {
    double reference = std::numeric_limits<double>::infinity();  ///< the last value that counted as an improvement
    std::int64_t without_improvement = 0;
  };
  [[nodiscard]] const State& state() const { return state_; }
  void restore(const State& state) { state_ = state; }

 private:
  EarlyStoppingOptions options_;
  State state_;
};

}  // namespace bayesflow
