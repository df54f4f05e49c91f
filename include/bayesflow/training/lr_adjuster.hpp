/// A learning rate that falls when the loss no longer does.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "bayesflow/core/describe.hpp"

namespace bayesflow {

/// Settings of a RegressionLRAdjuster.
struct LRAdjusterOptions {
  std::int64_t period = 1000;           ///< steps whose losses are looked at
  std::int64_t wait_between_fits = 10;  ///< steps from one fit to the next
  std::int64_t patience = 10;           ///< fits that show a plateau, less those that do not, before the rate falls
  double tolerance = -0.05;             ///< nats per `period` steps: a slope above it is a plateau
  double reduction_factor = 0.25;       ///< what the rate is multiplied by
  double cooldown_factor = 2.0;         ///< this times `period` steps pass after a reduction before the next fit
  std::int64_t num_resets = 3;          ///< reductions; a plateau after the last of them ends the run
  void validate() const;                ///< throws ConfigurationError naming field, value and constraint
};

template <class V>
void describe(V& v, LRAdjusterOptions& o) {
  v("period", o.period, at_least(3));
  v("wait_between_fits", o.wait_between_fits, at_least(1));
  v("patience", o.patience, at_least(1));
  v("tolerance", o.tolerance, finite());
  v("reduction_factor", o.reduction_factor, inside(0, 1));
  v("cooldown_factor", o.cooldown_factor, at_least(0));
  v("num_resets", o.num_resets, at_least(0));
}

/// Fits a line to the last `period` losses by Huber's robust regression, so that single wild batches do not matter, and multiplies
/// the learning rate when the line is flat. Time runs from 0 to 1 over the period, so the slope is the loss gained per period.
class RegressionLRAdjuster {
 public:
  explicit RegressionLRAdjuster(LRAdjusterOptions options = {});
  [[nodiscard]] const LRAdjusterOptions& options() const { return options_; }

  /// To be called after every step with that step's loss.
  void update(double loss);
  [[nodiscard]] double factor() const { return state_.factor; }           ///< what the schedule's rate is multiplied by
  [[nodiscard]] bool stopping_issued() const { return state_.stopping; }  ///< a plateau after the last reduction
  void reset();                                                           ///< as new

  /// All that it remembers, for checkpoints. `losses` is a ring of `period` values.
  struct State {
    std::vector<double> losses;
    std::int64_t seen = 0;      ///< losses since the start
    std::int64_t next_fit = 0;  ///< in losses seen
    std::int64_t plateau = 0;   ///< the patience counter
    std::int64_t resets = 0;
    double factor = 1;
    double slope = 0;  ///< of the last fit
    bool stopping = false;
  };
  [[nodiscard]] const State& state() const { return state_; }
  void restore(State state);

 private:
  LRAdjusterOptions options_;
  State state_;
  std::vector<double> window_, residuals_;
};

/// Slope of the robust line through y over t = 0 ... 1 (Huber 1964: weights 1 within 1.345 robust standard deviations of the line, falling
/// as 1/distance beyond; scale from the median absolute deviation). `scratch` gets the size of `y`.
[[nodiscard]] double huber_slope(std::span<const double> y, std::vector<double>& scratch);

}  // namespace bayesflow
