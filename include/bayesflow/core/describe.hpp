/// Described options: each struct of options has one function beside it that names its fields. Files, validation, Python's arguments and
/// reports come from it.
///
///   template <class V>
///   void describe(V& v, MyOptions& o) {
///     v("units", o.units, width());
///     v("rate", o.rate, positive());
///     v.later("bias", o.bias, true);  // added after files were released: in a file only where it differs from this
///   }
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "bayesflow/core/errors.hpp"

namespace bayesflow {

/// What a number among options may be.
struct Constraint {
  static constexpr double kInfinity = std::numeric_limits<double>::infinity();
  double low = -kInfinity, high = kInfinity;
  bool above = false, below = false;  ///< the bounds themselves are excluded
  bool is_width = false;              ///< a number of units, which a file's weights bound
  bool is_free = false;               ///< takes no memory of its own (a number of steps): in files its bounds are all that limits it
  [[nodiscard]] bool allows(double value) const;
  [[nodiscard]] std::string to_string() const;  ///< "at least 1"
};
[[nodiscard]] constexpr Constraint at_least(double low) { return {.low = low}; }
[[nodiscard]] constexpr Constraint positive() { return {.low = 0, .above = true}; }
[[nodiscard]] constexpr Constraint between(double low, double high) { return {.low = low, .high = high}; }
[[nodiscard]] constexpr Constraint probability() { return {.low = 0, .high = 1, .below = true}; }  ///< [0, 1)
[[nodiscard]] constexpr Constraint width() { return {.low = 1, .is_width = true}; }                ///< a number of units, at least 1
/// As `between`, of a setting that may change when a file is loaded.
[[nodiscard]] constexpr Constraint steps(double low, double high) { return {.low = low, .high = high, .is_free = true}; }

[[nodiscard]] constexpr Constraint column() { return {.low = -1e15, .is_width = true}; }  ///< negative: counted from the end

/// Values of an enumeration with their names in files and in Python: `names_of(Enum)`, beside the enumeration, returns them.
template <class Enum>
using EnumNames = std::vector<std::pair<Enum, const char*>>;

namespace detail {

/// The values from 0 to `last`, by their to_string.
template <class Enum>
EnumNames<Enum> names_up_to(Enum last) {
  EnumNames<Enum> out;
  for (int i = 0; i <= static_cast<int>(last); ++i) out.emplace_back(static_cast<Enum>(i), to_string(static_cast<Enum>(i)));
  return out;
}

template <class T>
struct IsVector : std::false_type {};
template <class T>
struct IsVector<std::vector<T>> : std::true_type {};
template <class T>
constexpr bool kIsPlain = std::is_arithmetic_v<T> || std::is_same_v<T, std::string>;

/// Throws ConfigurationError for the first field that its constraint does not allow.
class Validator {
 public:
  explicit Validator(std::string owner) : owner_(std::move(owner)) {}
  template <class T>
  void operator()(const char* name, const T& value, const Constraint& constraint = {}) {
    if constexpr (std::is_arithmetic_v<T> && !std::is_same_v<T, bool>) {
      if (!constraint.allows(static_cast<double>(value))) refuse(name, static_cast<double>(value), constraint);
    } else if constexpr (IsVector<T>::value) {
      for (const auto& item : value) (*this)(name, item, constraint);
    } else if constexpr (!kIsPlain<T> && !std::is_enum_v<T>) {
      Validator inner(owner_ + "::" + name);
      inner.options(value);
    }
  }
  template <class T>
  void operator()(const char* name, const std::optional<T>& value, const Constraint& constraint = {}) {
    if (value) (*this)(name, *value, constraint);
  }
  template <class T>
  void later(const char* name, const T& value, const T& /*usual*/, const Constraint& constraint = {}) {
    (*this)(name, value, constraint);
  }
  template <class T>
  void options(const T& o) {
    describe(*this, const_cast<T&>(o));  // only read: one function serves all directions
  }

 private:
  [[noreturn]] void refuse(const char* name, double value, const Constraint& constraint) const;
  std::string owner_;
};

}  // namespace detail

/// Throws ConfigurationError "DeepSetOptions::summary_dim = 0; it must be at least 1".
template <class T>
void validate_described(const T& options, const char* owner) {
  detail::Validator v(owner);
  v.options(options);
}

}  // namespace bayesflow
