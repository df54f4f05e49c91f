/// Adapters as text.
#include <fmt/format.h>

#include <limits>

#include "adapter/elementwise.hpp"
#include "adapter/regression.hpp"
#include "adapter/structure.hpp"
#include "adapter/vectors.hpp"
#include "io/described_json.hpp"

namespace bayesflow {

using io::Json;

namespace {

/// An empty step by its name.
adapter::Step step_named(const std::string& name) {
  adapter::Step out;
  bool found = false;
  const auto look = [&]<class... S>(const std::variant<S...>*) { ((name == S::kName ? (out = S(), found = true) : false), ...); };
  look(static_cast<const adapter::Step*>(nullptr));
  if (!found) throw std::runtime_error(fmt::format("there is no step \"{}\"", name));
  return out;
}

/// Counts in an adapter: far more than any has, and few enough for the memory of a file that lies.
constexpr io::OptionLimits kLimits{.max_count = 1 << 20, .max_width = 1 << 20};

Json json_of(const std::vector<adapter::Step>& steps) {
  Json out = Json::array();
  for (const adapter::Step& step : steps)
    std::visit([&](const auto& s) { out.push_back({{"step", s.kName}, {"options", io::OptionWriter::of(s)}}); }, step);
  return out;
}

std::string text_of(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

}  // namespace

std::string Adapter::given() const { return fitted_ ? given_ : text_of(json_of(steps_)); }

std::string Adapter::to_json() const {
  Json out = {{"pilot", pilot}, {"steps", json_of(steps_)}};
  if (!inferred_.empty()) out["inferred"] = inferred_;
  if (fitted_)
    out["fitted"] = {{"targets", targets_}, {"param_names", param_names_}, {"notes", notes_}, {"widths", widths_}, {"given", given_}};
  return text_of(out);
}

Adapter Adapter::from_json(std::string_view text) {
  try {
    const Json json = io::parse_json(text);
    Adapter out;
    out.pilot = io::integer<std::int64_t>(json.at("pilot"));
    if (out.pilot < 2 || out.pilot > (std::int64_t{1} << 40)) throw std::runtime_error(fmt::format("pilot is {}", out.pilot));
    for (const Json& described : json.at("steps")) {
      adapter::Step step = step_named(described.at("step").get<std::string>());
      std::visit([&](auto& s) { io::OptionReader::fill(s, described.at("options"), kLimits); }, step);
      out.add(std::move(step));
    }
    if (json.contains("inferred")) out.inferred_ = json.at("inferred").get<std::vector<std::string>>();
    if (!json.contains("fitted")) return out;
    const Json& fitted = json.at("fitted");
    out.targets_ = fitted.at("targets").get<std::vector<std::string>>();
    out.param_names_ = fitted.at("param_names").get<std::vector<std::string>>();
    out.notes_ = fitted.at("notes").get<std::vector<std::string>>();
    out.given_ = fitted.at("given").get<std::string>();
    out.widths_ = io::integers<std::int64_t>(fitted.at("widths"));
    if (out.widths_.size() != out.steps_.size()) throw std::runtime_error("there is not one width for each step");
    for (std::size_t i = 0; i < out.steps_.size(); ++i)
      std::visit(
          [&](auto& s) {
            const adapter::Place at{i + 1, s.kName, s.field, {}};
            const std::int64_t width = out.widths_[i];
            if constexpr (requires { s.columns; }) {
              if (width < 1 || width > kLimits.max_width) at.refuse("its width is {}", width);
              resolve(s.columns, s.names, width, at);
            }
            check_fitted(s, width, at);
          },
          out.steps_[i]);
    out.fitted_ = true;
    out.note_names();
    return out;
  } catch (const std::exception& error) {
    throw ConfigurationError(fmt::format("the text is no adapter: {}", error.what()));
  }
}

}  // namespace bayesflow
