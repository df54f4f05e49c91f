/// Generative models whose functions are Python's, and files of simulations.
#include "arrays.hpp"
#include "bayesflow/bayesflow.hpp"
#include "module.hpp"
#include "simulation/padding.hpp"

namespace bayesflow::python {
namespace {

struct SharedField {
  Array values;
};

/// The last copy of a function may die on a thread without the GIL.
std::shared_ptr<nb::object> shared_function(nb::object function) {
  return {new nb::object(std::move(function)), [](nb::object* object) {
            const nb::gil_scoped_acquire gil;
            delete object;
          }};
}

/// A Python function of a stream that returns an array.
std::function<Array(Rng&)> context_function(nb::object function) {
  return [shared = shared_function(std::move(function))](Rng& rng) {
    const nb::gil_scoped_acquire gil;
    try {
      return array_from((*shared)(rng));
    } catch (nb::python_error& error) {
      throw PythonFailure(error);
    }
  };
}

/// A Python function (batch_size, streams, first_index, prior_context, sim_context) -> forward dictionary of float64 arrays.
BatchFunction batch_function(nb::object function) {
  return [shared = shared_function(std::move(function))](const BatchRequest& request) {
    const nb::gil_scoped_acquire gil;
    try {
      const nb::object forward = (*shared)(request.batch_size, request.streams, request.first_index, request.prior_non_batchable_context,
                                           request.sim_non_batchable_context);
      return simulations_from(nb::cast<nb::dict>(forward));
    } catch (nb::python_error& error) {
      throw PythonFailure(error);
    }
  };
}

NonFinitePolicy policy_of(const std::string& action, double max_share) {
  NonFinitePolicy policy{.action = NonFinite::refuse, .max_share = max_share};
  if (action == "drop") {
    policy.action = NonFinite::drop;
  } else if (action == "redraw") {
    policy.action = NonFinite::redraw;
  } else if (action != "refuse") {
    throw ConfigurationError("nonfinite must be \"refuse\", \"drop\" or \"redraw\"; got \"" + action + "\"");
  }
  return policy;
}

StoredPrecision precision_of(const std::string& name) {
  if (name == "float32") return StoredPrecision::float32;
  if (name == "float64") return StoredPrecision::float64;
  throw ConfigurationError("precision must be \"float32\" or \"float64\"; got \"" + name + "\"");
}

nb::dict presimulate(const GenerativeModel& model, const std::string& path, std::int64_t n, std::uint64_t seed, std::int64_t batch_size,
                     const std::string& precision, int threads, const std::string& nonfinite, double max_share, const nb::object& progress,
                     std::optional<std::uint64_t> first) {
  PresimulateOptions options{.seed = seed,
                             .batch_size = batch_size,
                             .precision = precision_of(precision),
                             .threads = threads,
                             .nonfinite = policy_of(nonfinite, max_share),
                             .first = first};
  options.progress = [&progress](const PresimulationProgress& p) {
    const nb::gil_scoped_acquire gil;
    check_signals();
    if (!progress.is_none()) progress(p.done, p.total, p.simulations_per_second, p.seconds_left);
    return true;
  };
  PresimulationSummary summary;
  {
    const nb::gil_scoped_release nogil;
    summary = model.presimulate(path_of(path), n, options);
  }
  nb::dict out;
  out["simulations"] = summary.simulations;
  out["found"] = summary.found;
  out["dropped"] = summary.nonfinite.dropped;
  out["redrawn"] = summary.nonfinite.redrawn;
  out["seconds"] = summary.seconds;
  out["file_bytes"] = summary.file_bytes;
  return out;
}

}  // namespace

nb::dict to_dict(const Simulations& simulations) {
  nb::dict out;
  for (const StandardField& f : kStandardFields) out[f.name] = nb::none();
  simulations.for_each([&](std::string_view name, FieldRole role, const Array& values) {
    const nb::str key(name.data(), name.size());
    if (role == FieldRole::shared && !Simulations::is_standard(name))
      out[key] = nb::cast(SharedField{values});
    else
      out[key] = to_numpy(values);
  });
  return out;
}

Batch batch_of(const nb::dict& configured) {
  Batch out;
  for (const auto& [role, values] : configured)
    if (!values.is_none()) out.set(nb::cast<std::string>(role), array_from(values));
  return out;
}

nb::dict to_dict(const Batch& batch) {
  nb::dict out;
  for (const auto& [role, values] : batch.entries()) out[role.c_str()] = to_numpy(values.array());
  return out;
}

Simulations simulations_from(const nb::dict& forward) {
  Simulations out;
  for (const auto& [key, values] : forward) {
    if (values.is_none()) continue;
    const auto name = nb::cast<std::string>(key);
    const SharedField* shared = nullptr;
    if (nb::try_cast(values, shared) && shared)
      out.set(name, shared->values, FieldRole::shared);
    else
      out.set(name, array_from(values));
  }
  return out;
}

void bind_simulation(nb::module_& m) {
  nb::class_<SharedField>(m, "Shared", "A value of a further field that all simulations of a batch share.")
      .def(
          "__init__", [](SharedField* self, const Array& values) { new (self) SharedField{values}; }, "values"_a)
      .def_prop_ro("values", [](const SharedField& self) { return to_numpy(self.values); });
  nb::class_<GenerativeModel>(m, "GenerativeModel")
      .def(
          "__init__",
          [](GenerativeModel* self, nb::object function, std::vector<std::string> param_names, bool one_context_per_batch,
             bool depends_on_batch, bool reproducible, std::string name, std::uint64_t seed, bool skip_test) {
            BatchFunction hook = batch_function(std::move(function));
            const nb::gil_scoped_release nogil;
            new (self) GenerativeModel(std::move(hook),
                                       {.param_names = std::move(param_names),
                                        .one_context_per_batch = one_context_per_batch,
                                        .depends_on_batch = depends_on_batch,
                                        .reproducible = reproducible},
                                       {.name = std::move(name), .seed = seed, .skip_test = skip_test, .logger = python_logger()});
          },
          "function"_a, "param_names"_a, "one_context_per_batch"_a, "depends_on_batch"_a, "reproducible"_a, "name"_a, "seed"_a,
          "skip_test"_a)
      .def_prop_ro("pilot_report", &GenerativeModel::pilot_report)
      .def(
          "simulate",
          [](const GenerativeModel& self, std::int64_t batch_size, std::uint64_t seed, const std::string& purpose, std::uint64_t first) {
            Simulations out;
            {
              const nb::gil_scoped_release nogil;
              ThreadPool pool;
              out = self.simulate(batch_size, seed, purpose, first, self.simulates_on_all_threads() ? &pool : nullptr);
            }
            return to_dict(out);
          },
          "batch_size"_a, "seed"_a, "purpose"_a, "first"_a)
      .def("presimulate", &presimulate, "path"_a, "n"_a, "seed"_a, "batch_size"_a, "precision"_a, "threads"_a, "nonfinite"_a, "max_share"_a,
           "progress"_a.none(), "first"_a.none());

  nb::class_<MultiGenerativeModel, GenerativeModel>(m, "MultiGenerativeModel")
      .def(
          "__init__",
          [](MultiGenerativeModel* self, std::vector<GenerativeModel> models, std::vector<double> model_probs, nb::object shared_context,
             std::string name, std::uint64_t seed, bool skip_test) {
            MultiGenerativeModelOptions options{
                .model_probs = std::move(model_probs),
                .model = {.name = std::move(name), .seed = seed, .skip_test = skip_test, .logger = python_logger()}};
            if (!shared_context.is_none())
              options.shared_context = ContextGenerator({.non_batchable = context_function(std::move(shared_context))});
            const nb::gil_scoped_release nogil;
            new (self) MultiGenerativeModel(std::move(models), std::move(options));
          },
          "models"_a, "model_probs"_a, "shared_context"_a.none(), "name"_a, "seed"_a, "skip_test"_a)
      .def_prop_ro("model_probs", &MultiGenerativeModel::model_probs);

  m.def(
      "pad",
      [](const char* what, const std::vector<Array>& rows, const Shape& to, std::uint64_t first) {
        detail::Padded out = detail::pad(what, rows, to, first);
        return nb::make_tuple(to_numpy(std::move(out.values)), to_numpy(std::move(out.mask)));
      },
      "what"_a, "rows"_a, "to"_a, "first"_a);

  m.def(
      "save_simulations",
      [](const nb::dict& forward, const std::string& path, const std::string& model_name, std::vector<std::string> param_names,
         const std::string& precision) {
        const Simulations simulations = simulations_from(forward);
        const SaveSimulationsOptions options{model_name, std::move(param_names), precision_of(precision)};
        const nb::gil_scoped_release nogil;
        save_simulations(simulations, path_of(path), options);
      },
      "forward"_a, "path"_a, "model_name"_a, "param_names"_a, "precision"_a);

  m.def(
      "join_simulations",
      [](const std::vector<std::string>& parts, const std::string& path) {
        const nb::gil_scoped_release nogil;
        return join_simulations({parts.begin(), parts.end()}, path_of(path));
      },
      "parts"_a, "path"_a);

  nb::class_<SimulationStore>(m, "SimulationStore")
      .def(
          "__init__", [](SimulationStore* self, const std::string& path) { new (self) SimulationStore(path_of(path)); }, "path"_a)
      .def("__len__", &SimulationStore::size)
      .def_prop_ro("batches", &SimulationStore::batches)
      .def_prop_ro("path", [](const SimulationStore& self) { return self.path().string(); })
      .def(
          "batch", [](const SimulationStore& self, std::int64_t index) { return to_dict(self.batch(index)); }, "index"_a)
      .def("read", [](const SimulationStore& self) { return to_dict(self.read()); })
      .def_prop_ro("info", [](const SimulationStore& self) {
        const SimulationStoreInfo& info = self.info();
        nb::dict out;
        out["model_name"] = info.model_name;
        out["param_names"] = info.param_names;
        out["seed"] = info.seed;
        out["precision"] = info.precision == StoredPrecision::float32 ? "float32" : "float64";
        out["simulations"] = info.simulations;
        out["batches"] = info.batches;
        out["batch_size"] = info.batch_size;
        out["reserved"] = info.reserved;
        out["one_context_per_batch"] = info.one_context_per_batch;
        out["format_version"] = info.format_version;
        out["library_version"] = info.library_version;
        return out;
      });
}

}  // namespace bayesflow::python
