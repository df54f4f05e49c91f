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
#include <filesystem>
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
  bool infinite_too = false;          ///< infinity is allowed beyond a bound that is none
  bool is_execution = false;          ///< says how the work is done (threads, places of files), and changes nothing of what comes out
  const char* note = "";              ///< "0: all"
  [[nodiscard]] bool allows(double value) const;
  /// The same of an option that changes no result.
  [[nodiscard]] constexpr Constraint without_effect() const {
    Constraint out = *this;
    out.is_execution = true;
    return out;
  }
  [[nodiscard]] constexpr Constraint or_infinite() const {
    Constraint out = *this;
    out.infinite_too = true;
    return out;
  }
  [[nodiscard]] constexpr Constraint with_note(const char* text) const {
    Constraint out = *this;
    out.note = text;
    return out;
  }
  [[nodiscard]] std::string to_string() const;  ///< "at least 1"
};
[[nodiscard]] constexpr Constraint at_least(double low) { return {.low = low}; }
[[nodiscard]] constexpr Constraint positive() { return {.low = 0, .above = true}; }
[[nodiscard]] constexpr Constraint between(double low, double high) { return {.low = low, .high = high}; }
[[nodiscard]] constexpr Constraint finite() { return between(std::numeric_limits<double>::lowest(), std::numeric_limits<double>::max()); }
[[nodiscard]] constexpr Constraint inside(double low, double high) {  ///< (low, high)
  return {.low = low, .high = high, .above = true, .below = true};
}
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
/// A class that is no struct of options but has a description: `described_as(value)`, beside the class, and a constructor that takes one.
/// It checks itself when it is made.
template <class T>
concept HasDescription = requires(const T& value) {
  described_as(value);
};

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
    } else if constexpr (!kIsPlain<T> && !std::is_enum_v<T> && !HasDescription<T> && !std::is_same_v<T, std::filesystem::path>) {
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

namespace detail {

/// Options as text, in the order of their description.
class OptionText {
 public:
  template <class T>
  void operator()(const char* name, const T& value, const Constraint& constraint = {}) {
    if (constraint.is_execution) return;
    if (!text_.empty()) text_ += ", ";
    text_ += name;
    text_ += " = ";
    add(value);
  }
  template <class T>
  void operator()(const char* name, const std::optional<T>& value, const Constraint& constraint = {}) {
    if (value) (*this)(name, *value, constraint);
  }
  template <class T>
  void later(const char* name, const T& value, const T& usual, const Constraint& constraint = {}) {
    if (value != usual) (*this)(name, value, constraint);
  }
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  template <class T>
  void add(const T& value) {
    if constexpr (std::is_enum_v<T>) {
      for (const auto& [item, name] : names_of(value))
        if (item == value) text_ += name;
    } else if constexpr (std::is_same_v<T, bool>) {
      text_ += value ? "true" : "false";
    } else if constexpr (std::is_arithmetic_v<T>) {
      add_number(value);
    } else if constexpr (std::is_same_v<T, std::string>) {
      text_ += '"' + value + '"';
    } else if constexpr (HasDescription<T>) {
      if (const auto description = described_as(value))
        add(*description);
      else
        text_ += "none";
    } else if constexpr (IsVector<T>::value) {
      text_ += '[';
      for (std::size_t i = 0; i < value.size(); ++i) {
        if (i) text_ += ", ";
        add(value[i]);
      }
      text_ += ']';
    } else {
      OptionText inner;
      describe(inner, const_cast<T&>(value));  // only read
      text_ += '(' + inner.text_ + ')';
    }
  }
  void add_number(double value);
  void add_number(std::int64_t value);
  template <class T>
  void add_number(T value) {
    add_number(static_cast<std::conditional_t<std::is_integral_v<T>, std::int64_t, double>>(value));
  }
  std::string text_;
};

}  // namespace detail

/// "epochs = 10, batch_size = 32, optimizer = (kind = adam, ...)": without options that change no result and those that are not set.
template <class T>
std::string described_text(const T& options) {
  detail::OptionText out;
  describe(out, const_cast<T&>(options));  // only read
  return out.text();
}

/// Throws ConfigurationError "DeepSetOptions::summary_dim = 0; it must be at least 1".
template <class T>
void validate_described(const T& options, const char* owner) {
  detail::Validator v(owner);
  v.options(options);
}

}  // namespace bayesflow
