#include "measure/arguments.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>

namespace bench {

Arguments::Arguments(int argc, char** argv, std::string usage) : rest_(argv + 1, argv + argc), usage_(std::move(usage)) {
  if (!flag("help")) return;
  fmt::print("{}\n", usage_);
  std::exit(0);
}

void Arguments::fail(const std::string& why) const {
  fmt::print(stderr, "{}\n{}\n", why, usage_);
  std::exit(2);
}

bool Arguments::flag(const std::string& name) {
  const auto at = std::find(rest_.begin(), rest_.end(), "--" + name);
  if (at == rest_.end()) return false;
  rest_.erase(at);
  return true;
}

std::string Arguments::text(const std::string& name, const std::string& fallback) {
  const std::string option = "--" + name;
  for (auto at = rest_.begin(); at != rest_.end(); ++at) {
    if (at->rfind(option + "=", 0) == 0) {
      const std::string value = at->substr(option.size() + 1);
      rest_.erase(at);
      return value;
    }
    if (*at != option) continue;
    if (at + 1 == rest_.end()) fail(fmt::format("{} needs a value", option));
    const std::string value = at[1];
    rest_.erase(at, at + 2);
    return value;
  }
  return fallback;
}

std::string Arguments::choice(const std::string& name, const std::string& fallback, const std::vector<std::string>& allowed) {
  const std::string value = text(name, fallback);
  if (std::find(allowed.begin(), allowed.end(), value) == allowed.end())
    fail(fmt::format("--{} must be one of: {}; got {}", name, fmt::join(allowed, ", "), value));
  return value;
}

std::int64_t Arguments::parse(const std::string& name, const std::string& text, std::int64_t least) const {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < least)
    fail(fmt::format("--{} needs integers of at least {}; got {}", name, least, text));
  return value;
}

std::int64_t Arguments::integer(const std::string& name, std::int64_t fallback, std::int64_t least) {
  const std::string value = text(name, "");
  return value.empty() ? fallback : parse(name, value, least);
}

std::vector<std::int64_t> Arguments::integers(const std::string& name, const std::vector<std::int64_t>& fallback, std::int64_t least) {
  const std::string value = text(name, "");
  if (value.empty()) return fallback;
  std::vector<std::int64_t> out;
  for (std::size_t first = 0; first <= value.size();) {
    const std::size_t comma = std::min(value.find(',', first), value.size());
    out.push_back(parse(name, value.substr(first, comma - first), least));
    first = comma + 1;
  }
  return out;
}

std::string Arguments::positional(const std::string& fallback) {
  if (rest_.empty() || rest_.front().rfind("--", 0) == 0) return fallback;
  const std::string value = rest_.front();
  rest_.erase(rest_.begin());
  return value;
}

void Arguments::done() {
  if (!rest_.empty()) fail(fmt::format("unknown argument {}", rest_.front()));
}

}  // namespace bench
