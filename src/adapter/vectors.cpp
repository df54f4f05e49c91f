#include "adapter/vectors.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace bayesflow::adapter {
namespace {

using Values = std::span<const double>;
using Out = std::span<double>;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
/// What an exact zero of a simplex is taken for.
constexpr double kSmallest = 1e-300;
/// Numbers that should be equal and came out of another program's arithmetic.
constexpr double kTolerance = 1e-6;

double softplus(double y) { return std::max(y, 0.0) + std::log1p(std::exp(-std::abs(y))); }

std::int64_t side_of(std::int64_t entries) { return std::llround(std::sqrt(static_cast<double>(entries))); }

/// What a step makes of its block of `in` columns.
std::int64_t width_behind(const Simplex& /*step*/, std::int64_t in) { return in - 1; }
std::int64_t width_behind(const Ordered& /*step*/, std::int64_t in) { return in; }
std::int64_t width_behind(const PositiveDefinite& /*step*/, std::int64_t in) { return side_of(in) * (side_of(in) + 1) / 2; }
std::int64_t width_behind(const Correlation& /*step*/, std::int64_t in) { return side_of(in) * (side_of(in) - 1) / 2; }

std::string wanted(const Simplex& /*step*/) { return "must not be negative, and sum to 1"; }
std::string wanted(const Ordered& /*step*/) { return "must increase"; }
std::string wanted(const PositiveDefinite& /*step*/) { return "must be the rows of a symmetric positive definite matrix"; }
std::string wanted(const Correlation& /*step*/) {
  return "must be the rows of a positive definite matrix of correlations, with 1 on its diagonal";
}

void check_width(const Simplex& /*step*/, std::int64_t in, const Place& at) {
  if (in < 2) at.refuse("numbers that sum to 1 need at least two columns; got {}", in);
}
void check_width(const Ordered& /*step*/, std::int64_t in, const Place& at) {
  if (in < 2) at.refuse("ordered numbers need at least two columns; got {}", in);
}
void check_width(const PositiveDefinite& /*step*/, std::int64_t in, const Place& at) {
  if (side_of(in) * side_of(in) != in) at.refuse("the rows of a square matrix need 1, 4, 9, ... columns; got {}", in);
}
void check_width(const Correlation& /*step*/, std::int64_t in, const Place& at) {
  if (in < 4 || side_of(in) * side_of(in) != in)
    at.refuse("the rows of a square matrix of correlations need 4, 9, ... columns; got {}", in);
}

// Each returns log |det dy/dx|, by the free entries of x; NaN: x is none of its kind.

/// y_k = log(x_k / (x_{k+1} + ... + x_K)) + log(K - k), k = 1, ..., K - 1: stick-breaking, 0 where all are equal. By x_1, ..., x_{K-1}.
double to_line(const Simplex& /*step*/, Values x, Out y) {
  double sum = 0;
  for (const double v : x) {
    if (!(v >= 0)) return NAN;
    sum += v;
  }
  if (!(std::abs(sum - 1) <= kTolerance)) return NAN;
  double log_det = 0, tail = std::max(x.back() / sum, kSmallest);
  for (std::size_t k = y.size(); k-- > 0;) {
    const double v = std::max(x[k] / sum, kSmallest), with = tail + v;
    y[k] = std::log(v) - std::log(tail) + std::log(static_cast<double>(y.size() - k));
    log_det += std::log(with) - std::log(v) - std::log(tail);
    tail = with;
  }
  return log_det;
}
void from_line(const Simplex& /*step*/, Values y, Out x) {
  double log_rest = 0;
  for (std::size_t k = 0; k < y.size(); ++k) {
    const double z = y[k] - std::log(static_cast<double>(y.size() - k));
    x[k] = std::exp(log_rest - softplus(-z));
    log_rest -= softplus(z);
  }
  x.back() = std::exp(log_rest);
  // Rounding may leave the sum an ulp or two beside 1, and a far tail 0.
  for (double& v : x) v = std::max(v, std::numeric_limits<double>::min());
}

/// y_1 = x_1, y_k = log(x_k - x_{k-1}).
double to_line(const Ordered& /*step*/, Values x, Out y) {
  double log_det = 0;
  y[0] = x[0];
  for (std::size_t k = 1; k < x.size(); ++k) {
    if (!(x[k] > x[k - 1])) return NAN;
    y[k] = std::log(x[k] - x[k - 1]);
    log_det -= y[k];
  }
  return log_det;
}
void from_line(const Ordered& /*step*/, Values y, Out x) {
  x[0] = y[0];
  for (std::size_t k = 1; k < x.size(); ++k) x[k] = std::max(x[k - 1] + std::exp(y[k]), std::nextafter(x[k - 1], kInfinity));
}

/// The lower triangle L of x = L L^T, row by row; false: x is not positive definite.
bool cholesky(Values x, std::int64_t side, std::vector<double>& l) {
  const auto n = static_cast<std::size_t>(side);
  l.assign(n * n, 0.0);
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j <= i; ++j) {
      const double scale = std::sqrt(std::abs(x[i * n + i] * x[j * n + j]));
      if (!(std::abs(x[i * n + j] - x[j * n + i]) <= kTolerance * scale)) return false;
      double rest = x[i * n + j];
      for (std::size_t k = 0; k < j; ++k) rest -= l[i * n + k] * l[j * n + k];
      if (i != j)
        l[i * n + j] = rest / l[j * n + j];
      else if (rest > 0)
        l[i * n + i] = std::sqrt(rest);
      else
        return false;
    }
  return true;
}
void multiply_by_transpose(const std::vector<double>& l, std::size_t n, Out x) {
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j <= i; ++j) {
      double sum = 0;
      for (std::size_t k = 0; k <= j; ++k) sum += l[i * n + k] * l[j * n + k];
      x[i * n + j] = x[j * n + i] = sum;
    }
}

/// The lower triangle of the Cholesky factor, row by row, with logarithms on its diagonal. By the lower triangle of x: |det dx/dL| =
/// 2^d prod_i L_ii^(d - i + 1), i from 1.
double to_line(const PositiveDefinite& /*step*/, Values x, Out y) {
  const auto n = static_cast<std::size_t>(side_of(static_cast<std::int64_t>(x.size())));
  std::vector<double> l;
  if (!cholesky(x, static_cast<std::int64_t>(n), l)) return NAN;
  double log_det = -static_cast<double>(n) * std::log(2.0);
  for (std::size_t i = 0, at = 0; i < n; ++i)
    for (std::size_t j = 0; j <= i; ++j, ++at) {
      y[at] = i == j ? std::log(l[i * n + i]) : l[i * n + j];
      if (i == j) log_det -= static_cast<double>(n - i + 1) * y[at];
    }
  return log_det;
}
void from_line(const PositiveDefinite& /*step*/, Values y, Out x) {
  const auto n = static_cast<std::size_t>(side_of(static_cast<std::int64_t>(x.size())));
  std::vector<double> l(n * n, 0.0);
  for (std::size_t i = 0, at = 0; i < n; ++i)
    for (std::size_t j = 0; j <= i; ++j, ++at) l[i * n + j] = i == j ? std::exp(y[at]) : y[at];
  multiply_by_transpose(l, n, x);
}

/// atanh of the canonical partial correlations z_ij = L_ij / sqrt(1 - sum_{k<j} L_ik^2), i > j, row by row (Lewandowski, Kurowicka, Joe
/// 2009). By the entries below the diagonal: |det dx/dL| = prod_i L_ii^(d - i), i from 1.
double to_line(const Correlation& /*step*/, Values x, Out y) {
  const auto n = static_cast<std::size_t>(side_of(static_cast<std::int64_t>(x.size())));
  for (std::size_t i = 0; i < n; ++i)
    if (!(std::abs(x[i * n + i] - 1) <= kTolerance)) return NAN;
  std::vector<double> l;
  if (!cholesky(x, static_cast<std::int64_t>(n), l)) return NAN;
  double log_det = 0;
  for (std::size_t i = 1, at = 0; i < n; ++i) {
    // What is left of the row's square, from its end: differences from 1 would lose what a strong correlation leaves.
    std::vector<double> rest(i + 1);
    rest[i] = l[i * n + i] * l[i * n + i];
    for (std::size_t j = i; j-- > 0;) rest[j] = rest[j + 1] + l[i * n + j] * l[i * n + j];
    log_det -= static_cast<double>(n - i - 1) * 0.5 * std::log(rest[i]);
    for (std::size_t j = 0; j < i; ++j, ++at) {
      // atanh z with z^2 = 1 - rest_{j+1} / rest_j
      const double root = std::sqrt(rest[j]), left = std::sqrt(rest[j + 1]), off = l[i * n + j];
      y[at] = std::copysign(std::log((root + std::abs(off)) / left), off);
      log_det -= 0.5 * std::log(rest[j]) + std::log(rest[j + 1]) - std::log(rest[j]);
    }
  }
  return log_det;
}
void from_line(const Correlation& /*step*/, Values y, Out x) {
  const auto n = static_cast<std::size_t>(side_of(static_cast<std::int64_t>(x.size())));
  std::vector<double> l(n * n, 0.0);
  l[0] = 1;
  for (std::size_t i = 1, at = 0; i < n; ++i) {
    double root = 1;
    for (std::size_t j = 0; j < i; ++j, ++at) {
      l[i * n + j] = root * std::tanh(y[at]);
      root /= std::cosh(std::clamp(y[at], -700.0, 700.0));
    }
    l[i * n + i] = root;
  }
  multiply_by_transpose(l, n, x);
  for (std::size_t i = 0; i < n; ++i) x[i * n + i] = 1;
}

std::vector<std::int64_t> columns_of(const std::vector<std::int64_t>& given, std::int64_t width) {
  if (!given.empty()) return given;
  std::vector<std::int64_t> all(static_cast<std::size_t>(width));
  std::iota(all.begin(), all.end(), std::int64_t{0});
  return all;
}

/// The columns beside a step's own, which stay: those before the place of the block, which is that of its first column, and those behind.
struct Others {
  std::vector<std::int64_t> before, behind;
  Others(const std::vector<std::int64_t>& own, std::int64_t width) {
    const std::int64_t place = *std::ranges::min_element(own);
    for (std::int64_t c = 0; c < width; ++c)
      if (std::ranges::find(own, c) == own.end()) (c < place ? before : behind).push_back(c);
  }
};

Shape with_width(Shape shape, std::int64_t width) {
  shape.set(-1, width);
  return shape;
}

}  // namespace

template <OfVectors S>
void check_fitted(const S& step, std::int64_t width, const Place& at) {
  if (!step.names.empty()) at.refuse("it names columns, and was fitted");
  check_width(step, static_cast<std::int64_t>(columns_of(step.columns, width).size()), at);
}

template <OfVectors S>
void forward(const S& step, std::int64_t width, Fields& fields, const Place& at) {
  Array* values = find(fields.values, at);
  if (!values) return;
  const Rows rows(fields.values, at.field, *values);
  require_width(rows, *values, width, at);
  const std::vector<std::int64_t> own = columns_of(step.columns, width);
  const Others others(own, width);
  const auto in = static_cast<std::int64_t>(own.size()), out = width_behind(step, in);
  Array made(with_width(values->shape(), width - in + out), 0.0);
  Array* log_det = at.is_target() ? &log_det_of(fields, at.field, *values) : nullptr;
  std::vector<double> x(static_cast<std::size_t>(in)), y(static_cast<std::size_t>(out));
  for (std::int64_t row = 0; row < rows.count(); ++row) {
    const double* from = values->data() + row * width;
    double* to = made.data() + row * (width - in + out);
    for (std::size_t k = 0; k < own.size(); ++k) x[k] = from[own[k]];
    if (rows.counts(row)) {
      const double change = to_line(step, x, y);
      if (std::isnan(change)) {
        std::ranges::fill(y, 0.0);
        if (!log_det || fields.outside == Outside::refuse)
          throw ArgumentError(fmt::format("{}: the numbers {} of data set {} {}: check the prior, or name other columns", at.to_string(),
                                          fmt::join(x, ", "), row / std::max<std::int64_t>(1, rows.count() / values->dim(0)),
                                          wanted(step)));
        log_det->data()[row] = -kInfinity;
      } else if (log_det) {
        log_det->data()[row] += change;
      }
    } else {
      std::ranges::fill(y, 0.0);
    }
    for (const std::int64_t c : others.before) *to++ = from[c];
    to = std::ranges::copy(y, to).out;
    for (const std::int64_t c : others.behind) *to++ = from[c];
  }
  *values = std::move(made);
}

template <OfVectors S>
void inverse(const S& step, std::int64_t width, Fields& fields, const Place& at) {
  Array* values = find(fields.values, at);
  if (!values) return;
  const std::vector<std::int64_t> own = columns_of(step.columns, width);
  const Others others(own, width);
  const auto in = static_cast<std::int64_t>(own.size()), out = width_behind(step, in);
  const Rows rows(fields.values, at.field, *values);
  require_width(rows, *values, width - in + out, at);
  Array made = uninitialized_array(with_width(values->shape(), width));
  std::vector<double> x(static_cast<std::size_t>(in)), y(static_cast<std::size_t>(out));
  for (std::int64_t row = 0; row < rows.count(); ++row) {
    const double* from = values->data() + row * (width - in + out);
    double* to = made.data() + row * width;
    for (const std::int64_t c : others.before) to[c] = *from++;
    for (double& v : y) v = *from++;
    for (const std::int64_t c : others.behind) to[c] = *from++;
    from_line(step, y, x);
    for (std::size_t k = 0; k < own.size(); ++k) to[own[k]] = x[k];
  }
  *values = std::move(made);
}

template <OfVectors S>
void rename(const S& step, std::map<std::string, std::vector<std::string>>& names) {
  const auto known = names.find(step.field);
  if (known == names.end() || known->second.empty()) return;
  const auto width = static_cast<std::int64_t>(known->second.size());
  const std::vector<std::int64_t> own = columns_of(step.columns, width);
  const Others others(own, width);
  std::vector<std::string> made;
  for (const std::int64_t c : others.before) made.push_back(known->second[static_cast<std::size_t>(c)]);
  for (std::int64_t k = 0; k < width_behind(step, static_cast<std::int64_t>(own.size())); ++k)
    made.push_back(fmt::format("{}_{}", step.kName, k));
  for (const std::int64_t c : others.behind) made.push_back(known->second[static_cast<std::size_t>(c)]);
  known->second = std::move(made);
}

#define BAYESFLOW_OF_VECTORS(S)                                         \
  template void check_fitted(const S&, std::int64_t, const Place&);     \
  template void forward(const S&, std::int64_t, Fields&, const Place&); \
  template void inverse(const S&, std::int64_t, Fields&, const Place&); \
  template void rename(const S&, std::map<std::string, std::vector<std::string>>&)
BAYESFLOW_OF_VECTORS(Simplex);
BAYESFLOW_OF_VECTORS(Ordered);
BAYESFLOW_OF_VECTORS(PositiveDefinite);
BAYESFLOW_OF_VECTORS(Correlation);
#undef BAYESFLOW_OF_VECTORS

}  // namespace bayesflow::adapter
