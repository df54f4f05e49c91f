#include "bayesflow/data/block.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <new>
#include <vector>

#include "bayesflow/autodiff/tape.hpp"
#include "bayesflow/core/errors.hpp"
#include "core/float32_range.hpp"

namespace bayesflow {

/// In front of the numbers, in one piece of memory. That comes from the cache that arrays have, so that batches of a training that goes on
/// allocate nothing.
struct alignas(64) Block::Storage {
  std::atomic<std::int64_t> users{1};
  std::int64_t doubles = 0;  // size of this memory
  std::optional<Beyond> beyond = {};
};

Block::Block(const Shape& shape) : size_(shape.size()), shape_(shape) {
  constexpr std::int64_t kHeader = sizeof(Storage) / sizeof(double);
  const std::int64_t doubles = kHeader + size_ / 2 + 1;
  storage_ = new (detail::allocate_doubles(doubles)) Storage;
  storage_->doubles = doubles;
  data_ = reinterpret_cast<float*>(storage_ + 1);
}

float* Block::own() const { return reinterpret_cast<float*>(storage_ + 1); }

void Block::retain() const noexcept {
  if (storage_) storage_->users.fetch_add(1, std::memory_order_relaxed);
}

void Block::release() const noexcept {
  if (!storage_ || storage_->users.fetch_sub(1, std::memory_order_acq_rel) > 1) return;
  const std::int64_t doubles = storage_->doubles;
  storage_->~Storage();
  detail::release_doubles(reinterpret_cast<double*>(storage_), doubles);
}

Block::Block(const Array& values) {
  if (values.empty() && values.rank() == 1) return;
  *this = Block(values.shape());
  const double* from = values.data();
  float* to = own();
  for (std::int64_t i = 0; i < size_; ++i) to[i] = static_cast<float>(from[i]);
  if (const double* beyond = detail::beyond_float32(values.values())) storage_->beyond = Beyond{beyond - from, *beyond};
}

Block::Block(const Shape& shape, std::span<const float> values) : Block(shape) {
  if (static_cast<std::int64_t>(values.size()) != size_)
    throw ShapeError(fmt::format("Block: {} values do not fill shape {}, which needs {}", values.size(), shape.to_string(), size_));
  std::ranges::copy(values, own());
}

float Block::at(std::span<const std::int64_t> index) const {
  bool fits = static_cast<int>(index.size()) == rank();
  std::int64_t flat = 0;
  for (std::size_t axis = 0; fits && axis < index.size(); ++axis) {
    const std::int64_t extent = shape_.begin()[axis];
    fits = index[axis] >= 0 && index[axis] < extent;
    flat = flat * extent + index[axis];
  }
  if (!fits) throw ArgumentError(fmt::format("Block: index ({}) lies outside of shape {}", fmt::join(index, ", "), shape_.to_string()));
  return data_[flat];
}

void Block::require_rows(const char* what, std::int64_t first, std::int64_t last) const {
  const std::int64_t rows = rank() ? dim(0) : 0;
  if (first < 0 || last < first || last > rows)
    throw ArgumentError(
        fmt::format("Block::{}: rows [{}, {}) do not lie within the {} rows of shape {}", what, first, last, rows, shape_.to_string()));
}

std::span<const float> Block::row_values(std::int64_t index) const {
  require_rows("row_values", index, index + 1);
  const std::int64_t stride = size_ / dim(0);
  return values().subspan(static_cast<std::size_t>(index * stride), static_cast<std::size_t>(stride));
}

Block Block::slice(std::int64_t first, std::int64_t last) const {
  require_rows("slice", first, last);
  Block out = *this;
  const std::int64_t stride = dim(0) ? size_ / dim(0) : 0;
  out.shape_.set(0, last - first);
  out.data_ += first * stride;
  out.size_ = (last - first) * stride;
  return out;
}

Block Block::take(std::span<const std::int64_t> rows) const {
  Shape shape = shape_;
  shape.set(0, static_cast<std::int64_t>(rows.size()));
  Block out(shape);
  float* to = out.own();
  for (const std::int64_t row : rows) to = std::ranges::copy(row_values(row), to).out;
  if (const std::optional<Beyond> beyond = beyond_float32()) {
    const std::int64_t stride = size_ / dim(0);
    const auto found = std::ranges::find(rows, beyond->at / stride);
    if (found != rows.end()) out.storage_->beyond = Beyond{(found - rows.begin()) * stride + beyond->at % stride, beyond->value};
  }
  return out;
}

Block Block::columns(std::int64_t first, std::int64_t last) const {
  if (rank() == 0 || first < 0 || last < first || last > dim(-1))
    throw ArgumentError(fmt::format("Block::columns: columns [{}, {}) do not lie within shape {}", first, last, shape_.to_string()));
  Shape shape = shape_;
  shape.set(-1, last - first);
  Block out(shape);
  float* to = out.own();
  for (const float* row = data_; row != data_ + size_; row += dim(-1)) to = std::copy(row + first, row + last, to);
  return out;
}

Array Block::array() const {
  if (absent()) return {};
  Array out = uninitialized_array(shape_);
  std::copy_n(data_, size_, out.data());
  return out;
}

Tensor Block::on(Tape& tape) const { return tape.input(shape_, data_); }

std::optional<Block::Beyond> Block::beyond_float32() const {
  if (!storage_ || !storage_->beyond) return {};
  const std::int64_t at = storage_->beyond->at - (data_ - own());
  if (at < 0 || at >= size_) return {};
  return Beyond{at, storage_->beyond->value};
}

bool operator==(const Block& a, const Block& b) {
  return a.absent() == b.absent() && a.shape() == b.shape() && std::ranges::equal(a.values(), b.values());
}

Block concatenate_rows(std::span<const Block> parts) {
  if (parts.empty()) return {};
  std::int64_t rows = 0;
  for (const Block& part : parts) {
    if (part.rank() == 0 || part.rank() != parts[0].rank() || part.shape().slice(1, part.rank()) != parts[0].shape().slice(1, part.rank()))
      throw ShapeError(
          fmt::format("concatenate_rows: shapes {} and {} differ beyond axis 0", parts[0].shape().to_string(), part.shape().to_string()));
    rows += part.dim(0);
  }
  Shape shape = parts[0].shape();
  shape.set(0, rows);
  std::vector<float> all;
  all.reserve(static_cast<std::size_t>(shape.size()));
  for (const Block& part : parts) all.insert(all.end(), part.values().begin(), part.values().end());
  return {shape, all};
}

}  // namespace bayesflow
