/// Are parameters and data of a size that networks learn from?
#include <fmt/format.h>

#include <cmath>

#include "training/state.hpp"

namespace bayesflow::training {
namespace {

enum class Fault : std::uint8_t { none, scale, offset, skew, constant };

/// Networks start for inputs of mean 0 and standard deviation 1. These bounds are wide: two orders of magnitude are learnt, slowly.
Fault fault_of(const SeenColumn& c, bool may_be_constant, bool standardized) {
  constexpr double kLargest = 50, kSmallest = 0.02, kOffset = 20, kSkew = 4;
  const double sd = c.sd(), mean = std::abs(c.mean());
  if (sd == 0) {
    if (!may_be_constant) return Fault::constant;
    return mean > kLargest ? Fault::scale : Fault::none;
  }
  if (std::abs(c.skewness()) > kSkew && c.low > 0) return Fault::skew;
  if (!standardized) {
    if (std::hypot(sd, mean) > kLargest || sd < kSmallest) return Fault::scale;
    if (mean > kOffset * sd) return Fault::offset;
  }
  return Fault::none;
}

std::string list(std::span<const SeenColumn> columns, double (SeenColumn::*number)() const) {
  std::string out;
  for (const SeenColumn& c : columns) {
    const double value = (c.*number)();
    out += fmt::format("{}{:.4g}", out.empty() ? "" : ", ", number == &SeenColumn::sd && value == 0 ? 1.0 : value);
  }
  return columns.size() > 1 ? "[" + out + "]" : out;
}

/// The columns of one field that are off, in words; empty: none.
template <class Name>
std::string describe(std::span<const SeenColumn> columns, Fault fault, bool may_be_constant, bool standardized, Name name) {
  constexpr std::size_t kNamed = 5;
  std::string out;
  std::size_t count = 0;
  for (std::size_t j = 0; j < columns.size(); ++j) {
    const Fault f = fault_of(columns[j], may_be_constant, standardized);
    if (f != fault && !(fault == Fault::scale && f == Fault::offset)) continue;
    if (++count > kNamed) continue;
    const SeenColumn& c = columns[j];
    out += out.empty() ? "" : "; ";
    if (fault == Fault::scale)
      out += fmt::format("{} has mean {:.3g} and standard deviation {:.3g}", name(j), c.mean(), c.sd());
    else if (fault == Fault::skew)
      out += fmt::format("{} is positive, {:.3g} to {:.3g}, with skewness {:.2g}", name(j), c.low, c.high, c.skewness());
    else
      out += fmt::format("{} is always {:.6g}", name(j), c.low);
  }
  if (count > kNamed) out += fmt::format("; and {} more", count - kNamed);
  return out;
}

template <class Name>
void check_field(std::vector<std::string>& out, const char* field, std::span<const SeenColumn> columns, bool is_parameters,
                 bool may_be_constant, bool standardized, Name name) {
  constexpr std::size_t kWritten = 12;
  if (const std::string bad = describe(columns, Fault::scale, may_be_constant, standardized, name); !bad.empty()) {
    const bool written = columns.size() <= kWritten;
    const std::string mean = written ? list(columns, &SeenColumn::mean) : "mean", sd = written ? list(columns, &SeenColumn::sd) : "sd";
    out.push_back(
        fmt::format("{}: networks learn values of about mean 0 and standard deviation 1. In the configurator write {} = ({} - {}) / "
                    "{}{}{}.",
                    bad, field, field, mean, sd, written ? "" : " with the mean and standard deviation of each column",
                    is_parameters ? fmt::format(", and bring draws back by draws * {} + {}", sd, mean) : ""));
  }
  if (const std::string bad = describe(columns, Fault::skew, may_be_constant, standardized, name); !bad.empty())
    out.push_back(fmt::format("{}: in the configurator take the logarithm of {}{}.", bad,
                              is_parameters ? "such parameters" : "such columns",
                              is_parameters ? ", and of their draws the exponential" : ""));
  if (const std::string bad = describe(columns, Fault::constant, may_be_constant, standardized, name); !bad.empty())
    out.push_back(
        fmt::format("{} in the first {:.0f} values: {}.", bad, columns.front().count,
                    is_parameters ? "leave it out, or check the prior" : "it tells nothing; leave it out, or check the simulator"));
}

}  // namespace

std::vector<std::string> scale_warnings(const SeenData& seen, bool act_norm_is_given) {
  std::vector<std::string> out;
  check_field(out, "parameters", seen.of(roles::parameters), true, false, act_norm_is_given,
              [&](std::size_t j) { return seen.param_name(j); });
  const auto column = [](const char* field) { return [field](std::size_t j) { return fmt::format("column {} of {}", j + 1, field); }; };
  for (const auto& [role, columns] : seen.columns)
    if (roles::source_in(role, roles::summary_conditions))
      check_field(out, role.c_str(), columns, false, false, false, column(role.c_str()));
  // What is shared by a batch is constant in the first.
  check_field(out, "direct_conditions", seen.of(roles::direct_conditions), false, true, false, column("direct_conditions"));
  return out;
}

}  // namespace bayesflow::training
