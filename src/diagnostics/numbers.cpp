#include "diagnostics/numbers.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace bayesflow::diagnostics {

void require_rank(const Array& x, int rank, const char* what, const char* name, const char* shape) {
  if (x.rank() != rank || x.empty())
    throw ShapeError(fmt::format("{}: {} must have shape {}, without empty axes; got {}", what, name, shape, x.shape().to_string()));
}

Sizes check_shapes(const Array& draws, const Array& truths, const char* what) {
  require_rank(draws, 3, what, "draws", "(data sets, draws, parameters)");
  require_rank(truths, 2, what, "truths", "(data sets, parameters)");
  const Sizes n{draws.dim(0), draws.dim(1), draws.dim(2)};
  if (truths.dim(0) != n.data_sets)
    throw ShapeError(fmt::format("{}: draws {} are of {} data sets, truths {} of {}; give one truth per data set", what,
                                 draws.shape().to_string(), n.data_sets, truths.shape().to_string(), truths.dim(0)));
  if (truths.dim(1) != n.parameters)
    throw ShapeError(fmt::format("{}: draws {} have {} parameters, truths {} have {}; give the same parameters in the same order", what,
                                 draws.shape().to_string(), n.parameters, truths.shape().to_string(), truths.dim(1)));
  return n;
}

void require_finite(const Array& x, const char* what, const char* name, std::initializer_list<const char*> axes) {
  const double* v = x.data();
  const std::int64_t size = x.size();
  std::int64_t bad = size, count = 0;
  for (std::int64_t i = 0; i < size; ++i)
    if (!std::isfinite(v[i])) {
      if (count++ == 0) bad = i;
    }
  if (count == 0) return;
  std::string place;
  std::int64_t rest = bad;
  std::vector<std::int64_t> at(index(x.rank()));
  for (int a = x.rank(); a-- > 0;) {
    at[index(a)] = rest % x.dim(a);
    rest /= x.dim(a);
  }
  for (int a = 0; a < x.rank(); ++a)
    place += fmt::format("{}{} {}", a ? ", " : "", index(a) < axes.size() ? axes.begin()[a] : "index", at[index(a)]);
  throw ArgumentError(
      fmt::format("{}: {} must be finite; {} of {} numbers are not, the first is {} at {} (counted from 0). "
                  "Drop these or mend their source",
                  what, name, count, size, v[bad], place));
}

Sizes check_draws(const Array& draws, const Array& truths, const char* what) {
  const Sizes n = check_shapes(draws, truths, what);
  require_finite(draws, what, "draws", {"data set", "draw", "parameter"});
  require_finite(truths, what, "truths", {"data set", "parameter"});
  return n;
}

std::vector<std::string> checked_names(const std::vector<std::string>& names, std::int64_t count, const char* what, const char* prefix) {
  if (!names.empty()) {
    if (static_cast<std::int64_t>(names.size()) != count)
      throw ConfigurationError(fmt::format("{}: got {} names for {} columns; give one name each, or none", what, names.size(), count));
    return names;
  }
  std::vector<std::string> out(index(count));
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = fmt::format("{}{}", prefix, i + 1);
  return out;
}

void require_option(bool ok, const char* owner, const char* field, double value, const char* constraint) {
  if (!ok) throw ConfigurationError(fmt::format("{}: {} is {}; it must be {}", owner, field, value, constraint));
}

void gather(const Array& draws, const Sizes& n, std::int64_t data_set, std::int64_t parameter, std::span<double> out) {
  const double* from = draws.data() + data_set * n.draws * n.parameters + parameter;
  for (std::int64_t s = 0; s < n.draws; ++s) out[index(s)] = from[s * n.parameters];
}

Estimate mean_estimate(std::span<const double> values) {
  const auto n = static_cast<double>(values.size());
  double sum = 0, squares = 0;
  for (const double v : values) sum += v;
  const double mean = sum / n;
  for (const double v : values) squares += (v - mean) * (v - mean);
  return {mean, n > 1 ? std::sqrt(squares / (n - 1) / n) : kNaN};
}

Estimate jackknife(double value, std::span<const double> left_out) {
  const auto n = static_cast<double>(left_out.size());
  if (n < 2) return {value, kNaN};
  double mean = 0, squares = 0;
  for (const double v : left_out) mean += v / n;
  for (const double v : left_out) squares += (v - mean) * (v - mean);
  return {value, std::sqrt((n - 1) / n * squares)};
}

Estimate share(double hits, double n) {
  const double p = hits / n;
  return {p, std::sqrt(p * (1 - p) / n)};
}

double sorted_quantile(std::span<const double> sorted, double probability) {
  const double at = probability * (static_cast<double>(sorted.size()) - 1);
  const auto low = static_cast<std::size_t>(std::floor(at));
  const std::size_t high = std::min(low + 1, sorted.size() - 1);
  return sorted[low] + (at - std::floor(at)) * (sorted[high] - sorted[low]);
}

TableBuilder& TableBuilder::add(std::string name, std::vector<double> values) {
  table_.columns.push_back({std::move(name), std::move(values)});
  return *this;
}
TableBuilder& TableBuilder::add(std::string name, std::vector<std::string> values) {
  table_.columns.push_back({std::move(name), std::move(values)});
  return *this;
}
TableBuilder& TableBuilder::add(const std::string& name, const std::vector<Estimate>& values) {
  std::vector<double> v, se;
  for (const Estimate& e : values) {
    v.push_back(e.value);
    se.push_back(e.standard_error);
  }
  return add(name, std::move(v)).add(name + "_se", std::move(se));
}
TableBuilder& TableBuilder::add(std::string name, const std::vector<std::int64_t>& values) {
  return add(std::move(name), std::vector<double>(values.begin(), values.end()));
}
TableBuilder& TableBuilder::add(std::string name, const std::vector<bool>& values) {
  return add(std::move(name), std::vector<double>(values.begin(), values.end()));
}
TableBuilder& TableBuilder::add(std::string name, const Array& values) {
  return add(std::move(name), std::vector<double>(values.values().begin(), values.values().end()));
}
TableBuilder& TableBuilder::add_rows(const std::string& prefix, const std::vector<std::string>& names, const Array& matrix) {
  for (std::int64_t r = 0; r < matrix.dim(0); ++r) {
    const std::span<const double> row = matrix.row_values(r);
    add(prefix + names[index(r)], std::vector<double>(row.begin(), row.end()));
  }
  return *this;
}
TableBuilder& TableBuilder::add_columns(const std::string& prefix, const std::vector<std::string>& names, const Array& matrix) {
  return add_rows(prefix, names, matrix.transpose());
}

}  // namespace bayesflow::diagnostics
