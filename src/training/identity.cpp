#include "training/identity.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include "bayesflow/nn/schedule.hpp"
#include "io/checksum.hpp"

namespace bayesflow::training {
namespace {

using Json = nlohmann::json;

std::string shown(const Json& value) {
  constexpr std::size_t kMost = 60;
  if (value.is_null()) return "none";
  std::string text = value.is_string() ? value.get<std::string>() : value.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (text.size() > kMost) text = text.substr(0, kMost - 3) + "...";
  return text;
}

/// Fields without which the path of another would be longer and no clearer.
bool is_silent(const std::string& key) { return key == "options" || key == "trainer"; }

void compare(const std::string& path, const Json& stored, const Json& mine, std::vector<std::string>& out) {
  if (stored == mine) return;
  if (!stored.is_object() || !mine.is_object()) {
    out.push_back(fmt::format("{}: the checkpoint has {}, this call {}", path, shown(stored), shown(mine)));
    return;
  }
  const auto inner = [&](const std::string& key) { return path.empty() || is_silent(path) ? key : path + "." + key; };
  const Json none;
  for (const auto& [key, value] : stored.items()) compare(inner(key), value, mine.contains(key) ? mine.at(key) : none, out);
  for (const auto& [key, value] : mine.items())
    if (!stored.contains(key)) compare(inner(key), none, value, out);
}

}  // namespace

Identity identify(const Json& settings) {
  Identity out{settings.dump(-1, ' ', false, Json::error_handler_t::replace), {}};
  io::Xxh64 sum;
  sum.update(std::as_bytes(std::span(out.settings)));
  out.hash = fmt::format("{:016x}", sum.digest());
  return out;
}

bool is_same_run(const TrainingSummary& stored, const Identity& mine) {
  if (!stored.identity.empty()) return stored.identity == mine.hash;
  return stored.call == sentence_of_old_files(Json::parse(mine.settings));
}

std::string differences(const TrainingSummary& stored, const Identity& mine, const std::string& call) {
  constexpr std::size_t kNamed = 3;
  if (stored.settings.empty()) return fmt::format("the checkpoint has {}, this call is {}", stored.call, call);
  std::vector<std::string> all;
  compare("", Json::parse(stored.settings), Json::parse(mine.settings), all);
  std::string out;
  for (std::size_t i = 0; i < std::min(all.size(), kNamed); ++i) out += (i ? "; " : "") + all[i];
  if (all.size() > kNamed) out += fmt::format("; and {} more", all.size() - kNamed);
  return out;
}

}  // namespace bayesflow::training
