/// A float32 value of the engine. Users meet it only when they write a network of their own.
#pragma once

#include <cstdint>

#include "bayesflow/core/shape.hpp"

namespace bayesflow {

class Tape;

namespace detail {
/// What a Tensor points to; lives in the tape's arena.
struct Node {
  float* value = nullptr;
  float* grad = nullptr;             // null until something flows back
  std::uint8_t* grad_set = nullptr;  // 0: the next contribution is stored, else added
  Tape* tape = nullptr;
  Shape shape;
  bool needs_grad = false;
  std::uint8_t own_set = 0;
};
}  // namespace detail

/// Handle of a node on a tape; cheap to copy, valid until the tape's next reset. Row-major, contiguous.
class Tensor {
 public:
  Tensor() = default;
  explicit Tensor(detail::Node* node) : node_(node) {}

  explicit operator bool() const { return node_ != nullptr; }
  [[nodiscard]] const Shape& shape() const { return node_->shape; }
  [[nodiscard]] int rank() const { return node_->shape.rank(); }
  [[nodiscard]] std::int64_t dim(int axis) const { return node_->shape[axis]; }
  [[nodiscard]] std::int64_t size() const { return node_->shape.size(); }
  [[nodiscard]] std::int64_t cols() const { return rank() ? dim(-1) : 1; }          ///< extent of the last axis
  [[nodiscard]] std::int64_t rows() const { return cols() ? size() / cols() : 0; }  ///< product of the others
  [[nodiscard]] const float* data() const { return node_->value; }
  [[nodiscard]] float* data() { return node_->value; }
  [[nodiscard]] bool needs_grad() const { return node_->needs_grad; }
  [[nodiscard]] Tape& tape() const { return *node_->tape; }
  /// After Tape::backward: the gradient, or null if nothing flowed here.
  [[nodiscard]] const float* grad() const { return *node_->grad_set ? node_->grad : nullptr; }
  [[nodiscard]] detail::Node* node() const { return node_; }

 private:
  detail::Node* node_ = nullptr;
};

}  // namespace bayesflow
