/// What the plot functions share.
#pragma once

#include <fmt/format.h>

#include <cmath>
#include <string>
#include <vector>

#include "bayesflow/figures/plots.hpp"
#include "figures/markup.hpp"

namespace bayesflow::figures {

/// Panels in their places of the grid; throws ArgumentError if the grid is too small or nothing is to be drawn.
[[nodiscard]] std::vector<Panel> grid_panels(std::int64_t count, const PanelGrid& grid, const char* function);

/// Side of a square panel, points: a few panels may be larger.
[[nodiscard]] double panel_size(std::int64_t count);

/// A figure of `count` square panels in their places.
[[nodiscard]] Figure square_panels(std::string title, std::int64_t count, const PanelGrid& grid, const char* function);

/// "95" or "99.5": no digits that say nothing.
[[nodiscard]] std::string percent(double share);
/// Fixed decimals; "−" for negative numbers, "n/a" for what is no number.
[[nodiscard]] std::string decimals(double value, int places = 3);
/// "p = 0.043" or "p < 0.001"
[[nodiscard]] std::string p_value_text(double p);

/// Column `index` of a matrix; with `stride` > 1 every so many rows.
[[nodiscard]] std::vector<double> column_of(const Array& matrix, std::int64_t index, std::int64_t stride = 1);
[[nodiscard]] std::vector<double> row_of(const Array& matrix, std::int64_t index);
/// Smallest stride that leaves at most `max_points` of `count`.
[[nodiscard]] std::int64_t thinning(std::int64_t count, std::int64_t max_points);

/// "3 parameters" or "1 parameter"
[[nodiscard]] std::string counted(std::int64_t count, const char* noun);

}  // namespace bayesflow::figures
