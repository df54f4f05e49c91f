#include <fmt/format.h>

#include <cmath>

#include "bayesflow/figures/figure.hpp"
#include "figures/markup.hpp"

namespace bayesflow {
namespace figures {
namespace {

/// Writes one object after another; commas come by themselves.
class JsonWriter {
 public:
  void open(char bracket, std::string_view name = {}) {
    separate(name);
    out_ += bracket;
    fresh_ = true;
  }
  void close(char bracket) {
    out_ += bracket;
    fresh_ = false;
  }
  void field(std::string_view name, double value) {
    separate(name);
    number(value);
  }
  void field(std::string_view name, std::int64_t value) {
    separate(name);
    out_ += fmt::format("{}", value);
  }
  void field(std::string_view name, bool value) {
    separate(name);
    out_ += value ? "true" : "false";
  }
  void field(std::string_view name, std::string_view value) {
    separate(name);
    string(value);
  }
  void field(std::string_view name, const char* value) { field(name, std::string_view(value)); }
  void field(std::string_view name, const std::string& value) { field(name, std::string_view(value)); }
  void field(std::string_view name, const std::optional<double>& value) {
    separate(name);
    number(value.value_or(NAN));
  }
  void field(std::string_view name, const std::vector<double>& values) {
    open('[', name);
    for (const double v : values) field({}, v);
    close(']');
  }
  void field(std::string_view name, Dash dash) { field(name, dash == Dash::solid ? "solid" : dash == Dash::dashed ? "dashed" : "dotted"); }
  [[nodiscard]] std::string take() { return std::move(out_); }

 private:
  void separate(std::string_view name) {
    if (!fresh_) out_ += ',';
    fresh_ = false;
    if (name.empty()) return;
    string(name);
    out_ += ':';
  }
  void number(double value) { out_ += std::isfinite(value) ? fmt::format("{}", value) : "null"; }
  void string(std::string_view text) {
    out_ += '"';
    for (const char c : clean_utf8(text)) {
      if (c == '"' || c == '\\') out_ += '\\';
      out_ += c;
    }
    out_ += '"';
  }

  std::string out_;
  bool fresh_ = true;
};

struct ElementWriter {
  JsonWriter& w;

  template <class E>
  void style(const E& e) const {
    w.field("color", e.color);
    w.field("opacity", e.opacity);
    w.field("label", e.label);
  }
  void operator()(const Line& e) const {
    w.field("type", "line");
    w.field("x", e.x);
    w.field("y", e.y);
    w.field("width", e.width);
    w.field("dash", e.dash);
    style(e);
  }
  void operator()(const Points& e) const {
    w.field("type", "points");
    w.field("x", e.x);
    w.field("y", e.y);
    w.field("low", e.low);
    w.field("high", e.high);
    w.field("size", e.size);
    style(e);
  }
  void operator()(const Band& e) const {
    w.field("type", "band");
    w.field("x", e.x);
    w.field("low", e.low);
    w.field("high", e.high);
    style(e);
  }
  void operator()(const Bars& e) const {
    w.field("type", "bars");
    w.field("left", e.left);
    w.field("right", e.right);
    w.field("height", e.height);
    w.field("base", e.base);
    style(e);
  }
  void operator()(const Density& e) const {
    w.field("type", "density");
    w.field("x_low", e.x_low);
    w.field("x_high", e.x_high);
    w.field("y_low", e.y_low);
    w.field("y_high", e.y_high);
    w.field("columns", e.columns);
    w.field("rows", e.rows);
    w.field("values", e.values);
    w.field("levels", e.levels);
    w.field("palest", e.palest);
    style(e);
  }
  void operator()(const Cells& e) const {
    w.field("type", "cells");
    w.field("rows", e.rows);
    w.field("columns", e.columns);
    w.field("values", e.values);
    w.field("low", e.low);
    w.field("high", e.high);
    w.field("color", e.color);
  }
  void operator()(const Text& e) const {
    w.field("type", "text");
    w.field("x", e.x);
    w.field("y", e.y);
    w.field("text", e.text);
    w.field("in_axes", e.in_axes);
    w.field("anchor", e.anchor == Text::Anchor::start ? "start" : e.anchor == Text::Anchor::middle ? "middle" : "end");
    w.field("size", e.size);
    w.field("color", e.color);
  }
  void operator()(const Rule& e) const {
    w.field("type", "rule");
    w.field("kind", e.kind == Rule::Kind::horizontal ? "horizontal" : e.kind == Rule::Kind::vertical ? "vertical" : "diagonal");
    w.field("position", e.position);
    w.field("color", e.color);
    w.field("width", e.width);
    w.field("dash", e.dash);
    w.field("label", e.label);
  }
};

void write_axis(JsonWriter& w, std::string_view name, const Axis& axis) {
  w.open('{', name);
  w.field("label", axis.label);
  w.field("low", axis.low);
  w.field("high", axis.high);
  w.open('[', "ticks");
  for (const Tick& tick : axis.ticks) {
    w.open('{');
    w.field("position", tick.position);
    w.field("label", tick.label);
    w.close('}');
  }
  w.close(']');
  w.field("show_ticks", axis.show_ticks);
  w.close('}');
}

}  // namespace
}  // namespace figures

std::string Figure::json() const {
  figures::JsonWriter w;
  w.open('{');
  w.field("title", title);
  w.field("description", description);
  w.field("panel_width", panel_width);
  w.field("panel_height", panel_height);
  w.field("share_x", share_x);
  w.field("share_y", share_y);
  w.open('[', "panels");
  for (const figures::Panel& panel : panels) {
    w.open('{');
    w.field("row", panel.row);
    w.field("column", panel.column);
    w.field("title", panel.title);
    w.field("subtitle", panel.subtitle);
    figures::write_axis(w, "x", panel.x);
    figures::write_axis(w, "y", panel.y);
    w.field("grid", panel.grid);
    w.open('[', "elements");
    for (const figures::Element& element : panel.elements) {
      w.open('{');
      std::visit(figures::ElementWriter{w}, element);
      w.close('}');
    }
    w.close(']');
    w.close('}');
  }
  w.close(']');
  w.close('}');
  return w.take();
}

}  // namespace bayesflow
