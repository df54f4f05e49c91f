/// Result structs of the diagnostics as Python classes: an attribute of the same name for every member, and the tables of all of them.
#pragma once

#include <type_traits>
#include <utility>

#include "arrays.hpp"
#include "bayesflow/diagnostics/table.hpp"
#include "module.hpp"

namespace bayesflow::python {

void bind_estimates(nb::module_& m);
void bind_calibration(nb::module_& m);
void bind_samples(nb::module_& m);

inline Array numbers(const std::vector<double>& values) { return Array({static_cast<std::int64_t>(values.size())}, values); }
inline Array numbers(const std::vector<std::int64_t>& values) { return numbers(std::vector<double>(values.begin(), values.end())); }

/// {table: pandas.DataFrame}; pandas is imported here and not before.
[[nodiscard]] nb::dict data_frames(const std::vector<diagnostics::Table>& tables);
void write_csv_files(const std::vector<diagnostics::Table>& tables, const std::string& folder);

/// `work` without the GIL; its arguments were converted with it.
template <class F>
auto unlocked(F&& work) {
  const nb::gil_scoped_release nogil;
  return work();
}

/// A class with an attribute per member: vectors of numbers arrive as NumPy arrays, everything else as its Python kind. Values are
/// copies, so that they outlive the result and can be changed.
template <class T>
class ResultClass {
 public:
  ResultClass(nb::module_& m, const char* name, const char* doc) : type_(m, name, doc) {
    if constexpr (requires(const T& self) { self.tables(); })
      type_
          .def(
              "tables", [](const T& self) { return data_frames(self.tables()); },
              "Dictionary of pandas DataFrames with all the numbers, named as in the library's CSV and JSON.")
          .def(
              "to_csv", [](const T& self, const std::string& folder) { write_csv_files(self.tables(), folder); }, "folder"_a,
              "Writes every table as <folder>/<table>.csv; makes the folder if need be.")
          .def(
              "to_json", [](const T& self) { return diagnostics::to_json(self.tables()); },
              "All tables as a JSON text; numbers that are not finite are null.")
          .def(
              "to_json", [](const T& self, const std::string& path) { diagnostics::write_json(self.tables(), path); }, "path"_a,
              "Writes all tables into one JSON file.")
          .def(
              "to_hdf5", [](const T& self, const std::string& path) { diagnostics::write_hdf5(self.tables(), path); }, "path"_a,
              "Writes all tables into one HDF5 file: a group per table, a dataset per column.");
  }

  template <class M>
  ResultClass& field(const char* name, M T::*member, const char* doc) {
    if constexpr (std::is_same_v<M, std::vector<double>> || std::is_same_v<M, std::vector<std::int64_t>>)
      type_.def_prop_ro(
          name, [member](const T& self) { return numbers(self.*member); }, doc);
    else
      type_.def_prop_ro(
          name, [member](const T& self) -> M { return self.*member; }, nb::rv_policy::move, doc);
    return *this;
  }
  /// A member that is a result itself and may be large: not copied, and it keeps its owner alive.
  template <class M>
  ResultClass& part(const char* name, M T::*member, const char* doc) {
    type_.def_ro(name, member, doc);
    return *this;
  }
  nb::class_<T>& type() { return type_; }

 private:
  nb::class_<T> type_;
};

}  // namespace bayesflow::python
