/// Clipping and thinning of paths on the page.
#pragma once

#include <string>

#include "figures/scene.hpp"

namespace bayesflow::figures {

struct Rect {
  double left = 0, top = 0, right = 0, bottom = 0;
  [[nodiscard]] double width() const { return right - left; }
  [[nodiscard]] double height() const { return bottom - top; }
  [[nodiscard]] bool contains(Position p, double margin = 0) const {
    return p.x >= left - margin && p.x <= right + margin && p.y >= top - margin && p.y <= bottom + margin;
  }
};

/// The parts of a polyline inside of the rectangle. Positions that are not finite break the line.
[[nodiscard]] std::vector<Path> clip_polyline(const Path& path, const Rect& rect);
/// The part of a closed ring inside of the rectangle (Sutherland and Hodgman 1974); may be empty.
[[nodiscard]] Path clip_ring(const Path& ring, const Rect& rect);
/// A polyline that looks the same with fewer points. Where x only grows, first, lowest, highest and last point of each quarter
/// point of page are kept, so that spikes stay.
[[nodiscard]] Path thin_polyline(const Path& path);

/// "#rrggbb" between white (0) and the colour (1).
[[nodiscard]] std::string mix_with_white(const std::string& color, double amount);
/// Throws ArgumentError unless it is "#rrggbb".
void require_color(const std::string& color);

}  // namespace bayesflow::figures
