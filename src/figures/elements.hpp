/// From a panel's elements to strokes, areas, dots and texts on the page.
#pragma once

#include "figures/geometry.hpp"

namespace bayesflow::figures {

/// Where a panel lies on the page, and what its axes show.
struct Frame {
  Rect rect;
  double x_low = 0, x_high = 1, y_low = 0, y_high = 1;
  [[nodiscard]] double x(double value) const { return rect.left + (value - x_low) / (x_high - x_low) * rect.width(); }
  [[nodiscard]] double y(double value) const { return rect.bottom - (value - y_low) / (y_high - y_low) * rect.height(); }
  [[nodiscard]] Position at(double vx, double vy) const { return {x(vx), y(vy)}; }
};

/// Throws ArgumentError on vectors of different lengths and colours or opacities that are none. `place` names the panel.
void check_element(const Element& element, const std::string& place);

/// Smallest and largest coordinates of what the element draws, added to the ranges given (which start empty: low > high).
struct Range {
  double low = 1, high = 0;
  void add(double value);
};
void add_extent(const Element& element, Range& x, Range& y);

void draw_element(const Element& element, const Frame& frame, std::vector<Item>& items);

/// How the legend shows the element: at (x, y) is the middle of a swatch of this width.
void draw_swatch(const Element& element, Position middle, double width, std::vector<Item>& items);
[[nodiscard]] const std::string& element_label(const Element& element);

}  // namespace bayesflow::figures
