#include "report/html.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "figures/elements.hpp"
#include "figures/markup.hpp"

namespace bayesflow::report_page {

using diagnostics::Column, diagnostics::Table;
using figures::escape_xml, figures::html_text, figures::parse_markup;

namespace {

constexpr std::size_t kLargestLink = std::size_t{4} << 20;

const std::vector<double>* numbers(const Column& column) { return std::get_if<std::vector<double>>(&column.values); }

bool is_truth_value(const std::string& name) {
  return name == "inside" || name == "at_fault" || name == "normal" || name == "calibrated" || name == "informative";
}

std::string heading(const std::string& name) {
  if (name == "r2") return "<i>R</i>²";
  if (name == "r") return "<i>r</i>";
  if (name == "rmse") return "RMSE";
  if (name == "normalized_rmse") return "normalized RMSE";
  if (name == "p_value") return "<i>p</i>";
  if (name == "adjusted_p_value") return "adjusted <i>p</i>";
  if (name == "sd_z_score") return "sd of <i>z</i>";
  if (name == "mean_z_score") return "mean of <i>z</i>";
  if (name.starts_with("p_")) return "<i>p</i> " + escape_xml(name.substr(2));
  std::string out = name;
  std::replace(out.begin(), out.end(), '_', ' ');
  return escape_xml(out);
}

std::string fixed(double value, int decimals) {
  std::string text = fmt::format("{:.{}f}", value, decimals);
  if (text[0] == '-') text = text.find_first_of("123456789") == std::string::npos ? text.substr(1) : "−" + text.substr(1);
  return text;
}

void replace_all(std::string& text, const std::string& from, const std::string& to) {
  for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) text.replace(at, from.size(), to);
}

/// The figure's panels without labels, and its legend as HTML.
std::string take_legend(Figure& figure) {
  std::string out;
  std::set<std::string> seen;
  for (figures::Panel& panel : figure.panels)
    for (figures::Element& element : panel.elements) {
      const std::string label = figures::element_label(element);
      if (!label.empty() && seen.insert(label).second) {
        figures::Scene swatch{18, 9, {}};
        figures::draw_swatch(element, {9, 4.5}, 16, swatch.items);
        out += "<li>" + figures::svg_fragment(swatch) + html_text(parse_markup(label)) + "</li>";
      }
      std::visit(
          [](auto& e) {
            if constexpr (requires { e.label; }) e.label.clear();
          },
          element);
    }
  return out.empty() ? out : "<ul class=\"legend\">" + out + "</ul>\n";
}

/// Drawn at the page's width: no size of its own.
std::string fluid_svg(const Figure& figure) {
  std::string svg = figure.svg();
  const std::size_t end = svg.find('>');
  for (const char* name : {" width=\"", " height=\""})
    if (const std::size_t at = svg.find(name); at < end) svg.erase(at, svg.find('"', at + std::string(name).size()) - at + 1);
  return svg;
}

}  // namespace

std::string base64(std::string_view bytes) {
  static constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const auto byte = [&](std::size_t k) { return k < bytes.size() ? static_cast<unsigned char>(bytes[k]) : 0U; };
    const unsigned word = byte(i) << 16 | byte(i + 1) << 8 | byte(i + 2);
    out += kDigits[word >> 18];
    out += kDigits[word >> 12 & 63];
    out += i + 1 < bytes.size() ? kDigits[word >> 6 & 63] : '=';
    out += i + 2 < bytes.size() ? kDigits[word & 63] : '=';
  }
  return out;
}

std::string shown(double value, double standard_error) {
  if (!std::isfinite(value)) return "n/a";
  if (standard_error < 1e-12 * std::abs(value)) standard_error = 0;  // rounding, not chance
  if (std::isfinite(standard_error) && standard_error > 0 && std::abs(value) < 1e7 && standard_error > 1e-7) {
    const int decimals = std::clamp(1 - static_cast<int>(std::floor(std::log10(standard_error))), 0, 8);
    return fixed(value, decimals) + " ± " + fixed(standard_error, decimals);
  }
  std::string text = value == std::round(value) && std::abs(value) < 1e9 ? fmt::format("{:.0f}", value) : fmt::format("{:.3g}", value);
  if (text[0] == '-') text = "−" + text.substr(1);
  if (std::isfinite(standard_error) && standard_error > 0) text += fmt::format(" ± {:.2g}", standard_error);
  return text;
}

std::string name_html(const std::string& name) { return html_text(parse_markup(figures::name_markup(name))); }

std::string sentence_html(const std::string& sentence, const std::vector<std::string>& names) {
  std::string out = escape_xml(sentence);
  replace_all(out, "+-", "±");
  for (std::size_t i = 0; i + 1 < out.size(); ++i)  // a minus sign, not a hyphen
    if (out[i] == '-' && (i == 0 || out[i - 1] == ' ' || out[i - 1] == '(') && out[i + 1] >= '0' && out[i + 1] <= '9')
      out.replace(i, 1, "−");
  // Only names that look otherwise than they are written; longer ones first, as theta_1 begins theta_12. Marks keep what is replaced apart.
  std::vector<std::string> order;
  for (const std::string& name : names)
    if (name.size() > 2 && name_html(name) != escape_xml(name)) order.push_back(name);
  std::sort(order.begin(), order.end(), [](const std::string& a, const std::string& b) { return a.size() > b.size(); });
  for (std::size_t i = 0; i < order.size(); ++i) replace_all(out, escape_xml(order[i]), fmt::format("\x01{}\x02", i));
  for (std::size_t i = 0; i < order.size(); ++i) replace_all(out, fmt::format("\x01{}\x02", i), name_html(order[i]));
  return out;
}

std::string table_html(const Table& table, const std::vector<std::string>& left_out) {
  const auto find = [&](const std::string& name) -> const Column* {
    for (const Column& c : table.columns)
      if (c.name == name) return &c;
    return nullptr;
  };
  std::vector<const Column*> columns;
  for (const Column& c : table.columns) {
    if (std::find(left_out.begin(), left_out.end(), c.name) != left_out.end()) continue;
    if (c.name.ends_with("_se") && find(c.name.substr(0, c.name.size() - 3))) continue;
    columns.push_back(&c);
  }
  std::string out =
      "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Table " + escape_xml(table.name) + "\"><table><thead><tr>";
  for (const Column* c : columns)
    out += std::string("<th scope=\"col\"") + (numbers(*c) ? "" : " class=\"text\"") + ">" + heading(c->name) + "</th>";
  out += "</tr></thead><tbody>\n";
  for (std::int64_t row = 0; row < table.rows(); ++row) {
    const auto r = static_cast<std::size_t>(row);
    out += "<tr>";
    for (std::size_t k = 0; k < columns.size(); ++k) {
      const Column& c = *columns[k];
      const std::vector<double>* values = numbers(c);
      if (!values) {
        const std::string& text = std::get<std::vector<std::string>>(c.values)[r];
        const std::string content = c.name == "sentence" ? escape_xml(text) : name_html(text);
        out += k == 0 ? "<th scope=\"row\">" + content + "</th>" : "<td class=\"text\">" + content + "</td>";
        continue;
      }
      const double value = (*values)[r];
      if (is_truth_value(c.name)) {
        out += value != 0 ? "<td>yes</td>" : "<td>no</td>";
        continue;
      }
      const Column* error = find(c.name + "_se");
      const bool probability = c.name.starts_with("p_") || c.name.ends_with("p_value");
      const std::string text =
          probability && value < 0.001 ? "&lt; 0.001" : shown(value, error && numbers(*error) ? (*numbers(*error))[r] : NAN);
      out += fmt::format("<td data-table=\"{}\" data-column=\"{}\" data-row=\"{}\">{}</td>", escape_xml(table.name), escape_xml(c.name),
                         row, text);
    }
    out += "</tr>\n";
  }
  return out + "</tbody></table></div>\n";
}

std::string csv_links(const std::vector<Table>& tables) {
  std::string out;
  for (const Table& table : tables) {
    if (table.rows() == 0) continue;
    const std::string csv = diagnostics::to_csv(table), name = escape_xml(table.name);
    out += out.empty() ? "" : " · ";
    if (csv.size() > kLargestLink)
      out += fmt::format("{}.csv (too large for this page: set data_folder)", name);
    else
      out += fmt::format("<a download=\"{0}.csv\" id=\"csv-{0}\" href=\"data:text/csv;charset=utf-8;base64,{1}\">{0}.csv</a>", name,
                         base64(csv));
  }
  return out.empty() ? out : "<p class=\"data\">Numbers: " + out + "</p>\n";
}

std::string panels_html(const Figure& figure) {
  Figure bare = figure;
  const bool wide = figure.panel_width > 200;
  std::string out = "<figure>\n" + take_legend(bare) + fmt::format("<div class=\"panels{}\">\n", wide ? " wide" : "");
  for (const Figure& panel : bare.split()) {
    Figure one = panel;
    one.description = figure.description;
    out += fmt::format("<div class=\"panel\" style=\"max-width:{}px\">{}</div>\n", wide ? 640 : 340, fluid_svg(one));
  }
  return out + "</div>\n<figcaption>" + html_text(parse_markup(figure.description)) + "</figcaption>\n</figure>\n";
}

std::string whole_figure_html(const Figure& figure) {
  Figure bare = figure;
  bare.title.clear();
  std::string out = "<figure>\n" + take_legend(bare);
  out += "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"" +
         escape_xml(figures::plain_text(parse_markup(figure.title))) + "\"><div class=\"whole\">" + fluid_svg(bare) + "</div></div>\n";
  return out + "<figcaption>" + html_text(parse_markup(figure.description)) + "</figcaption>\n</figure>\n";
}

std::string page_html(const std::string& title, const std::string& content) {
  static constexpr std::string_view kStyle = R"(
:root{--ink:#1f1f1f;--quiet:#555;--line:#ddd;--red:#8f2727;--paper:#fff;--shade:#f6f4f2}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI","Helvetica Neue",Arial,"Liberation Sans","DejaVu Sans",sans-serif;overflow-wrap:anywhere}
main{max-width:1180px;margin:0 auto;padding:24px 16px 64px}
h1{font-size:1.75rem;line-height:1.2;margin:.4em 0 .6em}
h2{font-size:1.25rem;margin:2.6em 0 .5em;padding-top:.6em;border-top:1px solid var(--line)}
h3{font-size:1.02rem;margin:1.6em 0 .4em}
p{margin:.5em 0;max-width:48rem}
sub,sup{font-size:.72em;line-height:0}
nav ul{display:flex;flex-wrap:wrap;gap:4px 18px;list-style:none;padding:0;margin:1.2em 0 0;font-size:.92rem}
a{color:#7a1f1f}
.verdict{border:1px solid var(--line);border-left:6px solid;border-radius:4px;padding:14px 18px;background:var(--shade)}
.verdict p{max-width:none}
.verdict strong{display:block;font-size:1.2rem}
.good{border-left-color:#00785a}.bad{border-left-color:var(--red)}.lost{background:var(--red);color:#fff}.lost strong,.lost p,.lost li,.lost .quiet{color:#fff}.unsure{border-left-color:#b36b00}
.findings li{margin:.35em 0}
.quiet,.data,figcaption{color:var(--quiet);font-size:.9rem}
.note{border-left:4px solid #b36b00;padding:.2em 0 .2em 12px}
figure{margin:1em 0}
figcaption{max-width:48rem;margin-top:.4em}
.legend{display:flex;flex-wrap:wrap;gap:2px 18px;list-style:none;margin:.4em 0;padding:0;font-size:.86rem}
.legend svg{width:24px;height:12px;margin-right:6px;vertical-align:-1px}
.panels{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,255px),1fr));gap:10px 14px}
.panels.wide{grid-template-columns:repeat(auto-fill,minmax(min(100%,480px),1fr))}
.panel svg,.whole svg{display:block;width:100%;height:auto}
.scroll{overflow-x:auto;max-width:100%}
.whole{min-width:520px;max-width:860px}
table{border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums;margin:.4em 0;overflow-wrap:normal}
th,td{padding:4px 12px 4px 0;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap;vertical-align:top}
th[scope=row],th.text,td.text{text-align:left;white-space:normal;min-width:6em}
td.text{min-width:16em}
thead th{border-bottom:1.5px solid #888;font-weight:600}
th[scope=row]{font-weight:600}
dl{display:grid;grid-template-columns:minmax(8em,auto) 1fr;gap:2px 18px;margin:.6em 0;font-size:.95rem}
dt{color:var(--quiet)}dd{margin:0}
@media(max-width:480px){dl{grid-template-columns:1fr}dd{margin-bottom:.4em}main{padding:12px 16px 40px}}
@media print{body{font-size:10.5pt}main{max-width:none;padding:0}nav,.data{display:none}h2,h3{break-after:avoid}figure,.verdict,tr,.panel{break-inside:avoid}.scroll{overflow:visible}.whole{min-width:0}.panels{grid-template-columns:repeat(3,1fr)}.panels.wide{grid-template-columns:repeat(2,1fr)}a{color:inherit;text-decoration:none}}
)";
  return "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, "
         "initial-scale=1\">\n"
         "<link rel=\"icon\" href=\"data:,\">\n<title>" +
         escape_xml(title) + "</title>\n<style>" + std::string(kStyle) + "</style>\n</head>\n<body>\n<main>\n" + content +
         "</main>\n</body>\n</html>\n";
}

}  // namespace bayesflow::report_page
