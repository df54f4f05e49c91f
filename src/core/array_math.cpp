#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "bayesflow/core/array.hpp"
#include "bayesflow/core/errors.hpp"
#include "core/axis.hpp"

namespace bayesflow {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

Shape broadcast_shape(const Shape& a, const Shape& b) {
  Shape out;
  const int rank = std::max(a.rank(), b.rank());
  for (int i = 0; i < rank; ++i) {
    const int ia = i - (rank - a.rank()), ib = i - (rank - b.rank());
    const std::int64_t ea = ia < 0 ? 1 : a[ia], eb = ib < 0 ? 1 : b[ib];
    if (ea != eb && ea != 1 && eb != 1)
      throw ShapeError(fmt::format("Array: shapes {} and {} cannot be combined: axes must agree or be 1", a.to_string(), b.to_string()));
    out.push_back(ea == 1 ? eb : ea);
  }
  return out;
}

template <class F>
Array combine(const Array& a, const Array& b, F f) {
  if (a.shape() == b.shape()) {
    Array out = uninitialized_array(a.shape());
    for (std::int64_t i = 0; i < a.size(); ++i) out.data()[i] = f(a.data()[i], b.data()[i]);
    return out;
  }
  const Shape shape = broadcast_shape(a.shape(), b.shape());
  Array out = a.broadcast_to(shape);
  const Array right = b.broadcast_to(shape);
  for (std::int64_t i = 0; i < out.size(); ++i) out.data()[i] = f(out.data()[i], right.data()[i]);
  return out;
}

template <class F>
Array each(const Array& a, F f) {
  Array out = uninitialized_array(a.shape());
  for (std::int64_t i = 0; i < a.size(); ++i) out.data()[i] = f(a.data()[i]);
  return out;
}

template <class F>
void combine_in_place(Array& a, const Array& b, F f) {
  const Array* right = &b;
  Array wide;
  if (a.shape() != b.shape()) right = &(wide = b.broadcast_to(a.shape()));
  for (std::int64_t i = 0; i < a.size(); ++i) a.data()[i] = f(a.data()[i], right->data()[i]);
}

/// f(values of one line along the axis) for every line.
template <class F>
Array along(const char* op, const Array& x, int axis, bool keep_dims, F f, bool empty_has_value = false) {
  const int a = detail::checked_axis(op, x.shape(), axis);
  const std::int64_t n = x.dim(a);
  if (n == 0 && !empty_has_value) throw ShapeError(fmt::format("Array::{}: axis {} of shape {} is empty", op, axis, x.shape().to_string()));
  Shape shape = x.shape().slice(0, a);
  if (keep_dims) shape.push_back(1);
  for (int i = a + 1; i < x.rank(); ++i) shape.push_back(x.dim(i));
  const std::int64_t outer = x.shape().slice(0, a).size(), inner = x.shape().slice(a + 1, x.rank()).size();
  Array out = uninitialized_array(shape);
  std::vector<double> line(static_cast<std::size_t>(n));
  for (std::int64_t o = 0; o < outer; ++o)
    for (std::int64_t i = 0; i < inner; ++i) {
      for (std::int64_t k = 0; k < n; ++k) line[static_cast<std::size_t>(k)] = x.data()[(o * n + k) * inner + i];
      out.data()[o * inner + i] = f(line);
    }
  return out;
}

void require_values(const char* op, const Array& x) {
  if (x.empty()) throw ShapeError(fmt::format("Array::{}: needs at least one element; got shape {}", op, x.shape().to_string()));
}

double sum_of(std::span<const double> v) {
  double s = 0;
  for (const double x : v) s += x;
  return s;
}
double mean_of(std::span<const double> v) { return sum_of(v) / static_cast<double>(v.size()); }

// As in NumPy, a NaN among the numbers is the answer; comparisons alone would give one or another of them.
bool has_nan(std::span<const double> v) {
  return std::any_of(v.begin(), v.end(), [](double x) { return std::isnan(x); });
}
double min_of(std::span<const double> v) { return has_nan(v) ? kNaN : *std::min_element(v.begin(), v.end()); }
double max_of(std::span<const double> v) { return has_nan(v) ? kNaN : *std::max_element(v.begin(), v.end()); }

double variance_of(std::span<const double> v, int ddof, double mean) {
  if (static_cast<std::int64_t>(v.size()) <= ddof)
    throw ArgumentError(fmt::format("Array: a variance with ddof {} needs more than {} values; got {}", ddof, ddof, v.size()));
  double s = 0;
  for (const double x : v) s += (x - mean) * (x - mean);
  return s / static_cast<double>(static_cast<std::int64_t>(v.size()) - ddof);
}

double quantile_of(std::vector<double>& v, double p) {
  if (has_nan(v)) return kNaN;
  const double at = p * static_cast<double>(v.size() - 1);
  const auto low = static_cast<std::size_t>(at);
  std::nth_element(v.begin(), v.begin() + static_cast<std::ptrdiff_t>(low), v.end());
  const double a = v[low];
  const double fraction = at - static_cast<double>(low);
  if (fraction == 0) return a;  // also where the next value is infinite
  const double b = *std::min_element(v.begin() + static_cast<std::ptrdiff_t>(low) + 1, v.end());
  return a == b ? a : a + (b - a) * fraction;
}

}  // namespace

double Array::sum() const { return sum_of(values()); }
double Array::mean() const {
  require_values("mean", *this);
  return mean_of(values());
}
double Array::min() const {
  require_values("min", *this);
  return min_of(values());
}
double Array::max() const {
  require_values("max", *this);
  return max_of(values());
}
double Array::variance(int ddof) const {
  require_values("variance", *this);
  return variance_of(values(), ddof, mean());
}
double Array::std(int ddof) const { return std::sqrt(variance(ddof)); }

Array Array::sum(int axis, bool keep_dims) const { return along("sum", *this, axis, keep_dims, sum_of, true); }
Array Array::mean(int axis, bool keep_dims) const { return along("mean", *this, axis, keep_dims, mean_of); }
Array Array::min(int axis, bool keep_dims) const { return along("min", *this, axis, keep_dims, min_of); }
Array Array::max(int axis, bool keep_dims) const { return along("max", *this, axis, keep_dims, max_of); }
Array Array::std_along(int axis, int ddof, bool keep_dims) const {
  return along("std_along", *this, axis, keep_dims, [ddof](std::vector<double>& v) { return std::sqrt(variance_of(v, ddof, mean_of(v))); });
}
Array Array::median(int axis, bool keep_dims) const { return quantile(0.5, axis, keep_dims); }
Array Array::quantile(double probability, int axis, bool keep_dims) const {
  if (!(probability >= 0 && probability <= 1))
    throw ArgumentError(fmt::format("Array::quantile: probability must lie in [0, 1]; got {}", probability));
  return along("quantile", *this, axis, keep_dims, [probability](std::vector<double>& v) { return quantile_of(v, probability); });
}
bool Array::all_finite() const {
  // x - x is 0 for finite x and NaN otherwise. Several sums, so that an addition need not wait for the one before it.
  constexpr std::int64_t kSums = 8;
  double sums[kSums]{};
  std::int64_t i = 0;
  for (; i + kSums <= size_; i += kSums)
    for (std::int64_t k = 0; k < kSums; ++k) sums[k] += data_[i + k] - data_[i + k];
  double rest = 0;
  for (; i < size_; ++i) rest += data_[i] - data_[i];
  return std::accumulate(sums, sums + kSums, rest) == 0;
}

Array Array::map(const std::function<double(double)>& f) const { return each(*this, f); }

Array operator+(const Array& a, const Array& b) {
  return combine(a, b, [](double x, double y) { return x + y; });
}
Array operator-(const Array& a, const Array& b) {
  return combine(a, b, [](double x, double y) { return x - y; });
}
Array operator*(const Array& a, const Array& b) {
  return combine(a, b, [](double x, double y) { return x * y; });
}
Array operator/(const Array& a, const Array& b) {
  return combine(a, b, [](double x, double y) { return x / y; });
}
Array operator+(const Array& a, double b) {
  return each(a, [b](double x) { return x + b; });
}
Array operator-(const Array& a, double b) {
  return each(a, [b](double x) { return x - b; });
}
Array operator*(const Array& a, double b) {
  return each(a, [b](double x) { return x * b; });
}
Array operator/(const Array& a, double b) {
  return each(a, [b](double x) { return x / b; });
}
Array operator+(double a, const Array& b) {
  return each(b, [a](double x) { return a + x; });
}
Array operator-(double a, const Array& b) {
  return each(b, [a](double x) { return a - x; });
}
Array operator*(double a, const Array& b) {
  return each(b, [a](double x) { return a * x; });
}
Array operator/(double a, const Array& b) {
  return each(b, [a](double x) { return a / x; });
}
Array& Array::operator+=(const Array& other) {
  combine_in_place(*this, other, [](double x, double y) { return x + y; });
  return *this;
}
Array& Array::operator-=(const Array& other) {
  combine_in_place(*this, other, [](double x, double y) { return x - y; });
  return *this;
}
Array& Array::operator*=(const Array& other) {
  combine_in_place(*this, other, [](double x, double y) { return x * y; });
  return *this;
}
Array& Array::operator/=(const Array& other) {
  combine_in_place(*this, other, [](double x, double y) { return x / y; });
  return *this;
}
Array& Array::operator+=(double value) {
  for (double& x : values()) x += value;
  return *this;
}
Array& Array::operator-=(double value) {
  for (double& x : values()) x -= value;
  return *this;
}
Array& Array::operator*=(double value) {
  for (double& x : values()) x *= value;
  return *this;
}
Array& Array::operator/=(double value) {
  for (double& x : values()) x /= value;
  return *this;
}
Array Array::operator-() const {
  return each(*this, [](double x) { return -x; });
}

Array exp(const Array& x) {
  return each(x, [](double v) { return std::exp(v); });
}
Array log(const Array& x) {
  return each(x, [](double v) { return std::log(v); });
}
Array sqrt(const Array& x) {
  return each(x, [](double v) { return std::sqrt(v); });
}
Array abs(const Array& x) {
  return each(x, [](double v) { return std::fabs(v); });
}
Array pow(const Array& x, double exponent) {
  return each(x, [exponent](double v) { return std::pow(v, exponent); });
}

Array matmul(const Array& a, const Array& b) {
  if (a.rank() != 2 || b.rank() != 2 || a.dim(1) != b.dim(0))
    throw ShapeError(fmt::format("matmul: needs shapes (m, k) and (k, n); got {} and {}", a.shape().to_string(), b.shape().to_string()));
  Array out({a.dim(0), b.dim(1)});
  const std::int64_t k = a.dim(1), n = b.dim(1);
  for (std::int64_t i = 0; i < a.dim(0); ++i)
    for (std::int64_t p = 0; p < k; ++p)
      for (std::int64_t j = 0; j < n; ++j) out.data()[i * n + j] += a.data()[i * k + p] * b.data()[p * n + j];
  return out;
}

bool operator==(const Array& a, const Array& b) { return a.shape() == b.shape() && std::equal(a.data(), a.data() + a.size(), b.data()); }

namespace {
void print(std::string& out, const Array& x, int axis, std::int64_t first, std::int64_t stride) {
  constexpr std::int64_t kEnds = 3;  // entries shown at either end of a long axis
  if (axis == x.rank()) {
    out += fmt::format("{:.6g}", x.data()[first]);
    return;
  }
  const std::int64_t n = x.dim(axis), step = n ? stride / n : 0;
  out += "[";
  for (std::int64_t i = 0; i < n; ++i) {
    if (i) out += axis + 1 == x.rank() ? " " : "\n" + std::string(static_cast<std::size_t>(axis) + 1, ' ');
    if (n > 4 * kEnds && i == kEnds) {
      out += "...";
      i = n - kEnds - 1;
      continue;
    }
    print(out, x, axis + 1, first + i * step, step);
  }
  out += "]";
}
}  // namespace

std::string Array::to_string() const {
  std::string out;
  print(out, *this, 0, 0, size_);
  return out;
}

}  // namespace bayesflow
