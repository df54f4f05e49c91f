/// Result structs of the diagnostics as Python classes: an attribute of the same name for every member, and the tables of all of them.
#pragma once

#include <functional>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include "arrays.hpp"
#include "bayesflow/core/errors.hpp"
#include "bayesflow/diagnostics/table.hpp"
#include "module.hpp"

namespace bayesflow::python {

void bind_estimates(nb::module_& m);
void bind_calibration(nb::module_& m);
void bind_two_level(nb::module_& m);
void bind_samples(nb::module_& m);

inline Array numbers(const std::vector<double>& values) { return Array({static_cast<std::int64_t>(values.size())}, values); }
inline Array numbers(const std::vector<std::int64_t>& values) { return numbers(std::vector<double>(values.begin(), values.end())); }

/// {table: pandas.DataFrame}; pandas is imported here and not before.
[[nodiscard]] nb::dict data_frames(const std::vector<diagnostics::Table>& tables);
void write_csv_files(const std::vector<diagnostics::Table>& tables, const std::string& folder);

/// A class with an attribute per member: vectors of numbers arrive as NumPy arrays, everything else as its Python kind. Values are
/// copies, so that they outlive the result and can be changed.
template <class T>
class ResultClass {
 public:
  ResultClass(nb::module_& m, const char* name, const char* doc) : type_(m, name, doc) {
    // For pickle: the members in their order.
    type_
        .def("__getstate__",
             [members = members_](const T& self) {
               nb::list out;
               for (const Member& member : *members) out.append(member.get(self));
               return nb::tuple(out);
             })
        .def("__setstate__", [members = members_](T& self, const nb::tuple& state) {
          if (state.size() != members->size()) throw ArgumentError("this result was pickled by another version of bayesflow_cpp");
          new (&self) T();
          for (std::size_t i = 0; i < members->size(); ++i) (*members)[i].set(self, state[i]);
        });
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
    members_->push_back({[member](const T& self) { return nb::cast(self.*member, nb::rv_policy::copy); },
                         [member](T& self, const nb::handle& value) { self.*member = nb::cast<M>(value); }});
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
    members_->push_back({[member](const T& self) { return nb::cast(self.*member, nb::rv_policy::copy); },
                         [member](T& self, const nb::handle& value) { self.*member = nb::cast<M>(value); }});
    type_.def_ro(name, member, doc);
    return *this;
  }
  /// An enumeration that has an attribute of another kind: pickled, too.
  template <class M>
  requires std::is_enum_v<M> ResultClass& kept(M T::*member) {
    members_->push_back({[member](const T& self) { return nb::cast(static_cast<int>(self.*member)); },
                         [member](T& self, const nb::handle& value) { self.*member = static_cast<M>(nb::cast<int>(value)); }});
    return *this;
  }
  nb::class_<T>& type() { return type_; }

 private:
  struct Member {
    std::function<nb::object(const T&)> get;
    std::function<void(T&, const nb::handle&)> set;
  };
  std::shared_ptr<std::vector<Member>> members_ = std::make_shared<std::vector<Member>>();
  nb::class_<T> type_;
};

}  // namespace bayesflow::python
