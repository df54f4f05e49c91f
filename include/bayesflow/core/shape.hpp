/// The extents of an array or tensor: up to six axes, stored in place (no heap).
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <string>

namespace bayesflow {
/// Extents of an array or tensor, at most six, row-major: the last axis is contiguous.
class Shape {
 public:
  static constexpr int kMaxRank = 6;

  Shape() = default;
  Shape(std::initializer_list<std::int64_t> extents);  ///< throws ShapeError on a negative extent or more than six axes

  [[nodiscard]] int rank() const { return rank_; }
  /// Extent of an axis; negative axes count from the end. Throws ShapeError out of range.
  [[nodiscard]] std::int64_t operator[](int axis) const;
  /// Product of all extents (1 for rank 0). Throws ShapeError if it exceeds 2^63 - 1.
  [[nodiscard]] std::int64_t size() const;
  [[nodiscard]] const std::int64_t* begin() const { return extents_.data(); }
  [[nodiscard]] const std::int64_t* end() const { return extents_.data() + rank_; }

  void push_back(std::int64_t extent);
  void set(int axis, std::int64_t extent);  ///< throws ShapeError as operator[] and the constructor do
  /// The axes [first, last); negative values count from the end.
  [[nodiscard]] Shape slice(int first, int last) const;
  /// This shape with one more axis in front.
  [[nodiscard]] Shape prepend(std::int64_t extent) const;

  /// "(32, 50, 4)"
  [[nodiscard]] std::string to_string() const;

  friend bool operator==(const Shape& a, const Shape& b);
  friend bool operator!=(const Shape& a, const Shape& b) { return !(a == b); }

 private:
  std::array<std::int64_t, kMaxRank> extents_{};
  int rank_ = 0;
};

}  // namespace bayesflow
