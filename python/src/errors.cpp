/// The library's exceptions as Python's, and Python's through the library.
#include "module.hpp"

namespace bayesflow::python {
namespace {

// The last exception of a user's function that passed through the library. Touched with the GIL held only.
PyObject* passing = nullptr;

void keep(nb::object exception) {
  Py_XDECREF(passing);
  passing = exception.release().ptr();
}

nb::object take() {
  nb::object out = nb::steal(passing);
  passing = nullptr;
  return out;
}

/// The exception as an object with its traceback; until Python 3.12 it may have been raised as a type alone.
nb::object object_of(nb::python_error& error) {
  error.restore();
#if PY_VERSION_HEX >= 0x030C0000
  return nb::steal(PyErr_GetRaisedException());
#else
  PyObject *type = nullptr, *value = nullptr, *traceback = nullptr;
  PyErr_Fetch(&type, &value, &traceback);
  PyErr_NormalizeException(&type, &value, &traceback);
  if (traceback) PyException_SetTraceback(value, traceback);
  Py_XDECREF(type);
  Py_XDECREF(traceback);
  return nb::steal(value);
#endif
}

std::shared_ptr<nb::object> kept_object_of(nb::python_error& error) {
  const nb::gil_scoped_acquire gil;
  const nb::object exception = object_of(error);
  keep(exception);
  return {new nb::object(exception), [](nb::object* o) {
            const nb::gil_scoped_acquire again;
            delete o;
          }};
}

std::string text_of(const nb::object& exception) {
  const nb::gil_scoped_acquire gil;
  return nb::str(exception).c_str();
}

const char* name_of(const Error& error) {
  if (dynamic_cast<const ConfigurationError*>(&error)) return "ConfigurationError";
  if (dynamic_cast<const ShapeError*>(&error)) return "ShapeError";
  if (dynamic_cast<const SimulationError*>(&error)) return "SimulationError";
  if (dynamic_cast<const SummaryStatsError*>(&error)) return "SummaryStatsError";
  if (dynamic_cast<const ArgumentError*>(&error)) return "ArgumentError";
  if (dynamic_cast<const IoError*>(&error)) return "IoError";
  return "BayesFlowError";
}

void translate(const std::exception_ptr& thrown, void*) {
  try {
    std::rethrow_exception(thrown);
  } catch (const PythonFailure& failure) {
    const nb::object original = failure.original();
    (void)take();
    PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(original.ptr())), original.ptr());
  } catch (const Error& error) {
    // KeyboardInterrupt and SystemExit are no failures that the library could add words to.
    if (passing && !PyObject_IsInstance(passing, PyExc_Exception)) {
      const nb::object original = take();
      PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(original.ptr())), original.ptr());
      return;
    }
    const nb::object type = nb::module_::import_("bayesflow_cpp.exceptions").attr(name_of(error));
    const nb::object exception = type(error.what());
    if (passing) PyException_SetCause(exception.ptr(), take().release().ptr());
    PyErr_SetObject(type.ptr(), exception.ptr());
  }
}

}  // namespace

void check_signals() {
  const nb::gil_scoped_acquire gil;
  if (PyErr_CheckSignals() == 0) return;
  nb::python_error raised;
  throw PythonFailure(raised);
}

PythonFailure::PythonFailure(nb::python_error& error) : PythonFailure(kept_object_of(error)) {}
PythonFailure::PythonFailure(std::shared_ptr<nb::object> original) : SimulationError(text_of(*original)), original_(std::move(original)) {}

Logger python_logger() {
  return [](LogLevel level, std::string_view text) {
    const nb::gil_scoped_acquire gil;
    const nb::object logger = nb::module_::import_("logging").attr("getLogger")("bayesflow_cpp");
    logger.attr(level == LogLevel::warning ? "warning" : "info")("%s", nb::str(text.data(), text.size()));
  };
}

void bind_errors(nb::module_&) { nb::register_exception_translator(translate, nullptr); }

}  // namespace bayesflow::python
