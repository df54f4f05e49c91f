#include "bayesflow/core/describe.hpp"

#include <fmt/format.h>

#include <cmath>

namespace bayesflow {

bool Constraint::allows(double value) const {
  if (std::isnan(value)) return false;
  if (std::isinf(value) && !infinite_too) return low == -kInfinity && high == kInfinity;
  return (above ? value > low : value >= low) && (below ? value < high : value <= high);
}

std::string Constraint::to_string() const {
  if (low == std::numeric_limits<double>::lowest()) return "finite";
  if (low > -kInfinity && high < kInfinity)
    return fmt::format("{} {} and {} {}", above ? "more than" : "at least", low, below ? "less than" : "at most", high);
  if (high < kInfinity) return fmt::format("{} {}", below ? "less than" : "at most", high);
  if (above && low == 0) return infinite_too ? "positive" : "positive and finite";
  return fmt::format("{} {}", above ? "more than" : "at least", low);
}

void detail::Validator::refuse(const char* name, double value, const Constraint& constraint) const {
  std::string wanted = constraint.to_string();
  if (!std::isfinite(value) && wanted.find("finite") == std::string::npos) wanted += ", and finite";
  if (*constraint.note) wanted += fmt::format(" ({})", constraint.note);
  throw ConfigurationError(fmt::format("{}::{} = {}; it must be {}", owner_, name, value, wanted));
}

void detail::OptionText::add_number(double value) { text_ += fmt::format("{}", value); }
void detail::OptionText::add_number(std::int64_t value) { text_ += fmt::format("{}", value); }

}  // namespace bayesflow
