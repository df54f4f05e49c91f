/// A laid-out figure: a page with strokes, areas, dots and texts in absolute places. Renderers need to know nothing else.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "bayesflow/figures/figure.hpp"
#include "figures/markup.hpp"

namespace bayesflow::figures {

/// In points (1/72 inch) from the page's upper left corner.
struct Position {
  double x = 0, y = 0;
  friend bool operator==(const Position&, const Position&) = default;
};
using Path = std::vector<Position>;

struct Strokes {
  std::vector<Path> paths;
  std::string color;
  double width = 1;
  Dash dash = Dash::solid;
  double opacity = 1;
};

/// Closed rings, filled by the non-zero rule: the rings of holes run the other way round.
struct Area {
  std::vector<Path> rings;
  std::string color;
  double opacity = 1;
};

struct Dots {
  Path at;
  double diameter = 3;
  std::string color;
  double opacity = 1;
};

struct Label {
  Position at;  ///< vertically the middle of the line
  Runs text;
  double size = 9;
  Text::Anchor anchor = Text::Anchor::middle;
  double angle = 0;  ///< degrees, anticlockwise
  std::string color = kBlack;
  bool bold = false;
};

using Item = std::variant<Strokes, Area, Dots, Label>;

struct Scene {
  double width = 0, height = 0;
  std::vector<Item> items;  ///< from the back to the front
};

/// Checks the figure (lengths, colours) and lays it out.
[[nodiscard]] Scene layout(const Figure& figure);

[[nodiscard]] std::string render_svg(const Scene& scene, const Figure& figure);

/// The items alone, in an element of the scene's size that assistive programs pass over.
[[nodiscard]] std::string svg_fragment(const Scene& scene);

enum class FileKind : std::uint8_t { png, svg, pdf };
/// Runs gnuplot; returns the file's bytes. Throws IoError.
[[nodiscard]] std::string render_gnuplot(const Scene& scene, FileKind kind, const SaveOptions& options);

}  // namespace bayesflow::figures
