#include "bayesflow/benchmarks/benchmark.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>

#include "bayesflow/core/errors.hpp"
#include "benchmarks/problem.hpp"

namespace bayesflow::benchmarks {
namespace {

struct Entry {
  const char* name;
  Problem (*make)();
};
constexpr Entry kProblems[] = {{"gaussian_linear", gaussian_linear},
                               {"gaussian_linear_uniform", gaussian_linear_uniform},
                               {"slcp", slcp},
                               {"slcp_distractors", slcp_distractors},
                               {"bernoulli_glm", bernoulli_glm},
                               {"bernoulli_glm_raw", bernoulli_glm_raw},
                               {"gaussian_mixture", gaussian_mixture},
                               {"two_moons", two_moons},
                               {"sir", sir},
                               {"lotka_volterra", lotka_volterra},
                               {"inverse_kinematics", inverse_kinematics}};

Array scaled(const Problem& problem, const Array& data, double scale) {
  if (!(scale > 0 && std::isfinite(scale)))
    throw ConfigurationError(fmt::format("Benchmark \"{}\": scale_data must be a number above 0; got {}", problem.name, scale));
  return scale == 1 ? data : data / scale;
}

}  // namespace

Problem find_problem(const std::string& name) {
  for (const Entry& entry : kProblems)
    if (entry.name == name) return entry.make();
  throw ConfigurationError(
      fmt::format("Benchmark: there is no problem \"{}\"; there are {}", name, fmt::join(available_benchmarks(), ", ")));
}

Batch posterior_inputs(const Problem& problem, const Simulations& simulations, double scale, bool as_summary_condition) {
  Batch inputs{{roles::parameters, simulations.prior_draws}};
  Array data = scaled(problem, simulations.sim_data, scale);
  if (data.rank() > 2) {
    inputs.set(roles::summary_conditions, data);
  } else if (as_summary_condition) {
    if (!problem.as_set)
      throw ConfigurationError(fmt::format(
          "Benchmark \"{}\": its data, vectors of {} values, are neither a set nor a series, so as_summary_condition must be false{}",
          problem.name, data.dim(-1),
          std::ranges::any_of(problem.simulator_settings, [](const SettingInfo& s) { return s.name == std::string("n_obs"); })
              ? "; settings of the simulator (n_obs, flatten = false) make a set of them"
              : ""));
    inputs.set(roles::summary_conditions, problem.as_set(data));
  } else {
    inputs.set(roles::direct_conditions, data);
  }
  return inputs;
}

LikelihoodInputs likelihood_inputs(const Problem& problem, const Simulations& simulations, double scale) {
  Array data = scaled(problem, simulations.sim_data, scale);
  if (problem.likelihood_inputs) return problem.likelihood_inputs(simulations);
  return {std::move(data), simulations.prior_draws};
}

std::vector<std::string> numbered(const std::string& stem, std::int64_t count) {
  std::vector<std::string> out;
  for (std::int64_t i = 1; i <= count; ++i) out.push_back(stem + "_" + std::to_string(i));
  return out;
}

DrawParameters uniform_prior(const Values& values, std::int64_t count) {
  const double low = values.number("lower_bound"), high = values.number("upper_bound");
  if (!(low < high))
    throw ConfigurationError(fmt::format("Benchmark: the prior's lower_bound must be below its upper_bound; got {} and {}", low, high));
  return [=](Rng& rng) { return rng.uniform({count}, low, high); };
}

std::vector<std::string> available_benchmarks() {
  std::vector<std::string> out;
  for (const Entry& entry : kProblems) out.emplace_back(entry.name);
  return out;
}

struct Benchmark::State {
  State(const std::string& n, BenchmarkOptions o)
      : problem(find_problem(n)),
        name(n),
        owner(fmt::format("Benchmark \"{}\"", n)),
        options(std::move(o)),
        prior_values(owner, "prior", problem.prior_settings, options.prior),
        simulator_values(owner, "simulator", problem.simulator_settings, options.simulator),
        sbibm_task(problem.sbibm_task),
        param_names(problem.param_names(prior_values)),
        draw(problem.prior(prior_values)),
        simulate(problem.simulator(simulator_values)) {
    scale = options.scale_data.value_or(problem.scale_data ? problem.scale_data(simulator_values) : 1.0);
    Rng rng(0, "shape");
    data_shape = simulate(draw(rng), rng).shape();
    Simulations one;  // says what is wrong with the options of the configurators
    one.sim_data = Array(data_shape).expand_dims(0);
    (void)benchmarks::posterior_inputs(problem, one, scale, options.as_summary_condition);
  }

  /// Data of other settings, or of another model.
  void require_own(const Simulations& simulations) const {
    Shape got;
    for (int i = 1; i < simulations.sim_data.rank(); ++i) got.push_back(simulations.sim_data.dim(i));
    if (got != data_shape)
      throw ShapeError(fmt::format("{}: sim_data must have the shape (batch, ...) of this benchmark's simulations, {} each; got {}", owner,
                                   data_shape.to_string(), simulations.sim_data.shape().to_string()));
  }

  const Problem problem;
  std::string name, owner;
  BenchmarkOptions options;
  Values prior_values, simulator_values;
  std::string sbibm_task;
  std::vector<std::string> param_names;
  DrawParameters draw;
  Simulate simulate;
  Shape data_shape{};
  double scale = 1;
};

Benchmark::Benchmark(const std::string& name, BenchmarkOptions options) : state_(std::make_shared<const State>(name, std::move(options))) {}

const std::string& Benchmark::name() const { return state_->name; }
const BenchmarkOptions& Benchmark::options() const { return state_->options; }
std::int64_t Benchmark::num_params() const { return static_cast<std::int64_t>(state_->param_names.size()); }
const std::vector<std::string>& Benchmark::param_names() const { return state_->param_names; }
const Shape& Benchmark::data_shape() const { return state_->data_shape; }
double Benchmark::scale_data() const { return state_->scale; }
const Settings& Benchmark::prior_settings() const { return state_->prior_values.all(); }
const Settings& Benchmark::simulator_settings() const { return state_->simulator_values.all(); }
const std::string& Benchmark::sbibm_task() const { return state_->sbibm_task; }

Prior Benchmark::prior() const { return Prior(draw_function(), {.param_names = state_->param_names}); }

Simulator Benchmark::simulator() const { return Simulator(simulate_function()); }

std::function<Array(Rng&)> Benchmark::draw_function() const { return state_->draw; }

std::function<Array(const Array&, Rng&)> Benchmark::simulate_function() const {
  return [state = state_](const Array& theta, Rng& rng) {
    if (theta.size() != static_cast<std::int64_t>(state->param_names.size()))
      throw SimulationError(fmt::format("it has {} parameters; got {}", state->param_names.size(), theta.size()));
    return state->simulate(theta, rng);
  };
}

GenerativeModel Benchmark::generative_model() const {
  const BenchmarkOptions& o = state_->options;
  return GenerativeModel(prior(), simulator(), {.name = state_->name, .seed = o.seed, .threads = o.threads, .logger = o.logger});
}

Batch Benchmark::posterior_inputs(const Simulations& simulations) const {
  state_->require_own(simulations);
  return benchmarks::posterior_inputs(state_->problem, simulations, state_->scale, state_->options.as_summary_condition);
}

Configurator Benchmark::configurator() const {
  return [benchmark = *this](const Simulations& simulations) { return benchmark.posterior_inputs(simulations); };
}

LikelihoodInputs Benchmark::likelihood_inputs(const Simulations& simulations) const {
  state_->require_own(simulations);
  return benchmarks::likelihood_inputs(state_->problem, simulations, state_->scale);
}

Array Benchmark::from_sbibm(const Array& observation) const {
  const State& s = *state_;
  if (s.sbibm_task.empty())
    throw ConfigurationError(fmt::format("{}: it is none of sbibm's problems, and has no reference posteriors", s.owner));
  std::vector<std::string> others;
  const auto compare = [&](const std::vector<SettingInfo>& infos, const Values& values) {
    for (const SettingInfo& info : infos)
      if (const Setting& value = values.all().at(info.name); !info.is_form && !(value == info.value))
        others.push_back(fmt::format("{} = {} instead of {}", info.name, value.to_string(), info.value.to_string()));
  };
  compare(s.problem.prior_settings, s.prior_values);
  compare(s.problem.simulator_settings, s.simulator_values);
  if (!others.empty())
    throw ConfigurationError(
        fmt::format("{}: sbibm's reference posteriors are those of its own settings; got {}", s.owner, fmt::join(others, ", ")));
  const std::int64_t expected = s.data_shape.size();
  if (observation.size() != expected)
    throw ShapeError(fmt::format("{}: an observation has {} values; got {}", s.owner, expected, observation.size()));
  const Array flat = observation.flatten();
  return (s.problem.from_sbibm ? s.problem.from_sbibm(flat, s.simulator_values) : flat).reshape(s.data_shape);
}

}  // namespace bayesflow::benchmarks
