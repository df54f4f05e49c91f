/// Figures as plain values: panels of lines, points, bands, bars, densities and texts.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace bayesflow {

namespace figures {

// v1's colours. They differ in lightness as well as in hue, so that they stay apart for every kind of colour vision and in grey print.
inline constexpr const char* kRed = "#8f2727";       ///< v1's red
inline constexpr const char* kLightRed = "#a34f4f";  ///< its lighter red
inline constexpr const char* kGrey = "#808080";      ///< of reference lines
inline constexpr const char* kBlack = "#1f1f1f";     ///< of text
inline constexpr const char* kOrange = "#e08a1e";    ///< of what is marked
inline constexpr const char* kBlue = "#2a6f97";      ///< of a second quantity
/// How a line is drawn.
enum class Dash : std::uint8_t { solid, dashed, dotted };

// Common to the elements: colours are "#rrggbb"; opacity is in [0, 1]; an element with a label appears in the figure's legend
// (elements of one label share an entry). Everything is clipped to its panel. Coordinates that are not finite leave a gap.
// Texts, titles and labels may hold TeX between dollar signs ("$\theta_1$"); "\$" is a dollar sign.

/// A polyline.
struct Line {
  std::vector<double> x, y;
  std::string color = kRed;
  double width = 1.5;  ///< points (1/72 inch)
  Dash dash = Dash::solid;
  double opacity = 1;
  std::string label = {};
};

/// Dots, optionally with vertical error bars.
struct Points {
  std::vector<double> x, y;
  std::vector<double> low = {}, high = {};  ///< ends of the error bars; both empty: none
  std::string color = kRed;
  double size = 4;     ///< diameter, points
  double opacity = 1;  ///< of the dots; error bars have half of it
  std::string label = {};
};

/// The area between two curves.
struct Band {
  std::vector<double> x, low, high;
  std::string color = kGrey;
  double opacity = 0.2;
  std::string label = {};
};

/// Bars from `base` to `height` over [left, right).
struct Bars {
  std::vector<double> left, right, height;
  double base = 0;
  std::string color = kLightRed;
  double opacity = 1;
  std::string label = {};
};

/// A density on a regular grid, drawn as filled contours from pale to `color`.
struct Density {
  double x_low = 0, x_high = 1, y_low = 0, y_high = 1;  ///< positions of the first and last column and row
  std::int64_t columns = 0, rows = 0;
  std::vector<double> values;  ///< (rows, columns), row-major, from y_low upwards
  std::vector<double> levels;  ///< ascending; the area above each is filled
  std::string color = kRed;
  double palest = 0.15;  ///< share of the colour in the outermost area; the rest is white
  double opacity = 1;
  std::string label = {};
};

/// A matrix of coloured unit squares: entry (i, j) is centred at x = j, y = i.
struct Cells {
  std::int64_t rows = 0, columns = 0;
  std::vector<double> values;  ///< (rows, columns)
  double low = 0, high = 1;    ///< values drawn white and in full colour
  std::string color = kRed;
};

/// A text in the panel.
struct Text {
  enum class Anchor : std::uint8_t { start, middle, end };
  double x = 0, y = 0;
  std::string text;
  bool in_axes = false;  ///< x and y are fractions of the panel, from its lower left corner
  Anchor anchor = Anchor::middle;
  double size = 9;  ///< points
  std::string color = kBlack;
};

/// A straight line across the panel: at a value of x or y, or where both are equal.
struct Rule {
  enum class Kind : std::uint8_t { horizontal, vertical, diagonal };
  Kind kind = Kind::horizontal;
  double position = 0;  ///< unused by the diagonal
  std::string color = kBlack;
  double width = 1;
  Dash dash = Dash::dashed;
  std::string label = {};
};
/// Whatever is drawn in a panel.
using Element = std::variant<Line, Points, Band, Bars, Density, Cells, Text, Rule>;
/// A mark on an axis.
struct Tick {
  double position = 0;
  std::string label;
};
/// An axis of a panel.
struct Axis {
  std::string label = {};
  std::optional<double> low = {}, high = {};  ///< limits (low > high: reversed); absent: from the data and 5 % around
  std::vector<Tick> ticks = {};               ///< empty: chosen
  bool show_ticks = true;
};
/// One diagram of a figure.
struct Panel {
  std::int64_t row = 0, column = 0;  ///< place in the figure's grid; places without a panel stay white
  std::string title = {};
  std::string subtitle = {};  ///< numbers that belong to the panel
  Axis x = {}, y = {};
  bool grid = true;
  std::vector<Element> elements = {};  ///< drawn in this order
};

/// How a figure becomes a file.
enum class Renderer : std::uint8_t {
  automatic,  ///< SVG by the library itself, PNG and PDF by gnuplot
  builtin,    ///< the library's SVG writer: needs nothing, SVG only
  gnuplot     ///< gnuplot 5, a program of its own, run as a child process
};

/// Settings of Figure::save.
struct SaveOptions {
  Renderer renderer = Renderer::automatic;
  double dpi = 150;                 ///< of PNG
  std::string gnuplot = "gnuplot";  ///< the program: a path, or a name to look up in PATH
};

}  // namespace figures

/// Panels on a grid, with common title and legend. A value: change what you like between a plot function and `save`.
///   Figure figure = plot_recovery(diagnostics::recovery(draws, truths));
///   figure.title = "Recovery";
///   figure.save("recovery.png");
struct Figure {
  std::string title = {};
  std::string description = {};                  ///< what it shows, for those who cannot see it
  double panel_width = 150, panel_height = 125;  ///< of the area between the axes, points
  bool share_x = false, share_y = false;         ///< all panels have the same limits, and only the outer ones have tick labels
  std::vector<figures::Panel> panels = {};

  /// Writes a file; the extension (.png, .svg, .pdf) says which kind. Throws ArgumentError on another one, on vectors of different
  /// lengths and on what is no colour; IoError if the file cannot be written, or if gnuplot is needed and missing or fails.
  void save(const std::filesystem::path& path, const figures::SaveOptions& options = {}) const;
  /// The built-in SVG: one element, without XML declaration, ready to stand in an HTML page. Text stays text.
  [[nodiscard]] std::string svg() const;
  /// All the data of the figure as JSON (fields named as here, elements with a "type"), to be drawn by another program.
  [[nodiscard]] std::string json() const;
  /// Each panel as a figure of its own, with its axis labels, for pages whose width is not known.
  [[nodiscard]] std::vector<Figure> split() const;
};

}  // namespace bayesflow
