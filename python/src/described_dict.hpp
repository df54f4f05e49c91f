/// Described options from a dictionary of Python.
#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bayesflow/core/describe.hpp"
#include "bayesflow/nn/schedule.hpp"
#include "io/described_json.hpp"
#include "module.hpp"
#include "networks.hpp"

namespace bayesflow::python {

/// A learning rate: a number, (kind, rates, steps), a function of the step, or None.
nn::Schedule schedule_of(nb::handle rate);

/// Dictionary -> options. Fields that the dictionary does not name keep their values. Throws ConfigurationError for keys that are no
/// fields, and for values of another type; the message names the field as a Validator does.
class DictReader {
 public:
  DictReader(nb::dict from, std::string owner) : from_(std::move(from)), owner_(std::move(owner)) {}

  template <class T>
  void operator()(const char* name, T& value, const Constraint& /*constraint*/ = {}) {
    known_.push_back(name);
    if (from_.contains(name)) read(owner_ + "::" + name, from_[name], value);
  }
  template <class T>
  void later(const char* name, T& value, const T& /*usual*/, const Constraint& constraint = {}) {
    (*this)(name, value, constraint);
  }
  /// All fields of `options`.
  template <class T>
  static void fill(T& options, nb::handle from, const std::string& owner) {
    if (!nb::isinstance<nb::dict>(from)) refuse(owner, "a dictionary", from);
    DictReader reader(nb::borrow<nb::dict>(from), owner);
    describe(reader, options);
    std::string all;
    for (const char* name : reader.known_) all += (all.empty() ? "" : ", ") + std::string(name);
    for (const nb::handle key : reader.from_.keys())
      if (std::ranges::none_of(reader.known_, [&](const char* name) { return key.equal(nb::str(name)); }))
        throw ConfigurationError(owner + ": unknown key " + nb::cast<std::string>(nb::repr(key)) + "; there are " + all);
  }

 private:
  template <class T>
  static void read(const std::string& name, nb::handle from, T& value) {
    if constexpr (std::is_same_v<T, SummaryPart>) {
      if (!nb::isinstance<SummaryFactory>(from)) refuse(name, "a summary network", from);
      value = nb::cast<const SummaryFactory&>(from).part;
    } else if constexpr (std::is_same_v<T, Activation>) {
      value = activation_from(text(name, from));
    } else if constexpr (std::is_same_v<T, nn::Initializer>) {
      value = nn::initializer_from(text(name, from));
    } else if constexpr (std::is_enum_v<T>) {
      const std::string wanted = text(name, from);
      std::string all;
      for (const auto& [item, known] : names_of(value)) {
        if (wanted == known) {
          value = item;
          return;
        }
        all += (all.empty() ? "\"" : ", \"") + std::string(known) + "\"";
      }
      refuse(name, "one of " + all, from);
    } else if constexpr (std::is_same_v<T, std::string>) {
      value = text(name, from);
    } else if constexpr (std::is_same_v<T, bool>) {
      if (!PyBool_Check(from.ptr())) refuse(name, "True or False", from);
      value = from.is(Py_True);
    } else if constexpr (std::is_floating_point_v<T>) {
      const double number = PyBool_Check(from.ptr()) ? -1.0 : PyFloat_AsDouble(from.ptr());
      if (PyBool_Check(from.ptr()) || failed()) refuse(name, "a number", from);
      value = static_cast<T>(number);
    } else if constexpr (std::is_integral_v<T>) {
      const nb::object index = PyBool_Check(from.ptr()) ? nb::object() : nb::steal(PyNumber_Index(from.ptr()));
      if (failed() || !index.is_valid()) refuse(name, "an integer", from);
      bool fits = false;
      if constexpr (std::is_unsigned_v<T>) {
        const unsigned long long number = PyLong_AsUnsignedLongLong(index.ptr());
        fits = !failed() && std::in_range<T>(number);
        value = static_cast<T>(number);
      } else {
        const long long number = PyLong_AsLongLong(index.ptr());
        fits = !failed() && std::in_range<T>(number);
        value = static_cast<T>(number);
      }
      constexpr int kBits = std::numeric_limits<T>::digits;
      if (!fits)
        refuse(name, (std::is_unsigned_v<T> ? "an integer from 0 to below 2^" : "an integer below 2^") + std::to_string(kBits), from);
    } else if constexpr (std::is_same_v<T, std::filesystem::path>) {
      value = path_of(text(name, from));
    } else if constexpr (std::is_same_v<T, nn::Schedule>) {
      value = schedule_of(from);
    } else if constexpr (bayesflow::detail::IsVector<T>::value) {
      if (!nb::isinstance<nb::list>(from) && !nb::isinstance<nb::tuple>(from)) refuse(name, "a list", from);
      value.clear();
      for (const nb::handle item : from) read(name, item, value.emplace_back());
    } else if (nb::isinstance<T>(from)) {
      value = nb::cast<const T&>(from);
    } else {
      fill(value, from, name);
    }
  }
  template <class T>
  static void read(const std::string& name, nb::handle from, std::optional<T>& value) {
    value.reset();
    if (!from.is_none()) read(name, from, value.emplace());
  }
  static std::string text(const std::string& name, nb::handle from) {
    if (!nb::isinstance<nb::str>(from)) refuse(name, "a text", from);
    return nb::cast<std::string>(from);
  }
  static bool failed() {
    const bool raised = PyErr_Occurred() != nullptr;
    PyErr_Clear();
    return raised;
  }
  [[noreturn]] static void refuse(const std::string& name, const std::string& wanted, nb::handle got) {
    std::string shown = nb::cast<std::string>(nb::repr(got));
    if (shown.size() > 60) shown = nb::cast<std::string>(nb::str(nb::getattr(got.type(), "__name__")));
    throw ConfigurationError(name + " must be " + wanted + "; got " + shown);
  }

  nb::dict from_;
  std::string owner_;
  std::vector<const char*> known_;
};

/// A class of Python for a struct of options: its fields are keyword arguments with the defaults of the struct.
template <class T>
nb::class_<T> bind_described(nb::module_& m, const char* name) {
  return nb::class_<T>(m, name)
      .def("__init__",
           [name](T* self, const nb::kwargs& fields) {
             T options;
             DictReader::fill(options, fields, name);
             options.validate();
             new (self) T(std::move(options));
           })
      .def_static("defaults", [] { return nb::module_::import_("json").attr("loads")(io::OptionWriter::of(T()).dump()); })
      .def("__repr__", [name](const T& self) { return std::string(name) + "(" + described_text(self) + ")"; });
}

}  // namespace bayesflow::python
