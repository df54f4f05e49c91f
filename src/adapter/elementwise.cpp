#include "adapter/elementwise.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <type_traits>

namespace bayesflow::adapter {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

std::vector<std::int64_t> columns_of(const std::vector<std::int64_t>& given, std::int64_t width) {
  if (!given.empty()) return given;
  std::vector<std::int64_t> all(static_cast<std::size_t>(width));
  std::iota(all.begin(), all.end(), std::int64_t{0});
  return all;
}

/// One number, or one for each column.
template <class T>
void require_count(const std::vector<T>& given, std::int64_t columns, const char* name, const Place& at) {
  if (given.size() > 1 && static_cast<std::int64_t>(given.size()) != columns)
    at.refuse("{} holds {} numbers, and the step acts on {} columns; give one, or one for each column", name, given.size(), columns);
}
template <class T>
T number(const std::vector<T>& given, std::size_t column) {
  return given.size() == 1 ? given.front() : given[column];
}

ScalarMap between(double lower, double upper, Interval interval) {
  using Kind = ScalarMap::Kind;
  return {interval == Interval::probit  ? Kind::interval_probit
          : interval == Interval::logit ? Kind::interval_logit
                                        : Kind::interval_barrier,
          lower, upper};
}

/// The column of a reference in its field, which may have fewer rows than the step's: each is that of equally many of these.
class Reference {
 public:
  Reference(const Column& column, const Fields& fields, std::int64_t rows, const Place& at) {
    const Simulations* in = &fields.values;
    const Array* values = in->find(column.field);
    if (!values && fields.before) values = (in = fields.before)->find(column.field);
    if (!values) at.refuse("a bound is to be read from {}, which is not there; give that field", column.field);
    const Rows of(*in, column.field, *values);
    if (of.count() == 0 || rows % of.count() != 0 || column.column >= of.width())
      at.refuse("a bound is to be read from column {} of {}, of shape {}, which does not go with {} of {} rows", column.column,
                column.field, values->shape().to_string(), at.field, rows);
    from_ = values->data() + column.column;
    width_ = of.width();
    each_ = rows / of.count();
  }
  [[nodiscard]] double operator()(std::int64_t row) const { return from_[row / each_ * width_]; }

 private:
  const double* from_;
  std::int64_t width_, each_;
};

/// Calls f(row, values of the row, column, map) for all rows that count and columns of the step.
template <class S, class F>
void for_each_number(const S& step, std::int64_t width, Fields& fields, Array& values, const Place& at, const F& f) {
  const Rows rows(fields.values, at.field, values);
  require_width(rows, values, width, at);
  const std::vector<std::int64_t> columns = columns_of(step.columns, width);
  std::vector<ScalarMap> maps = maps_of(step, width, at);
  std::optional<Reference> lower, upper;
  if constexpr (std::is_same_v<S, Bounds>) {
    if (step.lower_from) lower.emplace(*step.lower_from, fields, rows.count(), at);
    if (step.upper_from) upper.emplace(*step.upper_from, fields, rows.count(), at);
  }
  for (std::int64_t row = 0; row < rows.count(); ++row) {
    if (!rows.counts(row)) continue;
    if (lower || upper)
      for (ScalarMap& map : maps) {
        if (lower) map.a = (*lower)(row);
        if (upper) map.b = (*upper)(row);
        // Draws, and points that are asked for, may be anywhere: there is nothing between these bounds, and the density is 0.
        if (map.is_empty() && fields.outside == Outside::refuse)
          throw ArgumentError(
              fmt::format("{}: in row {} the lower bound {} is not below the upper bound {}; check the fields that they are "
                          "read from",
                          at.to_string(), row, map.a, map.b));
      }
    for (std::size_t k = 0; k < columns.size(); ++k) f(row, values.data()[row * width + columns[k]], columns[k], maps[k]);
  }
}

/// All values of a column that count and are not missing.
std::vector<double> values_of(std::span<const Simulations> parts, std::int64_t width, std::int64_t column, const Place& at) {
  std::vector<double> out;
  for (const Simulations& part : parts) {
    const Array& values = *part.find(at.field);
    const Rows rows(part, at.field, values);
    if (rows.width() != width)
      throw ShapeError(
          fmt::format("{}: {} has {} columns in one batch of the first simulations and {} in another; every batch must have the "
                      "same",
                      at.to_string(), at.field, width, rows.width()));
    for (std::int64_t row = 0; row < rows.count(); ++row)
      if (const double x = values.data()[row * width + column]; rows.counts(row) && !std::isnan(x)) out.push_back(x);
  }
  return out;
}

double quantile(std::vector<double>& values, double share) {
  const double place = share * static_cast<double>(values.size() - 1);
  const auto low = static_cast<std::ptrdiff_t>(place);
  std::nth_element(values.begin(), values.begin() + low, values.end());
  const double at = values[static_cast<std::size_t>(low)];
  if (static_cast<std::size_t>(low) + 1 == values.size()) return at;
  return at + (place - static_cast<double>(low)) * (*std::min_element(values.begin() + low + 1, values.end()) - at);
}

struct Moments {
  double mean, sd;
};
Moments moments(const std::vector<double>& values) {
  const auto n = static_cast<double>(values.size());
  double mean = 0, square = 0;
  for (const double x : values) mean += x / n;
  for (const double x : values) square += (x - mean) * (x - mean) / n;
  return {mean, std::sqrt(square)};
}

/// Location and spread; 0: no spread.
Moments spread_of(std::vector<double> values, Spread by) {
  const Moments m = moments(values);
  if (by == Spread::mean_sd) return m;
  constexpr double kNormalQuantile = 1.6448536269514722, kNormalMad = 1.4826022185056018;
  const double median = quantile(values, 0.5);
  if (by == Spread::median_mad) {
    std::vector<double> off;
    for (const double x : values) off.push_back(std::abs(x - median));
    if (const double mad = quantile(off, 0.5); mad > 0) return {median, kNormalMad * mad};
  }
  const double wide = (quantile(values, 0.95) - quantile(values, 0.05)) / (2 * kNormalQuantile);
  return {median, wide > 0 ? wide : m.sd};
}

/// The exponent of the largest profile likelihood, by golden section.
double best_exponent(const std::vector<double>& values) {
  std::vector<double> logs;
  for (const double x : values) logs.push_back(std::log(x));
  const double mean_log = moments(logs).mean;
  const auto score = [&](double l) {
    std::vector<double> y;
    for (const double x : logs) y.push_back(l == 0 ? x : std::expm1(l * x) / l);
    return (l - 1) * mean_log - std::log(moments(y).sd);
  };
  constexpr double kShare = 0.6180339887498949;
  double low = -2, high = 2, a = high - kShare * (high - low), b = low + kShare * (high - low), at_a = score(a), at_b = score(b);
  for (int i = 0; i < 40; ++i) {
    if (at_a > at_b) {
      high = b;
      b = a;
      at_b = at_a;
      a = high - kShare * (high - low);
      at_a = score(a);
    } else {
      low = a;
      a = b;
      at_a = at_b;
      b = low + kShare * (high - low);
      at_b = score(b);
    }
  }
  return (low + high) / 2;
}

void fit_options(Standardize& s, std::span<const Simulations> parts, std::int64_t width, const Place& at, std::vector<std::string>& notes) {
  const std::vector<std::int64_t> columns = columns_of(s.columns, width);
  require_count(s.location, static_cast<std::int64_t>(columns.size()), "location", at);
  require_count(s.scale, static_cast<std::int64_t>(columns.size()), "scale", at);
  const bool locate = s.location.empty(), spread = s.scale.empty();
  std::string constant;
  std::size_t count = 0;
  for (const std::int64_t column : columns) {
    if (!locate && !spread) break;
    const std::vector<double> values = values_of(parts, width, column, at);
    if (values.empty()) at.refuse("{} has no value in the first simulations; leave it out", at.column(column));
    const auto [low, high] = std::ranges::minmax(values);
    const Moments m = spread_of(values, s.spread);
    // What rounding alone makes of equal numbers is no spread.
    const bool none = !(m.sd > 1e-12 * std::max(std::abs(low), std::abs(high)));
    if (!std::isfinite(m.mean) || !std::isfinite(m.sd))
      at.refuse("{} has the mean {} and the spread {} in the first simulations; scale it, or take its logarithm before", at.column(column),
                m.mean, m.sd);
    if (none && ++count <= 5) constant += fmt::format("{}{} is always {:.6g}", constant.empty() ? "" : ", ", at.column(column), low);
    if (locate) s.location.push_back(none ? low : m.mean);
    if (spread) s.scale.push_back(none ? 1 : m.sd);
  }
  if (count > 5) constant += fmt::format(", and {} more", count - 5);
  if (count)
    notes.push_back(fmt::format("{}: {} in the first simulations, so that it is shifted and not divided by anything: {}.", at.to_string(),
                                constant, at.is_target() ? "leave it out, or check the prior" : "it tells nothing if it stays so"));
}

void fit_options(BoxCox& s, std::span<const Simulations> parts, std::int64_t width, const Place& at, std::vector<std::string>& /*notes*/) {
  if (!s.exponents.empty()) return;
  for (const std::int64_t column : columns_of(s.columns, width)) {
    const std::vector<double> values = values_of(parts, width, column, at);
    if (values.empty()) at.refuse("{} has no value in the first simulations; leave it out", at.column(column));
    if (const double low = std::ranges::min(values); !(low > 0))
      throw ArgumentError(fmt::format("{}: {} = {} in the first simulations; it must be above 0: take another step", at.to_string(),
                                      at.column(column), low));
    s.exponents.push_back(std::ranges::min(values) == std::ranges::max(values) ? 1 : best_exponent(values));
  }
}

/// References to columns by name become references by number.
void fit_options(Bounds& s, std::span<const Simulations> parts, std::int64_t width, const Place& at, std::vector<std::string>& /*notes*/) {
  for (std::optional<Column>* reference : {&s.lower_from, &s.upper_from}) {
    if (!*reference) continue;
    Column& column = **reference;
    const Array* values = parts.empty() ? nullptr : parts.front().find(column.field);
    if (!values) at.refuse("a bound is to be read from {}, which is not there; name another field", column.field);
    Place there = at;
    there.field = column.field;
    std::vector<std::int64_t> numbers;
    std::vector<std::string> names;
    if (column.name.empty())
      numbers.push_back(column.column);
    else
      names.push_back(column.name);
    resolve(numbers, names, Rows(parts.front(), column.field, *values).width(), there);
    column.column = numbers.front();
    column.name.clear();
    const std::vector<std::int64_t> own = columns_of(s.columns, width);
    if (column.field == at.field && std::ranges::find(own, column.column) != own.end())
      at.refuse("{} is bounded by itself; a bound must come from another column", at.column(column.column));
  }
}

template <class S>
void fit_options(S& /*step*/, std::span<const Simulations> /*parts*/, std::int64_t /*width*/, const Place& /*at*/,
                 std::vector<std::string>& /*notes*/) {}

void validate_options(const Bounds& s, const Place& at) {
  if (s.lower.empty() && s.upper.empty() && !s.lower_from && !s.upper_from) at.refuse("it has no bounds; give lower, upper, or both");
  if ((!s.lower.empty() && s.lower_from) || (!s.upper.empty() && s.upper_from))
    at.refuse("a bound is given as a number and as a column; give one of them");
  if (s.lower.size() > 1 && s.upper.size() > 1 && s.lower.size() != s.upper.size())
    at.refuse("lower holds {} numbers and upper {}; give one, or one for each column", s.lower.size(), s.upper.size());
  const std::size_t count = std::max(s.lower.size(), s.upper.size());
  for (std::size_t k = 0; k < count; ++k) {
    const auto low = s.lower.empty() ? std::nullopt : number(s.lower, k), high = s.upper.empty() ? std::nullopt : number(s.upper, k);
    if ((low && !std::isfinite(*low)) || (high && !std::isfinite(*high)))
      at.refuse("the bounds of the {}th column are {} and {}; they must be finite: leave a bound out where there is none", k + 1,
                low.value_or(kNaN), high.value_or(kNaN));
    if (low && high && !(*low < *high))
      at.refuse("the lower bound {} of the {}th column is not below the upper bound {}; exchange or correct them", *low, k + 1, *high);
  }
}
void validate_options(const Standardize& s, const Place& at) {
  for (const double x : s.location)
    if (!std::isfinite(x)) at.refuse("a location is {}; it must be finite", x);
  for (const double x : s.scale)
    if (!(x > 0) || !std::isfinite(x)) at.refuse("a scale is {}; it must be positive and finite", x);
}
void validate_options(const BoxCox& s, const Place& at) {
  for (const double x : s.exponents)
    if (!(std::abs(x) <= 10)) at.refuse("an exponent is {}; it must be between -10 and 10", x);
}
template <class S>
void validate_options(const S& /*step*/, const Place& /*at*/) {}

ScalarMap map_of(const Standardize& s, std::size_t column, bool /*is_target*/) {
  return {ScalarMap::Kind::affine, number(s.location, column), number(s.scale, column)};
}
ScalarMap map_of(const Bounds& s, std::size_t column, bool /*is_target*/) {
  const auto low = s.lower_from ? std::optional(kNaN) : s.lower.empty() ? std::nullopt : number(s.lower, column);
  const auto high = s.upper_from ? std::optional(kNaN) : s.upper.empty() ? std::nullopt : number(s.upper, column);
  if (low && high) return between(*low, *high, s.interval);
  const bool soft = s.half_line == HalfLine::softplus;
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  if (low) return {soft ? ScalarMap::Kind::lower_softplus : ScalarMap::Kind::lower_log, *low, kInfinity};
  if (high) return {soft ? ScalarMap::Kind::upper_softplus : ScalarMap::Kind::upper_log, -kInfinity, *high};
  return {ScalarMap::Kind::affine, 0, 1};  // no bound at this column
}
ScalarMap map_of(const Log& /*step*/, std::size_t /*column*/, bool /*is_target*/) { return {ScalarMap::Kind::lower_log, 0}; }
ScalarMap map_of(const Log1p& /*step*/, std::size_t /*column*/, bool /*is_target*/) { return {ScalarMap::Kind::lower_log, -1}; }
ScalarMap map_of(const Sqrt& /*step*/, std::size_t /*column*/, bool is_target) {
  return {is_target ? ScalarMap::Kind::sqrt_softplus : ScalarMap::Kind::sqrt};
}
ScalarMap map_of(const Logit& /*step*/, std::size_t /*column*/, bool /*is_target*/) { return between(0, 1, Interval::logit); }
ScalarMap map_of(const BoxCox& s, std::size_t column, bool is_target) {
  return {is_target ? ScalarMap::Kind::box_cox_softplus : ScalarMap::Kind::box_cox, number(s.exponents, column)};
}

/// Log x of 0 is no number, while a parameter may lie on a bound that its prior declares.
template <class S>
bool contains(const S& /*step*/, const ScalarMap& map, double x) {
  if constexpr (std::is_same_v<S, Bounds>) return map.contains(x) && !map.is_empty();
  if (map.kind == ScalarMap::Kind::lower_log) return x > map.a && std::isfinite(x);
  if (map.kind == ScalarMap::Kind::interval_logit) return map.a < x && x < map.b;
  return map.contains(x);
}

}  // namespace

template <Elementwise S>
std::vector<ScalarMap> maps_of(const S& step, std::int64_t width, const Place& at) {
  std::vector<ScalarMap> out;
  const std::size_t count = step.columns.empty() ? static_cast<std::size_t>(width) : step.columns.size();
  for (std::size_t k = 0; k < count; ++k) out.push_back(map_of(step, k, at.is_target()));
  return out;
}

template <Elementwise S>
void validate(const S& step, const Place& at) {
  validate_options(step, at);
}

template <Elementwise S>
void check_fitted(const S& step, std::int64_t width, const Place& at) {
  const auto count = static_cast<std::int64_t>(step.columns.empty() ? static_cast<std::size_t>(width) : step.columns.size());
  const auto check = [&](const auto& given, const char* name, bool needed) {
    require_count(given, count, name, at);
    if (needed && given.empty()) at.refuse("it has no {}, and was fitted", name);
  };
  if (!step.names.empty()) at.refuse("it names columns, and was fitted");
  if constexpr (std::is_same_v<S, Standardize>) {
    check(step.location, "location", true);
    check(step.scale, "scale", true);
  } else if constexpr (std::is_same_v<S, BoxCox>) {
    check(step.exponents, "exponents", true);
  } else if constexpr (std::is_same_v<S, Bounds>) {
    check(step.lower, "lower", false);
    check(step.upper, "upper", false);
    for (const auto* reference : {&step.lower_from, &step.upper_from})
      if (*reference && ((*reference)->column < 0 || !(*reference)->name.empty())) at.refuse("it names a column, and was fitted");
  }
}

template <Elementwise S>
void fit(S& step, std::span<const Simulations> parts, std::int64_t width, const Place& at, std::vector<std::string>& notes) {
  fit_options(step, parts, width, at, notes);
  check_fitted(step, width, at);
}

template <Elementwise S>
void forward(const S& step, std::int64_t width, Fields& fields, const Place& at) {
  Array* values = find(fields.values, at);
  if (!values) return;
  Array* log_det = at.is_target() ? &log_det_of(fields, at.field, *values) : nullptr;
  const std::int64_t rows = Rows(fields.values, at.field, *values).count();
  const std::int64_t each = std::max<std::int64_t>(1, values->rank() && values->dim(0) ? rows / values->dim(0) : 1);
  for_each_number(step, width, fields, *values, at, [&](std::int64_t row, double& x, std::int64_t column, const ScalarMap& map) {
    if (std::isnan(x)) return;  // missing; whether it may be is said elsewhere
    if (!contains(step, map, x)) {
      if (log_det && fields.outside == Outside::allow) {
        log_det->data()[row] = -std::numeric_limits<double>::infinity();
        x = 0;
        return;
      }
      const std::string place = each > 1 ? fmt::format("data set {}, row {}", row / each, row % each) : fmt::format("data set {}", row);
      throw ArgumentError(fmt::format(
          "{}: {} = {} in {}; it must be {}{}", at.to_string(), at.column(column), x, place, map.domain(),
          std::is_same_v<S, Bounds> ? ": give the bounds of the prior, or check the prior" : ": take another step, or other columns"));
    }
    if (log_det) log_det->data()[row] += map.log_slope(x);
    x = map.forward(x);
  });
}

template <Elementwise S>
void inverse(const S& step, std::int64_t width, Fields& fields, const Place& at) {
  Array* values = find(fields.values, at);
  if (!values) return;
  for_each_number(step, width, fields, *values, at,
                  [](std::int64_t, double& y, std::int64_t, const ScalarMap& map) { y = map.is_empty() ? map.a : map.inverse(y); });
}

template <Elementwise S>
void keep(const S& step, const Simulations& before, Simulations& kept, const Place& at) {
  if constexpr (std::is_same_v<S, Bounds>)
    for (const auto* reference : {&step.lower_from, &step.upper_from}) {
      if (!*reference || at.targets.contains((*reference)->field)) continue;
      before.for_each([&](std::string_view name, FieldRole role, const Array& values) {
        if (name == (*reference)->field && !kept.find(name)) kept.set(name, values, role);
      });
    }
}

// NOLINTBEGIN(bugprone-macro-parentheses): a type in parentheses is no type
#define BAYESFLOW_ELEMENTWISE(S)                                                                              \
  template std::vector<ScalarMap> maps_of(const S&, std::int64_t, const Place&);                              \
  template void validate(const S&, const Place&);                                                             \
  template void check_fitted(const S&, std::int64_t, const Place&);                                           \
  template void fit(S&, std::span<const Simulations>, std::int64_t, const Place&, std::vector<std::string>&); \
  template void forward(const S&, std::int64_t, Fields&, const Place&);                                       \
  template void inverse(const S&, std::int64_t, Fields&, const Place&);                                       \
  template void keep(const S&, const Simulations&, Simulations&, const Place&)
BAYESFLOW_ELEMENTWISE(Standardize);
BAYESFLOW_ELEMENTWISE(Bounds);
BAYESFLOW_ELEMENTWISE(Log);
BAYESFLOW_ELEMENTWISE(Log1p);
BAYESFLOW_ELEMENTWISE(Sqrt);
BAYESFLOW_ELEMENTWISE(Logit);
BAYESFLOW_ELEMENTWISE(BoxCox);
#undef BAYESFLOW_ELEMENTWISE
// NOLINTEND(bugprone-macro-parentheses)

}  // namespace bayesflow::adapter
