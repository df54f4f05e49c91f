/// The steps of an Adapter, as described data. What each computes, and its derivative, is in docs/adapter.md.
#pragma once

#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "bayesflow/adapter/regress.hpp"
#include "bayesflow/core/describe.hpp"
#include "bayesflow/data/simulations.hpp"

namespace bayesflow::adapter {

/// A column (place on the last axis; negative: from the end) of a field. Of parameters it may have the parameter's name instead.
struct Column {
  std::string field;
  std::int64_t column = 0;
  std::string name = {};
  friend bool operator==(const Column&, const Column&) = default;
};

/// What `standardize` takes as location and spread.
enum class Spread : std::uint8_t {
  mean_sd,     ///< mean and standard deviation
  median_mad,  ///< median, and 1.4826 times the median of absolute deviations from it; quantiles where that is 0
  quantiles,   ///< median, and the distance of the 5 % and 95 % quantiles / 3.2897; standard deviation where that is 0
};
[[nodiscard]] EnumNames<Spread> names_of(Spread);

/// How `bounds` maps an interval onto the line.
enum class Interval : std::uint8_t {
  probit,  ///< normal quantile of the place in the interval: a uniform prior becomes standard normal
  logit,   ///< log of the distance from the lower bound over that from the upper one
  /// sqrt(12) (u - 1/2) + 0.1 log(u / (1 - u)), u the place in the interval: nearly straight, and steep at the edges alone
  barrier,
};
[[nodiscard]] EnumNames<Interval> names_of(Interval);
/// How `bounds` maps a half-line onto the line: t is the distance from the bound.
enum class HalfLine : std::uint8_t {
  log,       ///< log t
  softplus,  ///< log(exp(t) - 1): about t where t is large
};
[[nodiscard]] EnumNames<HalfLine> names_of(HalfLine);

// Steps that act on columns by themselves: those with the given numbers and parameter names, or all of the field if there are neither.

/// (x - location) / spread, both taken from the first simulations; padding and missing values are not counted. A column without spread is
/// shifted only, and told of in Adapter::notes.
struct Standardize {
  static constexpr const char* kName = "standardize";
  std::string field = "prior_draws";
  std::vector<std::int64_t> columns = {};
  std::vector<std::string> names = {};
  Spread spread = Spread::mean_sd;
  std::vector<double> location = {}, scale = {};  ///< given, or fitted: one of each column
};

/// From between bounds onto the line. `lower` and `upper` hold one number, or one for each column; an absent one is no bound. `lower_from`
/// and `upper_from` name a column instead whose value in the same simulation is the bound: of data, or another parameter.
struct Bounds {
  static constexpr const char* kName = "bounds";
  std::string field = "prior_draws";
  std::vector<std::int64_t> columns = {};
  std::vector<std::string> names = {};
  std::vector<std::optional<double>> lower = {}, upper = {};
  std::optional<Column> lower_from = {}, upper_from = {};
  Interval interval = Interval::probit;
  HalfLine half_line = HalfLine::log;
};

/// log x, of positive numbers.
struct Log {
  static constexpr const char* kName = "log";
  std::string field = "prior_draws";
  std::vector<std::int64_t> columns = {};
  std::vector<std::string> names = {};
};
/// log(1 + x), of numbers above -1.
struct Log1p {
  static constexpr const char* kName = "log1p";
  std::string field = "prior_draws";
  std::vector<std::int64_t> columns = {};
  std::vector<std::string> names = {};
};
/// sqrt(x), of numbers at least 0. Of parameters log(exp(sqrt(x)) - 1), since draws may be any number.
struct Sqrt {
  static constexpr const char* kName = "sqrt";
  std::string field = "prior_draws";
  std::vector<std::int64_t> columns = {};
  std::vector<std::string> names = {};
};
/// log(x / (1 - x)), of numbers between 0 and 1.
struct Logit {
  static constexpr const char* kName = "logit";
  std::string field = "prior_draws";
  std::vector<std::int64_t> columns = {};
  std::vector<std::string> names = {};
};
/// (x^l - 1) / l, of positive numbers. Of parameters sign(l) log(exp(x^l / |l|) - 1), since draws may be any number. log x for l = 0.
/// `exponents`: one, or one for each column; none: those of the largest likelihood of normal numbers, within [-2, 2], from the first
/// simulations. Box and Cox (1964), An analysis of transformations.
struct BoxCox {
  static constexpr const char* kName = "box_cox";
  std::string field = "prior_draws";
  std::vector<std::int64_t> columns = {};
  std::vector<std::string> names = {};
  std::vector<double> exponents = {};
};

// Steps that act on the given columns together (all of the field, if there are none). What they make of them stands where the first was.

/// K numbers that are not negative and sum to 1, to K - 1 (stick-breaking). Densities are those of the first K - 1.
struct Simplex {
  static constexpr const char* kName = "simplex";
  std::string field = "prior_draws";
  std::vector<std::int64_t> columns = {};
  std::vector<std::string> names = {};
};
/// K increasing numbers: the first, and the logarithms of the differences.
struct Ordered {
  static constexpr const char* kName = "ordered";
  std::string field = "prior_draws";
  std::vector<std::int64_t> columns = {};
  std::vector<std::string> names = {};
};
/// The rows of a symmetric positive definite d x d matrix, d^2 columns, to the d (d + 1) / 2 entries of its Cholesky factor, with
/// logarithms on the diagonal. Densities are those of the entries on and below the diagonal.
struct PositiveDefinite {
  static constexpr const char* kName = "positive_definite";
  std::string field = "prior_draws";
  std::vector<std::int64_t> columns = {};
  std::vector<std::string> names = {};
};
/// The rows of a d x d matrix of correlations, d^2 columns, to d (d - 1) / 2 inverse hyperbolic tangents of partial correlations
/// (Lewandowski, Kurowicka, Joe 2009). Densities are those of the entries below the diagonal.
struct Correlation {
  static constexpr const char* kName = "correlation";
  std::string field = "prior_draws";
  std::vector<std::int64_t> columns = {};
  std::vector<std::string> names = {};
};

// Steps that make, move and shape fields.

/// Each of the columns (all, if there are none) becomes one for each category, 1 where it is that; they stand behind the others, in order.
/// `categories`: increasing; none: those of the first simulations. Not of what is learnt.
struct OneHot {
  static constexpr const char* kName = "one_hot";
  std::string field = "sim_data";
  std::vector<std::int64_t> columns = {};
  std::vector<std::string> names = {};
  std::vector<double> categories = {};
};
/// Repeats a field over the leading axes of the field `to`, as far as it lacks them: (batch, c) to (batch, n, c).
struct Broadcast {
  static constexpr const char* kName = "broadcast";
  std::string field = {}, to = "sim_data";
};
/// Makes `field` of several, side by side on the last axis; they are taken away.
struct Join {
  static constexpr const char* kName = "join";
  std::string field = "prior_draws";
  std::vector<std::string> fields = {};
  std::vector<std::int64_t> widths = {};  ///< fitted
};
/// Takes columns out into another field.
struct Split {
  static constexpr const char* kName = "split";
  std::string field = "sim_data";
  std::vector<std::int64_t> columns = {};
  std::vector<std::string> names = {};
  std::string to = {};
};
/// Takes columns away, or the field if there are none. Parameters that are dropped are not learnt, and draws lack them.
struct Drop {
  static constexpr const char* kName = "drop";
  std::string field = {};
  std::vector<std::int64_t> columns = {};
  std::vector<std::string> names = {};
};
/// Gives a field another name; that of a role ("direct_conditions") makes it that.
struct Rename {
  static constexpr const char* kName = "rename";
  std::string field = {}, to = {};
};
/// (batch, ...) to (batch, numbers): matrices become their rows, one behind the other.
struct Flatten {
  static constexpr const char* kName = "flatten";
  std::string field = "prior_draws";
};
/// (batch, n) to (batch, n, 1): n observations of one number.
struct AsSet {
  static constexpr const char* kName = "as_set";
  std::string field = "sim_data";
};
/// (batch, n) or (batch, n, c) to (batch, n, c + 1): the times, of the field `times` (which goes) or else from 0 to 1, become the last
/// column.
struct AsSeries {
  static constexpr const char* kName = "as_series";
  std::string field = "sim_data", times = "sim_data_times";
};
/// NaN means missing: it becomes `value`, and a column behind the others, one for each of the columns (all, if there are none), is 1 there.
struct FillMissing {
  static constexpr const char* kName = "fill_missing";
  std::string field = "sim_data";
  std::vector<std::int64_t> columns = {};
  std::vector<std::string> names = {};
  double value = 0;
  bool indicator = true;
};

/// All kinds of steps. A new one is a struct, its name here, and what it computes in src/adapter.
using Step = std::variant<Standardize, Bounds, Log, Log1p, Sqrt, Logit, BoxCox, Simplex, Ordered, PositiveDefinite, Correlation, Regress,
                          OneHot, Broadcast, Join, Split, Drop, Rename, Flatten, AsSet, AsSeries, FillMissing>;

template <class V>
void describe(V& v, Column& o) {
  v("field", o.field);
  v("column", o.column, column());
  v("name", o.name);
}

namespace detail {
template <class V, class S>
void describe_columns(V& v, S& o) {
  v("field", o.field);
  v("columns", o.columns, column());
  v("names", o.names);
}
}  // namespace detail

/// Steps that have nothing but columns.
template <class V, class S>
requires std::same_as<S, Log> || std::same_as<S, Log1p> || std::same_as<S, Sqrt> || std::same_as<S, Logit> || std::same_as<S, Simplex> ||
    std::same_as<S, Ordered> || std::same_as<S, PositiveDefinite> || std::same_as<S, Correlation> || std::same_as<S, Drop>
void describe(V& v, S& o) { detail::describe_columns(v, o); }
template <class V, class S>
requires std::same_as<S, Flatten> || std::same_as<S, AsSet>
void describe(V& v, S& o) { v("field", o.field); }
template <class V, class S>
requires std::same_as<S, Broadcast> || std::same_as<S, Rename>
void describe(V& v, S& o) {
  v("field", o.field);
  v("to", o.to);
}
template <class V>
void describe(V& v, OneHot& o) {
  detail::describe_columns(v, o);
  v("categories", o.categories);
}
template <class V>
void describe(V& v, Join& o) {
  v("field", o.field);
  v("fields", o.fields);
  v("widths", o.widths, width());
}
template <class V>
void describe(V& v, Split& o) {
  detail::describe_columns(v, o);
  v("to", o.to);
}
template <class V>
void describe(V& v, AsSeries& o) {
  v("field", o.field);
  v("times", o.times);
}
template <class V>
void describe(V& v, FillMissing& o) {
  detail::describe_columns(v, o);
  v("value", o.value);
  v("indicator", o.indicator);
}
template <class V>
void describe(V& v, Standardize& o) {
  detail::describe_columns(v, o);
  v("spread", o.spread);
  v("location", o.location);
  v("scale", o.scale, positive());
}
template <class V>
void describe(V& v, Bounds& o) {
  detail::describe_columns(v, o);
  v("lower", o.lower);
  v("upper", o.upper);
  v("lower_from", o.lower_from);
  v("upper_from", o.upper_from);
  v("interval", o.interval);
  v("half_line", o.half_line);
}
template <class V>
void describe(V& v, BoxCox& o) {
  detail::describe_columns(v, o);
  v("exponents", o.exponents, between(-10, 10));
}

}  // namespace bayesflow::adapter
