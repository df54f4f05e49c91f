/// What steps do. Each kind has the functions below for its struct.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bayesflow/adapter/adapter.hpp"
#include "bayesflow/core/errors.hpp"

namespace bayesflow::adapter {

/// Where an adapter stands: for sentences, and for what a step has to know of its place.
struct Place {
  std::size_t number;  ///< of the step, from 1
  const char* name;
  std::string field;
  std::set<std::string> targets;                                      ///< before the step
  const std::map<std::string, std::vector<std::string>>* names = {};  ///< of columns, by field
  [[nodiscard]] bool is_target() const { return targets.contains(field); }
  [[nodiscard]] std::string to_string() const { return fmt::format("Adapter: step {} ({} of {})", number, name, field); }
  /// "column 1 (sigma)"
  [[nodiscard]] std::string column(std::int64_t column) const;
  template <class... Args>
  [[noreturn]] void refuse(fmt::format_string<Args...> text, Args&&... args) const {
    throw ConfigurationError(to_string() + ": " + fmt::format(text, std::forward<Args>(args)...));
  }
};

/// The fields, and of targets the logarithm of the determinant so far.
struct Fields {
  Simulations values;
  std::map<std::string, Array> log_det;
  Outside outside = Outside::refuse;
  const Simulations* before = nullptr;  ///< of the inverse: what `keep` kept
};

/// Values of a field as rows of its last axis, and which of them count: not those that a mask (field_mask, of as many leading axes of the
/// field as it has) leaves out.
class Rows {
 public:
  Rows(const Simulations& of, std::string_view field, const Array& values);
  [[nodiscard]] std::int64_t count() const { return rows_; }
  [[nodiscard]] std::int64_t width() const { return width_; }
  [[nodiscard]] bool counts(std::int64_t row) const { return !mask_ || mask_->data()[row / per_mask_] != 0; }

 private:
  std::int64_t rows_, width_, per_mask_ = 1;
  const Array* mask_ = nullptr;
};

/// Throws ShapeError unless rows have as many columns as the adapter was fitted to.
void require_width(const Rows& rows, const Array& values, std::int64_t width, const Place& at);
/// Of a target without its last axis; one number of each data set is a row.
[[nodiscard]] Shape shape_of_rows(const Array& values);
/// The logarithm of the determinant so far of a target.
[[nodiscard]] Array& log_det_of(Fields& fields, const std::string& field, const Array& values);
/// Sets a field of any name, also that of a role.
void put(Simulations& in, const std::string& name, Array values, FieldRole role);
void erase(Simulations& from, std::string_view name);
/// The field's values; null: it is a target that is not there. Throws ConfigurationError for any other field that is missing.
[[nodiscard]] Array* find(Simulations& in, const Place& at);
/// Numbers of the columns that a step acts on, in the order of the field (all of them, if the step names none). Numbers become positive,
/// and names become numbers.
void resolve(std::vector<std::int64_t>& columns, std::vector<std::string>& names, std::int64_t width, const Place& at);

}  // namespace bayesflow::adapter
