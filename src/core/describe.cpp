#include "bayesflow/core/describe.hpp"

#include <fmt/format.h>

#include <cmath>

namespace bayesflow {

bool Constraint::allows(double value) const {
  if (!std::isfinite(value)) return low == -kInfinity && high == kInfinity && !std::isnan(value);
  return (above ? value > low : value >= low) && (below ? value < high : value <= high);
}

std::string Constraint::to_string() const {
  if (low > -kInfinity && high < kInfinity)
    return fmt::format("{} {} and {} {}", above ? "more than" : "at least", low, below ? "less than" : "at most", high);
  if (high < kInfinity) return fmt::format("{} {}", below ? "less than" : "at most", high);
  if (above && low == 0) return "positive and finite";
  return fmt::format("{} {}", above ? "more than" : "at least", low);
}

void detail::Validator::refuse(const char* name, double value, const Constraint& constraint) const {
  throw ConfigurationError(fmt::format("{}::{} = {}; it must be {}", owner_, name, value, constraint.to_string()));
}

}  // namespace bayesflow
