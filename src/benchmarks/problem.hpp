/// What a benchmark problem is made of: one Problem each, all in a table.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "bayesflow/benchmarks/benchmark.hpp"

namespace bayesflow::benchmarks {

/// What values a setting may have.
enum class Domain : std::uint8_t {
  number,          ///< any finite number
  positive,        ///< a number above 0
  non_negative,    ///< a number of at least 0
  probability,     ///< a number in [0, 1]
  count,           ///< a whole number from 1 to 10^6
  optional_count,  ///< the same, or nothing
  flag,            ///< true or false
  optional_four,   ///< four numbers above 0, or nothing
};

struct SettingInfo {
  const char* name;
  Setting value;  ///< the default
  Domain domain;
  /// Another value only writes the data in another form (a unit, a shape): the posterior stays that of sbibm's problem.
  bool is_form = false;
};

/// Checked settings.
class Values {
 public:
  /// Messages begin with `owner`. Throws ConfigurationError.
  Values(const std::string& owner, const char* part, const std::vector<SettingInfo>& infos, const Settings& given);
  [[nodiscard]] const Settings& all() const { return all_; }
  [[nodiscard]] double number(const char* name) const { return std::get<double>(at(name)); }
  [[nodiscard]] std::int64_t count(const char* name) const { return static_cast<std::int64_t>(number(name)); }
  [[nodiscard]] bool flag(const char* name) const { return std::get<bool>(at(name)); }
  [[nodiscard]] bool has(const char* name) const { return !std::holds_alternative<std::monostate>(at(name)); }
  [[nodiscard]] const std::vector<double>& numbers(const char* name) const { return std::get<std::vector<double>>(at(name)); }

 private:
  [[nodiscard]] const Setting::Value& at(const char* name) const { return all_.at(name).value; }
  Settings all_;
};

using DrawParameters = std::function<Array(Rng&)>;
using Simulate = std::function<Array(const Array& parameters, Rng&)>;

/// One problem. Functions that are absent mean what their comments say.
struct Problem {
  const char* name;
  const char* sbibm_task = "";  ///< its folder in sbibm, or empty
  std::vector<SettingInfo> prior_settings{}, simulator_settings{};
  std::function<std::vector<std::string>(const Values& prior)> param_names;
  std::function<DrawParameters(const Values&)> prior;
  std::function<Simulate(const Values&)> simulator;
  /// What the configurators divide the data by; absent: 1.
  std::function<double(const Values& simulator)> scale_data{};
  /// Data (batch, d) of vectors as the sets or series (batch, n, c) that they are; absent: they are neither.
  std::function<Array(const Array& data)> as_set{};
  /// sbibm's vector in the simulator's form; absent: it is that, reshaped.
  std::function<Array(const Array& observation, const Values& simulator)> from_sbibm{};
  /// Absent: data and parameters.
  std::function<LikelihoodInputs(const Simulations&)> likelihood_inputs{};
};

[[nodiscard]] Problem gaussian_linear();
[[nodiscard]] Problem gaussian_linear_uniform();
[[nodiscard]] Problem slcp();
[[nodiscard]] Problem slcp_distractors();
[[nodiscard]] Problem bernoulli_glm();
[[nodiscard]] Problem bernoulli_glm_raw();
[[nodiscard]] Problem gaussian_mixture();
[[nodiscard]] Problem two_moons();
[[nodiscard]] Problem sir();
[[nodiscard]] Problem lotka_volterra();
[[nodiscard]] Problem inverse_kinematics();

/// Throws ConfigurationError for a name that is none of available_benchmarks().
[[nodiscard]] Problem find_problem(const std::string& name);
/// Benchmark::posterior_inputs and likelihood_inputs for data of any settings. Throw ConfigurationError if vectors shall be a set and are
/// none, or if `scale` is not above 0.
[[nodiscard]] Batch posterior_inputs(const Problem& problem, const Simulations& simulations, double scale, bool as_summary_condition);
[[nodiscard]] LikelihoodInputs likelihood_inputs(const Problem& problem, const Simulations& simulations, double scale);

// --- what several problems share ---

/// "theta_1", "theta_2", ...
[[nodiscard]] std::vector<std::string> numbered(const std::string& stem, std::int64_t count);
/// A prior that is uniform on [lower_bound, upper_bound]^count, from the settings of these names. Throws ConfigurationError unless
/// lower_bound < upper_bound.
[[nodiscard]] DrawParameters uniform_prior(const Values& values, std::int64_t count);

}  // namespace bayesflow::benchmarks
