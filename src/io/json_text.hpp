/// JSON as text, for files and pages.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace bayesflow::io {

/// One line. Numbers read back as they were; those that are not finite become null, and bytes that are no UTF-8 the replacement character.
/// "<" is escaped: it could end a script element that holds the text in a page.
[[nodiscard]] inline std::string json_text(const nlohmann::ordered_json& json) {
  std::string out;
  for (const char c : json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace))
    out += c == '<' ? std::string("\\u003c") : std::string(1, c);
  return out;
}

}  // namespace bayesflow::io
