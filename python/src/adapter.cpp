/// Adapters.
#include "bayesflow/adapter/adapter.hpp"

#include "arrays.hpp"
#include "described_dict.hpp"
#include "module.hpp"

namespace bayesflow::python {
namespace {

/// A step of the given name, with the options of the dictionary.
adapter::Step step_from(const std::string& name, const nb::dict& options) {
  std::optional<adapter::Step> out;
  const auto look = [&]<class... S>(const std::variant<S...>*) {
    const auto take = [&]<class One>(const One* /*kind*/) {
      if (name != One::kName) return;
      One step;
      DictReader::fill(step, options, std::string("Adapter::") + One::kName);
      out = std::move(step);
    };
    (take(static_cast<const S*>(nullptr)), ...);
  };
  look(static_cast<const adapter::Step*>(nullptr));
  if (!out) throw ConfigurationError("Adapter: there is no step \"" + name + "\"");
  return *out;
}

}  // namespace

void bind_adapter(nb::module_& m) {
  nb::class_<Adapter>(m, "Adapter")
      .def(nb::init<>())
      .def("copy", [](const Adapter& self) { return Adapter(self); })
      .def(
          "add", [](Adapter& self, const std::string& name, const nb::dict& options) { self.add(step_from(name, options)); }, "name"_a,
          "options"_a)
      .def_rw("pilot", &Adapter::pilot)
      .def_prop_ro("is_fitted", &Adapter::is_fitted)
      .def_prop_ro("notes", &Adapter::notes)
      .def_prop_ro("inferred", &Adapter::inferred)
      .def_static(
          "infer",
          [](const std::vector<nb::dict>& pilot, std::vector<std::string> names,
             const std::vector<std::optional<std::pair<std::optional<double>, std::optional<double>>>>& support, const std::string& learn) {
            std::vector<Simulations> parts;
            for (const nb::dict& part : pilot) parts.push_back(simulations_from(part));
            InferOptions options{.param_names = std::move(names), .use = {.targets = {learn}}};
            for (const auto& of : support) options.support.push_back(of ? std::optional(Support{of->first, of->second}) : std::nullopt);
            const nb::gil_scoped_release nogil;
            return Adapter::infer(parts, options);
          },
          "pilot"_a, "names"_a, "support"_a, "learn"_a)
      .def_prop_ro("param_names", &Adapter::param_names)
      .def(
          "fit",
          [](Adapter& self, const std::vector<nb::dict>& first, const std::vector<std::string>& names) {
            std::vector<Simulations> parts;
            for (const nb::dict& part : first) parts.push_back(simulations_from(part));
            const nb::gil_scoped_release nogil;
            self.fit(parts, names);
          },
          "first"_a, "names"_a)
      .def(
          "configure",
          [](const Adapter& self, const nb::dict& forward) {
            const Simulations simulations = simulations_from(forward);
            Batch out;
            {
              const nb::gil_scoped_release nogil;
              out = self(simulations);
            }
            return to_dict(out);
          },
          "forward"_a)
      .def(
          "log_det",
          [](const Adapter& self, const nb::dict& forward) {
            const Simulations simulations = simulations_from(forward);
            Adapted out;
            {
              const nb::gil_scoped_release nogil;
              out = self.forward(simulations, Outside::allow);
            }
            return to_numpy(out.log_det.empty() ? Array() : std::move(out.log_det.front()));
          },
          "forward"_a)
      .def(
          "inverse",
          [](const Adapter& self, const Array& values, const nb::dict& forward) {
            const Simulations simulations = simulations_from(forward);
            Array out;
            {
              const nb::gil_scoped_release nogil;
              out = self.inverse(values, self.forward(simulations, Outside::allow));
            }
            return to_numpy(std::move(out));
          },
          "values"_a, "forward"_a)
      .def("to_json", &Adapter::to_json)
      .def_static(
          "from_json", [](const std::string& text) { return Adapter::from_json(text); }, "text"_a)
      .def("__str__", &Adapter::to_string);
}

}  // namespace bayesflow::python
