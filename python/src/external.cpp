/// Simulators that are programs of their own.
#include "arrays.hpp"
#include "bayesflow/simulation/external_program.hpp"
#include "module.hpp"

namespace bayesflow::python {
namespace {

ExternalFormat format_of(const std::string& name) {
  if (name == "json") return ExternalFormat::json;
  if (name == "csv") return ExternalFormat::csv;
  if (name == "binary") return ExternalFormat::binary;
  throw ConfigurationError("Simulator: protocol must be \"json\", \"csv\" or \"binary\"; got \"" + name + "\"");
}

Array simulate(const ExternalProgram& program, const Array& parameters, const std::optional<Array>& contexts, const Rng& streams,
               std::uint64_t first) {
  const nb::gil_scoped_release nogil;
  return program.simulate(parameters, contexts, streams, first, check_signals);
}

}  // namespace

void bind_external(nb::module_& m) {
  nb::class_<ExternalProgram>(m, "ExternalProgram", "A program that simulates.")
      .def(
          "__init__",
          [](ExternalProgram* self, std::vector<std::string> command, const std::string& protocol, const Shape& shape, int workers,
             double timeout, std::vector<std::string> environment) {
            new (self) ExternalProgram({.command = std::move(command),
                                        .format = format_of(protocol),
                                        .shape = shape,
                                        .workers = workers,
                                        .timeout_seconds = timeout,
                                        .environment = std::move(environment),
                                        .logger = python_logger()});
          },
          "command"_a, "protocol"_a, "shape"_a, "workers"_a, "timeout"_a, "environment"_a)
      .def("simulate", &simulate, "parameters"_a, "contexts"_a.none(), "streams"_a, "first"_a)
      .def("close", &ExternalProgram::close, nb::call_guard<nb::gil_scoped_release>())
      .def("processes", &ExternalProgram::processes);
}

}  // namespace bayesflow::python
