/// Owned n-d block of doubles on the user's side: priors, simulators, draws, diagnostics.
#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <span>
#include <string>
#include <vector>

#include "bayesflow/core/shape.hpp"

namespace bayesflow {

namespace detail {
/// Small blocks come from a per-thread cache, so that simulators that return arrays do not touch the heap in a training loop.
double* allocate_doubles(std::int64_t count);
void release_doubles(double* data, std::int64_t count) noexcept;
}  // namespace detail

/// Row-major, value-semantic; the last axis runs fastest. Verbs follow NumPy; indices are checked.
///   Array x({2, 3});  x(1, 2) = 4.0;  auto m = x.mean(0);  auto y = (x - m) / 2.0;
class Array {
 public:
  Array() = default;  ///< rank 1, no elements
  explicit Array(const Shape& shape, double fill = 0.0);
  Array(const Shape& shape, std::span<const double> values);                   ///< throws ShapeError if sizes differ
  static Array scalar(double value);                                           ///< rank 0
  static Array of(std::initializer_list<double> values);                       ///< rank 1
  static Array of(std::initializer_list<std::initializer_list<double>> rows);  ///< rank 2 (one column: of({...}).expand_dims(1))
  static Array arange(std::int64_t count);                                     ///< 0, 1, ..., count - 1
  static Array linspace(double first, double last, std::int64_t count);

  Array(const Array& other);
  Array(Array&& other) noexcept;
  Array& operator=(const Array& other);
  Array& operator=(Array&& other) noexcept;
  ~Array();

  [[nodiscard]] const Shape& shape() const { return shape_; }
  [[nodiscard]] int rank() const { return shape_.rank(); }
  [[nodiscard]] std::int64_t dim(int axis) const { return shape_[axis]; }  ///< negative axes count from the end
  [[nodiscard]] std::int64_t size() const { return size_; }
  [[nodiscard]] bool empty() const { return size_ == 0; }
  [[nodiscard]] double* data() { return data_; }
  [[nodiscard]] const double* data() const { return data_; }
  [[nodiscard]] std::span<double> values() { return {data_, static_cast<std::size_t>(size_)}; }
  [[nodiscard]] std::span<const double> values() const { return {data_, static_cast<std::size_t>(size_)}; }

  /// Element by one index per axis; throws ShapeError on a wrong number of indices or one out of range.
  template <std::integral... Index>
  double& operator()(Index... index) {
    const std::int64_t at[sizeof...(index) + 1] = {static_cast<std::int64_t>(index)...};
    return data_[offset(at, sizeof...(index))];
  }
  template <std::integral... Index>
  double operator()(Index... index) const {
    const std::int64_t at[sizeof...(index) + 1] = {static_cast<std::int64_t>(index)...};
    return data_[offset(at, sizeof...(index))];
  }
  /// Element by flat index (checked).
  double& operator[](std::int64_t flat);
  double operator[](std::int64_t flat) const;
  /// The only element of an array of size one (any rank); throws ShapeError otherwise.
  [[nodiscard]] double item() const;

  // --- shapes ---
  [[nodiscard]] Array reshape(const Shape& shape) const;  ///< same number of elements
  [[nodiscard]] Array flatten() const;
  [[nodiscard]] Array expand_dims(int axis) const;
  [[nodiscard]] Array squeeze(int axis) const;  ///< throws ShapeError if the extent is not one
  [[nodiscard]] Array transpose() const;        ///< reverses the axes
  [[nodiscard]] Array swap_axes(int a, int b) const;
  [[nodiscard]] Array broadcast_to(const Shape& shape) const;  ///< NumPy rules

  // --- parts ---
  [[nodiscard]] Array row(std::int64_t index) const;  ///< entry of axis 0, rank one less
  void set_row(std::int64_t index, const Array& value);
  [[nodiscard]] std::span<const double> row_values(std::int64_t index) const;
  [[nodiscard]] Array slice(std::int64_t first, std::int64_t last) const;    ///< rows [first, last) of axis 0
  [[nodiscard]] Array columns(std::int64_t first, std::int64_t last) const;  ///< [first, last) of the last axis
  [[nodiscard]] Array take(std::span<const std::int64_t> rows) const;        ///< rows of axis 0 by index
  [[nodiscard]] Array repeat(std::int64_t times, int axis) const;            ///< each entry `times` in a row along an existing axis

  // --- numbers; `axis` forms drop the axis unless keep_dims. The sum of nothing is 0; all others throw ShapeError without
  // elements. NaN goes through: the min, max, median or quantile of numbers with a NaN among them is NaN. ---
  [[nodiscard]] double sum() const;
  [[nodiscard]] double mean() const;
  [[nodiscard]] double min() const;
  [[nodiscard]] double max() const;
  [[nodiscard]] double variance(int ddof = 0) const;
  [[nodiscard]] double std(int ddof = 0) const;
  [[nodiscard]] Array sum(int axis, bool keep_dims = false) const;
  [[nodiscard]] Array mean(int axis, bool keep_dims = false) const;
  [[nodiscard]] Array min(int axis, bool keep_dims = false) const;
  [[nodiscard]] Array max(int axis, bool keep_dims = false) const;
  [[nodiscard]] Array std_along(int axis, int ddof = 0, bool keep_dims = false) const;
  [[nodiscard]] Array median(int axis, bool keep_dims = false) const;
  [[nodiscard]] Array quantile(double probability, int axis, bool keep_dims = false) const;  ///< linear interpolation, as NumPy
  [[nodiscard]] bool all_finite() const;

  /// f applied to each element.
  [[nodiscard]] Array map(const std::function<double(double)>& f) const;

  // The right side broadcasts to this array's shape, which stays.
  Array& operator+=(const Array& other);
  Array& operator-=(const Array& other);
  Array& operator*=(const Array& other);
  Array& operator/=(const Array& other);
  Array& operator+=(double value);
  Array& operator-=(double value);
  Array& operator*=(double value);
  Array& operator/=(double value);
  Array operator-() const;

  [[nodiscard]] std::string to_string() const;  ///< as NumPy prints it, long axes shortened

  friend bool operator==(const Array& a, const Array& b);  ///< same shape, same values (NaN differs from NaN)

 private:
  [[nodiscard]] std::int64_t offset(const std::int64_t* index, std::size_t count) const;
  struct Uninitialized {};
  Array(const Shape& shape, Uninitialized);
  friend Array uninitialized_array(const Shape& shape);

  Shape shape_{0};
  std::int64_t size_ = 0;
  double* data_ = nullptr;
};

/// An array whose values are not set: for functions that fill it right away.
[[nodiscard]] Array uninitialized_array(const Shape& shape);

// Elementwise with broadcasting by NumPy's rules; ShapeError otherwise.
Array operator+(const Array& a, const Array& b);  ///< element by element
Array operator-(const Array& a, const Array& b);
Array operator*(const Array& a, const Array& b);
Array operator/(const Array& a, const Array& b);
Array operator+(const Array& a, double b);
Array operator-(const Array& a, double b);
Array operator*(const Array& a, double b);
Array operator/(const Array& a, double b);
Array operator+(double a, const Array& b);
Array operator-(double a, const Array& b);
Array operator*(double a, const Array& b);
Array operator/(double a, const Array& b);
/// Of each element.
[[nodiscard]] Array exp(const Array& x);
[[nodiscard]] Array log(const Array& x);
[[nodiscard]] Array sqrt(const Array& x);
[[nodiscard]] Array abs(const Array& x);
[[nodiscard]] Array pow(const Array& x, double exponent);
/// (m, k) x (k, n) -> (m, n)
[[nodiscard]] Array matmul(const Array& a, const Array& b);
/// Equal shapes -> one more axis in front.
[[nodiscard]] Array stack(std::span<const Array> parts);
[[nodiscard]] Array concatenate(std::span<const Array> parts, int axis);  ///< along an axis; ShapeError unless the other extents agree
[[nodiscard]] Array concatenate(std::initializer_list<Array> parts, int axis);

}  // namespace bayesflow
