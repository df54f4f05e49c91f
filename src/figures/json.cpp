#include <nlohmann/json.hpp>

#include "bayesflow/figures/figure.hpp"
#include "io/json_text.hpp"

namespace bayesflow {
namespace figures {
namespace {

using Json = nlohmann::ordered_json;

const char* name_of(Dash dash) { return dash == Dash::solid ? "solid" : dash == Dash::dashed ? "dashed" : "dotted"; }
Json or_null(const std::optional<double>& value) { return value ? Json(*value) : Json(); }

struct ElementJson {
  template <class E>
  static Json with_style(Json json, const E& e) {
    json.update({{"color", e.color}, {"opacity", e.opacity}, {"label", e.label}});
    return json;
  }
  Json operator()(const Line& e) const {
    return with_style({{"type", "line"}, {"x", e.x}, {"y", e.y}, {"width", e.width}, {"dash", name_of(e.dash)}}, e);
  }
  Json operator()(const Points& e) const {
    return with_style({{"type", "points"}, {"x", e.x}, {"y", e.y}, {"low", e.low}, {"high", e.high}, {"size", e.size}}, e);
  }
  Json operator()(const Band& e) const { return with_style({{"type", "band"}, {"x", e.x}, {"low", e.low}, {"high", e.high}}, e); }
  Json operator()(const Bars& e) const {
    return with_style({{"type", "bars"}, {"left", e.left}, {"right", e.right}, {"height", e.height}, {"base", e.base}}, e);
  }
  Json operator()(const Density& e) const {
    return with_style({{"type", "density"},
                       {"x_low", e.x_low},
                       {"x_high", e.x_high},
                       {"y_low", e.y_low},
                       {"y_high", e.y_high},
                       {"columns", e.columns},
                       {"rows", e.rows},
                       {"values", e.values},
                       {"levels", e.levels},
                       {"palest", e.palest}},
                      e);
  }
  Json operator()(const Cells& e) const {
    return {{"type", "cells"}, {"rows", e.rows}, {"columns", e.columns}, {"values", e.values},
            {"low", e.low},    {"high", e.high}, {"color", e.color}};
  }
  Json operator()(const Text& e) const {
    const char* anchor = e.anchor == Text::Anchor::start ? "start" : e.anchor == Text::Anchor::middle ? "middle" : "end";
    return {{"type", "text"},       {"x", e.x},         {"y", e.y},       {"text", e.text},
            {"in_axes", e.in_axes}, {"anchor", anchor}, {"size", e.size}, {"color", e.color}};
  }
  Json operator()(const Rule& e) const {
    const char* kind = e.kind == Rule::Kind::horizontal ? "horizontal" : e.kind == Rule::Kind::vertical ? "vertical" : "diagonal";
    return {{"type", "rule"},          {"kind", kind},    {"position", e.position}, {"color", e.color}, {"width", e.width},
            {"dash", name_of(e.dash)}, {"label", e.label}};
  }
};

Json axis_json(const Axis& axis) {
  Json ticks = Json::array();
  for (const Tick& tick : axis.ticks) ticks.push_back({{"position", tick.position}, {"label", tick.label}});
  return {
      {"label", axis.label}, {"low", or_null(axis.low)}, {"high", or_null(axis.high)}, {"ticks", ticks}, {"show_ticks", axis.show_ticks}};
}

}  // namespace
}  // namespace figures

std::string Figure::json() const {
  figures::Json list = figures::Json::array();
  for (const figures::Panel& panel : panels) {
    figures::Json elements = figures::Json::array();
    for (const figures::Element& element : panel.elements) elements.push_back(std::visit(figures::ElementJson(), element));
    list.push_back({{"row", panel.row},
                    {"column", panel.column},
                    {"title", panel.title},
                    {"subtitle", panel.subtitle},
                    {"x", figures::axis_json(panel.x)},
                    {"y", figures::axis_json(panel.y)},
                    {"grid", panel.grid},
                    {"elements", std::move(elements)}});
  }
  return io::json_text({{"title", title},
                        {"description", description},
                        {"panel_width", panel_width},
                        {"panel_height", panel_height},
                        {"share_x", share_x},
                        {"share_y", share_y},
                        {"panels", std::move(list)}});
}

}  // namespace bayesflow
