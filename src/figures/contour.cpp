#include "figures/contour.hpp"

#include <cmath>
#include <cstdint>

namespace bayesflow::figures {
namespace {

/// Marching squares (Lorensen and Cline 1987, in two dimensions) on the grid with a rim of zeros. Crossings are numbered by the
/// edge they lie on, so that a ring is found by following `next_`.
class MarchingSquares {
 public:
  MarchingSquares(const Density& density, double level)
      : d_(density), level_(level), width_(density.columns + 2), height_(density.rows + 2) {
    next_.assign(static_cast<std::size_t>(2 * width_ * height_), -1);
  }

  std::vector<Path> rings() {
    for (std::int64_t y = 0; y + 1 < height_; ++y)
      for (std::int64_t x = 0; x + 1 < width_; ++x) cell(x, y);
    std::vector<Path> out;
    for (std::size_t start = 0; start < next_.size(); ++start) {
      if (next_[start] < 0) continue;
      Path ring;
      auto edge = static_cast<std::int64_t>(start);
      while (next_[static_cast<std::size_t>(edge)] >= 0) {
        ring.push_back(crossing(edge));
        const std::int64_t following = next_[static_cast<std::size_t>(edge)];
        next_[static_cast<std::size_t>(edge)] = -1;
        edge = following;
      }
      out.push_back(std::move(ring));
    }
    return out;
  }

 private:
  [[nodiscard]] double value(std::int64_t x, std::int64_t y) const {
    if (x < 1 || y < 1 || x > d_.columns || y > d_.rows) return 0;
    const double v = d_.values[static_cast<std::size_t>((y - 1) * d_.columns + x - 1)];
    return std::isfinite(v) ? v : 0;
  }
  [[nodiscard]] bool inside(std::int64_t x, std::int64_t y) const { return value(x, y) >= level_; }
  // Edge from (x, y) to (x + 1, y), and to (x, y + 1).
  [[nodiscard]] std::int64_t horizontal(std::int64_t x, std::int64_t y) const { return 2 * (y * width_ + x); }
  [[nodiscard]] std::int64_t vertical(std::int64_t x, std::int64_t y) const { return 2 * (y * width_ + x) + 1; }

  [[nodiscard]] Position crossing(std::int64_t edge) const {
    const std::int64_t x = edge / 2 % width_, y = edge / 2 / width_;
    const bool upright = edge % 2;
    const double a = value(x, y), b = upright ? value(x, y + 1) : value(x + 1, y);
    const double t = (level_ - a) / (b - a);
    return {static_cast<double>(x - 1) + (upright ? 0 : t), static_cast<double>(y - 1) + (upright ? t : 0)};
  }

  [[nodiscard]] bool high_middle(std::int64_t x, std::int64_t y) const {
    return (value(x, y) + value(x + 1, y) + value(x, y + 1) + value(x + 1, y + 1)) / 4 >= level_;
  }

  void join(std::int64_t from, std::int64_t to) { next_[static_cast<std::size_t>(from)] = to; }

  void cell(std::int64_t x, std::int64_t y) {
    const std::int64_t bottom = horizontal(x, y), top = horizontal(x, y + 1), left = vertical(x, y), right = vertical(x + 1, y);
    const int code = inside(x, y) + 2 * inside(x + 1, y) + 4 * inside(x + 1, y + 1) + 8 * inside(x, y + 1);
    switch (code) {  // the inside lies to the left of each segment
      case 1:
        return join(bottom, left);
      case 2:
        return join(right, bottom);
      case 3:
        return join(right, left);
      case 4:
        return join(top, right);
      case 6:
        return join(top, bottom);
      case 7:
        return join(top, left);
      case 8:
        return join(left, top);
      case 9:
        return join(bottom, top);
      case 11:
        return join(right, top);
      case 12:
        return join(left, right);
      case 13:
        return join(bottom, right);
      case 14:
        return join(left, bottom);
      case 5:  // a saddle: the mean of the corners decides
        join(high_middle(x, y) ? top : bottom, left);
        return join(high_middle(x, y) ? bottom : top, right);
      case 10:
        join(high_middle(x, y) ? left : right, bottom);
        return join(high_middle(x, y) ? right : left, top);
      default:
        return;
    }
  }

  const Density& d_;
  double level_;
  std::int64_t width_, height_;
  std::vector<std::int64_t> next_;
};

}  // namespace

std::vector<Path> contour_rings(const Density& density, double level) { return MarchingSquares(density, level).rings(); }

}  // namespace bayesflow::figures
