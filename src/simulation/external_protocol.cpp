#include "simulation/external_protocol.hpp"

#include <fmt/format.h>
#include <stdlib.h>

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>
#include <iterator>
#include <limits>
#include <optional>
#include <stdexcept>
#include <vector>

#include "io/json_numbers.hpp"

namespace bayesflow::detail {
namespace {

static_assert(std::endian::native == std::endian::little, "the binary format is that of little-endian machines");

constexpr std::int64_t kMostValues = std::int64_t{1} << 31;
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

[[noreturn]] void fail(const std::string& text) { throw std::runtime_error(text); }

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r\n";
  const std::size_t first = text.find_first_not_of(kBlanks);
  return first == std::string_view::npos ? std::string_view() : text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

/// The beginning of what was written, for messages.
std::string shown(std::string_view text) {
  std::string out;
  text = trimmed(text);
  for (const char c : text.substr(0, 80)) out += static_cast<unsigned char>(c) < 32 || static_cast<unsigned char>(c) == 127 ? '?' : c;
  return fmt::format("\"{}\"{}", out, text.size() > 80 ? "..." : "");
}

void require_simulation(std::int64_t got, std::uint64_t simulation) {
  if (got < 0 || static_cast<std::uint64_t>(got) != simulation)
    fail(fmt::format("answered simulation {}; it was asked for {}. It must write one answer for each request, with the request's number",
                     got, simulation));
}

/// A number as R, Fortran, C and others write it; nothing if it is none.
std::optional<double> number_in(std::string_view text) {
  if (text == "NA") return kNaN;
  if (text.starts_with('+')) text.remove_prefix(1);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (end != text.data() + text.size() || error == std::errc::invalid_argument) return std::nullopt;
  if (error == std::errc::result_out_of_range) return ::strtod_l(std::string(text).c_str(), nullptr, io::c_locale);  // 0 or infinity
  return value;
}

Array shaped(std::vector<double> values, const Shape& nested, const Shape& shape) {
  if (shape.rank() == 0) return Array(nested, values);
  if (static_cast<std::int64_t>(values.size()) != shape.size() || (nested.rank() > 1 && nested != shape))
    fail(nested.rank() > 1
             ? fmt::format("answered with data of the shape {}; the simulator's shape is {}", nested.to_string(), shape.to_string())
             : fmt::format("answered with {} values; the simulator's shape {} has {}", values.size(), shape.to_string(), shape.size()));
  return Array(shape, values);
}

// --- JSON ---

/// JSON has no NaN and no infinities, but many programs write them: they become null.
std::string with_null(std::string_view text) {
  std::string out;
  bool quoted = false;
  for (std::size_t i = 0; i < text.size();) {
    if (text[i] == '"') quoted = !quoted;
    if (quoted && text[i] == '\\') {
      out += text.substr(i, 2);
      i += 2;
      continue;
    }
    constexpr std::array<std::string_view, 8> kWords = {"NaN", "-Infinity", "Infinity", "-inf", "inf", "nan", "-Inf", "Inf"};
    const auto* word =
        quoted ? kWords.end() : std::ranges::find_if(kWords, [&](std::string_view w) { return text.substr(i).starts_with(w); });
    if (word == kWords.end()) {
      out += text[i++];
    } else {
      out += "null";
      i += word->size();
    }
  }
  return out;
}

/// The extents of nested lists, as their first elements have them.
Shape nesting(const nlohmann::json& data) {
  Shape out;
  const nlohmann::json* at = &data;
  while (at->is_array()) {
    if (out.rank() == Shape::kMaxRank) fail(fmt::format("answered with lists in more than {} levels", Shape::kMaxRank));
    out.push_back(static_cast<std::int64_t>(at->size()));
    if (at->empty()) break;
    at = &at->front();
  }
  return out;
}

void append(const nlohmann::json& data, const Shape& shape, int axis, std::vector<double>& out) {
  if (axis < shape.rank()) {
    if (!data.is_array() || static_cast<std::int64_t>(data.size()) != shape[axis])
      fail(fmt::format("answered with lists of different lengths; the first ones have the shape {}", shape.to_string()));
    for (const nlohmann::json& part : data) append(part, shape, axis + 1, out);
  } else if (data.is_number()) {
    out.push_back(data.get<double>());
  } else if (data.is_null() || data == "NA" || data == "NaN" || data == "Inf" || data == "-Inf") {
    out.push_back(kNaN);
  } else {
    fail(fmt::format("answered with {} where a number should be", shown(data.dump())));
  }
}

Array from_json(std::string_view line, std::uint64_t simulation, const Shape& shape) {
  nlohmann::json answer;
  try {
    answer = io::parse_json(with_null(line));
  } catch (const nlohmann::json::exception&) {
    fail(fmt::format("wrote a line that is not JSON: {}. Standard output is for answers; write everything else to standard error",
                     shown(line)));
  }
  if (!answer.is_object() || !answer.contains("simulation") || !answer["simulation"].is_number() ||
      answer.contains("data") == answer.contains("error"))
    fail(fmt::format(R"(answered with {}; {{"simulation": {}, "data": [...]}} or {{"simulation": {}, "error": "..."}} is required)",
                     shown(line), simulation, simulation));
  require_simulation(static_cast<std::int64_t>(std::clamp(answer["simulation"].get<double>(), -1.0, 9e18)), simulation);
  if (answer.contains("error"))
    throw ExternalFailure{answer["error"].is_string() ? answer["error"].get<std::string>() : answer["error"].dump()};
  const nlohmann::json& data = answer["data"];
  const Shape nested = data.is_array() ? nesting(data) : Shape{1};
  std::vector<double> values;
  data.is_array() ? append(data, nested, 0, values) : append(data, {}, 0, values);
  return shaped(std::move(values), nested, shape);
}

// --- CSV ---

Array from_csv(std::string_view line, std::uint64_t simulation, const Shape& shape) {
  std::vector<std::string_view> fields;
  for (std::string_view rest = trimmed(line); true; rest.remove_prefix(rest.find(',') + 1)) {
    fields.push_back(trimmed(rest.substr(0, rest.find(','))));
    if (rest.find(',') == std::string_view::npos) break;
  }
  std::int64_t number = -1;
  const auto [end, error] = std::from_chars(fields[0].data(), fields[0].data() + fields[0].size(), number);
  if (error != std::errc() || end != fields[0].data() + fields[0].size())
    fail(fmt::format(
        "wrote a line that does not begin with the number of a simulation: {}. Standard output is for answers; write everything else to "
        "standard error",
        shown(line)));
  require_simulation(number, simulation);
  if (fields.size() > 1 && fields[1] == "error") {
    const std::string_view rest = trimmed(line).substr(static_cast<std::size_t>(fields[1].data() + 5 - trimmed(line).data()));
    throw ExternalFailure{std::string(trimmed(rest.substr(std::min<std::size_t>(rest.size(), 1))))};
  }
  std::vector<double> values;
  for (std::size_t i = 1; i < fields.size(); ++i) {
    const std::optional<double> value = number_in(fields[i]);
    if (!value) fail(fmt::format("answered with {} where value {} should be", shown(fields[i]), i));
    values.push_back(*value);
  }
  const auto count = static_cast<std::int64_t>(values.size());
  return shaped(std::move(values), {count}, shape);
}

// --- binary ---

std::array<std::int64_t, 2> head_of(std::string_view bytes) {
  std::array<std::int64_t, 2> out{};
  std::memcpy(out.data(), bytes.data(), sizeof out);
  return out;
}

Array from_binary(std::string_view bytes, std::uint64_t simulation, const Shape& shape) {
  const auto [number, count] = head_of(bytes);
  if (count > kMostValues || count < -kMostValues)
    fail(
        fmt::format("answered with the count {}; the number of the simulation, the count of its values, both as int64, and then the values "
                    "are required",
                    count));
  require_simulation(number, simulation);
  const std::string_view rest = bytes.substr(sizeof(std::int64_t) * 2);
  if (count < 0) throw ExternalFailure{std::string(rest)};
  std::vector<double> values(static_cast<std::size_t>(count));
  std::memcpy(values.data(), rest.data(), rest.size());
  return shaped(std::move(values), {count}, shape);
}

void append_bytes(std::string& out, const void* data, std::size_t bytes) { out.append(static_cast<const char*>(data), bytes); }

void append_json(std::string& out, std::span<const double> values, bool& first) {
  for (const double value : values) {
    fmt::format_to(std::back_inserter(out), "{}{}", first ? "" : ", ", std::isfinite(value) ? fmt::format("{}", value) : "null");
    first = false;
  }
}

}  // namespace

void write_request(ExternalFormat format, const ExternalRequest& request, std::string& out) {
  out.clear();
  const auto& [simulation, seed, parameters, batchable, non_batchable] = request;
  if (format == ExternalFormat::binary) {
    const std::array<std::uint64_t, 4> head = {simulation, seed, parameters.size(), batchable.size() + non_batchable.size()};
    append_bytes(out, head.data(), sizeof head);
    for (const auto& values : {parameters, batchable, non_batchable}) append_bytes(out, values.data(), values.size_bytes());
  } else if (format == ExternalFormat::csv) {
    fmt::format_to(std::back_inserter(out), "{},{},{}", simulation, seed, parameters.size());
    for (const auto& values : {parameters, batchable, non_batchable})
      for (const double value : values) fmt::format_to(std::back_inserter(out), ",{}", value);
    out += '\n';
  } else {
    fmt::format_to(std::back_inserter(out), R"({{"simulation": {}, "seed": {}, "parameters": [)", simulation, seed);
    bool first = true;
    append_json(out, parameters, first);
    out += R"(], "context": [)";
    first = true;
    append_json(out, batchable, first);
    append_json(out, non_batchable, first);
    out += "]}\n";
  }
}

std::size_t answer_bytes(ExternalFormat format, std::string_view output) {
  if (format != ExternalFormat::binary) return output.find('\n') + 1;  // npos + 1 is 0
  if (output.size() < 16) return 0;
  const std::int64_t count = head_of(output)[1];
  if (count > kMostValues || count < -kMostValues) return output.size();  // no answer
  const auto bytes = 16 + static_cast<std::size_t>(count < 0 ? -count : 8 * count);
  return output.size() < bytes ? 0 : bytes;
}

Array data_of_answer(ExternalFormat format, std::string_view answer, std::uint64_t simulation, const Shape& shape) {
  if (format == ExternalFormat::binary) return from_binary(answer, simulation, shape);
  return format == ExternalFormat::csv ? from_csv(answer, simulation, shape) : from_json(answer, simulation, shape);
}

}  // namespace bayesflow::detail
