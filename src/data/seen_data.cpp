#include "bayesflow/data/seen_data.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <span>

#include "data/padding.hpp"

namespace bayesflow {
namespace {

constexpr std::int64_t kMostColumns = 4096;

/// Adds rows of a field with `sets` data sets of `rows` rows each.
void add_rows(std::vector<SeenColumn>& columns, const float* values, std::int64_t sets, std::int64_t rows, std::int64_t width) {
  if (width > kMostColumns || rows < 1) return;
  const auto d = static_cast<std::size_t>(width);
  if (columns.size() != d) {
    columns.assign(d, {});
    for (std::size_t j = 0; j < d; ++j) columns[j].origin = static_cast<double>(values[j]);
  }
  // Some columns at a time, so that their sums need no memory of the heap.
  constexpr std::size_t kTogether = 32;
  for (std::size_t first = 0; first < d; first += kTogether) {
    const std::size_t n = std::min(kTogether, d - first);
    SeenColumn* const c = columns.data() + first;
    for (std::int64_t b = 0; b < sets; ++b) {
      std::array<double, kTogether> sum{}, square{}, cube{}, low, high;
      low.fill(SeenColumn::kInfinity);
      high.fill(-SeenColumn::kInfinity);
      for (std::int64_t r = 0; r < rows; ++r) {
        const float* row = values + (b * rows + r) * width + first;
        for (std::size_t j = 0; j < n; ++j) {
          const double value = static_cast<double>(row[j]), x = value - c[j].origin;
          low[j] = std::min(low[j], value);
          high[j] = std::max(high[j], value);
          sum[j] += x;
          square[j] += x * x;
          cube[j] += x * x * x;
        }
      }
      for (std::size_t j = 0; j < n; ++j) {
        if (!std::isfinite(square[j])) continue;  // such a batch ends the run
        c[j].count += static_cast<double>(rows);
        c[j].low = std::min(c[j].low, low[j]);
        c[j].high = std::max(c[j].high, high[j]);
        c[j].sum += sum[j];
        c[j].square += square[j];
        c[j].cube += cube[j];
        const double mean = c[j].origin + sum[j] / static_cast<double>(rows);
        c[j].mean_low = std::min(c[j].mean_low, mean);
        c[j].mean_high = std::max(c[j].mean_high, mean);
      }
    }
  }
}

/// `padding`: null where no observation can be padding.
void add_field(std::vector<SeenColumn>& columns, const Block& field, const Padding* padding) {
  if (field.rank() < 2 || field.empty()) return;
  const std::int64_t sets = field.dim(0), width = field.dim(-1), rows = field.size() / (sets * width);
  if (!padding || !padding->any()) return add_rows(columns, field.data(), sets, rows, width);
  const std::int64_t places = padding->places(), each = field.size() / (sets * places);  // values of a place
  std::vector<float> kept;
  for (std::int64_t b = 0; b < sets; ++b) {
    kept.clear();
    for (std::int64_t i = 0; i < places; ++i)
      if (!padding->hides(b, i))
        kept.insert(kept.end(), field.data() + (b * places + i) * each, field.data() + (b * places + i + 1) * each);
    add_rows(columns, kept.data(), 1, static_cast<std::int64_t>(kept.size()) / width, width);
  }
}

/// The data sets of one field that lie outside what was seen.
struct Outside {
  std::string name;
  double low = 0, high = 0, seen_low = 0, seen_high = 0, worst = 0;
  std::int64_t columns = 0, data_sets = 0;
};

/// With few data sets in training the next one exceeds their range now and then, by little: room is left for that.
double room(double low, double high, double data_sets, double most) {
  return std::max((high - low) * std::min(most, 30 / data_sets), 1e-6 * std::max({1e-30, std::abs(low), std::abs(high)}));
}

/// Looks at one number per data set and column, from `get(set, column)` to a pair (lowest, highest).
template <class Get, class Range, class Name>
Outside outside(std::int64_t sets, std::size_t width, double seen_sets, double most_room, Get get, Range range, Name name) {
  Outside out;
  std::vector<std::uint8_t> foreign(static_cast<std::size_t>(sets), 0);
  for (std::size_t j = 0; j < width; ++j) {
    const auto [low, high] = range(j);
    if (!(low <= high)) continue;
    const double margin = room(low, high, seen_sets, most_room), scale = std::max(high - low, margin);
    double lowest = SeenColumn::kInfinity, highest = -SeenColumn::kInfinity, worst = 0;
    for (std::int64_t b = 0; b < sets; ++b) {
      const auto [x, y] = get(b, j);
      lowest = std::min(lowest, x);
      highest = std::max(highest, y);
      const double beyond = std::max(low - x, y - high);
      if (beyond <= margin) continue;
      foreign[static_cast<std::size_t>(b)] = 1;
      worst = std::max(worst, beyond / scale);
    }
    if (worst == 0) continue;
    ++out.columns;
    if (worst <= out.worst) continue;
    out.worst = worst;
    out.name = name(j);
    out.low = lowest;
    out.high = highest;
    out.seen_low = low;
    out.seen_high = high;
  }
  out.data_sets = std::count(foreign.begin(), foreign.end(), 1);
  // Exchangeable data sets exceed the range of all before them with probability 2 / (n + 1) in each column.
  const double expected = 2 * static_cast<double>(sets) * static_cast<double>(width) / (seen_sets + 1);
  if (out.worst <= 1 && static_cast<double>(out.data_sets) <= expected + 3 * std::sqrt(expected)) out.data_sets = 0;
  return out;
}

std::string among(std::int64_t count, std::int64_t all) {
  return all == 1 ? std::string() : count == all ? std::string(" in every data set") : fmt::format(" in {} of {} data sets", count, all);
}
std::string and_more(std::int64_t columns) {
  if (columns < 2) return {};
  return fmt::format(" (and {} more column{})", columns - 1, columns > 2 ? "s" : "");
}
std::string span_of(double low, double high) {
  return low == high ? fmt::format("{:.4g}", low) : fmt::format("{:.4g} to {:.4g}", low, high);
}

struct Field {
  std::string_view name;
  std::span<const SeenColumn> seen;
  const Block& values;
  const Padding* padding;  // null where no observation can be padding
};

void compare_field(std::vector<Foreign>& out, const SeenData& seen, const Field& field) {
  if (field.seen.empty() || field.values.rank() < 2 || field.values.dim(-1) != static_cast<std::int64_t>(field.seen.size())) return;
  const std::int64_t sets = field.values.dim(0), width = field.values.dim(-1), rows = field.values.size() / (sets * width);
  if (rows < 1) return;
  struct Numbers {
    double low, high, mean;
  };
  std::vector<Numbers> found(static_cast<std::size_t>(sets * width), {SeenColumn::kInfinity, -SeenColumn::kInfinity, 0});
  const std::int64_t observations = field.padding ? field.padding->places() : rows, per_observation = rows / observations;
  for (std::int64_t b = 0; b < sets; ++b) {
    const std::int64_t there = (field.padding ? field.padding->there(b) : observations) * per_observation;
    for (std::int64_t r = 0; r < rows; ++r) {
      if (field.padding && field.padding->hides(b, r / per_observation)) continue;
      for (std::int64_t j = 0; j < width; ++j) {
        const auto x = static_cast<double>(field.values.data()[(b * rows + r) * width + j]);
        Numbers& n = found[static_cast<std::size_t>(b * width + j)];
        n.low = std::min(n.low, x);
        n.high = std::max(n.high, x);
        n.mean += x / static_cast<double>(there);
      }
    }
  }
  const auto at = [&](std::int64_t b, std::size_t j) -> const Numbers& { return found[static_cast<std::size_t>(b * width) + j]; };
  const auto name = [&](std::size_t j) { return width == 1 ? std::string(field.name) : fmt::format("column {} of {}", j + 1, field.name); };
  const auto has = [&out](Foreign::Kind kind) {
    return std::any_of(out.begin(), out.end(), [kind](const Foreign& f) { return f.kind == kind; });
  };
  const auto report = [&](Foreign::Kind kind, const Outside& o, const char* what) {
    if (o.data_sets == 0 || has(kind)) return;
    out.push_back(
        {kind, o.name, o.low, o.high, o.seen_low, o.seen_high, static_cast<double>(o.data_sets) / static_cast<double>(sets),
         fmt::format("{} of {} {} {}{}{}; in training {} {}. The networks never saw such data: check units, the order of columns, "
                     "and that the data are scaled as in training.",
                     what, o.name, o.low == o.high ? "is" : "range from", span_of(o.low, o.high), among(o.data_sets, sets),
                     and_more(o.columns), o.seen_low == o.seen_high ? "always" : "from", span_of(o.seen_low, o.seen_high))});
  };
  const auto n = static_cast<double>(seen.data_sets);
  const Outside values = outside(
      sets, field.seen.size(), n, 0.25, [&](std::int64_t b, std::size_t j) { return std::pair(at(b, j).low, at(b, j).high); },
      [&](std::size_t j) { return std::pair(field.seen[j].low, field.seen[j].high); }, name);
  report(Foreign::Kind::values, values, "Values");
  if (rows < 2 || values.data_sets) return;
  report(Foreign::Kind::averages,
         outside(
             sets, field.seen.size(), n, 0.25, [&](std::int64_t b, std::size_t j) { return std::pair(at(b, j).mean, at(b, j).mean); },
             [&](std::size_t j) { return std::pair(field.seen[j].mean_low, field.seen[j].mean_high); }, name),
         "Averages per data set");
}

void compare_sizes(std::vector<Foreign>& out, const SeenData& seen, std::string_view role, const Block& data, const Padding& padding) {
  const SeenData::Sizes sizes = seen.sizes_of(role);
  const std::string_view source = *roles::source_in(role, roles::summary_conditions);
  const std::string of = source.empty() ? "" : fmt::format(" of {}", source);
  for (std::size_t i = 0; i < sizes.size() && static_cast<int>(i) + 2 < data.rank(); ++i) {
    const auto [fewest, most] = sizes[i];
    std::int64_t got = data.dim(static_cast<int>(i) + 1);
    for (std::int64_t b = 0; padding.any() && b < data.dim(0); ++b) {
      const std::int64_t there = padding.observations(b, static_cast<int>(i) + 1);
      if (b == 0 || there < fewest || there > most) got = there;
    }
    if (got >= fewest && got <= most) continue;
    // Of nested data and images, the first axis counts groups or rows.
    const std::string name = data.rank() == 3 ? "observations per data set" + of : fmt::format("length of axis {} of {}", i + 1, role);
    out.push_back(
        {Foreign::Kind::size, name, static_cast<double>(got), static_cast<double>(got), static_cast<double>(fewest),
         static_cast<double>(most), 1,
         fmt::format("{}: {}, in training {}. Widths of the posterior for that number were never learnt: train with a number that "
                     "varies (a context), or give as many as in training.",
                     static_cast<char>(std::toupper(static_cast<unsigned char>(name[0]))) + name.substr(1), got,
                     fewest == most ? fmt::format("always {}", fewest) : fmt::format("{} to {}", fewest, most))});
    return;
  }
}

void compare_counts(std::vector<Foreign>& out, const SeenData& seen, const Batch& batch, const Padding& padding) {
  const Block *given = batch.find(roles::direct_conditions), *data = batch.find(roles::summary_conditions);
  if (!given || !data || data->rank() < 3) return;
  const Block& direct = *given;
  if (direct.rank() != 2 || direct.dim(1) != static_cast<std::int64_t>(seen.is_size.size())) return;
  for (std::int64_t j = 0; j < direct.dim(1); ++j) {
    if (!seen.is_size[static_cast<std::size_t>(j)]) continue;
    for (std::int64_t b = 0; b < direct.dim(0); ++b) {
      const auto n = static_cast<double>(padding.observations(b)), said = static_cast<double>(direct.data()[b * direct.dim(1) + j]);
      if (said == n) continue;
      out.push_back({Foreign::Kind::count, fmt::format("column {} of direct_conditions", j + 1), said, said, n, n, 1,
                     fmt::format("Column {} of direct_conditions was the number of observations in all of training; here it is {:.6g} for "
                                 "data sets of {} observations. Give the number that there are.",
                                 j + 1, said, padding.observations(b))});
      return;
    }
  }
}

}  // namespace

double SeenColumn::mean() const { return count > 0 ? origin + sum / count : 0; }
double SeenColumn::sd() const {
  if (count < 2 || low == high) return 0;
  const double m = sum / count;
  return std::sqrt(std::max(0.0, (square - count * m * m) / (count - 1)));
}
double SeenColumn::skewness() const {
  const double s = sd(), m = count > 0 ? sum / count : 0;
  return s > 0 ? (cube / count - 3 * m * square / count + 2 * m * m * m) / (s * s * s) : 0;
}

std::string SeenData::param_name(std::size_t index) const {
  return index < param_names.size() ? param_names[index] : fmt::format("theta_{}", index + 1);
}

std::span<const SeenColumn> SeenData::of(std::string_view role) const {
  const auto at = std::ranges::find_if(columns, [role](const auto& c) { return c.first == role; });
  return at == columns.end() ? std::span<const SeenColumn>() : std::span<const SeenColumn>(at->second);
}

SeenData::Sizes SeenData::sizes_of(std::string_view role) const {
  const auto at = std::ranges::find_if(sizes, [role](const auto& s) { return s.first == role; });
  return at == sizes.end() ? Sizes() : at->second;
}

namespace {
void add_sizes(SeenData::Sizes& sizes, const Block& data, const Padding& padding) {
  const auto axes = static_cast<std::size_t>(std::max(0, data.rank() - 2));
  if (sizes.size() != axes) sizes.assign(axes, {std::numeric_limits<std::int64_t>::max(), 0});
  const auto include = [&](std::size_t i, std::int64_t n) { sizes[i] = {std::min(sizes[i].first, n), std::max(sizes[i].second, n)}; };
  for (std::size_t i = 0; i < axes; ++i) {
    const int axis = static_cast<int>(i) + 1;
    if (!padding.any()) include(i, data.dim(axis));
    for (std::int64_t b = 0; padding.any() && b < data.dim(0); ++b) include(i, padding.observations(b, axis));
  }
}
}  // namespace

void SeenData::add(const Batch& batch) {
  const std::int64_t sets = batch.batch_size();
  data_sets += sets;
  const auto place = [](auto& list, const RoleName& role) -> auto& {
    auto at = std::ranges::find_if(list, [&](const auto& item) { return role == item.first; });
    if (at == list.end()) at = list.insert(list.end(), {role.str(), {}});
    return at->second;
  };
  for (const auto& [role, values] : batch.entries()) {
    if (roles::source_in(role, roles::summary_mask)) continue;
    const std::optional<std::string_view> source = roles::source_in(role, roles::summary_conditions);
    if (!source) {
      add_field(place(columns, role), values, nullptr);
      continue;
    }
    const Padding padding(batch, *source);
    add_field(place(columns, role), values, &padding);
    add_sizes(place(sizes, role), values, padding);
  }
  const Block *data = batch.find(roles::summary_conditions), *direct = batch.find(roles::direct_conditions);
  const Padding padding(batch);
  if (!direct || direct->rank() != 2) return;
  const auto width = static_cast<std::size_t>(direct->dim(1));
  const bool has_sets = data && data->rank() >= 3;
  if (is_size.size() != width) is_size.assign(width, has_sets ? 1 : 0);
  for (std::int64_t b = 0; b < sets; ++b)
    for (std::size_t j = 0; j < width; ++j)
      if (is_size[j] && (!has_sets || static_cast<double>(direct->data()[static_cast<std::size_t>(b) * width + j]) !=
                                          static_cast<double>(padding.observations(b))))
        is_size[j] = 0;
}

void SeenData::add_summaries(const Array& outputs, bool anew) {
  if (outputs.rank() != 2) return;
  if (anew) summaries.clear();
  add_field(summaries, Block(outputs), nullptr);
}

std::vector<Foreign> compare(const SeenData& seen, const Batch& batch, const float* summaries) {
  constexpr std::int64_t kFewest = 20;  // below, a range says nothing
  std::vector<Foreign> out;
  if (seen.data_sets == 0) return out;
  const Padding padding(batch);
  for (const auto& [role, values] : batch.entries())
    if (const auto source = roles::source_in(role, roles::summary_conditions); source && out.empty())
      compare_sizes(out, seen, role, values, Padding(batch, *source));
  compare_counts(out, seen, batch, padding);
  if (seen.data_sets < kFewest) return out;
  for (const auto& [role, columns] : seen.columns) {
    const Block* values = role == roles::parameters ? nullptr : batch.find(role);
    if (!values) continue;
    const std::optional<std::string_view> source = roles::source_in(role, roles::summary_conditions);
    const Padding of_source(batch, source.value_or(""));
    compare_field(out, seen, {role, columns, *values, source && of_source.any() ? &of_source : nullptr});
  }
  if (!summaries || seen.summaries.empty() || seen.summaries.front().count < static_cast<double>(kFewest)) return out;
  const std::int64_t sets = batch.batch_size();
  const std::size_t width = seen.summaries.size();
  const Outside o = outside(
      sets, width, seen.summaries.front().count, 0.25,
      [&](std::int64_t b, std::size_t j) {
        const auto x = static_cast<double>(summaries[static_cast<std::size_t>(b) * width + j]);
        return std::pair(x, x);
      },
      [&](std::size_t j) { return std::pair(seen.summaries[j].low, seen.summaries[j].high); },
      [](std::size_t j) { return fmt::format("summary {}", j + 1); });
  if (o.data_sets)
    out.push_back(
        {Foreign::Kind::summaries, o.name, o.low, o.high, o.seen_low, o.seen_high,
         static_cast<double>(o.data_sets) / static_cast<double>(sets),
         fmt::format("Output {} of the summary network is {}{}{}, for simulated data sets {:.4g} to {:.4g}: these data are unlike "
                     "the simulations as a whole, and the posterior is an extrapolation (mmd_hypothesis_test compares many data sets).",
                     o.name.substr(8), span_of(o.low, o.high), among(o.data_sets, sets), and_more(o.columns), o.seen_low, o.seen_high)});
  return out;
}

std::optional<Foreign> unlike_simulations(const Typical& typical, std::int64_t reference, double level) {
  const std::vector<double>& p = typical.p_values;
  if (p.empty() || typical.p_value > level) return {};
  const std::size_t at = static_cast<std::size_t>(std::ranges::min_element(p) - p.begin());
  const Strangest& s = typical.strangest[at];
  const auto sets = static_cast<double>(p.size());
  const double share = static_cast<double>(std::ranges::count_if(p, [&](double x) { return x <= level; })) / sets;
  const std::string who = p.size() == 1 ? std::string("This data set is") : fmt::format("Data set {} of {} is", at, p.size());
  const std::string all = p.size() == 1 ? std::string() : fmt::format(", {:.2g} of all", typical.p_value);
  return Foreign{Foreign::Kind::distance,
                 s.name,
                 s.value,
                 s.value,
                 s.low,
                 s.high,
                 share,
                 fmt::format("{} unlike the simulations of training: p-value {:.2g}{} among {} held-out ones. Most unusual{}: the {} is "
                             "{:.4g}, in 95 % of the simulations {:.4g} to {:.4g}. The posterior is an extrapolation there: check units, "
                             "outliers and the model (check gives the p-values, mmd_hypothesis_test compares many data sets).",
                             who, p[at], all, reference, s.alone ? "" : " beside its other numbers", s.name, s.value, s.low, s.high)};
}

template <class Number>
std::vector<Foreign> compare_draws(const SeenData& seen, std::string_view role, std::span<const Number> draws, std::int64_t data_sets) {
  const std::span<const SeenColumn> columns = seen.of(role);
  const std::size_t width = columns.size();
  if (width == 0 || seen.data_sets < 100 || data_sets < 1 || draws.size() % (width * static_cast<std::size_t>(data_sets))) return {};
  const std::size_t each = draws.size() / static_cast<std::size_t>(data_sets), n = each / width;
  std::vector<std::int64_t> outside(width), most(width), here(width);
  std::vector<std::size_t> where(width);
  std::vector<Number> low(width), high(width);
  for (std::size_t j = 0; j < width; ++j) {
    const SeenColumn& c = columns[j];
    const double margin = room(c.low, c.high, static_cast<double>(seen.data_sets), 0.25) * 0.1;
    low[j] = static_cast<Number>(c.low - margin);
    high[j] = static_cast<Number>(c.high + margin);
  }
  for (std::size_t b = 0; b < static_cast<std::size_t>(data_sets); ++b) {
    std::fill(here.begin(), here.end(), 0);
    const Number* x = draws.data() + b * each;
    for (std::size_t i = 0; i < n; ++i, x += width)
      for (std::size_t j = 0; j < width; ++j)
        here[j] += static_cast<std::int64_t>(x[j] < low[j]) + static_cast<std::int64_t>(x[j] > high[j]);
    for (std::size_t j = 0; j < width; ++j) {
      outside[j] += here[j];
      if (here[j] <= most[j]) continue;
      most[j] = here[j];
      where[j] = b;
    }
  }
  const auto j = static_cast<std::size_t>(std::max_element(outside.begin(), outside.end()) - outside.begin());
  const double all = static_cast<double>(n) * static_cast<double>(data_sets), share = static_cast<double>(outside[j]) / all;
  if (share <= 0.01 + 10 / static_cast<double>(seen.data_sets)) return {};
  const SeenColumn& c = columns[j];
  const std::int64_t more =
      std::count_if(outside.begin(), outside.end(), [&](std::int64_t o) { return static_cast<double>(o) > 0.01 * all; }) - 1;
  std::string worst;
  if (data_sets > 1)
    worst = fmt::format(", {:.3g} % in data set {}", 100.0 * static_cast<double>(most[j]) / static_cast<double>(n), where[j]);
  return {
      {Foreign::Kind::draws, seen.param_name(j), 0, 0, c.low, c.high, share,
       fmt::format("{:.3g} % of the draws of {}{} lie outside {:.4g} to {:.4g}, the range of all values in training{}. A bounded parameter "
                   "is learnt better on an unbounded scale (its logit or logarithm, in the configurator); otherwise train longer, or check "
                   "that the data are like those of training.",
                   100 * share, seen.param_name(j), more > 0 ? fmt::format(" (and of {} more parameter{})", more, more > 1 ? "s" : "") : "",
                   c.low, c.high, worst)}};
}

template std::vector<Foreign> compare_draws(const SeenData&, std::string_view, std::span<const float>, std::int64_t);
template std::vector<Foreign> compare_draws(const SeenData&, std::string_view, std::span<const double>, std::int64_t);

}  // namespace bayesflow
