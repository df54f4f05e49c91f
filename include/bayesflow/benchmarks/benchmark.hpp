/// Benchmark problems: generative models by which methods are compared, as compiled functions that run on all cores.
#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "bayesflow/core/array.hpp"
#include "bayesflow/core/log.hpp"
#include "bayesflow/data/configurator.hpp"
#include "bayesflow/simulation/generative_model.hpp"

namespace bayesflow::benchmarks {

/// The value of a named setting: nothing (None in Python), a switch, a number, or numbers.
class Setting {
 public:
  using Value = std::variant<std::monostate, bool, double, std::vector<double>>;
  Setting() = default;
  Setting(std::vector<double> numbers) : value(std::move(numbers)) {}
  template <class T>
  requires std::integral<T> || std::floating_point<T> Setting(T number) {
    if constexpr (std::same_as<T, bool>)
      value = number;
    else
      value = static_cast<double>(number);
  }
  [[nodiscard]] std::string to_string() const;
  friend bool operator==(const Setting& a, const Setting& b) { return a.value == b.value; }

  Value value{};
};

/// Settings by name; those that are not given keep their defaults.
using Settings = std::map<std::string, Setting>;

/// Settings of a Benchmark. docs/benchmarks.md lists the names that each problem has.
struct BenchmarkOptions {
  Settings prior{};      ///< v1's prior_kwargs
  Settings simulator{};  ///< v1's sim_kwargs
  /// The configurators divide the data by this. None: what the problem suggests (v1's numbers; the number of trials for counts).
  std::optional<double> scale_data{};
  /// Data that are a vector go to the summary network, as the set or series (n, d) that they are, instead of directly to the inference
  /// network. ConfigurationError for problems whose data are neither.
  bool as_summary_condition = false;
  std::uint64_t seed = 0;  ///< of the generative model's own sequence; training has its own
  int threads = 0;         ///< of the generative model outside of training; 0: as many as the machine has
  Logger logger{};         ///< receives the report of the model's pilot runs
};

/// What a likelihood p(observables | conditions) is learned from.
struct LikelihoodInputs {
  Array observables;  ///< (batch, d), or (batch, n, d)
  Array conditions;   ///< (batch, P), or (batch, n, c) if each observation has conditions of its own
};

/// The names of all problems, in v1's order.
[[nodiscard]] std::vector<std::string> available_benchmarks();

/// One of the problems of Lueckmann, Boelts, Greenberg, Gonçalves, Macke (2021), Benchmarking simulation-based inference, AISTATS, with
/// the numbers of that paper's package sbibm; and the inverse kinematics of Kruse, Ardizzone, Rother, Köthe (2021), Benchmarking
/// invertible architectures on inverse problems. docs/benchmarks.md has each one's prior, simulator and settings.
///
///   const benchmarks::Benchmark slcp("slcp", {.simulator = {{"flatten", false}}});
///   AmortizedPosterior amortizer(InvertibleNetwork({.num_params = slcp.num_params()}), DeepSet());
///   Trainer trainer(amortizer, slcp.generative_model(), {.configurator = slcp.configurator()});
///
/// Copies share everything. All functions are thread-safe; simulations are functions of their stream alone.
class Benchmark {
 public:
  /// Throws ConfigurationError for a name that is none of available_benchmarks(), a setting that the problem does not have, and a value
  /// outside of a setting's domain.
  explicit Benchmark(const std::string& name, BenchmarkOptions options = {});

  [[nodiscard]] const std::string& name() const;
  [[nodiscard]] const BenchmarkOptions& options() const;
  [[nodiscard]] std::int64_t num_params() const;
  [[nodiscard]] const std::vector<std::string>& param_names() const;
  [[nodiscard]] const Shape& data_shape() const;  ///< of one simulation
  [[nodiscard]] double scale_data() const;        ///< by what the configurators divide the data

  /// All settings with the values that they have.
  [[nodiscard]] const Settings& prior_settings() const;
  [[nodiscard]] const Settings& simulator_settings() const;

  [[nodiscard]] Prior prior() const;
  /// Throws SimulationError for parameters of another number than num_params(), and for differential equations that cannot be solved.
  [[nodiscard]] Simulator simulator() const;
  /// The functions of these: one draw (num_params()), and one simulation of data_shape().
  [[nodiscard]] std::function<Array(Rng&)> draw_function() const;
  [[nodiscard]] std::function<Array(const Array& parameters, Rng&)> simulate_function() const;
  [[nodiscard]] GenerativeModel generative_model() const;

  /// Inputs of a posterior network, v1's mode "posterior": the data / scale_data() as direct conditions if a simulation is a vector, and
  /// as summary conditions if it is a set or series, or with as_summary_condition.
  [[nodiscard]] Batch posterior_inputs(const Simulations& simulations) const;
  /// The same as a function, for a Trainer.
  [[nodiscard]] Configurator configurator() const;
  /// Inputs of a likelihood network, v1's mode "likelihood": observables = data / scale_data(), conditions = parameters. For
  /// bernoulli_glm_raw observables are (batch, T, 2), each outcome beside a standard normal number (flows need two dimensions), and
  /// conditions (batch, T, 19), the outcome's row of the design beside the parameters; these numbers are functions of the parameters' bits.
  /// v1's mode "joint" is both of these together.
  [[nodiscard]] LikelihoodInputs likelihood_inputs(const Simulations& simulations) const;

  /// The name of the problem's folder in sbibm; empty if it is not one of sbibm's.
  [[nodiscard]] const std::string& sbibm_task() const;
  /// Data as this simulator gives them, of an observation in the form that sbibm stores. ShapeError for another number of values;
  /// ConfigurationError, naming the settings, if they make another model than sbibm's.
  [[nodiscard]] Array from_sbibm(const Array& observation) const;

 private:
  struct State;
  std::shared_ptr<const State> state_;
};

}  // namespace bayesflow::benchmarks
