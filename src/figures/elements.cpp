#include "figures/elements.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "bayesflow/core/errors.hpp"
#include "figures/contour.hpp"

namespace bayesflow::figures {
namespace {

template <class... F>
struct Overloaded : F... {
  using F::operator()...;
};
template <class... F>
Overloaded(F...) -> Overloaded<F...>;

Path rectangle(double left, double top, double right, double bottom) {
  return {{left, top}, {right, top}, {right, bottom}, {left, bottom}};
}

void require_lengths(const std::string& place, const char* type, std::initializer_list<std::pair<const char*, std::size_t>> fields) {
  const auto& [first_name, first] = *fields.begin();
  for (const auto& [name, size] : fields)
    if (size != first)
      throw ArgumentError(fmt::format("{}: {}::{} has {} values, but {}::{} has {}; they must have equally many", place, type, first_name,
                                      first, type, name, size));
}

void require_opacity(const std::string& place, double opacity) {
  if (!(opacity >= 0 && opacity <= 1)) throw ArgumentError(fmt::format("{}: opacity {} is not between 0 and 1", place, opacity));
}

void require_positive(const std::string& place, const char* what, double value) {
  if (!(value > 0) || !std::isfinite(value))
    throw ArgumentError(fmt::format("{}: {} is {}; it must be positive and finite", place, what, value));
}

/// Shade of the k-th of n levels: pale at the outermost.
double shade(std::size_t k, std::size_t n, double palest) {
  return n == 1 ? 0.6 : palest + (1 - palest) * static_cast<double>(k) / static_cast<double>(n - 1);
}

struct Drawer {
  const Frame& frame;
  std::vector<Item>& items;

  void operator()(const Line& e) const {
    Path path;
    Strokes strokes{{}, e.color, e.width, e.dash, e.opacity};
    const auto flush = [&] {
      for (Path& part : clip_polyline(thin_polyline(path), frame.rect)) strokes.paths.push_back(std::move(part));
      path.clear();
    };
    for (std::size_t i = 0; i < e.x.size(); ++i) {
      const Position p = frame.at(e.x[i], e.y[i]);
      if (std::isfinite(p.x) && std::isfinite(p.y))
        path.push_back(p);
      else
        flush();
    }
    flush();
    if (!strokes.paths.empty()) items.emplace_back(std::move(strokes));
  }

  void operator()(const Points& e) const {
    Strokes bars{{}, e.color, std::max(0.5, e.size / 5), Dash::solid, e.opacity / 2};
    for (std::size_t i = 0; i < e.low.size(); ++i)
      for (Path& part : clip_polyline({frame.at(e.x[i], e.low[i]), frame.at(e.x[i], e.high[i])}, frame.rect))
        bars.paths.push_back(std::move(part));
    if (!bars.paths.empty()) items.emplace_back(std::move(bars));
    Dots dots{{}, e.size, e.color, e.opacity};
    for (std::size_t i = 0; i < e.x.size(); ++i) {
      const Position p = frame.at(e.x[i], e.y[i]);
      if (frame.rect.contains(p, 0.5)) dots.at.push_back(p);  // false for NaN
    }
    if (!dots.at.empty()) items.emplace_back(std::move(dots));
  }

  void operator()(const Band& e) const {
    Area area{{}, e.color, e.opacity};
    for (std::size_t i = 0; i < e.x.size();) {
      const auto there = [&](std::size_t k) {
        return k < e.x.size() && std::isfinite(e.x[k]) && std::isfinite(e.low[k]) && std::isfinite(e.high[k]);
      };
      if (!there(i)) {
        ++i;
        continue;
      }
      std::size_t end = i;
      while (there(end)) ++end;
      Path ring;
      for (std::size_t k = i; k < end; ++k) ring.push_back(frame.at(e.x[k], e.low[k]));
      for (std::size_t k = end; k-- > i;) ring.push_back(frame.at(e.x[k], e.high[k]));
      ring = clip_ring(ring, frame.rect);
      if (ring.size() > 2) area.rings.push_back(std::move(ring));
      i = end;
    }
    if (!area.rings.empty()) items.emplace_back(std::move(area));
  }

  void operator()(const Bars& e) const {
    Area area{{}, e.color, e.opacity};
    for (std::size_t i = 0; i < e.left.size(); ++i) {
      if (!std::isfinite(e.height[i]) || e.height[i] == e.base) continue;
      const double left = frame.x(e.left[i]), right = frame.x(e.right[i]);
      const double gap = std::min(0.5, 0.1 * std::abs(right - left)) * (right > left ? 1 : -1);
      Path ring = clip_ring(rectangle(left + gap / 2, frame.y(e.height[i]), right - gap / 2, frame.y(e.base)), frame.rect);
      if (ring.size() > 2) area.rings.push_back(std::move(ring));
    }
    if (!area.rings.empty()) items.emplace_back(std::move(area));
  }

  void operator()(const Density& e) const {
    const double dx = e.columns > 1 ? (e.x_high - e.x_low) / static_cast<double>(e.columns - 1) : 0;
    const double dy = e.rows > 1 ? (e.y_high - e.y_low) / static_cast<double>(e.rows - 1) : 0;
    for (std::size_t k = 0; k < e.levels.size(); ++k) {
      if (!(e.levels[k] > 0)) continue;
      Area area{{}, mix_with_white(e.color, shade(k, e.levels.size(), e.palest)), e.opacity};
      for (Path& ring : contour_rings(e, e.levels[k])) {
        for (Position& p : ring) p = frame.at(e.x_low + p.x * dx, e.y_low + p.y * dy);
        Path clipped = clip_ring(ring, frame.rect);
        if (clipped.size() > 2) area.rings.push_back(std::move(clipped));
      }
      if (!area.rings.empty()) items.emplace_back(std::move(area));
    }
  }

  void operator()(const Cells& e) const {
    for (std::int64_t i = 0; i < e.rows; ++i)
      for (std::int64_t j = 0; j < e.columns; ++j) {
        const double v = e.values[static_cast<std::size_t>(i * e.columns + j)];
        const double amount = (v - e.low) / (e.high - e.low);
        const double x = static_cast<double>(j), y = static_cast<double>(i);
        Path ring = clip_ring(rectangle(frame.x(x - 0.5), frame.y(y - 0.5), frame.x(x + 0.5), frame.y(y + 0.5)), frame.rect);
        if (ring.size() > 2)
          items.emplace_back(Area{{std::move(ring)}, std::isfinite(amount) ? mix_with_white(e.color, amount) : "#ececec", 1});
      }
  }

  void operator()(const Text& e) const {
    const Position at = e.in_axes ? Position{frame.rect.left + e.x * frame.rect.width(), frame.rect.bottom - e.y * frame.rect.height()}
                                  : frame.at(e.x, e.y);
    if (frame.rect.contains(at, 1)) items.emplace_back(Label{at, parse_markup(e.text), e.size, e.anchor, 0, e.color, false});
  }

  void operator()(const Rule& e) const {
    Path path;
    if (e.kind == Rule::Kind::diagonal) {
      const double low = std::max(std::min(frame.x_low, frame.x_high), std::min(frame.y_low, frame.y_high));
      const double high = std::min(std::max(frame.x_low, frame.x_high), std::max(frame.y_low, frame.y_high));
      if (low < high) path = {frame.at(low, low), frame.at(high, high)};
    } else if (e.kind == Rule::Kind::horizontal) {
      path = {{frame.rect.left, frame.y(e.position)}, {frame.rect.right, frame.y(e.position)}};
    } else {
      path = {{frame.x(e.position), frame.rect.bottom}, {frame.x(e.position), frame.rect.top}};
    }
    std::vector<Path> parts = clip_polyline(path, frame.rect);
    if (!parts.empty()) items.emplace_back(Strokes{std::move(parts), e.color, e.width, e.dash, 1});
  }
};

}  // namespace

void Range::add(double value) {
  if (!std::isfinite(value)) return;
  if (low > high) {
    low = high = value;
  } else {
    low = std::min(low, value);
    high = std::max(high, value);
  }
}

void check_element(const Element& element, const std::string& place) {
  std::visit(Overloaded{[&](const Line& e) {
                          require_lengths(place, "Line", {{"x", e.x.size()}, {"y", e.y.size()}});
                          require_color(e.color);
                          require_opacity(place, e.opacity);
                          require_positive(place, "Line::width", e.width);
                        },
                        [&](const Points& e) {
                          require_lengths(place, "Points", {{"x", e.x.size()}, {"y", e.y.size()}});
                          require_lengths(place, "Points", {{"low", e.low.size()}, {"high", e.high.size()}});
                          if (!e.low.empty()) require_lengths(place, "Points", {{"x", e.x.size()}, {"low", e.low.size()}});
                          require_color(e.color);
                          require_opacity(place, e.opacity);
                          require_positive(place, "Points::size", e.size);
                        },
                        [&](const Band& e) {
                          require_lengths(place, "Band", {{"x", e.x.size()}, {"low", e.low.size()}, {"high", e.high.size()}});
                          require_color(e.color);
                          require_opacity(place, e.opacity);
                        },
                        [&](const Bars& e) {
                          require_lengths(place, "Bars", {{"left", e.left.size()}, {"right", e.right.size()}, {"height", e.height.size()}});
                          require_color(e.color);
                          require_opacity(place, e.opacity);
                        },
                        [&](const Density& e) {
                          require_lengths(place, "Density",
                                          {{"values", e.values.size()}, {"rows * columns", static_cast<std::size_t>(e.rows * e.columns)}});
                          require_color(e.color);
                          require_opacity(place, e.opacity);
                        },
                        [&](const Cells& e) {
                          require_lengths(place, "Cells",
                                          {{"values", e.values.size()}, {"rows * columns", static_cast<std::size_t>(e.rows * e.columns)}});
                          require_color(e.color);
                        },
                        [&](const Text& e) {
                          require_color(e.color);
                          require_positive(place, "Text::size", e.size);
                        },
                        [&](const Rule& e) {
                          require_color(e.color);
                          require_positive(place, "Rule::width", e.width);
                        }},
             element);
}

void add_extent(const Element& element, Range& x, Range& y) {
  const auto all = [](Range& range, const std::vector<double>& values) {
    for (const double v : values) range.add(v);
  };
  std::visit(Overloaded{[&](const Line& e) { all(x, e.x), all(y, e.y); },
                        [&](const Points& e) { all(x, e.x), all(y, e.y), all(y, e.low), all(y, e.high); },
                        [&](const Band& e) { all(x, e.x), all(y, e.low), all(y, e.high); },
                        [&](const Bars& e) { all(x, e.left), all(x, e.right), all(y, e.height), y.add(e.base); },
                        [&](const Density& e) { x.add(e.x_low), x.add(e.x_high), y.add(e.y_low), y.add(e.y_high); },
                        [&](const Cells& e) {
                          x.add(-0.5), x.add(static_cast<double>(e.columns) - 0.5);
                          y.add(-0.5), y.add(static_cast<double>(e.rows) - 0.5);
                        },
                        [&](const Text& e) {
                          if (!e.in_axes) x.add(e.x), y.add(e.y);
                        },
                        [&](const Rule& e) {
                          if (e.kind == Rule::Kind::horizontal) y.add(e.position);
                          if (e.kind == Rule::Kind::vertical) x.add(e.position);
                        }},
             element);
}

void draw_element(const Element& element, const Frame& frame, std::vector<Item>& items) { std::visit(Drawer{frame, items}, element); }

void draw_swatch(const Element& element, Position middle, double width, std::vector<Item>& items) {
  const double left = middle.x - width / 2, right = middle.x + width / 2;
  const auto patch = [&](const std::string& color, double opacity) {
    items.emplace_back(Area{{rectangle(left, middle.y - 3.5, right, middle.y + 3.5)}, color, opacity});
  };
  const auto stroke = [&](const std::string& color, double line_width, Dash dash, double opacity) {
    items.emplace_back(Strokes{{{{left, middle.y}, {right, middle.y}}}, color, std::min(line_width, 2.5), dash, opacity});
  };
  std::visit(Overloaded{[&](const Line& e) { stroke(e.color, e.width, e.dash, std::max(e.opacity, 0.6)); },
                        [&](const Points& e) {
                          items.emplace_back(Dots{{middle}, std::clamp(e.size, 3.0, 6.0), e.color, std::max(e.opacity, 0.6)});
                        },
                        [&](const Band& e) { patch(e.color, e.opacity); }, [&](const Bars& e) { patch(e.color, e.opacity); },
                        [&](const Density& e) { patch(mix_with_white(e.color, 0.7), e.opacity); },
                        [&](const Rule& e) { stroke(e.color, e.width, e.dash, 1); }, [](const auto&) {}},
             element);
}

namespace {
const std::string none;
}  // namespace

const std::string& element_label(const Element& element) {
  return std::visit(
      [](const auto& e) -> const std::string& {
        if constexpr (requires { e.label; })
          return e.label;
        else
          return none;
      },
      element);
}

}  // namespace bayesflow::figures
