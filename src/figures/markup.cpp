#include "figures/markup.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

namespace bayesflow::figures {
namespace {

struct Symbol {
  std::string_view name, text;
  bool italic = false;
};
constexpr Symbol kSymbols[] = {
    {"alpha", "α", true},
    {"beta", "β", true},
    {"gamma", "γ", true},
    {"delta", "δ", true},
    {"epsilon", "ε", true},
    {"varepsilon", "ε", true},
    {"zeta", "ζ", true},
    {"eta", "η", true},
    {"theta", "θ", true},
    {"vartheta", "ϑ", true},
    {"iota", "ι", true},
    {"kappa", "κ", true},
    {"lambda", "λ", true},
    {"mu", "μ", true},
    {"nu", "ν", true},
    {"xi", "ξ", true},
    {"omicron", "ο", true},
    {"pi", "π", true},
    {"rho", "ρ", true},
    {"varrho", "ϱ", true},
    {"sigma", "σ", true},
    {"varsigma", "ς", true},
    {"tau", "τ", true},
    {"upsilon", "υ", true},
    {"phi", "φ", true},
    {"varphi", "φ", true},
    {"chi", "χ", true},
    {"psi", "ψ", true},
    {"omega", "ω", true},
    {"Gamma", "Γ"},
    {"Delta", "Δ"},
    {"Theta", "Θ"},
    {"Lambda", "Λ"},
    {"Xi", "Ξ"},
    {"Pi", "Π"},
    {"Sigma", "Σ"},
    {"Upsilon", "Υ"},
    {"Phi", "Φ"},
    {"Psi", "Ψ"},
    {"Omega", "Ω"},
    {"infty", "∞"},
    {"pm", "±"},
    {"mp", "∓"},
    {"times", "×"},
    {"cdot", "·"},
    {"ast", "∗"},
    {"leq", "≤"},
    {"le", "≤"},
    {"geq", "≥"},
    {"ge", "≥"},
    {"neq", "≠"},
    {"ne", "≠"},
    {"approx", "≈"},
    {"sim", "∼"},
    {"propto", "∝"},
    {"to", "→"},
    {"rightarrow", "→"},
    {"leftarrow", "←"},
    {"mid", "|"},
    {"vert", "|"},
    {"Vert", "‖"},
    {"ell", "ℓ"},
    {"partial", "∂"},
    {"nabla", "∇"},
    {"sum", "∑"},
    {"prod", "∏"},
    {"int", "∫"},
    {"in", "∈"},
    {"circ", "∘"},
    {"degree", "°"},
    {"prime", "′"},
    {"star", "⋆"},
    {"dagger", "†"},
    {"ldots", "…"},
    {"dots", "…"},
    {"cdots", "⋯"},
    {"log", "log"},
    {"ln", "ln"},
    {"exp", "exp"},
    {"max", "max"},
    {"min", "min"},
    {"sin", "sin"},
    {"cos", "cos"},
    {"tan", "tan"},
    {"Pr", "Pr"},
    {"quad", " "},
    {"left", ""},
    {"right", ""},
};
constexpr Symbol kAccents[] = {{"hat", "\u0302"},   {"widehat", "\u0302"}, {"bar", "\u0304"},  {"overline", "\u0304"},
                               {"tilde", "\u0303"}, {"dot", "\u0307"},     {"ddot", "\u0308"}, {"vec", "\u20D7"}};
constexpr std::string_view kUprightFonts[] = {"mathrm", "text", "textrm", "mathbf", "textbf", "mathsf", "operatorname", "mathtt", "texttt"};
constexpr std::string_view kItalicFonts[] = {"mathit", "textit", "boldsymbol", "bm", "mathcal", "mathbb"};

const Symbol* find_symbol(std::string_view name) {
  const auto* found = std::find_if(std::begin(kSymbols), std::end(kSymbols), [&](const Symbol& s) { return s.name == name; });
  return found == std::end(kSymbols) ? nullptr : found;
}

template <class Range>
bool contains(const Range& range, std::string_view name) {
  return std::find(std::begin(range), std::end(range), name) != std::end(range);
}

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

void append(Runs& runs, std::string_view text, int level, bool italic) {
  if (text.empty()) return;
  if (!runs.empty() && runs.back().level == level && runs.back().italic == italic)
    runs.back().text += text;
  else
    runs.push_back({std::string(text), level, italic});
}

/// A recursive-descent reader of one $...$ part.
class MathReader {
 public:
  MathReader(std::string_view source, Runs& runs) : source_(source), runs_(runs) {}

  void read_all() {
    while (at_ < source_.size()) {
      if (source_[at_] == '}')
        ++at_;  // one too many
      else
        read_atom(0, kMath);
    }
  }

 private:
  enum Font : std::uint8_t { kMath, kUpright, kItalic };

  void put(std::string_view text, int level, bool italic) { append(runs_, text, level, italic); }

  /// A group in braces, or the next single atom.
  void read_argument(int level, Font font) {
    while (at_ < source_.size() && source_[at_] == ' ') ++at_;
    if (at_ < source_.size() && source_[at_] == '{') {
      ++at_;
      while (at_ < source_.size() && source_[at_] != '}') read_atom(level, font);
      if (at_ < source_.size()) ++at_;
    } else if (at_ < source_.size()) {
      read_atom(level, font);
    }
  }

  void read_atom(int level, Font font) {
    const char c = source_[at_];
    if (c == '{') {
      read_argument(level, font);
    } else if (c == '\\') {
      ++at_;
      read_command(level, font);
    } else if (c == '_' || c == '^') {
      ++at_;
      read_argument(c == '_' ? -1 : 1, font);
    } else if (c == '\'') {
      ++at_;
      put("′", level, false);
    } else if (c == '-' && font == kMath) {
      ++at_;
      put("−", level, false);
    } else if (c == ' ' && font != kUpright) {
      ++at_;  // TeX sets its own spaces
    } else if (c == '~') {
      ++at_;
      put(" ", level, false);
    } else {
      const std::size_t start = at_;
      (void)next_code_point(source_, at_);
      put(source_.substr(start, at_ - start), level, font == kItalic || (font == kMath && is_letter(c)));
    }
  }

  void read_command(int level, Font font) {
    if (at_ >= source_.size()) return put("\\", level, false);
    const std::size_t start = at_;
    while (at_ < source_.size() && is_letter(source_[at_])) ++at_;
    if (at_ == start) {  // \_ \% \{ \, ...
      const char c = source_[at_++];
      if (c == ',' || c == ';' || c == ':' || c == ' ') return put(" ", level, false);
      if (c == '!') return;
      return put(std::string_view(&c, 1), level, false);
    }
    const std::string_view name = source_.substr(start, at_ - start);
    if (const Symbol* symbol = find_symbol(name)) return put(symbol->text, level, symbol->italic && font != kUpright);
    for (const Symbol& accent : kAccents)
      if (accent.name == name) {
        read_argument(level, font);
        return put(accent.text, runs_.empty() ? level : runs_.back().level, !runs_.empty() && runs_.back().italic);
      }
    if (contains(kUprightFonts, name)) return read_argument(level, kUpright);
    if (contains(kItalicFonts, name)) return read_argument(level, kItalic);
    if (name == "frac" || name == "tfrac" || name == "dfrac") {
      read_argument(level, font);
      put("/", level, false);
      return read_argument(level, font);
    }
    if (name == "sqrt") {
      put("√", level, false);
      return read_argument(level, font);
    }
    put(source_.substr(start - 1, name.size() + 1), level, false);  // unknown: as it stands
  }

  std::string_view source_;
  Runs& runs_;
  std::size_t at_ = 0;
};

/// Position of the next dollar sign without a backslash before it.
std::size_t find_dollar(std::string_view text, std::size_t from) {
  for (std::size_t i = from; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 1 < text.size())
      ++i;
    else if (text[i] == '$')
      return i;
  }
  return std::string_view::npos;
}

/// Text outside of dollar signs; "\$" and "\\" stand for the second character.
void append_literal(Runs& runs, std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 1 < text.size() && (text[i + 1] == '$' || text[i + 1] == '\\')) ++i;
    out += text[i];
  }
  append(runs, out, 0, false);
}

}  // namespace

Runs parse_markup(std::string_view label) {
  const std::string clean = clean_utf8(label);
  const std::string_view text = clean;
  Runs runs;
  std::size_t at = 0;
  while (at < text.size()) {
    const std::size_t open = find_dollar(text, at);
    const std::size_t close = open == std::string_view::npos ? open : find_dollar(text, open + 1);
    if (close == std::string_view::npos) {
      append_literal(runs, text.substr(at));
      break;
    }
    append_literal(runs, text.substr(at, open - at));
    MathReader(text.substr(open + 1, close - open - 1), runs).read_all();
    at = close + 1;
  }
  return runs;
}

std::string literal_markup(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '$' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

std::string name_markup(std::string_view name) {
  const std::size_t open = find_dollar(name, 0);
  if (open != std::string_view::npos && find_dollar(name, open + 1) != std::string_view::npos) return std::string(name);
  const std::size_t underscore = name.find('_');
  const std::string_view base = name.substr(0, underscore);
  const std::string_view index = underscore == std::string_view::npos ? std::string_view() : name.substr(underscore + 1);
  const bool plain_index = std::all_of(index.begin(), index.end(), [](char c) { return is_letter(c) || is_digit(c) || c == ','; });
  const bool number = !index.empty() && std::all_of(index.begin(), index.end(), is_digit);
  const Symbol* symbol = find_symbol(base);
  const bool greek = symbol && static_cast<unsigned char>(symbol->text[0]) >= 0xCE && static_cast<unsigned char>(symbol->text[0]) <= 0xCF;
  const bool letter = base.size() == 1 && is_letter(base[0]);
  if (plain_index && (greek || (letter && number)) && (underscore == std::string_view::npos || !index.empty())) {
    std::string out = greek ? "$\\" + std::string(base) : "$" + std::string(base);
    if (!index.empty()) out += number ? "_{" + std::string(index) + "}" : "_{\\text{" + std::string(index) + "}}";
    return out + "$";
  }
  return literal_markup(name);
}

std::string plain_text(const Runs& runs) {
  static constexpr std::array<std::string_view, 10> kSubscripts{"₀", "₁", "₂", "₃", "₄", "₅", "₆", "₇", "₈", "₉"};
  static constexpr std::array<std::string_view, 10> kSuperscripts{"⁰", "¹", "²", "³", "⁴", "⁵", "⁶", "⁷", "⁸", "⁹"};
  std::string out;
  for (const Run& run : runs) {
    if (run.level == 0) {
      out += run.text;
    } else if (std::all_of(run.text.begin(), run.text.end(), is_digit)) {
      for (const char c : run.text) out += (run.level < 0 ? kSubscripts : kSuperscripts)[static_cast<std::size_t>(c - '0')];
    } else {
      out += (run.level < 0 ? "_" : "^") + run.text;
    }
  }
  return out;
}

std::string html_text(const Runs& runs) {
  std::string out;
  for (const Run& run : runs) {
    std::string part = escape_xml(run.text);
    if (run.italic) part = "<i>" + part + "</i>";
    if (run.level) part = (run.level < 0 ? "<sub>" : "<sup>") + part + (run.level < 0 ? "</sub>" : "</sup>");
    out += part;
  }
  return out;
}

}  // namespace bayesflow::figures
