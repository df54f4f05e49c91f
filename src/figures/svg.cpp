#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "figures/scene.hpp"

namespace bayesflow::figures {
namespace {

/// At most two decimals, no trailing zeros.
void append_number(std::string& out, double value) {
  const auto hundredths = std::llround(value * 100);
  const auto absolute = std::abs(hundredths);
  if (hundredths < 0) out += '-';
  fmt::format_to(std::back_inserter(out), "{}", absolute / 100);
  if (absolute % 100) {
    out += '.';
    out += static_cast<char>('0' + absolute / 10 % 10);
    if (absolute % 10) out += static_cast<char>('0' + absolute % 10);
  }
}

void append_path(std::string& out, const Path& path) {
  for (std::size_t i = 0; i < path.size(); ++i) {
    out += i == 0 ? 'M' : i == 1 ? 'L' : ' ';
    append_number(out, path[i].x);
    out += ' ';
    append_number(out, path[i].y);
  }
}

std::string attribute(const char* name, double value) {
  std::string out = fmt::format(" {}=\"", name);
  append_number(out, value);
  return out + '"';
}

std::string opacity(const char* name, double value) { return value < 1 ? attribute(name, value) : std::string(); }

const char* anchor_name(Text::Anchor anchor) {
  return anchor == Text::Anchor::start ? "start" : anchor == Text::Anchor::middle ? "middle" : "end";
}

struct SvgWriter {
  std::string& out;

  void operator()(const Strokes& s) const {
    out += "<path fill=\"none\" stroke=\"" + s.color + '"' + attribute("stroke-width", s.width) + opacity("stroke-opacity", s.opacity);
    if (s.dash == Dash::dashed) out += fmt::format(" stroke-dasharray=\"{:.1f} {:.1f}\"", 3 * s.width + 1, 2 * s.width + 1);
    if (s.dash == Dash::dotted) out += fmt::format(" stroke-dasharray=\"{:.1f} {:.1f}\"", s.width, 1.5 * s.width + 1);
    out += " stroke-linejoin=\"round\" d=\"";
    for (const Path& path : s.paths) append_path(out, path);
    out += "\"/>\n";
  }

  void operator()(const Area& a) const {
    out += "<path fill=\"" + a.color + '"' + opacity("fill-opacity", a.opacity) + " d=\"";
    for (const Path& ring : a.rings) {
      append_path(out, ring);
      out += 'Z';
    }
    out += "\"/>\n";
  }

  // Dots are strokes of no length with round caps: a dozen bytes each. Where they overlap they should grow darker, as they do one by
  // one; a few paths of interleaved dots come close to that.
  void operator()(const Dots& d) const {
    const std::size_t layers = d.opacity < 1 ? std::min<std::size_t>(8, d.at.size()) : 1;
    for (std::size_t layer = 0; layer < layers; ++layer) {
      out += "<path fill=\"none\" stroke-linecap=\"round\" stroke=\"" + d.color + '"' + attribute("stroke-width", d.diameter) +
             opacity("stroke-opacity", d.opacity) + " d=\"";
      for (std::size_t i = layer; i < d.at.size(); i += layers) {
        out += 'M';
        append_number(out, d.at[i].x);
        out += ' ';
        append_number(out, d.at[i].y);
        out += "h0";
      }
      out += "\"/>\n";
    }
  }

  void operator()(const Label& l) const {
    out += "<text";
    if (l.angle != 0) {
      out += " transform=\"translate(";
      append_number(out, l.at.x);
      out += ' ';
      append_number(out, l.at.y);
      out += ") rotate(";
      append_number(out, -l.angle);
      out += ")\"" + attribute("y", 0.35 * l.size);
    } else {
      out += attribute("x", l.at.x) + attribute("y", l.at.y + 0.35 * l.size);
    }
    out += attribute("font-size", l.size) + " text-anchor=\"" + anchor_name(l.anchor) + "\" fill=\"" + l.color + '"';
    if (l.bold) out += " font-weight=\"600\"";
    out += '>';
    double shift = 0;  // of the baseline, to be undone by the next run
    for (const Run& run : l.text) {
      const double wanted = run.level < 0 ? 0.22 * l.size : run.level > 0 ? -0.35 * l.size : 0;
      std::string style;
      if (wanted != shift) style += attribute("dy", wanted - shift);
      if (run.level) style += attribute("font-size", 0.7 * l.size);
      if (run.italic) style += " font-style=\"italic\"";
      out += style.empty() ? escape_xml(run.text) : "<tspan" + style + ">" + escape_xml(run.text) + "</tspan>";
      shift = wanted;
    }
    out += "</text>\n";
  }
};

}  // namespace

std::string svg_fragment(const Scene& scene) {
  std::string out = "<svg xmlns=\"http://www.w3.org/2000/svg\" aria-hidden=\"true\" viewBox=\"0 0 ";
  append_number(out, scene.width);
  out += ' ';
  append_number(out, scene.height);
  out += "\">";
  for (const Item& item : scene.items) std::visit(SvgWriter{out}, item);
  return out + "</svg>";
}

std::string render_svg(const Scene& scene, const Figure& figure) {
  std::string out = "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" viewBox=\"0 0 ";
  append_number(out, scene.width);
  out += ' ';
  append_number(out, scene.height);
  out += '"' + attribute("width", scene.width * 4 / 3) + attribute("height", scene.height * 4 / 3);  // CSS pixels
  std::string name = plain_text(parse_markup(figure.title));
  if (name.empty() && figure.panels.size() == 1) name = plain_text(parse_markup(figure.panels[0].title));
  std::string spoken = name;
  if (!figure.description.empty()) spoken += (spoken.empty() ? "" : ". ") + plain_text(parse_markup(figure.description));
  out += " aria-label=\"" + escape_xml(spoken.empty() ? "Figure" : spoken) +
         "\" font-family=\"Helvetica Neue, Helvetica, Arial, Liberation Sans, DejaVu Sans, sans-serif\">\n";
  if (!figure.description.empty()) out += "<desc>" + escape_xml(plain_text(parse_markup(figure.description))) + "</desc>\n";
  out += "<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n";
  for (const Item& item : scene.items) std::visit(SvgWriter{out}, item);
  return out + "</svg>\n";
}

}  // namespace bayesflow::figures
