/// From pilot draws to steps.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "adapter/step.hpp"

namespace bayesflow {
namespace {

using adapter::Rows;

constexpr std::size_t kMostRows = 1 << 16;  ///< looked at of each field
constexpr std::size_t kFewest = 200;        ///< for guesses of edges and order
constexpr double kRoom = 20;                ///< between a guessed edge and the draws, in spacings of draws: P(a draw beyond it) = exp(-20)

/// Columns of a field, row by row; rows that a mask leaves out are not there, and missing values are NaN.
struct Table {
  std::vector<std::vector<double>> columns;
  [[nodiscard]] std::size_t rows() const { return columns.empty() ? 0 : columns.front().size(); }
};

Table table_of(std::span<const Simulations> parts, const std::string& field) {
  Table out;
  std::size_t all = 0;
  for (const Simulations& part : parts)
    if (const Array* values = part.find(field)) all += static_cast<std::size_t>(Rows(part, field, *values).count());
  const std::size_t stride = all / kMostRows + 1;
  std::size_t place = 0;
  for (const Simulations& part : parts) {
    const Array* values = part.find(field);
    if (!values) continue;
    const Rows rows(part, field, *values);
    if (out.columns.empty()) out.columns.resize(static_cast<std::size_t>(rows.width()));
    if (static_cast<std::int64_t>(out.columns.size()) != rows.width())
      throw ShapeError(
          fmt::format("Adapter::infer: {} has {} columns in one batch of the simulations and {} in another; every batch must "
                      "have the same",
                      field, out.columns.size(), rows.width()));
    for (std::int64_t row = 0; row < rows.count(); ++row) {
      if (!rows.counts(row) || place++ % stride != 0) continue;
      for (std::size_t c = 0; c < out.columns.size(); ++c)
        out.columns[c].push_back(values->data()[row * rows.width() + static_cast<std::int64_t>(c)]);
    }
  }
  return out;
}

double skewness(std::span<const double> values) {
  const auto n = static_cast<double>(values.size());
  double mean = 0, square = 0, cube = 0;
  for (const double x : values) mean += x / n;
  for (const double x : values) {
    square += (x - mean) * (x - mean) / n;
    cube += (x - mean) * (x - mean) * (x - mean) / n;
  }
  return square > 0 ? cube / std::pow(square, 1.5) : 0;
}

std::vector<double> logs_of(std::vector<double> values) {
  for (double& x : values) x = std::log(x);
  return values;
}

/// An edge below increasing numbers, with room; none where they thin out, as tails do. At an edge of the density f the k-th smallest draw
/// is k / (n f) away, so that the second m draws take as much room as the first m; of tails it is a third or less.
std::optional<double> lower_edge(std::span<const double> sorted) {
  if (sorted.size() < kFewest) return {};
  const std::size_t m = std::max<std::size_t>(40, sorted.size() / 20);
  const double first = sorted[m] - sorted[0], second = sorted[2 * m] - sorted[m];
  if (!(first > 0) || second < 0.55 * first) return {};
  return sorted[0] - kRoom * first / static_cast<double>(m);
}
std::optional<double> upper_edge(const std::vector<double>& sorted) {
  std::vector<double> mirrored(sorted.rbegin(), sorted.rend());
  for (double& x : mirrored) x = -x;
  const auto edge = lower_edge(mirrored);
  return edge ? std::optional(-*edge) : std::nullopt;
}

/// What there is to know of a column.
struct Look {
  std::vector<double> sorted;  ///< without what is missing
  std::size_t missing = 0;
  bool integer = true;

  explicit Look(const std::vector<double>& values) {
    for (const double x : values)
      if (std::isnan(x))
        ++missing;
      else
        sorted.push_back(x);
    std::ranges::sort(sorted);
    integer = std::ranges::all_of(sorted, [](double x) { return std::abs(x) < 1e15 && x == std::round(x); });
  }
  [[nodiscard]] bool empty() const { return sorted.empty(); }
  [[nodiscard]] double low() const { return sorted.front(); }
  [[nodiscard]] double high() const { return sorted.back(); }
  [[nodiscard]] bool constant() const { return !(high() - low() > 1e-12 * std::max(std::abs(low()), std::abs(high()))); }
  [[nodiscard]] double quantile(double share) const {
    return sorted[static_cast<std::size_t>(share * static_cast<double>(sorted.size() - 1))];
  }
  /// Above 0, over a power of ten and more, and more symmetric as logarithms.
  [[nodiscard]] bool is_log() const {
    if (!(low() > 0) || !(quantile(0.95) >= 10 * quantile(0.05))) return false;
    const double skew = skewness(sorted);
    return skew > 0.5 && std::abs(skewness(logs_of(sorted))) < skew;
  }
  /// Whether a few values set the standard deviation.
  [[nodiscard]] bool heavy() const {
    const auto n = static_cast<double>(sorted.size());
    double mean = 0, square = 0;
    for (const double x : sorted) mean += x / n;
    for (const double x : sorted) square += (x - mean) * (x - mean) / n;
    return std::sqrt(square) > 1.5 * (quantile(0.95) - quantile(0.05)) / 3.2897;
  }
};

/// Steps, and sentences about them: those that say the same of several columns become one.
class Inference {
 public:
  explicit Inference(const InferOptions& options) : options_(options) {}

  void target(std::span<const Simulations> parts, const std::string& field, bool is_first);
  void data(std::span<const Simulations> parts, const std::string& field);
  Adapter adapter;
  [[nodiscard]] std::vector<std::string> sentences() const {
    std::vector<std::string> out;
    for (const auto& [what, columns] : said_) {
      const std::size_t shown = std::min<std::size_t>(columns.size(), 5);
      out.push_back(fmt::format("{}{}: {}", fmt::join(columns.begin(), columns.begin() + static_cast<std::ptrdiff_t>(shown), ", "),
                                shown < columns.size() ? fmt::format(" and {} more", columns.size() - shown) : "", what));
    }
    return out;
  }

 private:
  using Columns = std::vector<std::int64_t>;

  template <class... Args>
  void say(const std::string& field, std::size_t column, fmt::format_string<Args...> text, Args&&... args) {
    const std::string what = fmt::format(text, std::forward<Args>(args)...);
    const bool named = field == "prior_draws" && column < options_.param_names.size();
    const std::string who = named ? fmt::format("{}, column {} ({})", field, column, options_.param_names[column])
                                  : fmt::format("{}, column {}", field, column);
    const auto known = std::ranges::find(said_, what, &std::pair<std::string, std::vector<std::string>>::first);
    if (known == said_.end())
      said_.push_back({what, {who}});
    else
      known->second.push_back(who);
  }
  void bound(const std::string& field, std::size_t column, std::optional<double> lower, std::optional<double> upper) {
    adapter::Bounds step{.field = field, .columns = {static_cast<std::int64_t>(column)}};
    if (lower) step.lower = {lower};
    if (upper) step.upper = {upper};
    adapter.add(std::move(step));
  }
  void column_of_target(const std::string& field, std::size_t column, const Look& look, const std::optional<Support>& support);
  /// Scales of all columns; `heavy` says of which, by their places behind the steps so far.
  void scale(const std::string& field, const std::vector<bool>& heavy) {
    if (std::ranges::count(heavy, true) == 0) {
      adapter.add(adapter::Standardize{.field = field});
      return;
    }
    Columns usual, robust;
    for (std::size_t c = 0; c < heavy.size(); ++c) (heavy[c] ? robust : usual).push_back(static_cast<std::int64_t>(c));
    if (!usual.empty()) adapter.add(adapter::Standardize{.field = field, .columns = usual});
    adapter.add(adapter::Standardize{.field = field, .columns = robust, .spread = adapter::Spread::quantiles});
  }

  const InferOptions& options_;
  std::vector<std::pair<std::string, std::vector<std::string>>> said_;
};

/// The first column that has the same numbers.
std::optional<std::size_t> copy_of(const Table& table, std::size_t column) {
  const auto same = [](double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); };
  for (std::size_t c = 0; c < column; ++c)
    if (std::ranges::equal(table.columns[c], table.columns[column], same)) return c;
  return {};
}

/// The last column of a run from `first` of numbers that are not negative and sum to 1 in every row.
std::optional<std::size_t> simplex_from(const Table& table, std::size_t first) {
  std::vector<double> sum(table.rows(), 0.0);
  for (std::size_t c = first; c < table.columns.size(); ++c) {
    double most = 0;
    for (std::size_t row = 0; row < sum.size(); ++row) {
      const double x = table.columns[c][row];
      if (!(x >= 0) || !(x <= 1 + 1e-8)) return {};
      sum[row] += x;
      most = std::max(most, std::abs(sum[row] - 1));
    }
    if (c > first && most < 1e-8) return c;
  }
  return {};
}

/// Whether b is above a in every row, and would not be by chance: rows of other draws exchange the order often.
bool is_above(const std::vector<double>& a, const std::vector<double>& b) {
  const std::size_t n = a.size();
  if (n < kFewest) return false;
  std::size_t exchanged = 0;
  for (std::size_t row = 0; row < n; ++row) {
    if (!(b[row] > a[row])) return false;
    exchanged += b[row] < a[(row + n / 2) % n] ? 1 : 0;
  }
  return exchanged * 10 >= n;
}

std::string words_of(const Support& s) {
  if (s.lower && s.upper) return fmt::format("between {:.6g} and {:.6g}", *s.lower, *s.upper);
  if (s.lower) return fmt::format("above {:.6g}", *s.lower);
  return s.upper ? fmt::format("below {:.6g}", *s.upper) : "any number";
}

void Inference::column_of_target(const std::string& field, std::size_t column, const Look& look, const std::optional<Support>& support) {
  if (look.integer) {
    say(field, column,
        "integers. They are learnt as if they were any numbers, and their draws are no integers: round them, or learn them as classes by "
        "model comparison");
    return;
  }
  if (support) {
    say(field, column, "{}, as stated", words_of(*support));
    if (support->lower || support->upper) bound(field, column, support->lower, support->upper);
    return;
  }
  std::optional<double> lower, upper;
  if (look.is_log()) {
    const std::vector<double> logs = logs_of(look.sorted);
    lower = lower_edge(logs);
    upper = upper_edge(logs);
    adapter.add(adapter::Bounds{.field = field, .columns = {static_cast<std::int64_t>(column)}, .lower = {0.0}});
    const std::string edges = !lower && !upper ? ""
                                               : fmt::format(", with edges in the logarithm; guessed with room: {}",
                                                             words_of({lower ? std::optional(std::exp(*lower)) : std::nullopt,
                                                                       upper ? std::optional(std::exp(*upper)) : std::nullopt}));
    say(field, column,
        "all of {} draws are positive, from {:.3g} to {:.3g}: taken for positive, by its logarithm{}. A prior draw outside would end "
        "training; state the support to be sure",
        look.sorted.size(), look.low(), look.high(), edges);
  } else {
    lower = lower_edge(look.sorted);
    upper = upper_edge(look.sorted);
    if (lower || upper)
      say(field, column,
          "{} draws pile up at an edge, between {:.6g} and {:.6g}. Bounds are guessed with room, so that draws are {}; state the support "
          "to have them exact. A prior draw outside would end training",
          look.sorted.size(), look.low(), look.high(), words_of({lower, upper}));
    else
      say(field, column, "{}", look.heavy() ? "heavy tails: scaled by quantiles" : "scaled");
  }
  if (lower || upper) bound(field, column, lower, upper);
}

void Inference::target(std::span<const Simulations> parts, const std::string& field, bool is_first) {
  const Table table = table_of(parts, field);
  const std::size_t width = table.columns.size();
  if (table.rows() == 0) throw ArgumentError(fmt::format("Adapter::infer: {} has no rows; give some hundred simulations", field));
  std::vector<std::optional<Support>> support(width);
  if (is_first && !options_.support.empty()) {
    if (options_.support.size() != width)
      throw ConfigurationError(
          fmt::format("Adapter::infer: the support is stated of {} columns, and {} has {}; state one for each, or none",
                      options_.support.size(), field, width));
    support = options_.support;
  }
  std::vector<Look> looks;
  for (std::size_t c = 0; c < width; ++c) {
    const Look& look = looks.emplace_back(table.columns[c]);
    const auto refuse = [&](const std::string& what) {
      throw ConfigurationError(fmt::format("Adapter::infer: column {} of {} {}", c, field, what));
    };
    if (look.missing) refuse("holds NaN, and it is learnt; take such draws out");
    if (!std::isfinite(look.low()) || !std::isfinite(look.high())) refuse("holds infinities; check the prior");
    if (support[c] && ((support[c]->lower && look.low() < *support[c]->lower) || (support[c]->upper && look.high() > *support[c]->upper)))
      refuse(fmt::format("is stated to be {}, and its draws are from {:.6g} to {:.6g}; correct the support, or check the prior",
                         words_of(*support[c]), look.low(), look.high()));
  }
  enum class Kind : std::uint8_t { own, dropped, simplex, last_of_simplex };
  std::vector<Kind> kinds(width, Kind::own);
  std::vector<Columns> simplexes;
  Columns dropped;
  for (std::size_t c = 0; c < width; ++c) {
    if (looks[c].constant()) {
      say(field, c, "always {:.6g}: not learnt, and draws lack it", looks[c].low());
    } else if (const auto twin = copy_of(table, c)) {
      say(field, c, "a copy of column {}: not learnt, and draws lack it", *twin);
    } else {
      continue;
    }
    kinds[c] = Kind::dropped;
    dropped.push_back(static_cast<std::int64_t>(c));
  }
  if (dropped.size() == width)
    throw ConfigurationError(fmt::format("Adapter::infer: every column of {} is constant; there is nothing to learn", field));
  for (std::size_t c = 0; c < width; ++c) {
    const auto last = simplex_from(table, c);
    if (!last) continue;
    const auto own = kinds.begin() + static_cast<std::ptrdiff_t>(c), end = kinds.begin() + static_cast<std::ptrdiff_t>(*last) + 1;
    if (std::any_of(own, end, [](Kind kind) { return kind != Kind::own; })) continue;
    Columns& columns = simplexes.emplace_back();
    for (; c <= *last; ++c) {
      columns.push_back(static_cast<std::int64_t>(c));
      kinds[c] = c == *last ? Kind::last_of_simplex : Kind::simplex;
      say(field, c, "not negative, and {} columns sum to 1: a simplex", *last + 1 - static_cast<std::size_t>(columns.front()));
    }
    --c;
  }
  // From the last one on, so that a column's bound is still as it was.
  for (std::size_t c = width; c-- > 0;) {
    if (kinds[c] != Kind::own) continue;
    const bool follows = c > 0 && kinds[c - 1] == Kind::own && !looks[c].integer && is_above(table.columns[c - 1], table.columns[c]);
    const double none = -std::numeric_limits<double>::infinity();
    const bool implied =
        follows && (!support[c] || support[c]->lower.value_or(none) <= (support[c - 1] ? support[c - 1]->lower.value_or(none) : none) ||
                    !support[c]->lower);
    if (!implied) {
      column_of_target(field, c, looks[c], support[c]);
      continue;
    }
    const std::optional<double> upper = support[c] ? support[c]->upper : upper_edge(looks[c].sorted);
    adapter::Bounds step{.field = field,
                         .columns = {static_cast<std::int64_t>(c)},
                         .lower_from = adapter::Column{.field = field, .column = static_cast<std::int64_t>(c) - 1}};
    if (upper) step.upper = {upper};
    adapter.add(std::move(step));
    say(field, c, "above column {} in all of {} draws: taken for ordered{}. A prior draw in another order would end training", c - 1,
        looks[c].sorted.size(), upper ? fmt::format(", and {}{}", words_of({{}, upper}), support[c] ? "" : ", guessed with room") : "");
  }
  std::reverse(said_.begin(), said_.end());
  if (!dropped.empty()) adapter.add(adapter::Drop{.field = field, .columns = dropped});
  const auto behind_drop = [&](std::int64_t c) { return c - std::ranges::count_if(dropped, [&](std::int64_t d) { return d < c; }); };
  for (std::size_t i = simplexes.size(); i-- > 0;) {
    Columns columns = simplexes[i];
    for (std::int64_t& c : columns) c = behind_drop(c);
    adapter.add(adapter::Simplex{.field = field, .columns = std::move(columns)});
  }
  std::vector<bool> heavy;
  for (std::size_t c = 0; c < width; ++c)
    if (kinds[c] == Kind::own || kinds[c] == Kind::simplex)
      heavy.push_back(kinds[c] == Kind::own && !looks[c].is_log() && !(support[c] && (support[c]->lower || support[c]->upper)) &&
                      looks[c].heavy());
  scale(field, heavy);
}

void Inference::data(std::span<const Simulations> parts, const std::string& field) {
  const Table table = table_of(parts, field);
  const std::size_t width = table.columns.size();
  if (table.rows() == 0) return;
  Columns logs, log1ps, missing;
  std::vector<bool> heavy(width, false);
  for (std::size_t c = 0; c < width; ++c) {
    const Look look(table.columns[c]);
    if (look.empty())
      throw ConfigurationError(fmt::format("Adapter::infer: column {} of {} has no value in the simulations; leave it out", c, field));
    if (!std::isfinite(look.low()) || !std::isfinite(look.high()))
      throw ConfigurationError(fmt::format("Adapter::infer: column {} of {} holds infinities; check the simulator", c, field));
    if (look.missing) {
      missing.push_back(static_cast<std::int64_t>(c));
      say(field, c, "missing values (NaN): filled, and an indicator column says where");
    }
    if (look.constant()) {
      say(field, c, "always {:.6g}: it tells nothing if it stays so", look.low());
      continue;
    }
    if (const auto twin = copy_of(table, c)) say(field, c, "a copy of column {}: it tells nothing new", *twin);
    const double skew = skewness(look.sorted);
    const auto number = static_cast<std::int64_t>(c);
    if (look.integer && look.low() >= 0 && skew > 1 && look.high() > 10) {
      log1ps.push_back(number);
      say(field, c, "counts, skewed: log(1 + x), and scaled");
    } else if (look.low() > 0 && skew > 1 && std::abs(skewness(logs_of(look.sorted))) < 0.5 * skew) {
      logs.push_back(number);
      say(field, c, "positive and skewed: its logarithm, scaled; data that are not positive are refused");
    } else if (look.heavy()) {
      heavy[c] = true;
      say(field, c, "heavy tails: scaled by quantiles");
    } else {
      say(field, c, "{}", look.integer ? "integers: scaled" : "scaled");
    }
  }
  if (!logs.empty()) adapter.add(adapter::Log{.field = field, .columns = logs});
  if (!log1ps.empty()) adapter.add(adapter::Log1p{.field = field, .columns = log1ps});
  scale(field, heavy);
  if (!missing.empty()) adapter.add(adapter::FillMissing{.field = field, .columns = missing});
}

}  // namespace

Adapter Adapter::infer(std::span<const Simulations> pilot, const InferOptions& options) {
  if (pilot.empty()) throw ArgumentError("Adapter::infer: there are no simulations; give some hundred");
  std::vector<Simulations> parts(pilot.begin(), pilot.end());
  for (Simulations& part : parts) part.make_columns();
  Inference inference(options);
  const std::vector<std::string>& targets = options.use.targets;
  for (const std::string& field : targets) {
    if (!parts.front().find(field))
      throw ArgumentError(fmt::format("Adapter::infer: there is no {}, which is to be learnt; give simulations that hold it", field));
    inference.target(parts, field, field == targets.front());
  }
  const auto is_target = [&](const char* field) { return std::ranges::find(targets, field) != targets.end(); };
  for (const char* field : {"prior_draws", "sim_data", "sim_batchable_context", "prior_batchable_context"}) {
    // Parameters are what a likelihood is conditional on, and nothing that other networks are given.
    const bool is_given = std::string_view(field) != "prior_draws" || is_target("sim_data");
    if (!is_target(field) && is_given && parts.front().find(field)) inference.data(parts, field);
  }
  Adapter out = std::move(inference.adapter);
  out.inferred_ = inference.sentences();
  return out;
}

}  // namespace bayesflow
