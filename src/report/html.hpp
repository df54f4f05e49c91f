/// Pieces of the report's page.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "bayesflow/diagnostics/table.hpp"
#include "bayesflow/figures/figure.hpp"

namespace bayesflow::report_page {

/// Base64 (RFC 4648).
[[nodiscard]] std::string base64(std::string_view bytes);

/// A number as the page shows it: decimals by its standard error (NaN: three significant digits), "n/a" for what is no number.
[[nodiscard]] std::string shown(double value, double standard_error);

/// A sentence of the diagnostics, escaped, in which names have their styles and "+-" is "±".
[[nodiscard]] std::string sentence_html(const std::string& sentence, const std::vector<std::string>& names);
/// A name with its styles.
[[nodiscard]] std::string name_html(const std::string& name);

/// A table of numbers; a column "x_se" joins its "x" as "x ± se". Every number says by its attributes which entry of the exported table
/// it is. Columns in `left_out` are not shown.
[[nodiscard]] std::string table_html(const diagnostics::Table& table, const std::vector<std::string>& left_out = {});

/// Links to the tables as CSV, inside of the page as data URIs (up to 4 MB each).
[[nodiscard]] std::string csv_links(const std::vector<diagnostics::Table>& tables);

/// The panels of a figure as separate drawings that flow with the page's width, under one legend.
[[nodiscard]] std::string panels_html(const Figure& figure);
/// A figure that must stay whole: on narrow screens it scrolls by itself.
[[nodiscard]] std::string whole_figure_html(const Figure& figure);

/// Head, style and body around the content.
[[nodiscard]] std::string page_html(const std::string& title, const std::string& content);

}  // namespace bayesflow::report_page
