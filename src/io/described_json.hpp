/// Described options as JSON, in both directions.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "bayesflow/core/describe.hpp"
#include "io/json_numbers.hpp"

namespace bayesflow::io {

using Json = nlohmann::json;

/// Options -> JSON.
class OptionWriter {
 public:
  /// `of_result`: without options that change no result.
  explicit OptionWriter(bool of_result = false) : of_result_(of_result) {}
  template <class T>
  void operator()(const char* name, const T& value, const Constraint& constraint = {}) {
    if (!of_result_ || !constraint.is_execution) json_[name] = one(value);
  }
  template <class T>
  void later(const char* name, const T& value, const T& usual, const Constraint& constraint = {}) {
    if (value != usual) (*this)(name, value, constraint);
  }
  /// Those that the result depends on.
  template <class T>
  static Json of_result(const T& options) {
    OptionWriter writer(true);
    describe(writer, const_cast<T&>(options));  // only read
    return std::move(writer.json_);
  }
  template <class T>
  static Json of(const T& options) {
    OptionWriter writer;
    describe(writer, const_cast<T&>(options));  // only read: one function serves both directions
    return std::move(writer.json_);
  }

 private:
  template <class T>
  static Json one(const T& value) {
    if constexpr (std::is_enum_v<T>) {
      for (const auto& [item, text] : names_of(value))
        if (item == value) return text;
      throw std::logic_error("an enumeration has a value without a name");
    } else if constexpr (bayesflow::detail::kIsPlain<T>) {
      return value;
    } else if constexpr (std::is_same_v<T, std::filesystem::path>) {
      return value.string();
    } else if constexpr (bayesflow::detail::HasDescription<T>) {
      return one(described_as(value));
    } else if constexpr (bayesflow::detail::IsVector<T>::value) {
      Json list = Json::array();
      for (const auto& item : value) list.push_back(one(item));
      return list;
    } else {
      return of(value);
    }
  }
  template <class T>
  static Json one(const std::optional<T>& value) {
    return value ? one(*value) : Json();
  }
  Json json_ = Json::object();
  bool of_result_;
};

/// What numbers in a file may be, at most: whole numbers are counts of parts, or widths of them.
struct OptionLimits {
  std::int64_t max_count, max_width;
  int max_depth = 64;  // of options in options
};

/// JSON -> options. Every field must be there, and no other but the later ones. Throws for anything else.
class OptionReader {
 public:
  OptionReader(const Json& json, const OptionLimits& limits) : json_(&json), limits_(limits) {}

  template <class T>
  void operator()(const char* name, T& value, const Constraint& constraint = {}) {
    ++seen_;
    read(name, json_->at(name), value, constraint);
  }
  template <class T>
  void later(const char* name, T& value, const T& usual, const Constraint& constraint = {}) {
    if (json_->contains(name))
      (*this)(name, value, constraint);
    else
      value = usual;
  }
  /// All fields of `options`.
  template <class T>
  static void fill(T& options, const Json& json, const OptionLimits& limits) {
    if (!json.is_object()) throw std::runtime_error("options are no object");
    OptionReader reader(json, limits);
    describe(reader, options);
    if (reader.seen_ != json.size()) throw std::runtime_error("there are options that this library does not know");
  }

 private:
  template <class T>
  void read(const char* name, const Json& from, T& value, const Constraint& constraint) const {
    if constexpr (std::is_enum_v<T>) {
      const auto text = from.template get<std::string>();
      for (const auto& [item, known] : names_of(value))
        if (text == known) {
          value = item;
          return;
        }
      throw std::runtime_error(fmt::format("{} is \"{}\"", name, text));
    } else if constexpr (std::is_same_v<T, std::int64_t>) {
      value = io::integer<std::int64_t>(from);
      const std::int64_t most = constraint.is_free    ? static_cast<std::int64_t>(constraint.high)
                                : constraint.is_width ? limits_.max_width
                                                      : limits_.max_count;
      if (value < (constraint.is_width && constraint.low < 0 ? -most : 0) || value > most)
        throw std::runtime_error(fmt::format("{} is {}", name, value));
    } else if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
      value = io::integer<T>(from);
    } else if constexpr (bayesflow::detail::kIsPlain<T>) {
      value = from.template get<T>();
    } else if constexpr (std::is_same_v<T, std::filesystem::path>) {
      value = from.template get<std::string>();
    } else if constexpr (bayesflow::detail::HasDescription<T>) {
      decltype(described_as(value)) description{};
      read(name, from, description, constraint);
      value = T(description);
    } else if constexpr (bayesflow::detail::IsVector<T>::value) {
      if (!from.is_array()) throw std::runtime_error(fmt::format("{} is no list", name));
      value.clear();
      for (const Json& item : from) read(name, item, value.emplace_back(), constraint);
    } else {
      if (limits_.max_depth == 0) throw std::runtime_error(fmt::format("{} lies too deep", name));
      fill(value, from, {limits_.max_count, limits_.max_width, limits_.max_depth - 1});
    }
  }
  template <class T>
  void read(const char* name, const Json& from, std::optional<T>& value, const Constraint& constraint) const {
    value.reset();
    if (!from.is_null()) read(name, from, value.emplace(), constraint);
  }
  const Json* json_;
  OptionLimits limits_;
  std::size_t seen_ = 0;
};

}  // namespace bayesflow::io
