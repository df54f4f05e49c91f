#include "figures/plots_common.hpp"

#include <algorithm>

#include "bayesflow/core/errors.hpp"

namespace bayesflow::figures {

std::vector<Panel> grid_panels(std::int64_t count, const PanelGrid& grid, const char* function) {
  if (count < 1) throw ArgumentError(fmt::format("{}: there is nothing to draw; the numbers are of no parameter", function));
  const auto ceiling = [](std::int64_t a, std::int64_t b) { return (a + b - 1) / b; };
  std::int64_t rows = grid.rows, columns = grid.columns;
  if (rows < 0 || columns < 0)
    throw ArgumentError(fmt::format("{}: PanelGrid of {} rows and {} columns; neither may be negative", function, rows, columns));
  if (rows == 0) rows = columns > 0 ? ceiling(count, columns) : ceiling(count, 6);
  if (columns == 0) columns = ceiling(count, rows);
  if (rows * columns < count)
    throw ArgumentError(fmt::format("{}: a PanelGrid of {} rows and {} columns has no room for {} panels", function, rows, columns, count));
  std::vector<Panel> panels(static_cast<std::size_t>(count));
  for (std::int64_t i = 0; i < count; ++i) {
    panels[static_cast<std::size_t>(i)].row = i / columns;
    panels[static_cast<std::size_t>(i)].column = i % columns;
  }
  return panels;
}

double panel_size(std::int64_t count) { return count == 1 ? 190 : count <= 3 ? 150 : 130; }

Figure square_panels(std::string title, std::int64_t count, const PanelGrid& grid, const char* function) {
  Figure figure;
  figure.title = std::move(title);
  figure.panel_width = figure.panel_height = panel_size(count);
  figure.panels = grid_panels(count, grid, function);
  return figure;
}

std::string percent(double share) {
  std::string text = fmt::format("{:.1f}", 100 * share);
  if (text.ends_with(".0")) text.resize(text.size() - 2);
  return text;
}

std::string decimals(double value, int places) {
  if (!std::isfinite(value)) return "n/a";
  const std::string text = fmt::format("{:.{}f}", std::abs(value), places);
  return value < 0 && text.find_first_of("123456789") != std::string::npos ? "−" + text : text;
}

std::string p_value_text(double p) {
  if (!std::isfinite(p)) return "$p$ n/a";
  return p < 0.001 ? "$p$ < 0.001" : fmt::format("$p$ = {:.3f}", p);
}

std::vector<double> column_of(const Array& matrix, std::int64_t index, std::int64_t stride) {
  std::vector<double> out;
  const std::int64_t columns = matrix.dim(-1);
  for (std::int64_t i = 0; i < matrix.dim(0); i += stride) out.push_back(matrix.data()[i * columns + index]);
  return out;
}

std::vector<double> row_of(const Array& matrix, std::int64_t index) {
  const auto values = matrix.row_values(index);
  return {values.begin(), values.end()};
}

std::int64_t thinning(std::int64_t count, std::int64_t max_points) {
  if (max_points < 1) throw ArgumentError(fmt::format("max_points = {}; at least one point must be drawn", max_points));
  return std::max<std::int64_t>(1, (count + max_points - 1) / max_points);
}

std::string counted(std::int64_t count, const char* noun) { return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s"); }

}  // namespace bayesflow::figures
