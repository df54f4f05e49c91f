#include "bayesflow/core/shape.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "bayesflow/core/errors.hpp"

namespace bayesflow {

Shape::Shape(std::initializer_list<std::int64_t> extents) {
  for (const std::int64_t e : extents) push_back(e);
}

namespace {
void require_extent(std::int64_t extent, int axis) {
  if (extent < 0) throw ShapeError(fmt::format("Shape: extents must not be negative; got {} for axis {}", extent, axis));
}
}  // namespace

void Shape::push_back(std::int64_t extent) {
  require_extent(extent, rank_);
  if (rank_ == kMaxRank) throw ShapeError(fmt::format("Shape: at most {} axes are supported; got one more than {}", kMaxRank, to_string()));
  extents_[static_cast<std::size_t>(rank_++)] = extent;
}

std::int64_t Shape::operator[](int axis) const {
  const int a = axis < 0 ? axis + rank_ : axis;
  if (a < 0 || a >= rank_) throw ShapeError(fmt::format("Shape: axis {} is out of range for {} ({} axes)", axis, to_string(), rank_));
  return extents_[static_cast<std::size_t>(a)];
}

void Shape::set(int axis, std::int64_t extent) {
  (void)(*this)[axis];
  require_extent(extent, axis);
  extents_[static_cast<std::size_t>(axis < 0 ? axis + rank_ : axis)] = extent;
}

std::int64_t Shape::size() const {
  std::int64_t n = 1;
  bool fits = true;
  for (const std::int64_t e : *this) {
    if (e == 0) return 0;
    fits = fits && !__builtin_mul_overflow(n, e, &n);
  }
  if (!fits) throw ShapeError(fmt::format("Shape: {} has more elements than can be counted", to_string()));
  return n;
}

Shape Shape::slice(int first, int last) const {
  const int f = first < 0 ? first + rank_ : first, l = last < 0 ? last + rank_ : last;
  Shape out;
  for (int i = std::max(f, 0); i < std::min(l, rank_); ++i) out.push_back(extents_[static_cast<std::size_t>(i)]);
  return out;
}

Shape Shape::prepend(std::int64_t extent) const {
  Shape out{extent};
  for (const std::int64_t e : *this) out.push_back(e);
  return out;
}

std::string Shape::to_string() const {
  std::string s = "(";
  for (int i = 0; i < rank_; ++i) s += fmt::format("{}{}", i ? ", " : "", extents_[static_cast<std::size_t>(i)]);
  return s + (rank_ == 1 ? ",)" : ")");
}

bool operator==(const Shape& a, const Shape& b) { return a.rank_ == b.rank_ && std::equal(a.begin(), a.end(), b.begin()); }

}  // namespace bayesflow
