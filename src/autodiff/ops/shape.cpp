/// Operations that move elements and compute nothing.
#include <algorithm>
#include <cstring>

#include "autodiff/check.hpp"
#include "bayesflow/autodiff/ops/shape.hpp"
#include "kernels/elementwise.hpp"

namespace bayesflow::ops {
namespace {

using detail::deliver;
using detail::grad_of;
using detail::grad_sink;
using detail::GradSink;

void copy(float* to, const float* from, std::int64_t n) { std::memcpy(to, from, static_cast<std::size_t>(n) * sizeof(float)); }

/// The first `width` floats of each row. Parameters make rows of a few floats, for which a call takes longer than the copy.
void copy_columns(float* to, std::int64_t to_stride, const float* from, std::int64_t from_stride, std::int64_t rows, std::int64_t width) {
  constexpr std::int64_t kFew = 16;
  for (std::int64_t i = 0; i < rows; ++i, to += to_stride, from += from_stride) {
    if (width >= kFew)
      copy(to, from, width);
    else
      for (std::int64_t j = 0; j < width; ++j) to[j] = from[j];
  }
}

}  // namespace

Tensor reshape(Tensor x, const Shape& shape) {
  require(shape.size() == x.size(), "reshape: {} elements of shape {} do not fit {}", x.size(), shape_of(x), shape.to_string());
  Tensor y = x.tape().result(shape, {x});
  copy(y.data(), x.data(), x.size());
  x.tape().on_backward(y, [x, y] { deliver(x, grad_of(y)); });
  return y;
}

Tensor concat(std::span<const Tensor> parts) {
  require(!parts.empty() && parts.size() <= 8, "concat: needs 1 to 8 tensors; got {}", parts.size());
  struct Parts {
    Tensor at[8];
    std::int64_t count, rows, cols;
  } c{};
  c.count = static_cast<std::int64_t>(parts.size());
  const Shape lead = parts[0].shape().slice(0, -1);
  c.rows = lead.size();
  for (std::int64_t k = 0; k < c.count; ++k) {
    c.at[k] = parts[static_cast<std::size_t>(k)];
    require(c.at[k].shape().slice(0, -1) == lead, "concat: all axes but the last must agree; got {} and {}", shape_of(parts[0]),
            shape_of(c.at[k]));
    c.cols += c.at[k].cols();
  }
  Shape shape = parts[0].shape();
  shape.set(-1, c.cols);
  Tape& tape = parts[0].tape();
  Tensor y = tape.result(shape, {});
  for (const Tensor& p : parts) y.node()->needs_grad = y.node()->needs_grad || (tape.records() && p.needs_grad());
  std::int64_t at = 0;
  for (const Tensor& p : parts) {
    copy_columns(y.data() + at, c.cols, p.data(), p.cols(), c.rows, p.cols());
    at += p.cols();
  }
  tape.on_backward(y, [c, y] {
    std::int64_t first = 0;
    for (std::int64_t k = 0; k < c.count; ++k) {
      const std::int64_t width = c.at[k].cols();
      if (c.at[k].needs_grad()) {
        const GradSink d = grad_sink(c.at[k]);
        for (std::int64_t i = 0; i < c.rows; ++i)
          for (std::int64_t j = 0; j < width; ++j) {
            const float g = grad_of(y)[i * c.cols + first + j];
            d.data[i * width + j] = d.accumulate ? d.data[i * width + j] + g : g;
          }
      }
      first += width;
    }
  });
  return y;
}

Tensor columns(Tensor x, std::int64_t first, std::int64_t last) {
  require(first >= 0 && first <= last && last <= x.cols(), "columns: [{}, {}) is out of range for {}", first, last, shape_of(x));
  Shape shape = x.shape();
  shape.set(-1, last - first);
  Tensor y = x.tape().result(shape, {x});
  const std::int64_t rows = x.shape().slice(0, -1).size(), width = last - first, cols = x.cols();
  copy_columns(y.data(), width, x.data() + first, cols, rows, width);
  x.tape().on_backward(y, [x, y, rows, width, cols, first] {
    const GradSink dx = grad_sink(x);
    if (!dx.accumulate) std::fill_n(dx.data, x.size(), 0.0f);
    for (std::int64_t i = 0; i < rows; ++i)
      for (std::int64_t j = 0; j < width; ++j) dx.data[i * cols + first + j] += grad_of(y)[i * width + j];
  });
  return y;
}

Tensor gather_columns(Tensor x, const std::int32_t* index) {
  Tensor y = x.tape().result(x.shape(), {x});
  const std::int64_t rows = x.rows(), cols = x.cols();
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < cols; ++j) y.data()[i * cols + j] = x.data()[i * cols + index[j]];
  x.tape().on_backward(y, [x, y, index, rows, cols] {
    const GradSink dx = grad_sink(x);
    if (!dx.accumulate) std::fill_n(dx.data, x.size(), 0.0f);
    for (std::int64_t i = 0; i < rows; ++i)
      for (std::int64_t j = 0; j < cols; ++j) dx.data[i * cols + index[j]] += grad_of(y)[i * cols + j];
  });
  return y;
}

Tensor repeat(Tensor x, std::int64_t times) {
  require(x.rank() >= 1 && times >= 1, "repeat: needs shape (..., d) and a positive number of times; got {} and {}", shape_of(x), times);
  Shape shape = x.shape().slice(0, -1);
  shape.push_back(times);
  shape.push_back(x.cols());
  Tensor y = x.tape().result(shape, {x});
  kernels::repeat_rows(x.data(), x.rows(), times, x.cols(), 1.0f, y.data(), false);
  x.tape().on_backward(y, [x, y, times] {
    const GradSink dx = grad_sink(x);
    kernels::sum_groups(grad_of(y), x.rows(), times, x.cols(), 1.0f, dx.data, dx.accumulate);
  });
  return y;
}

}  // namespace bayesflow::ops
