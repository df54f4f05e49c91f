/// `fit`, and the posterior that it gives.
#include "arrays.hpp"
#include "bayesflow/workflow/fit.hpp"
#include "module.hpp"

namespace bayesflow::python {
namespace {

DataKind kind_named(const std::string& name) {
  for (const auto& [kind, text] : names_of(DataKind{}))
    if (name == text) return kind;
  throw ConfigurationError("fit: there is no kind of data \"" + name + "\"");
}

/// What f gives, and how the data are unlike those of training.
template <class F>
nb::tuple with_foreign(const F& f) {
  std::vector<Foreign> found;
  nb::object out = to_numpy(unlocked([&] { return f(&found); }));
  return nb::make_tuple(out, std::move(found));
}

std::vector<std::string> sentences_of(const std::vector<Foreign>& found) {
  std::vector<std::string> out;
  for (const Foreign& one : found) out.push_back(one.sentence);
  return out;
}

}  // namespace

void bind_workflow(nb::module_& m) {
  nb::class_<Posterior>(m, "Posterior")
      .def_prop_ro("members", &Posterior::members)
      .def_prop_ro("param_names", &Posterior::param_names)
      .def_prop_ro("data_shape",
                   [](const Posterior& self) { return std::vector<std::int64_t>(self.data_shape().begin(), self.data_shape().end()); })
      .def_prop_ro("plan", [](const Posterior& self) { return to_json(self.plan()); })
      .def_prop_ro("story", &Posterior::story)
      .def_prop_ro("simulations", [](const Posterior& self) { return self.record().simulations; })
      .def_prop_ro("held_out", [](const Posterior& self) { return self.record().held_out; })
      .def_prop_ro("seed", [](const Posterior& self) { return self.record().seed; })
      .def_prop_ro("first_member", [](const Posterior& self) { return self.record().first_member; })
      .def_prop_ro("log_score", [](const Posterior& self) { return self.record().log_score; })
      .def_prop_ro("prior_log_score", [](const Posterior& self) { return self.record().prior_log_score; })
      .def_prop_ro("trials",
                   [](const Posterior& self) {
                     nb::list out;
                     for (const FitTrial& t : self.record().trials) {
                       nb::dict row;
                       row["network"] = to_string(t.plan);
                       row["log_score"] = t.log_score;
                       row["epochs"] = t.epochs;
                       row["seconds"] = t.seconds;
                       out.append(row);
                     }
                     return out;
                   })
      .def(
          "sample",
          [](const Posterior& self, const Array& data, std::int64_t n, std::uint64_t seed) {
            return with_foreign([&](std::vector<Foreign>* found) { return self.sample(data, n, {.seed = seed, .foreign = found}); });
          },
          "data"_a, "n_samples"_a, "seed"_a)
      .def(
          "log_prob",
          [](const Posterior& self, const Array& parameters, const Array& data) {
            return with_foreign([&](std::vector<Foreign>* found) { return self.log_prob(parameters, data, {.foreign = found}); });
          },
          "parameters"_a, "data"_a)
      .def(
          "quantiles",
          [](const Posterior& self, const Array& data, const std::vector<double>& probabilities, std::int64_t n, std::uint64_t seed) {
            return with_foreign(
                [&](std::vector<Foreign>* found) { return self.quantiles(data, probabilities, n, {.seed = seed, .foreign = found}); });
          },
          "data"_a, "probabilities"_a, "n_samples"_a, "seed"_a)
      .def(
          "check", [](const Posterior& self, const Array& data) { return unlocked([&] { return sentences_of(self.check(data)); }); },
          "data"_a)
      .def(
          "verdict",
          [](const Posterior& self, const nb::dict& fresh, std::int64_t n) {
            const Simulations simulations = simulations_from(fresh);
            return unlocked([&] { return self.verdict(simulations, n); });
          },
          "fresh"_a, "n_samples"_a)
      .def(
          "save", [](const Posterior& self, const std::string& path) { unlocked([&] { self.save(path_of(path)); }); }, "path"_a);
  m.def(
      "fit",
      [](const nb::dict& forward, const std::string& data, std::uint64_t seed, int threads, std::int64_t max_members,
         std::vector<std::string> param_names, const std::string& checkpoint_path) {
        const Simulations simulations = simulations_from(forward);
        const FitOptions options{.data = kind_named(data),
                                 .seed = seed,
                                 .threads = threads,
                                 .max_members = max_members,
                                 .param_names = std::move(param_names),
                                 .checkpoint_path = path_of(checkpoint_path),
                                 .logger = python_logger()};
        try {
          const nb::gil_scoped_release nogil;  // fit ends between two training steps
          return fit(simulations, options);
        } catch (const Interrupted& error) {
          PyErr_SetString(PyExc_KeyboardInterrupt, error.what());
          throw nb::python_error();
        }
      },
      "simulations"_a, "data"_a, "seed"_a, "threads"_a, "max_members"_a, "param_names"_a, "checkpoint_path"_a);
  m.def(
      "load_posterior",
      [](const std::string& path, int threads) { return unlocked([&] { return load_posterior(path_of(path), {.threads = threads}); }); },
      "path"_a, "threads"_a);
}

}  // namespace bayesflow::python
