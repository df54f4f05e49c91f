/// The steps of an Adapter, as described data. What each computes, and its derivative, is in docs/adapter.md.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

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

/// All kinds of steps. A new one is a struct, its name here, and what it computes in src/adapter.
using Step = std::variant<Standardize, Bounds, Log, Log1p, Sqrt, Logit, BoxCox>;

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
void describe(V& v, Log& o) {
  detail::describe_columns(v, o);
}
template <class V>
void describe(V& v, Log1p& o) {
  detail::describe_columns(v, o);
}
template <class V>
void describe(V& v, Sqrt& o) {
  detail::describe_columns(v, o);
}
template <class V>
void describe(V& v, Logit& o) {
  detail::describe_columns(v, o);
}
template <class V>
void describe(V& v, BoxCox& o) {
  detail::describe_columns(v, o);
  v("exponents", o.exponents, between(-10, 10));
}

}  // namespace bayesflow::adapter
