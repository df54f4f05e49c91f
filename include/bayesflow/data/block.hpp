/// Numbers as networks compute in them: float32 blocks.
#pragma once

#include <concepts>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>

#include "bayesflow/autodiff/tensor.hpp"
#include "bayesflow/core/array.hpp"

namespace bayesflow {

/// Float32 numbers with a shape that do not change after they were made: copies and ranges of rows share the memory. A block without
/// numbers and without a shape of its own (made by the default constructor, or from a default Array) is absent.
class Block {
 public:
  Block() = default;
  ~Block() { release(); }
  Block(const Block& other) noexcept : storage_(other.storage_), data_(other.data_), size_(other.size_), shape_(other.shape_) { retain(); }
  Block(Block&& other) noexcept : Block() { swap(other); }
  Block& operator=(Block other) noexcept {
    swap(other);
    return *this;
  }
  /// Rounds to float32. A finite value beyond its range is remembered, see `beyond_float32`.
  Block(const Array& values);  // NOLINT(google-explicit-constructor): wherever a block is wanted, an array will do
  Block(const std::optional<Array>& values) : Block(values ? Block(*values) : Block()) {}  // NOLINT(google-explicit-constructor)
  Block(const Shape& shape, std::span<const float> values);                                ///< copies; throws ShapeError if sizes differ

  [[nodiscard]] bool absent() const { return !storage_; }
  [[nodiscard]] const Shape& shape() const { return shape_; }
  [[nodiscard]] int rank() const { return shape_.rank(); }
  [[nodiscard]] std::int64_t dim(int axis) const { return shape_[axis]; }  ///< negative axes count from the end
  [[nodiscard]] std::int64_t size() const { return size_; }
  [[nodiscard]] bool empty() const { return size_ == 0; }
  [[nodiscard]] const float* data() const { return data_; }
  [[nodiscard]] std::span<const float> values() const { return {data_, static_cast<std::size_t>(size_)}; }
  /// One number by its index on each axis. Throws ArgumentError outside of the shape.
  template <std::integral... Index>
  [[nodiscard]] float operator()(Index... index) const {
    const std::int64_t all[] = {static_cast<std::int64_t>(index)...};
    return at(all);
  }
  [[nodiscard]] std::span<const float> row_values(std::int64_t index) const;  ///< of entry `index` of axis 0

  /// Rows [first, last) of axis 0, in the same memory.
  [[nodiscard]] Block slice(std::int64_t first, std::int64_t last) const;
  [[nodiscard]] Block take(std::span<const std::int64_t> rows) const;        ///< rows of axis 0 by index
  [[nodiscard]] Block columns(std::int64_t first, std::int64_t last) const;  ///< [first, last) of the last axis
  [[nodiscard]] Array array() const;                                         ///< in double precision, to compute with

  /// As a tensor, which is a copy: the block may go before the pass ends.
  [[nodiscard]] Tensor on(Tape& tape) const;
  /// A number that float32 cannot hold.
  struct Beyond {
    std::int64_t at;  ///< flat index
    double value;     ///< before rounding
  };
  /// The first finite value that float32 cannot hold (it is an infinity here).
  [[nodiscard]] std::optional<Beyond> beyond_float32() const;

  friend bool operator==(const Block& a, const Block& b);  ///< same shape, same values (NaN differs from NaN)

 private:
  struct Storage;                      // numbers, with a count of the blocks that share them
  explicit Block(const Shape& shape);  // not filled
  [[nodiscard]] float* own() const;    // the numbers of a new block
  void retain() const noexcept;
  void release() const noexcept;
  void swap(Block& other) noexcept {
    std::swap(storage_, other.storage_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(shape_, other.shape_);
  }
  [[nodiscard]] float at(std::span<const std::int64_t> index) const;
  void require_rows(const char* what, std::int64_t first, std::int64_t last) const;

  Storage* storage_ = nullptr;
  const float* data_ = nullptr;
  std::int64_t size_ = 0;
  Shape shape_{0};
};

/// Blocks one after the other on axis 0. Throws ShapeError unless all other extents agree.
[[nodiscard]] Block concatenate_rows(std::span<const Block> parts);

}  // namespace bayesflow
