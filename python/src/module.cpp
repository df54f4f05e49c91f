#include "module.hpp"

#include <utility>

#include "arrays.hpp"
#include "bayesflow/core/version.hpp"
#include "io/atomic_file.hpp"

NB_MODULE(_core, m) {
  using namespace bayesflow;
  namespace nb = nanobind;
  nb::set_leak_warnings(false);  // objects in the traceback of a program that ends with an exception are no leak
  m.doc() = "The engine behind bayesflow_cpp. Use the package's own modules.";
  m.attr("__version__") = version();
  m.def("instruction_set", &instruction_set, "The instruction set that the kernels use on this machine.");
  m.def(
      "take_missing_bytes", [] { return std::exchange(python::bytes_that_were_missing, 0); },
      "Bytes that an array among the arguments of the last call needed in vain; 0: that was not the reason.");
  m.def(
      "write_file",
      [](const std::string& path, const nb::bytes& content) {
        io::write_file(python::path_of(path), {content.c_str(), content.size()});
      },
      nb::arg("path"), nb::arg("content"), "A whole file or none; only a regular file is replaced.");
  python::bind_errors(m);
  python::bind_rng(m);
  python::bind_simulation(m);
  python::bind_native(m);
  python::bind_external(m);
  python::bind_networks(m);
  python::bind_adapter(m);
  python::bind_amortizers(m);
  python::bind_training(m);
  python::bind_diagnostics(m);
  python::bind_report(m);
  python::bind_benchmarks(m);
  python::bind_workflow(m);
}
