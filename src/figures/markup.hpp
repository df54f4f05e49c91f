/// Labels: plain text with TeX between dollar signs, as runs that every renderer can draw.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace bayesflow::figures {

/// A piece of a label in one style. The text is clean UTF-8 without control characters.
struct Run {
  std::string text;
  int level = 0;  ///< 1: superscript, -1: subscript
  bool italic = false;
};
using Runs = std::vector<Run>;

/// Reads the part of TeX that names need: Greek, sub- and superscripts, accents, common symbols, fonts. Never fails: what it does
/// not know is shown as it stands.
[[nodiscard]] Runs parse_markup(std::string_view label);

/// The markup of a parameter's name. A name with a $...$ part is TeX already; "theta_1", "sigma" and "x_2" become what they
/// mean; anything else stays as it stands, letter by letter.
[[nodiscard]] std::string name_markup(std::string_view name);
/// A label that shows `text` as it stands.
[[nodiscard]] std::string literal_markup(std::string_view text);

[[nodiscard]] std::string plain_text(const Runs& runs);  ///< without styles: "θ₁", "R²", "x_ab"
[[nodiscard]] std::string html_text(const Runs& runs);   ///< with <i>, <sub> and <sup>, everything else escaped

/// Width in units of the font size: an estimate on the safe side (DejaVu Sans, which is wider than most).
[[nodiscard]] double text_width(const Runs& runs);

/// Any bytes as UTF-8 that is allowed in XML: what is broken or forbidden becomes U+FFFD, line breaks and tabs become spaces.
[[nodiscard]] std::string clean_utf8(std::string_view text);
/// Escaped for text and attributes of XML and HTML.
[[nodiscard]] std::string escape_xml(std::string_view text);

/// One code point of clean UTF-8, moving `at` past it.
[[nodiscard]] char32_t next_code_point(std::string_view text, std::size_t& at);

}  // namespace bayesflow::figures
