#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "bayesflow/core/errors.hpp"
#include "figures/elements.hpp"
#include "figures/ticks.hpp"

namespace bayesflow::figures {
namespace {

// Sizes of type and gaps, in points.
constexpr double kTitleSize = 12, kPanelTitleSize = 10.5, kSubtitleSize = 8, kAxisLabelSize = 9.5, kTickSize = 8, kFactorSize = 7.5,
                 kLegendSize = 9;
constexpr double kMargin = 8, kGap = 12, kTickLength = 3, kTickGap = 3;
constexpr const char* kSpineColor = "#555555";
constexpr const char* kGridColor = "#e6e6e6";
constexpr const char* kTextColor = "#1f1f1f";
constexpr const char* kQuietColor = "#4d4d4d";
constexpr double kSlant = 35;  // degrees of tick labels that do not fit side by side

double width_at(const Runs& runs, double size) { return text_width(runs) * size; }

/// A line of text that fits: smaller type first (down to three quarters), then an ellipsis.
struct FittedText {
  Runs runs;
  double size = 0;
};
FittedText fit(Runs runs, double size, double width) {
  const double needed = width_at(runs, size);
  if (needed <= width) return {std::move(runs), size};
  const double smallest = 0.75 * size;
  if (needed * 0.75 <= width) return {std::move(runs), size * width / needed};
  while (!runs.empty() && width_at(runs, smallest) + 0.9 * smallest > width) {
    std::string& text = runs.back().text;
    do text.pop_back();
    while (!text.empty() && (static_cast<unsigned char>(text.back()) & 0xC0) == 0x80);
    if (!text.empty() && static_cast<unsigned char>(text.back()) >= 0xC0) text.pop_back();
    if (text.empty()) runs.pop_back();
  }
  runs.push_back({"…", 0, false});
  return {std::move(runs), smallest};
}

/// Breaks at spaces outside of dollar signs.
std::vector<std::string> wrap(const std::string& label, double size, double width) {
  std::vector<std::string> words(1), lines;
  bool math = false;
  for (std::size_t i = 0; i < label.size(); ++i) {
    if (label[i] == '\\' && i + 1 < label.size()) {
      words.back() += label[i++];
    } else if (label[i] == '$') {
      math = !math;
    } else if (label[i] == ' ' && !math) {
      words.emplace_back();
      continue;
    }
    words.back() += label[i];
  }
  for (const std::string& word : words) {
    const std::string longer = lines.empty() ? word : lines.back() + " " + word;
    if (!lines.empty() && width_at(parse_markup(longer), size) <= width)
      lines.back() = longer;
    else
      lines.push_back(word);
  }
  return lines;
}

struct PlacedPanel {
  const Panel* panel = nullptr;
  Frame frame;
  Ticks x, y;
  bool x_tick_labels = true, y_tick_labels = true, x_label = true, y_label = true;
  double slant = 0;
  double head = 0;  ///< room above the panel: the titles of a row stand at one height
};

double widest_label(const Ticks& ticks) {
  double widest = 0;
  for (const Tick& t : ticks.at) widest = std::max(widest, width_at(parse_markup(t.label), kTickSize));
  return widest;
}

/// Limits of an axis: those given, else those of the data with a margin.
void set_limits(const Axis& axis, Range range, double& low, double& high) {
  if (range.low > range.high) range = {0, 1};
  double margin = 0.05 * (range.high - range.low);
  if (!(range.high - range.low > 1e-12 * std::max(std::abs(range.low), std::abs(range.high))))
    margin = std::max(0.5, 0.05 * std::abs(range.low));
  low = axis.low.value_or(range.low - margin);
  high = axis.high.value_or(range.high + margin);
  if (low == high) high = low + 1;
}

class Layout {
 public:
  explicit Layout(const Figure& figure) : figure_(figure) {
    check();
    for (const Panel& panel : figure.panels) {
      PlacedPanel placed;
      placed.panel = &panel;
      placed_.push_back(std::move(placed));
    }
  }

  Scene build() {
    choose_limits();
    decide_labels();
    place_ticks();
    place_frames();
    draw_header();
    for (const PlacedPanel& p : placed_) draw_panel(p);
    return std::move(scene_);
  }

 private:
  void check() const {
    if (figure_.panels.empty()) throw ArgumentError("a figure without panels cannot be drawn; add a panel");
    if (!(figure_.panel_width >= 20 && figure_.panel_width <= 5000 && figure_.panel_height >= 20 && figure_.panel_height <= 5000))
      throw ArgumentError(fmt::format("Figure: panels of {} x {} points cannot be drawn; both must lie between 20 and 5000",
                                      figure_.panel_width, figure_.panel_height));
    std::set<std::pair<std::int64_t, std::int64_t>> places;
    for (const Panel& panel : figure_.panels) {
      const std::string name = fmt::format("Figure, panel at row {}, column {}", panel.row, panel.column);
      if (panel.row < 0 || panel.column < 0 || panel.row > 999 || panel.column > 999)
        throw ArgumentError(name + ": rows and columns must lie between 0 and 999");
      if (!places.emplace(panel.row, panel.column).second)
        throw ArgumentError(name + ": there are two panels in this place; one place holds one");
      for (const Element& e : panel.elements) check_element(e, name);
      for (const Axis* axis : {&panel.x, &panel.y})
        for (const auto& limit : {axis->low, axis->high})
          if (limit && !std::isfinite(*limit))
            throw ArgumentError(fmt::format("{}: an axis limit is {}; limits must be finite", name, *limit));
    }
  }

  void choose_limits() {
    std::vector<Range> xs, ys;
    Range all_x, all_y;
    for (const PlacedPanel& p : placed_) {
      Range x, y;
      for (const Element& e : p.panel->elements) add_extent(e, x, y);
      xs.push_back(x);
      ys.push_back(y);
      for (const double v : {x.low, x.high})
        if (x.low <= x.high) all_x.add(v);
      for (const double v : {y.low, y.high})
        if (y.low <= y.high) all_y.add(v);
    }
    for (std::size_t i = 0; i < placed_.size(); ++i) {
      Frame& f = placed_[i].frame;
      set_limits(placed_[i].panel->x, figure_.share_x ? all_x : xs[i], f.x_low, f.x_high);
      set_limits(placed_[i].panel->y, figure_.share_y ? all_y : ys[i], f.y_low, f.y_high);
    }
  }

  /// The outermost panel of each row and column has the labels; an inner one only where it says something else.
  void decide_labels() {
    std::map<std::pair<std::int64_t, std::int64_t>, const Panel*> at;
    for (const PlacedPanel& p : placed_) at[{p.panel->row, p.panel->column}] = p.panel;
    const auto neighbour = [&](const Panel& panel, std::int64_t down, std::int64_t right) -> const Panel* {
      const auto found = at.find({panel.row + down, panel.column + right});
      return found == at.end() ? nullptr : found->second;
    };
    for (PlacedPanel& p : placed_) {
      const Panel* below = neighbour(*p.panel, 1, 0);
      const Panel* left = neighbour(*p.panel, 0, -1);
      p.x_tick_labels = p.panel->x.show_ticks && !(figure_.share_x && below);
      p.y_tick_labels = p.panel->y.show_ticks && !(figure_.share_y && left);
      p.x_label = !p.panel->x.label.empty() && !(below && below->x.label == p.panel->x.label);
      p.y_label = !p.panel->y.label.empty() && !(left && left->y.label == p.panel->y.label);
    }
  }

  void place_ticks() {
    for (PlacedPanel& p : placed_) {
      const Frame& f = p.frame;
      const auto given = [](const Axis& axis, double low, double high) {
        Ticks ticks;
        for (const Tick& t : axis.ticks)
          if (t.position >= std::min(low, high) && t.position <= std::max(low, high)) ticks.at.push_back(t);
        return ticks;
      };
      if (!p.panel->y.ticks.empty())
        p.y = given(p.panel->y, f.y_low, f.y_high);
      else
        p.y = choose_ticks(f.y_low, f.y_high, std::clamp(static_cast<int>(figure_.panel_height / 20), 2, 7));
      if (!p.panel->x.ticks.empty()) {
        p.x = given(p.panel->x, f.x_low, f.x_high);
        double nearest = figure_.panel_width;
        for (std::size_t i = 1; i < p.x.at.size(); ++i)
          nearest =
              std::min(nearest, std::abs(p.x.at[i].position - p.x.at[i - 1].position) / std::abs(f.x_high - f.x_low) * figure_.panel_width);
        if (widest_label(p.x) + 4 > nearest) p.slant = kSlant;
      } else {
        for (int n = std::clamp(static_cast<int>(figure_.panel_width / 24), 2, 8); n >= 1; --n) {
          p.x = choose_ticks(f.x_low, f.x_high, n);
          const double step = p.x.at.size() > 1
                                  ? (p.x.at[1].position - p.x.at[0].position) / std::abs(f.x_high - f.x_low) * figure_.panel_width
                                  : figure_.panel_width;
          if (widest_label(p.x) + 7 <= step) break;
        }
      }
    }
  }

  /// Margins of every row and column are as wide as the labels in them need.
  void place_frames() {
    std::int64_t rows = 0, columns = 0;
    for (const PlacedPanel& p : placed_) {
      rows = std::max(rows, p.panel->row + 1);
      columns = std::max(columns, p.panel->column + 1);
    }
    std::vector<double> left(static_cast<std::size_t>(columns), 0), right(left), above(static_cast<std::size_t>(rows), 0), below(above);
    for (const PlacedPanel& p : placed_) {
      double need_left = p.y_tick_labels ? widest_label(p.y) + kTickLength + kTickGap : 0;
      if (p.y_label) need_left += kAxisLabelSize + 6;
      double need_right = 0;
      double need_below = kTickLength;
      if (p.x_tick_labels && !p.x.at.empty()) {
        const double slanted = widest_label(p.x) * std::sin(p.slant * 3.14159265 / 180);
        need_below += kTickGap + kTickSize + slanted;
        if (p.slant > 0) need_left = std::max(need_left, 0.6 * widest_label(p.x));
        // Labels of ticks at the ends reach beyond the panel.
        if (p.slant == 0)
          for (const Tick& t : p.x.at) {
            const double half = width_at(parse_markup(t.label), kTickSize) / 2,
                         at = (t.position - p.frame.x_low) / (p.frame.x_high - p.frame.x_low);
            need_left = std::max(need_left, half - at * figure_.panel_width);
            need_right = std::max(need_right, half - (1 - at) * figure_.panel_width);
          }
      }
      if (!p.x.factor.empty() && p.x_tick_labels) need_below += kFactorSize + 1;
      if (p.x_label) need_below += kAxisLabelSize + 5;
      double need_above = 0;
      if (!p.panel->title.empty()) need_above += kPanelTitleSize + 4;
      if (!p.panel->subtitle.empty()) need_above += kSubtitleSize + 3;
      if (!p.y.factor.empty() && p.y_tick_labels) need_above += kFactorSize + 2;
      const auto r = static_cast<std::size_t>(p.panel->row), c = static_cast<std::size_t>(p.panel->column);
      left[c] = std::max(left[c], need_left);
      right[c] = std::max(right[c], need_right);
      above[r] = std::max(above[r], need_above);
      below[r] = std::max(below[r], need_below);
    }
    std::vector<double> x(left.size()), y(above.size());
    double at = kMargin;
    for (std::size_t c = 0; c < x.size(); ++c) {
      at += left[c] + (c ? std::max(kGap, right[c - 1] + kGap / 2) : 0);
      x[c] = at;
      at += figure_.panel_width;
    }
    scene_.width = at + std::max(kMargin, right.back() + 2);
    at = header_height();
    for (std::size_t r = 0; r < y.size(); ++r) {
      at += above[r] + (r ? kGap / 2 : 0);
      y[r] = at;
      at += figure_.panel_height + below[r];
    }
    scene_.height = at + kMargin;
    for (PlacedPanel& p : placed_) {
      const double px = x[static_cast<std::size_t>(p.panel->column)], py = y[static_cast<std::size_t>(p.panel->row)];
      p.frame.rect = {px, py, px + figure_.panel_width, py + figure_.panel_height};
      p.head = above[static_cast<std::size_t>(p.panel->row)];
    }
  }

  struct LegendEntry {
    const Element* element;
    FittedText text;
    double width;
  };
  static constexpr double kSwatch = 15, kSwatchGap = 5, kEntryGap = 16, kLegendLine = 13;

  /// Title and legend stand above the panels, so that they never hide data. Needs scene_.width.
  double header_height() {
    const double width = scene_.width - 2 * kMargin;
    title_ = figure_.title.empty() ? std::vector<std::string>() : wrap(figure_.title, kTitleSize, width);
    std::set<std::string> seen;
    double used = 0;
    for (const PlacedPanel& p : placed_)
      for (const Element& e : p.panel->elements) {
        const std::string& label = element_label(e);
        if (label.empty() || !seen.insert(label).second) continue;
        LegendEntry entry{&e, fit(parse_markup(label), kLegendSize, width - kSwatch - kSwatchGap), 0};
        entry.width = kSwatch + kSwatchGap + width_at(entry.text.runs, entry.text.size);
        if (legend_.empty() || used + kEntryGap + entry.width > width) {
          legend_.emplace_back();
          used = -kEntryGap;
        }
        used += kEntryGap + entry.width;
        legend_.back().push_back(std::move(entry));
      }
    return kMargin + static_cast<double>(title_.size()) * (kTitleSize + 4) + static_cast<double>(legend_.size()) * kLegendLine +
           (title_.empty() && legend_.empty() ? 0 : 4);
  }

  void draw_header() {
    double y = kMargin;
    for (const std::string& line : title_) {
      FittedText text = fit(parse_markup(line), kTitleSize, scene_.width - 2 * kMargin);
      scene_.items.emplace_back(
          Label{{scene_.width / 2, y + kTitleSize / 2}, std::move(text.runs), text.size, Text::Anchor::middle, 0, kTextColor, true});
      y += kTitleSize + 4;
    }
    for (const auto& row : legend_) {
      double total = -kEntryGap;
      for (const LegendEntry& e : row) total += e.width + kEntryGap;
      double x = (scene_.width - total) / 2;
      for (const LegendEntry& e : row) {
        draw_swatch(*e.element, {x + kSwatch / 2, y + kLegendLine / 2}, kSwatch, scene_.items);
        scene_.items.emplace_back(
            Label{{x + kSwatch + kSwatchGap, y + kLegendLine / 2}, e.text.runs, e.text.size, Text::Anchor::start, 0, kTextColor, false});
        x += e.width + kEntryGap;
      }
      y += kLegendLine;
    }
  }

  void label(Position at, Runs runs, double size, Text::Anchor anchor, const char* color, double angle = 0) {
    scene_.items.emplace_back(Label{at, std::move(runs), size, anchor, angle, color, false});
  }

  void draw_panel(const PlacedPanel& p) {
    const Rect& r = p.frame.rect;
    const Panel& panel = *p.panel;
    if (panel.grid) {
      Strokes grid{{}, kGridColor, 0.6, Dash::solid, 1};
      if (panel.x.show_ticks)
        for (const Tick& t : p.x.at) grid.paths.push_back({{p.frame.x(t.position), r.top}, {p.frame.x(t.position), r.bottom}});
      if (panel.y.show_ticks)
        for (const Tick& t : p.y.at) grid.paths.push_back({{r.left, p.frame.y(t.position)}, {r.right, p.frame.y(t.position)}});
      if (!grid.paths.empty()) scene_.items.emplace_back(std::move(grid));
    }
    for (const Element& e : panel.elements) draw_element(e, p.frame, scene_.items);

    Strokes spines{{{{r.left, r.top}, {r.left, r.bottom}, {r.right, r.bottom}}}, kSpineColor, 0.8, Dash::solid, 1};
    if (panel.x.show_ticks)
      for (const Tick& t : p.x.at)
        spines.paths.push_back({{p.frame.x(t.position), r.bottom}, {p.frame.x(t.position), r.bottom + kTickLength}});
    if (panel.y.show_ticks)
      for (const Tick& t : p.y.at) spines.paths.push_back({{r.left - kTickLength, p.frame.y(t.position)}, {r.left, p.frame.y(t.position)}});
    scene_.items.emplace_back(std::move(spines));

    double below = r.bottom + kTickLength;
    if (p.x_tick_labels && !p.x.at.empty()) {
      below += kTickGap;
      for (const Tick& t : p.x.at) {
        const double x = p.frame.x(t.position);
        if (p.slant > 0)
          label({x + 2, below + 2}, parse_markup(t.label), kTickSize, Text::Anchor::end, kQuietColor, p.slant);
        else
          label({x, below + kTickSize / 2}, parse_markup(t.label), kTickSize, Text::Anchor::middle, kQuietColor);
      }
      below += kTickSize + widest_label(p.x) * std::sin(p.slant * 3.14159265 / 180);
      if (!p.x.factor.empty()) {
        label({r.right, below + kFactorSize / 2 + 1}, parse_markup(p.x.factor), kFactorSize, Text::Anchor::end, kQuietColor);
        below += kFactorSize + 1;
      }
    }
    if (p.x_label) {
      FittedText text = fit(parse_markup(panel.x.label), kAxisLabelSize, r.width() + kGap);
      label({(r.left + r.right) / 2, below + 4 + kAxisLabelSize / 2}, std::move(text.runs), text.size, Text::Anchor::middle, kTextColor);
    }
    double beside = r.left - kTickLength;
    if (p.y_tick_labels) {
      beside -= kTickGap;
      for (const Tick& t : p.y.at) label({beside, p.frame.y(t.position)}, parse_markup(t.label), kTickSize, Text::Anchor::end, kQuietColor);
      beside -= widest_label(p.y);
    }
    if (p.y_label) {
      FittedText text = fit(parse_markup(panel.y.label), kAxisLabelSize, r.height() + kGap / 2);
      label({beside - 3 - kAxisLabelSize / 2, (r.top + r.bottom) / 2}, std::move(text.runs), text.size, Text::Anchor::middle, kTextColor,
            90);
    }
    if (!p.y.factor.empty() && p.y_tick_labels)
      label({r.left, r.top - 2 - kFactorSize / 2}, parse_markup(p.y.factor), kFactorSize, Text::Anchor::start, kQuietColor);
    double above = r.top - p.head;
    if (!panel.title.empty()) {
      FittedText text = fit(parse_markup(panel.title), kPanelTitleSize, r.width() + kGap / 2);
      label({(r.left + r.right) / 2, above + kPanelTitleSize / 2}, std::move(text.runs), text.size, Text::Anchor::middle, kTextColor);
      above += kPanelTitleSize + 4;
    }
    if (!panel.subtitle.empty()) {
      FittedText text = fit(parse_markup(panel.subtitle), kSubtitleSize, r.width() + kGap / 2);
      label({(r.left + r.right) / 2, above + kSubtitleSize / 2}, std::move(text.runs), text.size, Text::Anchor::middle, kQuietColor);
    }
  }

  const Figure& figure_;
  Scene scene_;
  std::vector<PlacedPanel> placed_;
  std::vector<std::string> title_;
  std::vector<std::vector<LegendEntry>> legend_;
};

}  // namespace

Scene layout(const Figure& figure) { return Layout(figure).build(); }

}  // namespace bayesflow::figures
