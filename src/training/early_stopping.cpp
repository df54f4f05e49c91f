#include "bayesflow/training/early_stopping.hpp"

#include <fmt/format.h>

#include <cmath>

#include "bayesflow/core/errors.hpp"

namespace bayesflow {

void EarlyStoppingOptions::validate() const {
  if (patience < 1) throw ConfigurationError(fmt::format("EarlyStoppingOptions::patience = {}; it must be at least 1", patience));
  if (!(min_improvement >= 0) || !std::isfinite(min_improvement))
    throw ConfigurationError(
        fmt::format("EarlyStoppingOptions::min_improvement = {}; it must be finite and not negative", min_improvement));
}

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
