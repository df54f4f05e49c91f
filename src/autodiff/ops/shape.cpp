/// Operations that move elements and compute nothing.
#include "bayesflow/autodiff/ops/shape.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <utility>

#include "autodiff/ops/axes.hpp"
#include "kernels/elementwise.hpp"
#include "kernels/ordered.hpp"
#include "kernels/rows.hpp"
#include "kernels/strided.hpp"

namespace bayesflow::ops {
namespace {

using detail::deliver;
using detail::grad_of;
using detail::grad_sink;
using detail::GradSink;

void copy(float* to, const float* from, std::int64_t n) { std::memcpy(to, from, static_cast<std::size_t>(n) * sizeof(float)); }

/// y = x[nest], and the derivative: what is read several times gets the sum of what flows back. `covers`: every element of x is read.
Tensor moved(Tensor x, const Shape& shape, const kernels::Strided& nest, bool covers, std::int64_t first = 0) {
  Tensor y = x.tape().result(shape, {x});
  kernels::copy_strided(nest, x.data() + first, y.data());
  x.tape().on_backward(y, [x, y, nest, covers, first] {
    kernels::Strided back = nest;
    std::swap(back.from, back.to);
    const GradSink dx = grad_sink(x);
    if (covers && !dx.accumulate) return kernels::copy_strided(back, grad_of(y), dx.data + first);
    if (!dx.accumulate) std::fill_n(dx.data, x.size(), 0.0f);
    kernels::add_strided(back, grad_of(y), dx.data + first);
  });
  return y;
}

/// Tensors side by side in each of `outer` rows of `row` elements.
struct Parts {
  const Tensor* parts;
  std::int64_t count, outer, row;
};
std::int64_t width_of(const Parts& p, Tensor part) { return p.outer ? part.size() / p.outer : 0; }

Tensor joined(std::span<const Tensor> parts, const Shape& shape, std::int64_t outer) {
  Tape& tape = parts[0].tape();
  auto* kept = static_cast<Tensor*>(tape.arena().bytes(parts.size() * sizeof(Tensor)));
  std::uninitialized_copy(parts.begin(), parts.end(), kept);
  const Parts p{kept, static_cast<std::int64_t>(parts.size()), outer, outer ? shape.size() / outer : 0};
  Tensor y = tape.result(shape, {});
  for (const Tensor& part : parts) y.node()->needs_grad = y.node()->needs_grad || (tape.records() && part.needs_grad());
  float* to = y.data();
  for (const Tensor& part : parts) {
    kernels::copy_columns(part.data(), width_of(p, part), outer, width_of(p, part), to, p.row);
    to += width_of(p, part);
  }
  tape.on_backward(y, [y, p] {
    const float* from = grad_of(y);
    for (std::int64_t k = 0; k < p.count; ++k) {
      Tensor part = p.parts[k];
      const std::int64_t width = width_of(p, part);
      if (part.needs_grad()) {
        const GradSink d = grad_sink(part);
        kernels::Strided rows;
        rows.add(p.outer, p.row, width);
        rows.add(width, 1, 1);
        d.accumulate ? kernels::add_strided(rows, from, d.data) : kernels::copy_strided(rows, from, d.data);
      }
      from += width;
    }
  });
  return y;
}

/// The whole number that a float stands for. Numbers of a table's entries are exact up to 2^24.
std::int64_t entry_of(const char* op, float number, std::int64_t entries) {
  if (!(number >= 0 && number < static_cast<float>(entries)) || number != std::floor(number))
    throw ArgumentError(fmt::format("{}: numbers must be whole and from 0 to {}; got {}", op, entries - 1, number));
  return static_cast<std::int64_t>(number);
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
    kernels::copy_columns(p.data(), p.cols(), c.rows, p.cols(), y.data() + at, c.cols);
    at += p.cols();
  }
  tape.on_backward(y, [c, y] {
    std::int64_t first = 0;
    for (std::int64_t k = 0; k < c.count; ++k) {
      const std::int64_t width = c.at[k].cols();
      if (c.at[k].needs_grad()) {
        const GradSink d = grad_sink(c.at[k]);
        kernels::add_columns(grad_of(y) + first, c.cols, c.rows, width, d.data, width, d.accumulate);
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
  kernels::copy_columns(x.data() + first, cols, rows, width, y.data(), width);
  x.tape().on_backward(y, [x, y, rows, width, cols, first] {
    const GradSink dx = grad_sink(x);
    if (!dx.accumulate) std::fill_n(dx.data, x.size(), 0.0f);
    kernels::add_columns(grad_of(y), width, rows, width, dx.data + first, cols, true);
  });
  return y;
}

Tensor gather_columns(Tensor x, const std::int32_t* index) {
  Tensor y = x.tape().result(x.shape(), {x});
  const std::int64_t rows = x.rows(), cols = x.cols();
  kernels::take_columns(x.data(), index, rows, cols, y.data());
  x.tape().on_backward(y, [x, y, index, rows, cols] {
    const GradSink dx = grad_sink(x);
    if (!dx.accumulate) std::fill_n(dx.data, x.size(), 0.0f);
    kernels::add_to_columns(grad_of(y), index, rows, cols, dx.data);
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

Tensor transpose(Tensor x, std::span<const int> axes) {
  require(static_cast<int>(axes.size()) == x.rank(), "transpose: {} needs as many axes; got {}", shape_of(x), axes.size());
  const Strides own = strides_of(x.shape());
  Shape shape = x.shape();
  for (int k = 0; k < x.rank(); ++k) shape.set(k, x.dim(axis_of("transpose", x, axes[static_cast<std::size_t>(k)])));
  const Strides to = strides_of(shape);
  bool seen[Shape::kMaxRank]{};
  kernels::Strided nest;
  for (int k = 0; k < x.rank(); ++k) {
    const auto from = static_cast<std::size_t>(axis_of("transpose", x, axes[static_cast<std::size_t>(k)]));
    require(!seen[from], "transpose: axis {} of {} occurs twice", from, shape_of(x));
    seen[from] = true;
    nest.add(shape[k], own[from], to[static_cast<std::size_t>(k)]);
  }
  return moved(x, shape, nest, true);
}
Tensor transpose(Tensor x, std::initializer_list<int> axes) { return transpose(x, std::span<const int>(axes.begin(), axes.size())); }

Tensor slice(Tensor x, int axis, std::int64_t first, std::int64_t last, std::int64_t step) {
  const int at = axis_of("slice", x, axis);
  require(first >= 0 && first <= last && last <= x.dim(at) && step >= 1, "slice: [{}, {}) in steps of {} is out of range for axis {} of {}",
          first, last, step, axis, shape_of(x));
  const Along from(x.shape(), at);
  Shape shape = x.shape();
  shape.set(at, (last - first + step - 1) / step);
  kernels::Strided nest;
  nest.add(from.outer, from.length * from.inner, shape[at] * from.inner);
  nest.add(shape[at], step * from.inner, from.inner);
  nest.add(from.inner, 1, 1);
  return moved(x, shape, nest, shape == x.shape(), first * from.inner);
}

Tensor stack(std::span<const Tensor> parts, int axis) {
  require(!parts.empty(), "stack: needs at least one tensor");
  const Shape& one = parts[0].shape();
  require(one.rank() < Shape::kMaxRank && axis >= -one.rank() - 1 && axis <= one.rank(), "stack: {} has no place {} for a new axis",
          shape_of(parts[0]), axis);
  const int at = axis < 0 ? axis + one.rank() + 1 : axis;
  for (const Tensor& part : parts)
    require(part.shape() == one, "stack: shapes must be equal; got {} and {}", shape_of(parts[0]), shape_of(part));
  Shape shape = one.slice(0, at);
  shape.push_back(static_cast<std::int64_t>(parts.size()));
  for (int k = at; k < one.rank(); ++k) shape.push_back(one[k]);
  return joined(parts, shape, one.slice(0, at).size());
}

Tensor concat(std::span<const Tensor> parts, int axis) {
  require(!parts.empty(), "concat: needs at least one tensor");
  const int at = axis_of("concat", parts[0], axis);
  Shape shape = parts[0].shape();
  shape.set(at, 0);
  for (const Tensor& part : parts) {
    Shape others = part.shape();
    require(others.rank() == shape.rank(), "concat: shapes must agree in all but axis {}; got {} and {}", axis, shape_of(parts[0]),
            shape_of(part));
    others.set(at, shape[at]);
    require(others == shape, "concat: shapes must agree in all but axis {}; got {} and {}", axis, shape_of(parts[0]), shape_of(part));
    shape.set(at, shape[at] + part.dim(at));
  }
  return joined(parts, shape, shape.slice(0, at).size());
}

Tensor broadcast(Tensor x, const Shape& shape) {
  require(broadcasts_to(x.shape(), shape), "broadcast: {} cannot be repeated to {}", shape_of(x), shape.to_string());
  const Strides from = broadcast_strides(x.shape(), shape), to = strides_of(shape);
  kernels::Strided nest;
  for (int k = 0; k < shape.rank(); ++k) nest.add(shape[k], from[static_cast<std::size_t>(k)], to[static_cast<std::size_t>(k)]);
  return moved(x, shape, nest, x.size() == shape.size());
}

Tensor mask_rows(Tensor x, Tensor mask) {
  require(x.rank() >= 1 && mask.shape() == x.shape().slice(0, -1), "mask_rows: x {} needs a mask of all axes but the last; got {}",
          shape_of(x), shape_of(mask));
  Tensor y = x.tape().result(x.shape(), {x});
  kernels::mask_rows(x.data(), mask.data(), mask.size(), x.cols(), y.data(), false);
  x.tape().on_backward(y, [x, y, mask] {
    const GradSink dx = grad_sink(x);
    kernels::mask_rows(grad_of(y), mask.data(), mask.size(), x.cols(), dx.data, dx.accumulate);
  });
  return y;
}

Tensor gather(Tensor table, Tensor numbers) {
  require(table.rank() == 2 && numbers.rank() < Shape::kMaxRank, "gather: needs a table (entries, d) and numbers; got {} and {}",
          shape_of(table), shape_of(numbers));
  Shape shape = numbers.shape();
  shape.push_back(table.cols());
  Tensor y = table.tape().result(shape, {table});
  const std::int64_t width = table.cols();
  for (std::int64_t i = 0; i < numbers.size(); ++i)
    kernels::copy_columns(table.data() + entry_of("gather", numbers.data()[i], table.dim(0)) * width, width, 1, width, y.data() + i * width,
                          width);
  table.tape().on_backward(y, [table, numbers, y, width] {
    const GradSink d = grad_sink(table);
    if (!d.accumulate) std::fill_n(d.data, table.size(), 0.0f);
    for (std::int64_t i = 0; i < numbers.size(); ++i)
      kernels::add(d.data + static_cast<std::int64_t>(numbers.data()[i]) * width, grad_of(y) + i * width, width);
  });
  return y;
}

Tensor one_hot(Tensor numbers, std::int64_t entries) {
  require(entries >= 1 && numbers.rank() < Shape::kMaxRank, "one_hot: needs at least one entry and at most five axes; got {} and {}",
          entries, shape_of(numbers));
  Shape shape = numbers.shape();
  shape.push_back(entries);
  Tensor y = numbers.tape().filled(shape, 0);
  for (std::int64_t i = 0; i < numbers.size(); ++i) y.data()[i * entries + entry_of("one_hot", numbers.data()[i], entries)] = 1;
  return y;
}

}  // namespace bayesflow::ops
