#include "figures/geometry.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "bayesflow/core/errors.hpp"

namespace bayesflow::figures {
namespace {

/// Shortens the segment to the rectangle (Liang and Barsky 1984); false if nothing is left.
bool clip_segment(Position& a, Position& b, const Rect& rect) {
  const double dx = b.x - a.x, dy = b.y - a.y;
  double first = 0, last = 1;
  const double p[4] = {-dx, dx, -dy, dy};
  const double q[4] = {a.x - rect.left, rect.right - a.x, a.y - rect.top, rect.bottom - a.y};
  for (int k = 0; k < 4; ++k) {
    if (p[k] == 0) {
      if (q[k] < 0) return false;
      continue;
    }
    const double t = q[k] / p[k];
    (p[k] < 0 ? first : last) = p[k] < 0 ? std::max(first, t) : std::min(last, t);
  }
  if (first > last) return false;
  // Ends that stay are not computed anew: a polyline goes on exactly where it was.
  const Position start = a;
  if (first > 0) a = {start.x + first * dx, start.y + first * dy};
  if (last < 1) b = {start.x + last * dx, start.y + last * dy};
  return true;
}

bool finite(Position p) { return std::isfinite(p.x) && std::isfinite(p.y); }

/// The ring's part on one side of a line; `depth` is positive inside.
template <class Depth>
Path clip_half_plane(const Path& ring, Depth depth) {
  Path out;
  for (std::size_t i = 0; i < ring.size(); ++i) {
    const Position a = ring[i], b = ring[(i + 1) % ring.size()];
    const double da = depth(a), db = depth(b);
    if (da >= 0) out.push_back(a);
    if ((da >= 0) != (db >= 0)) {
      const double t = da / (da - db);
      out.push_back({a.x + t * (b.x - a.x), a.y + t * (b.y - a.y)});
    }
  }
  return out;
}

}  // namespace

std::vector<Path> clip_polyline(const Path& path, const Rect& rect) {
  std::vector<Path> out;
  bool open = false;
  for (std::size_t i = 0; i + 1 < path.size(); ++i) {
    Position a = path[i], b = path[i + 1];
    if (!finite(a) || !finite(b) || !clip_segment(a, b, rect)) {
      open = false;
      continue;
    }
    if (!open || out.back().back() != a) out.push_back({a});
    out.back().push_back(b);
    open = true;
  }
  return out;
}

Path clip_ring(const Path& ring, const Rect& rect) {
  Path out = clip_half_plane(ring, [&](Position p) { return p.x - rect.left; });
  out = clip_half_plane(out, [&](Position p) { return rect.right - p.x; });
  out = clip_half_plane(out, [&](Position p) { return p.y - rect.top; });
  return clip_half_plane(out, [&](Position p) { return rect.bottom - p.y; });
}

Path thin_polyline(const Path& path) {
  constexpr double kSlice = 0.25;
  const bool grows = std::is_sorted(path.begin(), path.end(), [](Position a, Position b) { return !(a.x >= b.x); }) &&
                     std::all_of(path.begin(), path.end(), finite);
  if (!grows || path.size() < 16) return path;
  Path out;
  const auto put = [&](Position p) {
    if (out.empty() || out.back() != p) out.push_back(p);
  };
  for (std::size_t i = 0; i < path.size();) {
    std::size_t end = i, low = i, high = i;
    while (end < path.size() && path[end].x - path[i].x <= kSlice) {
      if (path[end].y < path[low].y) low = end;
      if (path[end].y > path[high].y) high = end;
      ++end;
    }
    put(path[i]);
    put(path[std::min(low, high)]);
    put(path[std::max(low, high)]);
    put(path[end - 1]);
    i = end;
  }
  return out;
}

void require_color(const std::string& color) {
  const bool right = color.size() == 7 && color[0] == '#' && color.find_first_not_of("0123456789abcdefABCDEF", 1) == std::string::npos;
  if (!right) throw ArgumentError(fmt::format("\"{}\" is not a colour; give \"#rrggbb\", for example \"#8f2727\"", color));
}

std::string mix_with_white(const std::string& color, double amount) {
  std::string out = "#";
  for (std::size_t k = 1; k < 7; k += 2) {
    int part = 0;
    std::from_chars(color.data() + k, color.data() + k + 2, part, 16);
    out += fmt::format("{:02x}", static_cast<int>(std::lround(255 + std::clamp(amount, 0.0, 1.0) * (part - 255))));
  }
  return out;
}

}  // namespace bayesflow::figures
