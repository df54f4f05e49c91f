#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "bayesflow/core/errors.hpp"
#include "benchmarks/problem.hpp"

namespace bayesflow::benchmarks {
namespace {

constexpr double kMaxCount = 1e6;

const char* words(Domain domain) {
  switch (domain) {
    case Domain::number:
      return "a finite number";
    case Domain::positive:
      return "a number above 0";
    case Domain::non_negative:
      return "a number of at least 0";
    case Domain::probability:
      return "a number in [0, 1]";
    case Domain::count:
      return "a whole number from 1 to 1000000";
    case Domain::optional_count:
      return "a whole number from 1 to 1000000, or None";
    case Domain::flag:
      return "true or false";
    case Domain::optional_four:
      return "four numbers above 0, or None";
  }
  return "";
}

bool contains(Domain domain, const Setting& setting) {
  const double* number = std::get_if<double>(&setting.value);
  const bool none = std::holds_alternative<std::monostate>(setting.value);
  const auto is_count = [&] { return number && *number >= 1 && *number <= kMaxCount && *number == std::floor(*number); };
  switch (domain) {
    case Domain::number:
      return number && std::isfinite(*number);
    case Domain::positive:
      return number && std::isfinite(*number) && *number > 0;
    case Domain::non_negative:
      return number && std::isfinite(*number) && *number >= 0;
    case Domain::probability:
      return number && *number >= 0 && *number <= 1;
    case Domain::count:
      return is_count();
    case Domain::optional_count:
      return none || is_count();
    case Domain::flag:
      return std::holds_alternative<bool>(setting.value);
    case Domain::optional_four: {
      const auto* numbers = std::get_if<std::vector<double>>(&setting.value);
      return none || (numbers && numbers->size() == 4 && std::ranges::all_of(*numbers, [](double x) { return x > 0 && std::isfinite(x); }));
    }
  }
  return false;
}

}  // namespace

std::string Setting::to_string() const {
  if (const bool* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
  if (const double* number = std::get_if<double>(&value)) return fmt::format("{}", *number);
  if (const auto* numbers = std::get_if<std::vector<double>>(&value)) return fmt::format("({})", fmt::join(*numbers, ", "));
  return "None";
}

Values::Values(const std::string& owner, const char* part, const std::vector<SettingInfo>& infos, const Settings& given) {
  for (const SettingInfo& info : infos) all_.emplace(info.name, info.value);
  for (const auto& entry : given) {
    const std::string& name = entry.first;  // not a structured binding, which Clang 14 does not capture
    const Setting& setting = entry.second;
    const auto info = std::ranges::find_if(infos, [&](const SettingInfo& i) { return i.name == name; });
    if (info == infos.end()) {
      std::vector<const char*> names;
      for (const SettingInfo& i : infos) names.push_back(i.name);
      throw ConfigurationError(fmt::format("{}: its {} has no setting \"{}\"; it has {}", owner, part, name,
                                           names.empty() ? "none" : fmt::format("{}", fmt::join(names, ", "))));
    }
    if (!contains(info->domain, setting))
      throw ConfigurationError(fmt::format("{}: {} must be {}; got {}", owner, name, words(info->domain), setting.to_string()));
    all_.at(name) = setting;
  }
}

}  // namespace bayesflow::benchmarks
