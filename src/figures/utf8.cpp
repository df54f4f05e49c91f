#include <array>
#include <cstdint>

#include "figures/markup.hpp"

namespace bayesflow::figures {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

/// Length of the valid sequence at `at`, 0 if there is none.
std::size_t sequence_length(std::string_view text, std::size_t at, char32_t& code) {
  const auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U; };
  const unsigned first = byte(at);
  std::size_t length = 0;
  if (first < 0x80) {
    code = first;
    return 1;
  }
  if (first >= 0xC2 && first < 0xE0) {
    length = 2;
    code = first & 0x1F;
  } else if (first >= 0xE0 && first < 0xF0) {
    length = 3;
    code = first & 0x0F;
  } else if (first >= 0xF0 && first < 0xF5) {
    length = 4;
    code = first & 0x07;
  } else {
    return 0;
  }
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(at + i) & 0xC0) != 0x80) return 0;
    code = (code << 6) | (byte(at + i) & 0x3F);
  }
  const bool overlong = (length == 3 && code < 0x800) || (length == 4 && code < 0x10000);
  const bool surrogate = code >= 0xD800 && code < 0xE000;
  return overlong || surrogate || code > 0x10FFFF ? 0 : length;
}

bool allowed(char32_t code) { return code >= 0x20 && !(code >= 0x7F && code < 0xA0) && code != 0xFFFE && code != 0xFFFF; }

/// Advance widths of DejaVu Sans, thousandths of the font size, from the space to the tilde.
constexpr std::array<std::uint16_t, 95> kWidths{
    318, 401, 460, 838, 636, 950, 780, 275, 390,  390, 500, 838, 318, 361, 318, 337, 636, 636, 636, 636, 636, 636, 636, 636,
    636, 636, 337, 337, 838, 838, 838, 531, 1000, 684, 686, 698, 770, 632, 575, 775, 752, 295, 295, 656, 557, 863, 748, 787,
    603, 787, 695, 635, 611, 732, 684, 989, 685,  611, 685, 390, 337, 390, 838, 500, 500, 613, 635, 550, 635, 615, 352, 635,
    634, 278, 278, 579, 278, 974, 634, 612, 635,  635, 411, 521, 392, 634, 592, 818, 592, 592, 525, 636, 337, 636, 838};

double code_point_width(char32_t code) {
  if (code >= 32 && code < 127) return kWidths[code - 32] / 1000.0;
  if (code >= 0x300 && code < 0x370) return 0;            // combining accents
  if (code >= 0x370 && code < 0x400) return 0.66;         // Greek
  if (code >= 0x1100) return code < 0x2E80 ? 0.84 : 1.0;  // symbols; East Asian scripts, emoji
  return 0.65;
}

}  // namespace

char32_t next_code_point(std::string_view text, std::size_t& at) {
  char32_t code = 0;
  const std::size_t length = sequence_length(text, at, code);
  at += length ? length : 1;
  return length ? code : U'\uFFFD';
}

std::string clean_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    char32_t code = 0;
    const std::size_t length = sequence_length(text, at, code);
    if (code == '\n' || code == '\r' || code == '\t') {
      out += ' ';
    } else if (length && allowed(code)) {
      out += text.substr(at, length);
    } else {
      out += kReplacement;
    }
    at += length ? length : 1;
  }
  return out;
}

std::string escape_xml(std::string_view text) {
  std::string out;
  for (const char c : clean_utf8(text)) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

double text_width(const Runs& runs) {
  double width = 0;
  for (const Run& run : runs) {
    double part = 0;
    for (std::size_t at = 0; at < run.text.size();) part += code_point_width(next_code_point(run.text, at));
    width += run.level ? 0.7 * part : part;
  }
  return width;
}

}  // namespace bayesflow::figures
