/// Numbers out of JSON and text, which may be forged, under any locale.
#pragma once

#include <fmt/format.h>
#include <locale.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <clocale>
#include <concepts>
#include <cstdint>
#include <new>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace bayesflow::io {

/// The text of a number: "2.5", "-1e-3", "inf" or "nan"; all of it, and the same under every locale. Throws std::runtime_error.
[[nodiscard]] inline double number_from(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size())
    throw std::runtime_error(fmt::format("\"{}\" is where a number should be", text));
  return value;
}

inline const locale_t c_locale = ::newlocale(LC_ALL_MASK, "C", nullptr);

/// Parses JSON under the "C" locale: the library's parser reads numbers by strtod, which misreads them where the decimal point has more
/// than one byte. Throws its exceptions.
[[nodiscard]] inline nlohmann::json parse_json(std::string_view text) {
  if (!c_locale) throw std::bad_alloc();
  struct Thread {  // the locale of this thread alone
    locale_t before = ::uselocale(c_locale);
    ~Thread() { ::uselocale(before); }
  } const thread;
  return nlohmann::json::parse(text);
}

/// Throws std::runtime_error unless `json` is an integer that T holds. The library's own conversion casts any number, and casting 1e300 to
/// an integer is undefined behaviour.
template <std::integral T>
[[nodiscard]] T integer(const nlohmann::json& json) {
  if (json.is_number_unsigned()) {
    if (const auto value = json.get<std::uint64_t>(); std::in_range<T>(value)) return static_cast<T>(value);
  } else if (json.is_number_integer()) {
    if (const auto value = json.get<std::int64_t>(); std::in_range<T>(value)) return static_cast<T>(value);
  }
  throw std::runtime_error(
      fmt::format("{} is where an integer of {} bytes should be", json.is_number() ? json.dump() : json.type_name(), sizeof(T)));
}

template <std::integral T>
[[nodiscard]] std::vector<T> integers(const nlohmann::json& json) {
  if (!json.is_array()) throw std::runtime_error(fmt::format("{} is where a list of integers should be", json.type_name()));
  std::vector<T> out;
  out.reserve(json.size());
  for (const nlohmann::json& item : json) out.push_back(integer<T>(item));
  return out;
}

template <std::integral T, std::size_t kCount>
[[nodiscard]] std::array<T, kCount> integers(const nlohmann::json& json) {
  const std::vector<T> all = integers<T>(json);
  if (all.size() != kCount) throw std::runtime_error(fmt::format("a list of {} integers is where {} should be", all.size(), kCount));
  std::array<T, kCount> out;
  std::copy_n(all.begin(), kCount, out.begin());
  return out;
}

}  // namespace bayesflow::io
