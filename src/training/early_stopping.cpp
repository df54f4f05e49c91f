#include "bayesflow/training/early_stopping.hpp"

#include <cmath>

namespace bayesflow {

void EarlyStoppingOptions::validate() const { validate_described(*this, "EarlyStoppingOptions"); }

EarlyStopper::EarlyStopper(EarlyStoppingOptions options) : options_(options) { options_.validate(); }

bool EarlyStopper::update_and_recommend(double loss) {
  // Against the last value that counted, not the last value: gains smaller than the threshold add up. The first finite loss counts.
  if (std::isfinite(loss) && loss < state_.reference && !(state_.reference - loss < options_.min_improvement)) {
    state_.reference = loss;
    state_.without_improvement = 0;
    return false;
  }
  return ++state_.without_improvement >= options_.patience;
}

}  // namespace bayesflow
