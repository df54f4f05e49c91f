#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "bayesflow/core/errors.hpp"
#include "figures/child_process.hpp"
#include "figures/scene.hpp"

namespace bayesflow::figures {
namespace {

/// A string in single quotes, where gnuplot knows no escapes but the doubled quote.
std::string quoted(const std::string& text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'') out += '\'';
    out += c;
  }
  return out + "'";
}

/// gnuplot's "enhanced" text. Characters with a meaning in it are escaped by a backslash.
std::string enhanced(const Label& label) {
  std::string out;
  for (const Run& run : label.text) {
    std::string part;
    for (const char c : run.text) {
      if (std::string_view("\\{}_^@&~").find(c) != std::string_view::npos) part += '\\';
      part += c;
    }
    if (run.italic || label.bold) part = fmt::format("{{/{}{} {}}}", label.bold ? ":Bold" : "", run.italic ? ":Italic" : "", part);
    if (run.level) part = fmt::format("{}{{{}}}", run.level < 0 ? '_' : '^', part);
    out += part;
  }
  return out;
}

const char* anchor_name(Text::Anchor anchor) {
  return anchor == Text::Anchor::start ? "left" : anchor == Text::Anchor::middle ? "center" : "right";
}

std::string dash(const Strokes& s) {
  if (s.dash == Dash::solid) return "";
  return s.dash == Dash::dashed ? " dt (10,8)" : " dt (2,7)";
}

double signed_area(const Path& ring) {
  double sum = 0;
  for (std::size_t i = 0; i < ring.size(); ++i) {
    const Position a = ring[i], b = ring[(i + 1) % ring.size()];
    sum += a.x * b.y - b.x * a.y;
  }
  return sum / 2;
}

/// gnuplot fills one polygon at a time. A hole is joined to the ring around it by a bridge of no width, between the two points that
/// are nearest to each other.
std::vector<Path> with_holes_joined(const std::vector<Path>& rings) {
  double largest = 0;
  for (const Path& ring : rings)
    if (const double area = signed_area(ring); std::abs(area) > std::abs(largest)) largest = area;
  std::vector<Path> outer;
  std::vector<const Path*> holes;
  for (const Path& ring : rings) {
    if (signed_area(ring) * largest >= 0)
      outer.push_back(ring);
    else
      holes.push_back(&ring);
  }
  for (const Path* hole : holes) {
    double nearest = std::numeric_limits<double>::infinity();
    std::size_t ring = 0, at = 0, hole_at = 0;
    for (std::size_t r = 0; r < outer.size(); ++r)
      for (std::size_t i = 0; i < outer[r].size(); ++i)
        for (std::size_t j = 0; j < hole->size(); ++j)
          if (const double d = std::hypot(outer[r][i].x - (*hole)[j].x, outer[r][i].y - (*hole)[j].y); d < nearest) {
            nearest = d;
            ring = r, at = i, hole_at = j;
          }
    if (!std::isfinite(nearest)) continue;
    Path bridge;
    for (std::size_t j = 0; j <= hole->size(); ++j) bridge.push_back((*hole)[(hole_at + j) % hole->size()]);
    bridge.push_back(outer[ring][at]);
    outer[ring].insert(outer[ring].begin() + static_cast<std::ptrdiff_t>(at) + 1, bridge.begin(), bridge.end());
  }
  return outer;
}

/// Collects labels, the parts of one plot command, and the data that follow it.
struct GnuplotWriter {
  std::string labels, plots, data;
  double line_scale = 1;

  void begin(const std::string& style) { plots += (plots.empty() ? "plot " : ", ") + ("'-' " + style); }
  void put(Position p) { fmt::format_to(std::back_inserter(data), "{:.3f} {:.3f}\n", p.x, p.y); }

  void operator()(const Strokes& s) {
    // A transparent colour is #AARRGGBB with alpha counted from opaque.
    const auto alpha = static_cast<int>(std::lround(255 * (1 - s.opacity)));
    begin(fmt::format("with lines lc rgb '#{:02x}{}' lw {:.3f}{}", alpha, s.color.substr(1), s.width * line_scale, dash(s)));
    for (const Path& path : s.paths) {
      for (const Position p : path) put(p);
      data += '\n';
    }
    data += "e\n";
  }

  void operator()(const Area& a) {
    begin(fmt::format("with filledcurves closed lc rgb '{}' fs transparent solid {:.3f} noborder", a.color, a.opacity));
    for (const Path& ring : with_holes_joined(a.rings)) {
      for (const Position p : ring) put(p);
      data += '\n';
    }
    data += "e\n";
  }

  void operator()(const Dots& d) {
    begin(fmt::format("using 1:2:({:.3f}) with circles lc rgb '{}' fs transparent solid {:.3f} noborder", d.diameter / 2, d.color,
                      d.opacity));
    for (const Position p : d.at) put(p);
    data += "e\n";
  }

  void operator()(const Label& l) {
    labels += fmt::format("set label {} at {:.3f},{:.3f} {} rotate by {:.0f} front font ',{:.2f}' tc rgb '{}'\n", quoted(enhanced(l)),
                          l.at.x, l.at.y, anchor_name(l.anchor), l.angle, l.size, l.color);
  }
};

}  // namespace

std::string render_gnuplot(const Scene& scene, FileKind kind, const SaveOptions& options) {
  if (!(options.dpi >= 10 && options.dpi <= 2400))
    throw ArgumentError(fmt::format("SaveOptions::dpi = {}; it must lie between 10 and 2400", options.dpi));
  std::string terminal;
  GnuplotWriter writer;
  const char* font = "DejaVu Sans,10";
  // A point of type is 4/3 points high in the PNG terminal; the PDF terminal halves type and lines by itself.
  constexpr double kPointsPerGnuplotPoint = 0.75;
  if (kind == FileKind::png) {
    const double scale = options.dpi / 72;  // pixels per point
    terminal = fmt::format("pngcairo enhanced rounded background '#ffffff' font '{}' fontscale {:.4f} linewidth {:.4f} size {:.0f},{:.0f}",
                           font, scale * kPointsPerGnuplotPoint, scale, std::ceil(scene.width * scale), std::ceil(scene.height * scale));
  } else if (kind == FileKind::pdf) {
    terminal = fmt::format("pdfcairo enhanced rounded background '#ffffff' font '{}' fontscale {} linewidth 2 size {:.4f}in,{:.4f}in", font,
                           kPointsPerGnuplotPoint, scene.width / 72, scene.height / 72);
  } else {
    terminal =
        fmt::format("svg enhanced rounded dynamic background '#ffffff' font '{}' size {:.0f},{:.0f}", font, scene.width, scene.height);
  }
  for (const Item& item : scene.items) std::visit(writer, item);
  if (writer.plots.empty()) {  // gnuplot needs something to plot
    writer.begin("with dots");
    writer.data += "-1 -1\ne\n";
  }
  const std::string script = fmt::format(
      "set encoding utf8\nset terminal {}\nset output\nunset key\nunset border\nunset tics\nset lmargin at screen 0\nset rmargin at screen "
      "1\n"
      "set bmargin at screen 0\nset tmargin at screen 1\nset xrange [0:{:.3f}]\nset yrange [{:.3f}:0]\n{}{}\n{}",
      terminal, scene.width, scene.height, writer.labels, writer.plots, writer.data);
  const ProcessResult run = run_program(options.gnuplot, {"--default-settings", "-"}, script);
  const char* advice =
      "Install gnuplot 5 (Debian: gnuplot-nox) or name the program in SaveOptions::gnuplot; figures saved as .svg need no other program.";
  if (!run.started)
    throw IoError(fmt::format("PNG and PDF figures are drawn by gnuplot, but \"{}\" could not be started: {}. {}", options.gnuplot,
                              run.error, advice));
  if (run.exit_code != 0 || run.out.empty()) {
    std::string cause = run.error.substr(0, 500);
    while (!cause.empty() && (cause.back() == '\n' || cause.back() == ' ')) cause.pop_back();
    throw IoError(fmt::format("\"{}\" was to draw a figure and ended with code {} and {} bytes{}. {}", options.gnuplot, run.exit_code,
                              run.out.size(), cause.empty() ? "" : ": " + cause, advice));
  }
  return run.out;
}

}  // namespace bayesflow::figures
