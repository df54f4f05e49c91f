/// Simulations that hold NaN or infinities.
#pragma once

#include <cmath>
#include <cstdint>

#include "bayesflow/core/describe.hpp"

namespace bayesflow {

/// What happens to a simulation whose data are not finite. (Parameters and contexts always must be.)
enum class NonFinite : std::uint8_t {
  refuse,  ///< SimulationError with its index and parameters
  drop,    ///< it is left out, and the batch is smaller
  redraw,  ///< it is simulated again, with fresh parameters, until it is finite
};

[[nodiscard]] EnumNames<NonFinite> names_of(NonFinite);

/// Settings of GenerativeModel::simulate for such simulations. Leaving them out changes the prior to the one given a finite
/// simulation, so their share is limited.
struct NonFinitePolicy {
  NonFinite action = NonFinite::refuse;
  double max_share = 0.1;  ///< SimulationError once more than ten simulations, and more than this share of all, were not finite
  bool missing = false;    ///< NaN in the data means a missing value, and is no fault: trainers set it where an adapter fills them
  void validate() const;   ///< throws ConfigurationError
  /// The same where so many simulations are needed: instead of being dropped they are redrawn.
  [[nodiscard]] NonFinitePolicy keeping_count() const {
    return {action == NonFinite::drop ? NonFinite::redraw : action, max_share, missing};
  }
  /// Whether a value may be among the data.
  [[nodiscard]] bool allows(double value) const { return std::isfinite(value) || (missing && std::isnan(value)); }
};

template <class V>
void describe(V& v, NonFinitePolicy& o) {
  v("action", o.action);
  v("max_share", o.max_share, probability());
}

/// How often the policy acted.
struct NonFiniteCount {
  std::int64_t simulated = 0;  ///< all, redrawn ones included
  std::int64_t dropped = 0;
  std::int64_t redrawn = 0;
};

}  // namespace bayesflow
