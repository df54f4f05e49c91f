/// Elementwise operations, shapes and reductions.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "autodiff/check.hpp"
#include "bayesflow/autodiff/ops.hpp"
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

void same_shape(const char* op, Tensor a, Tensor b) {
  require(a.shape() == b.shape(), "{}: shapes must be equal; got {} and {}", op, shape_of(a), shape_of(b));
}

/// Shape, groups and period of pooling over axis -2.
struct Pool {
  Shape shape;
  std::int64_t groups, period, cols;
};
Pool pool_over(const char* op, Tensor x) {
  require(x.rank() >= 2 && x.dim(-2) > 0, "{}: needs shape (..., N, d) with N >= 1; got {}", op, shape_of(x));
  Pool p{x.shape().slice(0, -2), 0, x.dim(-2), x.cols()};
  p.groups = p.shape.size();
  p.shape.push_back(p.cols);
  return p;
}

Tensor pooled(const char* op, Tensor x, bool average) {
  const Pool p = pool_over(op, x);
  Tensor y = x.tape().result(p.shape, {x});
  const float factor = average ? 1.0f / static_cast<float>(p.period) : 1.0f;
  kernels::sum_groups(x.data(), p.groups, p.period, p.cols, factor, y.data(), false);
  x.tape().on_backward(y, [x, y, factor, groups = p.groups, period = p.period, cols = p.cols] {
    const GradSink dx = detail::masked_grad_sink(x);
    kernels::repeat_rows(grad_of(y), groups, period, cols, factor, dx.data, dx.accumulate, x.node()->relu ? x.data() : nullptr);
  });
  return y;
}

}  // namespace

Tensor activate(Tensor x, Activation activation) {
  Tensor y = x.tape().result(x.shape(), {x});
  kernels::activate(activation, x.data(), y.data(), x.size());
  x.tape().on_backward(y, [x, y, activation] {
    Arena& arena = x.tape().backward_arena();
    const GradSink dx = grad_sink(x);
    const float* at = kernels::needs_input(activation) ? x.data() : y.data();
    if (!dx.accumulate) return kernels::activate_backward(activation, at, grad_of(y), dx.data, x.size());
    const Arena::Mark mark = arena.mark();
    float* part = arena.floats(x.size());
    kernels::activate_backward(activation, at, grad_of(y), part, x.size());
    kernels::add(dx.data, part, x.size());
    arena.rewind(mark);
  });
  return y;
}

Tensor add(Tensor a, Tensor b) {
  same_shape("add", a, b);
  Tensor y = a.tape().result(a.shape(), {a, b});
  copy(y.data(), a.data(), a.size());
  kernels::add(y.data(), b.data(), b.size());
  a.tape().on_backward(y, [a, b, y] {
    deliver(a, grad_of(y));
    deliver(b, grad_of(y));
  });
  return y;
}

Tensor subtract(Tensor a, Tensor b) {
  same_shape("subtract", a, b);
  Tensor y = a.tape().result(a.shape(), {a, b});
  copy(y.data(), a.data(), a.size());
  kernels::add_scaled(y.data(), b.data(), -1.0f, b.size());
  a.tape().on_backward(y, [a, b, y] {
    deliver(a, grad_of(y));
    deliver(b, grad_of(y), -1.0f);
  });
  return y;
}

Tensor multiply(Tensor a, Tensor b) {
  same_shape("multiply", a, b);
  Tensor y = a.tape().result(a.shape(), {a, b});
  kernels::multiply(a.data(), b.data(), y.data(), a.size());
  a.tape().on_backward(y, [a, b, y] {
    const auto part = [&](Tensor to, Tensor other) {
      if (!to.needs_grad()) return;
      const GradSink d = grad_sink(to);
      if (d.accumulate)
        kernels::multiply_add(grad_of(y), other.data(), d.data, y.size());
      else
        kernels::multiply(grad_of(y), other.data(), d.data, y.size());
    };
    part(a, b);
    part(b, a);
  });
  return y;
}

Tensor scale(Tensor x, float factor) {
  Tensor y = x.tape().result(x.shape(), {x});
  kernels::scale(x.data(), factor, y.data(), x.size());
  x.tape().on_backward(y, [x, y, factor] { deliver(x, grad_of(y), factor); });
  return y;
}

Tensor add_scalar(Tensor x, Tensor s) {
  require(s.size() == 1, "add_scalar: needs one element to add; got {}", shape_of(s));
  Tensor y = x.tape().result(x.shape(), {x, s});
  for (std::int64_t i = 0, n = x.size(); i < n; ++i) y.data()[i] = x.data()[i] + s.data()[0];
  x.tape().on_backward(y, [x, s, y] {
    deliver(x, grad_of(y));
    if (!s.needs_grad()) return;
    double total = 0;
    for (std::int64_t i = 0, n = y.size(); i < n; ++i) total += static_cast<double>(grad_of(y)[i]);
    const float sum = static_cast<float>(total);
    deliver(s, &sum);
  });
  return y;
}

Tensor dropout(Tensor x, float p) {
  if (!(p >= 0 && p < 1)) throw ArgumentError(fmt::format("dropout: p must be in [0, 1), so that something is kept; got {}", p));
  if (p == 0) return x;
  Tensor y = x.tape().result(x.shape(), {x});
  float* mask = x.tape().arena().floats(x.size());
  const float keep = 1.0f / (1.0f - p);
  Rng& rng = x.tape().rng();
  const auto threshold = static_cast<std::uint32_t>(static_cast<double>(p) * 4294967296.0);
  for (std::int64_t i = 0, n = x.size(); i < n; i += 2) {
    const std::uint64_t bits = rng.bits();
    mask[i] = static_cast<std::uint32_t>(bits) >= threshold ? keep : 0.0f;
    if (i + 1 < x.size()) mask[i + 1] = static_cast<std::uint32_t>(bits >> 32) >= threshold ? keep : 0.0f;
  }
  kernels::multiply(x.data(), mask, y.data(), x.size());
  x.tape().on_backward(y, [x, y, mask] {
    const GradSink dx = grad_sink(x);
    if (dx.accumulate)
      kernels::multiply_add(grad_of(y), mask, dx.data, y.size());
    else
      kernels::multiply(grad_of(y), mask, dx.data, y.size());
  });
  return y;
}

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

Tensor mean_pool(Tensor x) { return pooled("mean_pool", x, true); }
Tensor sum_pool(Tensor x) { return pooled("sum_pool", x, false); }

Tensor max_pool(Tensor x) {
  const Pool p = pool_over("max_pool", x);
  Tensor y = x.tape().result(p.shape, {x});
  auto* winner = static_cast<std::int32_t*>(x.tape().arena().bytes(static_cast<std::size_t>(y.size()) * sizeof(std::int32_t)));
  for (std::int64_t g = 0; g < p.groups; ++g)
    for (std::int64_t j = 0; j < p.cols; ++j) {
      const float* at = x.data() + g * p.period * p.cols + j;
      std::int32_t best = 0;
      for (std::int64_t i = 1; i < p.period; ++i)
        if (at[i * p.cols] > at[best * p.cols]) best = static_cast<std::int32_t>(i);
      winner[g * p.cols + j] = best;
      y.data()[g * p.cols + j] = at[best * p.cols];
    }
  x.tape().on_backward(y, [x, y, winner, groups = p.groups, period = p.period, cols = p.cols] {
    const GradSink dx = grad_sink(x);
    if (!dx.accumulate) std::fill_n(dx.data, x.size(), 0.0f);
    for (std::int64_t g = 0; g < groups; ++g)
      for (std::int64_t j = 0; j < cols; ++j) dx.data[(g * period + winner[g * cols + j]) * cols + j] += grad_of(y)[g * cols + j];
  });
  return y;
}

Tensor sum_columns(Tensor x) {
  require(x.rank() >= 1, "sum_columns: needs at least one axis; got {}", shape_of(x));
  Tensor y = x.tape().result(x.shape().slice(0, -1), {x});
  const std::int64_t rows = y.size(), cols = x.cols();
  for (std::int64_t i = 0; i < rows; ++i) {
    float s = 0;
    for (std::int64_t j = 0; j < cols; ++j) s += x.data()[i * cols + j];
    y.data()[i] = s;
  }
  x.tape().on_backward(y, [x, y, rows, cols] {
    const GradSink dx = grad_sink(x);
    for (std::int64_t i = 0; i < rows; ++i)
      for (std::int64_t j = 0; j < cols; ++j)
        dx.data[i * cols + j] = grad_of(y)[i] + (dx.accumulate ? dx.data[i * cols + j] : 0.0f);
  });
  return y;
}

namespace {
Tensor total(Tensor x, double factor) {
  Tensor y = x.tape().result({1}, {x});
  double s = 0;
  for (std::int64_t i = 0, n = x.size(); i < n; ++i) s += static_cast<double>(x.data()[i]);
  y.data()[0] = static_cast<float>(s * factor);
  x.tape().on_backward(y, [x, y, factor] {
    const GradSink dx = grad_sink(x);
    const float g = grad_of(y)[0] * static_cast<float>(factor);
    for (std::int64_t i = 0, n = x.size(); i < n; ++i) dx.data[i] = g + (dx.accumulate ? dx.data[i] : 0.0f);
  });
  return y;
}
}  // namespace

Tensor mean(Tensor x) {
  require(x.size() > 0, "mean: needs at least one element; got {}", shape_of(x));
  return total(x, 1.0 / static_cast<double>(x.size()));
}
Tensor sum(Tensor x) { return total(x, 1.0); }

}  // namespace bayesflow::ops
