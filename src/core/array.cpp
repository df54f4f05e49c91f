#include "bayesflow/core/array.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "bayesflow/core/errors.hpp"
#include "core/axis.hpp"

namespace bayesflow {
namespace {

std::size_t bytes(std::int64_t count) { return static_cast<std::size_t>(count) * sizeof(double); }

}  // namespace

int detail::checked_axis(const char* op, const Shape& shape, int axis) {
  const int a = axis < 0 ? axis + shape.rank() : axis;
  if (a < 0 || a >= shape.rank())
    throw ShapeError(fmt::format("Array::{}: axis {} is out of range for shape {}", op, axis, shape.to_string()));
  return a;
}

Array::Array(const Shape& shape, Uninitialized) : shape_(shape), size_(shape.size()), data_(detail::allocate_doubles(size_)) {}
Array uninitialized_array(const Shape& shape) { return Array(shape, Array::Uninitialized{}); }

Array::Array(const Shape& shape, double fill) : Array(shape, Uninitialized{}) { std::fill_n(data_, size_, fill); }
Array::Array(const Shape& shape, std::span<const double> values) : Array(shape, Uninitialized{}) {
  if (static_cast<std::int64_t>(values.size()) != size_)
    throw ShapeError(fmt::format("Array: shape {} needs {} values; got {}", shape.to_string(), size_, values.size()));
  std::copy(values.begin(), values.end(), data_);
}
Array Array::scalar(double value) { return Array(Shape{}, value); }
Array Array::of(std::initializer_list<double> values) {
  return Array({static_cast<std::int64_t>(values.size())}, std::span<const double>(values.begin(), values.size()));
}
Array Array::of(std::initializer_list<std::initializer_list<double>> rows) {
  const auto cols = static_cast<std::int64_t>(rows.size() ? rows.begin()->size() : 0);
  Array out = uninitialized_array({static_cast<std::int64_t>(rows.size()), cols});
  double* to = out.data_;
  for (const auto& row : rows) {
    if (static_cast<std::int64_t>(row.size()) != cols)
      throw ShapeError(fmt::format("Array::of: all rows must have the same length; got {} and {}", cols, row.size()));
    to = std::copy(row.begin(), row.end(), to);
  }
  return out;
}
Array Array::arange(std::int64_t count) {
  Array out({count});
  for (std::int64_t i = 0; i < count; ++i) out.data_[i] = static_cast<double>(i);
  return out;
}
Array Array::linspace(double first, double last, std::int64_t count) {
  Array out({count}, first);
  for (std::int64_t i = 1; i < count; ++i)
    out.data_[i] = i + 1 == count ? last : first + (last - first) * static_cast<double>(i) / static_cast<double>(count - 1);
  return out;
}

Array::Array(const Array& other) : Array(other.shape_, Uninitialized{}) {
  if (size_) std::memcpy(data_, other.data_, bytes(size_));
}
Array::Array(Array&& other) noexcept : shape_(other.shape_), size_(other.size_), data_(other.data_) {
  other.shape_ = Shape{0};
  other.size_ = 0;
  other.data_ = nullptr;
}
Array& Array::operator=(const Array& other) {
  if (this == &other) return *this;
  if (size_ != other.size_) return *this = Array(other);
  shape_ = other.shape_;
  if (size_) std::memcpy(data_, other.data_, bytes(size_));
  return *this;
}
Array& Array::operator=(Array&& other) noexcept {
  std::swap(shape_, other.shape_);
  std::swap(size_, other.size_);
  std::swap(data_, other.data_);
  return *this;
}
Array::~Array() { detail::release_doubles(data_, size_); }

std::int64_t Array::offset(const std::int64_t* index, std::size_t count) const {
  if (static_cast<int>(count) != rank())
    throw ShapeError(fmt::format("Array: shape {} needs {} indices; got {}", shape_.to_string(), rank(), count));
  std::int64_t flat = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const std::int64_t extent = shape_.begin()[i];
    if (index[i] < 0 || index[i] >= extent)
      throw ShapeError(fmt::format("Array: index {} is out of range for axis {} of shape {}", index[i], i, shape_.to_string()));
    flat = flat * extent + index[i];
  }
  return flat;
}
double& Array::operator[](std::int64_t flat) {
  if (flat < 0 || flat >= size_)
    throw ShapeError(fmt::format("Array: flat index {} is out of range for shape {}", flat, shape_.to_string()));
  return data_[flat];
}
double Array::operator[](std::int64_t flat) const { return const_cast<Array&>(*this)[flat]; }
double Array::item() const {
  if (size_ != 1) throw ShapeError(fmt::format("Array::item: needs exactly one element; got shape {}", shape_.to_string()));
  return data_[0];
}

Array Array::reshape(const Shape& shape) const {
  if (shape.size() != size_)
    throw ShapeError(fmt::format("Array::reshape: {} elements of shape {} do not fit shape {} ({} elements)", size_, shape_.to_string(),
                                 shape.to_string(), shape.size()));
  Array out(*this);
  out.shape_ = shape;
  return out;
}
Array Array::flatten() const { return reshape({size_}); }
Array Array::expand_dims(int axis) const {
  const int a = axis < 0 ? axis + rank() + 1 : axis;
  if (a < 0 || a > rank())
    throw ShapeError(fmt::format("Array::expand_dims: axis {} is out of range for shape {}", axis, shape_.to_string()));
  Shape shape = shape_.slice(0, a);
  shape.push_back(1);
  for (int i = a; i < rank(); ++i) shape.push_back(shape_[i]);
  return reshape(shape);
}
Array Array::squeeze(int axis) const {
  const int a = detail::checked_axis("squeeze", shape_, axis);
  if (shape_[a] != 1) throw ShapeError(fmt::format("Array::squeeze: axis {} of shape {} must have extent 1", axis, shape_.to_string()));
  Shape shape = shape_.slice(0, a);
  for (int i = a + 1; i < rank(); ++i) shape.push_back(shape_[i]);
  return reshape(shape);
}

Array Array::swap_axes(int axis_a, int axis_b) const {
  int a = detail::checked_axis("swap_axes", shape_, axis_a), b = detail::checked_axis("swap_axes", shape_, axis_b);
  if (a > b) std::swap(a, b);
  if (a == b) return *this;
  Shape shape = shape_;
  shape.set(a, shape_[b]);
  shape.set(b, shape_[a]);
  Array out = uninitialized_array(shape);
  const std::int64_t outer = shape_.slice(0, a).size(), n_a = shape_[a], middle = shape_.slice(a + 1, b).size(), n_b = shape_[b],
                     inner = shape_.slice(b + 1, rank()).size();
  for (std::int64_t o = 0; o < outer; ++o)
    for (std::int64_t i = 0; i < n_a; ++i)
      for (std::int64_t m = 0; m < middle; ++m)
        for (std::int64_t j = 0; j < n_b; ++j)
          std::copy_n(data_ + (((o * n_a + i) * middle + m) * n_b + j) * inner, inner,
                      out.data_ + (((o * n_b + j) * middle + m) * n_a + i) * inner);
  return out;
}
Array Array::transpose() const {
  Array out(*this);
  for (int i = 0; i < rank() / 2; ++i) out = out.swap_axes(i, rank() - 1 - i);
  return out;
}

Array Array::broadcast_to(const Shape& shape) const {
  if (shape == shape_) return *this;
  const int extra = shape.rank() - rank();
  bool fits = extra >= 0;
  for (int i = 0; fits && i < rank(); ++i) fits = shape_[i] == shape[i + extra] || shape_[i] == 1;
  if (!fits)
    throw ShapeError(fmt::format("Array::broadcast_to: shape {} cannot be broadcast to {}", shape_.to_string(), shape.to_string()));
  Array out = uninitialized_array(shape);
  std::int64_t stride[Shape::kMaxRank] = {}, index[Shape::kMaxRank] = {};
  std::int64_t step = 1;
  for (int i = rank() - 1; i >= 0; --i) {
    stride[i + extra] = shape_[i] == 1 ? 0 : step;
    step *= shape_[i];
  }
  std::int64_t from = 0;
  for (std::int64_t flat = 0; flat < out.size_; ++flat) {
    out.data_[flat] = data_[from];
    for (int axis = shape.rank() - 1; axis >= 0; --axis) {
      from += stride[axis];
      if (++index[axis] < shape.begin()[axis]) break;
      from -= stride[axis] * index[axis];
      index[axis] = 0;
    }
  }
  return out;
}

std::span<const double> Array::row_values(std::int64_t index) const {
  if (rank() == 0 || index < 0 || index >= shape_[0])
    throw ShapeError(fmt::format("Array::row: row {} is out of range for shape {}", index, shape_.to_string()));
  const std::int64_t width = size_ / shape_[0];
  return {data_ + index * width, static_cast<std::size_t>(width)};
}
Array Array::row(std::int64_t index) const { return Array(shape_.slice(1, rank()), row_values(index)); }
void Array::set_row(std::int64_t index, const Array& value) {
  const auto to = row_values(index);
  if (value.size_ != static_cast<std::int64_t>(to.size()))
    throw ShapeError(fmt::format("Array::set_row: a row of shape {} has {} values; got shape {}", shape_.to_string(), to.size(),
                                 value.shape_.to_string()));
  std::copy_n(value.data_, value.size_, const_cast<double*>(to.data()));
}
Array Array::slice(std::int64_t first, std::int64_t last) const {
  if (rank() == 0 || first < 0 || last < first || last > shape_[0])
    throw ShapeError(fmt::format("Array::slice: rows [{}, {}) are out of range for shape {}", first, last, shape_.to_string()));
  Shape shape = shape_;
  shape.set(0, last - first);
  const std::int64_t width = shape_[0] ? size_ / shape_[0] : 0;
  return Array(shape, std::span<const double>(data_ + first * width, static_cast<std::size_t>((last - first) * width)));
}
Array Array::columns(std::int64_t first, std::int64_t last) const {
  if (rank() == 0 || first < 0 || last < first || last > shape_[-1])
    throw ShapeError(fmt::format("Array::columns: columns [{}, {}) are out of range for shape {}", first, last, shape_.to_string()));
  Shape shape = shape_;
  shape.set(-1, last - first);
  Array out = uninitialized_array(shape);
  const std::int64_t cols = shape_[-1], rows = cols ? size_ / cols : 0;
  for (std::int64_t i = 0; i < rows; ++i) std::copy(data_ + i * cols + first, data_ + i * cols + last, out.data_ + i * (last - first));
  return out;
}
Array Array::take(std::span<const std::int64_t> rows) const {
  Shape shape = shape_;
  if (rank() == 0) throw ShapeError("Array::take: a scalar has no rows");
  shape.set(0, static_cast<std::int64_t>(rows.size()));
  Array out = uninitialized_array(shape);
  double* to = out.data_;
  for (const std::int64_t r : rows) {
    const auto values = row_values(r);
    to = std::copy(values.begin(), values.end(), to);
  }
  return out;
}
Array Array::repeat(std::int64_t times, int axis) const {
  const int a = detail::checked_axis("repeat", shape_, axis);
  if (times < 0) throw ArgumentError(fmt::format("Array::repeat: times must not be negative; got {}", times));
  Shape shape = shape_;
  shape.set(a, shape_[a] * times);
  Array out = uninitialized_array(shape);
  const std::int64_t outer = shape_.slice(0, a + 1).size(), inner = shape_.slice(a + 1, rank()).size();
  double* to = out.data_;
  for (std::int64_t o = 0; o < outer; ++o)
    for (std::int64_t t = 0; t < times; ++t) to = std::copy_n(data_ + o * inner, inner, to);
  return out;
}

Array stack(std::span<const Array> parts) {
  if (parts.empty()) throw ArgumentError("stack: needs at least one array");
  Array out = uninitialized_array(parts[0].shape().prepend(static_cast<std::int64_t>(parts.size())));
  double* to = out.data();
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (parts[i].shape() != parts[0].shape())
      throw ShapeError(fmt::format("stack: all arrays must have one shape; array 0 has {}, array {} has {}", parts[0].shape().to_string(),
                                   i, parts[i].shape().to_string()));
    to = std::copy_n(parts[i].data(), parts[i].size(), to);
  }
  return out;
}

Array concatenate(std::span<const Array> parts, int axis) {
  if (parts.empty()) throw ArgumentError("concatenate: needs at least one array");
  Shape shape = parts[0].shape();
  const int a = detail::checked_axis("concatenate", shape, axis);
  std::int64_t total = 0;
  for (const Array& p : parts) {
    bool fits = p.rank() == shape.rank();
    for (int i = 0; fits && i < shape.rank(); ++i) fits = i == a || p.dim(i) == shape[i];
    if (!fits)
      throw ShapeError(
          fmt::format("concatenate: all axes but {} must agree; got {} and {}", axis, shape.to_string(), p.shape().to_string()));
    total += p.dim(a);
  }
  const std::int64_t outer = shape.slice(0, a).size(), inner = shape.slice(a + 1, shape.rank()).size();
  shape.set(a, total);
  Array out = uninitialized_array(shape);
  double* to = out.data();
  for (std::int64_t o = 0; o < outer; ++o)
    for (const Array& p : parts) to = std::copy_n(p.data() + o * p.dim(a) * inner, p.dim(a) * inner, to);
  return out;
}
Array concatenate(std::initializer_list<Array> parts, int axis) {
  return concatenate(std::span<const Array>(parts.begin(), parts.size()), axis);
}

}  // namespace bayesflow
