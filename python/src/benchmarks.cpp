/// Benchmark problems and their reference posteriors.
#include "bayesflow/bayesflow.hpp"
#include "benchmarks/problem.hpp"
#include "native_function.hpp"
#include "results.hpp"

namespace bayesflow::python {
namespace {

using namespace bayesflow::benchmarks;

/// None, bools, numbers, and lists of numbers.
Settings settings_from(const nb::dict& values) {
  Settings out;
  for (const auto& [key, value] : values) {
    Setting& setting = out[nb::cast<std::string>(key)];
    if (value.is_none()) continue;
    if (nb::isinstance<nb::bool_>(value))
      setting = nb::cast<bool>(value);
    else if (nb::isinstance<nb::list>(value))
      setting = nb::cast<std::vector<double>>(value);
    else
      setting = nb::cast<double>(value);
  }
  return out;
}

nb::dict to_dict(const Settings& settings) {
  nb::dict out;
  for (const auto& [name, setting] : settings)
    out[name.c_str()] = std::visit(
        [](const auto& value) -> nb::object {
          if constexpr (std::is_same_v<std::decay_t<decltype(value)>, std::monostate>)
            return nb::none();
          else
            return nb::cast(value);
        },
        setting.value);
  return out;
}

void copy_into(std::span<double> out, const Array& values) { std::ranges::copy(values.values(), out.begin()); }

using Numbers = NativeFunction::Numbers;

NativeFunction prior_of(const Benchmark& benchmark, int threads) {
  return NativeFunction(
      [draw = benchmark.draw_function()](Numbers, Numbers, std::span<double> out, const Shape&, Rng& rng) { copy_into(out, draw(rng)); },
      threads);
}

NativeFunction simulator_of(const Benchmark& benchmark, int threads) {
  return NativeFunction(
      [simulate = benchmark.simulate_function()](Numbers params, Numbers, std::span<double> out, const Shape&, Rng& rng) {
        copy_into(out, simulate(Array({static_cast<std::int64_t>(params.size())}, params), rng));
      },
      threads);
}

nb::dict to_float32(const Batch& batch) {
  nb::dict out;
  for (const char* role : {roles::parameters, roles::summary_conditions, roles::direct_conditions})
    if (batch.has(role)) out[role] = to_numpy_float32(batch.array(role));
  return out;
}

nb::dict inputs_of(const std::string& name, bool likelihood, const Array& prior_draws, const Array& sim_data, double scale_data,
                   bool as_summary_condition) {
  Simulations simulations;
  simulations.prior_draws = prior_draws;
  simulations.sim_data = sim_data;
  const Problem problem = find_problem(name);
  if (!likelihood) return to_float32(unlocked([&] { return posterior_inputs(problem, simulations, scale_data, as_summary_condition); }));
  const LikelihoodInputs inputs = unlocked([&] { return likelihood_inputs(problem, simulations, scale_data); });
  nb::dict out;
  out["observables"] = to_numpy_float32(inputs.observables);
  out["conditions"] = to_numpy_float32(inputs.conditions);
  return out;
}

PosteriorCheck check(const Benchmark& benchmark, const nb::object& sampler, const std::string& path, std::vector<std::int64_t> observations,
                     std::int64_t n_samples, std::uint64_t seed, std::int64_t n_folds, std::int64_t hidden_units_per_dim,
                     std::int64_t max_epochs, int threads) {
  const PosteriorSampler draw = [&sampler](const Array& data, std::int64_t n, std::uint64_t its_seed) {
    const nb::gil_scoped_acquire gil;
    check_signals();
    return array_from(sampler(data, n, its_seed));
  };
  const PosteriorCheckOptions options{
      std::move(observations),
      n_samples,
      seed,
      {.n_folds = n_folds, .hidden_units_per_dim = hidden_units_per_dim, .max_epochs = max_epochs, .threads = threads}};
  return unlocked([&] { return posterior_check(benchmark, draw, path_of(path), options); });
}

}  // namespace

void bind_benchmarks(nb::module_& m) {
  m.def("available_benchmarks", &available_benchmarks);
  m.def("benchmark_inputs", &inputs_of, "name"_a, "likelihood"_a, "prior_draws"_a, "sim_data"_a, "scale_data"_a, "as_summary_condition"_a);
  nb::class_<Benchmark>(m, "Benchmark")
      .def(
          "__init__",
          [](Benchmark* self, const std::string& name, const nb::dict& prior, const nb::dict& simulator) {
            new (self) Benchmark(name, {.prior = settings_from(prior), .simulator = settings_from(simulator)});
          },
          "name"_a, "prior"_a, "simulator"_a)
      .def_prop_ro("num_params", &Benchmark::num_params)
      .def_prop_ro("data_shape", &Benchmark::data_shape)
      .def_prop_ro("scale_data", &Benchmark::scale_data)
      .def_prop_ro("prior_settings", [](const Benchmark& self) { return to_dict(self.prior_settings()); })
      .def_prop_ro("simulator_settings", [](const Benchmark& self) { return to_dict(self.simulator_settings()); })
      .def("prior_function", &prior_of, "threads"_a = 0)
      .def("simulator_function", &simulator_of, "threads"_a = 0)
      .def(
          "read_reference",
          [](const Benchmark& self, const std::string& path, std::int64_t observation) {
            Reference reference = unlocked([&] { return read_reference(self, path_of(path), observation); });
            nb::dict out;
            out["observation"] = to_numpy(std::move(reference.observation));
            out["true_parameters"] = to_numpy(std::move(reference.true_parameters));
            out["posterior_samples"] = to_numpy(std::move(reference.posterior_samples));
            return out;
          },
          "path"_a, "observation"_a)
      .def("posterior_check", &check, "sampler"_a, "path"_a, "observations"_a, "n_samples"_a, "seed"_a, "n_folds"_a,
           "hidden_units_per_dim"_a, "max_epochs"_a, "threads"_a);
  ResultClass<PosteriorCheck>(m, "PosteriorCheck", "Posteriors beside sbibm's references.")
      .field("observations", &PosteriorCheck::observations, "their numbers")
      .field("c2st", &PosteriorCheck::c2st, "a classifier two-sample test for each")
      .field("mean", &PosteriorCheck::mean, "estimate: mean accuracy, 0.5 if draws and references cannot be told apart");
}

}  // namespace bayesflow::python
