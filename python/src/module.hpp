/// The parts of the extension module.
#pragma once

#include <nanobind/nanobind.h>

#include <exception>
#include <filesystem>
#include <memory>
#include <string>

#include "bayesflow/core/errors.hpp"
#include "bayesflow/core/log.hpp"
#include "bayesflow/data/batch.hpp"
#include "bayesflow/data/simulations.hpp"
#include "core/interruption.hpp"

namespace bayesflow::python {

namespace nb = nanobind;

void bind_errors(nb::module_& m);
void bind_rng(nb::module_& m);
void bind_simulation(nb::module_& m);
void bind_native(nb::module_& m);
void bind_external(nb::module_& m);
void bind_networks(nb::module_& m);
void bind_adapter(nb::module_& m);
void bind_amortizers(nb::module_& m);
void bind_training(nb::module_& m);
void bind_diagnostics(nb::module_& m);
void bind_report(nb::module_& m);
void bind_benchmarks(nb::module_& m);
void bind_workflow(nb::module_& m);

/// An exception of a user's Python function on its way through the library. It arrives in Python as itself, or, if the library adds to it,
/// as the cause of the library's error.
class PythonFailure : public SimulationError {
 public:
  explicit PythonFailure(nb::python_error& error);
  [[nodiscard]] const nb::object& original() const { return *original_; }

 private:
  explicit PythonFailure(std::shared_ptr<nb::object> original);
  std::shared_ptr<nb::object> original_;
};

/// Messages to the "bayesflow_cpp" logger of Python's logging module.
[[nodiscard]] Logger python_logger();

/// A forward dictionary of float64 arrays and None, with v1's keys.
[[nodiscard]] nb::dict to_dict(const Simulations& simulations);
[[nodiscard]] Simulations simulations_from(const nb::dict& forward);
/// A configured dictionary: {role: float64 array or None}.
[[nodiscard]] Batch batch_of(const nb::dict& configured);
[[nodiscard]] nb::dict to_dict(const Batch& batch);

/// Raises what a signal handler of Python raises (KeyboardInterrupt, mostly) if a signal has come; without the GIL.
void check_signals();

/// `work` without the GIL; its arguments were converted with it. Ctrl-C ends it between two of its tasks: so nothing that must end between
/// two training steps is done here.
template <class F>
auto unlocked(F&& work) {
  const nb::gil_scoped_release nogil;
  const detail::InterruptionCheck check(check_signals);
  return work();
}

[[nodiscard]] inline std::filesystem::path path_of(const std::string& text) { return std::filesystem::path(text); }

}  // namespace bayesflow::python
