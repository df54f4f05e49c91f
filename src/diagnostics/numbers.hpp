/// What all diagnostics share: checks of their input, standard errors, building of tables.
#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "bayesflow/core/array.hpp"
#include "bayesflow/core/errors.hpp"
#include "bayesflow/diagnostics/table.hpp"

namespace bayesflow::diagnostics {

inline constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
inline std::size_t index(std::int64_t i) { return static_cast<std::size_t>(i); }
inline double real(std::int64_t i) { return static_cast<double>(i); }

/// Extents of draws (B, S, P) and truths (B, P).
struct Sizes {
  std::int64_t data_sets = 0, draws = 0, parameters = 0;
};
/// Throws ShapeError unless draws are (B, S, P) and truths (B, P), none of them empty. `what` is the function's name.
Sizes check_shapes(const Array& draws, const Array& truths, const char* what);
/// The same, and ArgumentError naming the place of the first number that is not finite.
Sizes check_draws(const Array& draws, const Array& truths, const char* what);
/// ArgumentError naming the place of the first number that is not finite; axes are what its axes mean ("data set", "draw", ...).
void require_finite(const Array& x, const char* what, const char* name, std::initializer_list<const char*> axes);
/// ShapeError unless the rank is the given one and no extent is zero.
void require_rank(const Array& x, int rank, const char* what, const char* name, const char* shape);
/// The given names, or theta_1, ..., or `prefix` and a number; ConfigurationError if their count is another one.
std::vector<std::string> checked_names(const std::vector<std::string>& names, std::int64_t count, const char* what,
                                       const char* prefix = "theta_");

/// Throws ConfigurationError "<owner>: <field> is <value>; it must be <constraint>" unless ok.
void require_option(bool ok, const char* owner, const char* field, double value, const char* constraint);

/// The draws of one parameter of one data set, copied side by side.
void gather(const Array& draws, const Sizes& n, std::int64_t data_set, std::int64_t parameter, std::span<double> out);

/// Mean and its standard error (sd / sqrt(n), divisor n - 1).
Estimate mean_estimate(std::span<const double> values);
/// value, with the jackknife error of the n values got by leaving one out: sqrt((n - 1) / n sum (v_i - mean v)^2).
Estimate jackknife(double value, std::span<const double> left_out);
/// share of `hits` in n with its binomial error.
Estimate share(double hits, double n);
/// Linearly interpolated quantile of increasing values, as NumPy.
double sorted_quantile(std::span<const double> sorted, double probability);

/// A table under construction.
class TableBuilder {
 public:
  explicit TableBuilder(std::string name) { table_.name = std::move(name); }
  TableBuilder& add(std::string name, std::vector<double> values);
  TableBuilder& add(std::string name, std::vector<std::string> values);
  TableBuilder& add(const std::string& name, const std::vector<Estimate>& values);  ///< and "<name>_se"
  TableBuilder& add(std::string name, const std::vector<std::int64_t>& values);
  TableBuilder& add(std::string name, const std::vector<bool>& values);  ///< 1 or 0
  TableBuilder& add(std::string name, const Array& values);              ///< flat
  /// Row r of a matrix (rows, n) becomes the column "<prefix><name r>".
  TableBuilder& add_rows(const std::string& prefix, const std::vector<std::string>& names, const Array& matrix);
  TableBuilder& add_columns(const std::string& prefix, const std::vector<std::string>& names, const Array& matrix);
  operator Table() const { return table_; }  // NOLINT: a builder is a table that is not finished

 private:
  Table table_;
};

}  // namespace bayesflow::diagnostics
