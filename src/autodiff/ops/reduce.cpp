/// Sums, means and maxima.
#include "bayesflow/autodiff/ops/reduce.hpp"

#include <algorithm>
#include <cmath>
#include <span>

#include "autodiff/fused.hpp"
#include "autodiff/ops/axes.hpp"
#include "autodiff/ops/pieces.hpp"
#include "kernels/elementwise.hpp"
#include "kernels/ordered.hpp"
#include "kernels/rows.hpp"

namespace bayesflow::ops {
namespace {

using detail::grad_of;
using detail::grad_sink;
using detail::GradSink;

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
  const std::int64_t pieces = pieces_of(p.period);
  if (pieces == 1) {
    kernels::sum_groups(x.data(), p.groups, p.period, p.cols, factor, y.data(), false);
  } else {  // sums of pieces, which are then added in order: the same pieces wherever a data set lies
    float* parts = x.tape().arena().floats(p.groups * pieces * p.cols);
    for_pieces(x.tape(), p.groups, p.period, pieces, [&](std::int64_t g, std::int64_t piece, std::int64_t first, std::int64_t rows) {
      kernels::sum_groups(x.data() + (g * p.period + first) * p.cols, 1, rows, p.cols, factor, parts + (g * pieces + piece) * p.cols,
                          false);
    });
    kernels::sum_groups(parts, p.groups, pieces, p.cols, 1.0f, y.data(), false);
  }
  x.tape().on_backward(y, [x, y, factor, pieces, groups = p.groups, period = p.period, cols = p.cols] {
    const GradSink dx = detail::masked_grad_sink(x);
    const float* mask = detail::fused(x).relu ? x.data() : nullptr;
    if (pieces == 1) return kernels::repeat_rows(grad_of(y), groups, period, cols, factor, dx.data, dx.accumulate, mask);
    for_pieces(x.tape(), groups, period, pieces, [&](std::int64_t g, std::int64_t, std::int64_t first, std::int64_t rows) {
      const std::int64_t at = (g * period + first) * cols;
      kernels::repeat_rows(grad_of(y) + g * cols, 1, rows, cols, factor, dx.data + at, dx.accumulate, mask ? mask + at : nullptr);
    });
  });
  return y;
}

void require_mask(const char* op, Tensor x, Tensor mask) {
  require(mask && mask.shape() == x.shape().slice(0, -1), "{}: x {} needs a mask of all axes but the last; got {}", op, shape_of(x),
          shape_of(mask));
}

/// y[g] = x[g] / the number of rows of group g that are there; 0 if none is.
void scale_by_counts(const Pool& p, const float* mask, const float* x, float* y) {
  for (std::int64_t g = 0; g < p.groups; ++g) {
    const auto count = p.period - std::count(mask + g * p.period, mask + (g + 1) * p.period, 0.0f);
    kernels::scale(x + g * p.cols, count > 0 ? 1.0f / static_cast<float>(count) : 0.0f, y + g * p.cols, p.cols);
  }
}

Tensor masked(const char* op, Tensor x, Tensor mask, bool average) {
  const Pool p = pool_over(op, x);
  require_mask(op, x, mask);
  Tensor y = x.tape().result(p.shape, {x});
  const std::int64_t pieces = pieces_of(p.period);
  if (pieces == 1) {
    kernels::masked_sum_groups(x.data(), mask.data(), p.groups, p.period, p.cols, average, y.data());
  } else {
    float* parts = x.tape().arena().floats(p.groups * pieces * p.cols);
    for_pieces(x.tape(), p.groups, p.period, pieces, [&](std::int64_t g, std::int64_t piece, std::int64_t first, std::int64_t rows) {
      const std::int64_t row = g * p.period + first;
      kernels::masked_sum_groups(x.data() + row * p.cols, mask.data() + row, 1, rows, p.cols, false, parts + (g * pieces + piece) * p.cols);
    });
    kernels::sum_groups(parts, p.groups, pieces, p.cols, 1.0f, y.data(), false);
    if (average) scale_by_counts(p, mask.data(), y.data(), y.data());
  }
  x.tape().on_backward(y, [x, y, mask, average, p, pieces] {
    const GradSink dx = grad_sink(x);
    if (pieces == 1)
      return kernels::masked_sum_groups_backward(grad_of(y), mask.data(), p.groups, p.period, p.cols, average, dx.data, dx.accumulate);
    Arena& arena = x.tape().backward_arena();
    const Arena::Mark mark = arena.mark();
    float* dy = arena.floats(y.size());
    if (average)
      scale_by_counts(p, mask.data(), grad_of(y), dy);
    else
      std::copy_n(grad_of(y), y.size(), dy);
    for_pieces(x.tape(), p.groups, p.period, pieces, [&](std::int64_t g, std::int64_t, std::int64_t first, std::int64_t rows) {
      const std::int64_t row = g * p.period + first;
      kernels::masked_sum_groups_backward(dy + g * p.cols, mask.data() + row, 1, rows, p.cols, false, dx.data + row * p.cols,
                                          dx.accumulate);
    });
    arena.rewind(mark);
  });
  return y;
}

/// The maxima of groups from those of their pieces, by the rule of kernels::max_groups: the first of equals, NaN above all.
void join_maxima(const Pool& p, std::int64_t pieces, const float* parts, const std::int32_t* rows_of_parts, float* y,
                 std::int32_t* winner) {
  for (std::int64_t g = 0; g < p.groups; ++g)
    for (std::int64_t j = 0; j < p.cols; ++j) {
      float best = 0;
      std::int64_t row = -1;
      for (std::int64_t k = 0; k < pieces; ++k) {
        const std::int64_t at = (g * pieces + k) * p.cols + j;
        if (rows_of_parts[at] < 0) continue;
        const float v = parts[at];
        if (row >= 0 && !((v > best || std::isnan(v)) && !std::isnan(best))) continue;
        best = v;
        row = p.period * k / pieces + rows_of_parts[at];
      }
      y[g * p.cols + j] = best;
      winner[g * p.cols + j] = static_cast<std::int32_t>(row);
    }
}

/// The sum over an axis, or the mean.
Tensor summed(const char* op, Tensor x, int axis, bool average) {
  const int at = axis_of(op, x, axis);
  const Along a(x.shape(), at);
  require(!average || a.length > 0, "{}: axis {} of {} has nothing to average", op, axis, shape_of(x));
  Shape shape = x.shape().slice(0, at);
  for (int k = at + 1; k < x.rank(); ++k) shape.push_back(x.dim(k));
  const float factor = average ? 1.0f / static_cast<float>(a.length) : 1.0f;
  Tensor y = x.tape().result(shape, {x});
  if (a.inner == 1)
    kernels::row_sums(x.data(), a.outer, a.length, factor, y.data());
  else
    kernels::sum_groups(x.data(), a.outer, a.length, a.inner, factor, y.data(), false);
  x.tape().on_backward(y, [x, y, a, factor] {
    const GradSink dx = grad_sink(x);
    if (a.inner == 1)
      kernels::spread_rows(grad_of(y), a.outer, a.length, factor, dx.data, dx.accumulate);
    else
      kernels::repeat_rows(grad_of(y), a.outer, a.length, a.inner, factor, dx.data, dx.accumulate);
  });
  return y;
}

}  // namespace

Tensor mean_pool(Tensor x) { return pooled("mean_pool", x, true); }
Tensor sum_pool(Tensor x) { return pooled("sum_pool", x, false); }

Tensor mean_pool(Tensor x, Tensor mask) { return masked("mean_pool", x, mask, true); }
Tensor sum_pool(Tensor x, Tensor mask) { return masked("sum_pool", x, mask, false); }

Tensor max_pool(Tensor x, Tensor mask) {
  const Pool p = pool_over("max_pool", x);
  if (mask) require_mask("max_pool", x, mask);
  Tensor y = x.tape().result(p.shape, {x});
  const auto rows_for = [&](std::int64_t n) {
    return static_cast<std::int32_t*>(x.tape().arena().bytes(static_cast<std::size_t>(n) * sizeof(std::int32_t)));
  };
  std::int32_t* winner = rows_for(y.size());
  const float* there = mask ? mask.data() : nullptr;
  const std::int64_t pieces = pieces_of(p.period);
  if (pieces == 1) {
    kernels::max_groups(x.data(), there, p.groups, p.period, p.cols, y.data(), winner);
  } else {
    const std::int64_t n = p.groups * pieces * p.cols;
    float* parts = x.tape().arena().floats(n);
    std::int32_t* rows_of_parts = rows_for(n);
    for_pieces(x.tape(), p.groups, p.period, pieces, [&](std::int64_t g, std::int64_t piece, std::int64_t first, std::int64_t rows) {
      const std::int64_t row = g * p.period + first, at = (g * pieces + piece) * p.cols;
      kernels::max_groups(x.data() + row * p.cols, there ? there + row : nullptr, 1, rows, p.cols, parts + at, rows_of_parts + at);
    });
    join_maxima(p, pieces, parts, rows_of_parts, y.data(), winner);
  }
  x.tape().on_backward(y, [x, y, winner, groups = p.groups, period = p.period, cols = p.cols] {
    const GradSink dx = grad_sink(x);
    if (!dx.accumulate)
      for_elements(x.tape(), x.size(), [&](std::int64_t first, std::int64_t n) { std::fill_n(dx.data + first, n, 0.0f); });
    kernels::add_to_rows(grad_of(y), winner, groups, period, cols, dx.data);
  });
  return y;
}
Tensor max_pool(Tensor x) { return max_pool(x, {}); }

Tensor sum_columns(Tensor x) {
  require(x.rank() >= 1, "sum_columns: needs at least one axis; got {}", shape_of(x));
  Tensor y = x.tape().result(x.shape().slice(0, -1), {x});
  const std::int64_t rows = y.size(), cols = x.cols();
  kernels::ordered_row_sums(x.data(), rows, cols, y.data());
  x.tape().on_backward(y, [x, y, rows, cols] {
    const GradSink dx = grad_sink(x);
    kernels::spread_rows(grad_of(y), rows, cols, 1.0f, dx.data, dx.accumulate);
  });
  return y;
}

namespace {
Tensor total(Tensor x, double factor) {
  Tensor y = x.tape().result({1}, {x});
  y.data()[0] = static_cast<float>(kernels::ordered_sum(x.data(), x.size()) * factor);
  x.tape().on_backward(y, [x, y, factor] {
    const GradSink dx = grad_sink(x);
    kernels::spread_rows(grad_of(y), 1, x.size(), static_cast<float>(factor), dx.data, dx.accumulate);
  });
  return y;
}
}  // namespace

Tensor mean(Tensor x) {
  require(x.size() > 0, "mean: needs at least one element; got {}", shape_of(x));
  return total(x, 1.0 / static_cast<double>(x.size()));
}
Tensor sum(Tensor x) { return total(x, 1.0); }
Tensor sum(Tensor x, int axis) { return summed("sum", x, axis, false); }
Tensor mean(Tensor x, int axis) { return summed("mean", x, axis, true); }

namespace {

double norm_of(std::span<const float> row, Norm kind) {
  double out = 0;
  for (const float x : row) {
    const double a = std::fabs(static_cast<double>(x));
    if (std::isnan(a)) return a;
    out = kind == Norm::max ? std::max(out, a) : out + (kind == Norm::one ? a : a * a);
  }
  return kind == Norm::two ? std::sqrt(out) : out;
}

}  // namespace

Tensor norm(Tensor x, Norm kind) {
  require(x.rank() >= 1 && x.cols() > 0, "norm: needs shape (..., d) with d >= 1; got {}", shape_of(x));
  Tensor y = x.tape().result(x.shape().slice(0, -1), {x});
  const std::int64_t rows = x.rows(), cols = x.cols();
  const auto row = [x, cols](std::int64_t i) { return std::span<const float>(x.data() + i * cols, static_cast<std::size_t>(cols)); };
  for (std::int64_t i = 0; i < rows; ++i) y.data()[i] = static_cast<float>(norm_of(row(i), kind));
  x.tape().on_backward(y, [x, y, kind, rows, cols, row] {
    const GradSink dx = grad_sink(x);
    for (std::int64_t i = 0; i < rows; ++i) {
      const std::span<const float> from = row(i);
      const auto largest = std::ranges::max_element(from, {}, [](float v) { return std::fabs(v); }) - from.begin();
      const double length = kind == Norm::two ? norm_of(from, kind) : 1;
      for (std::int64_t j = 0; j < cols; ++j) {
        const auto v = static_cast<double>(from[static_cast<std::size_t>(j)]);
        double slope = v > 0 ? 1 : v < 0 ? -1 : 0;
        if (kind == Norm::two) slope = length > 0 ? v / length : 0;
        if (kind == Norm::max && j != largest) slope = 0;
        const float part = grad_of(y)[i] * static_cast<float>(slope);
        float& to = dx.data[i * cols + j];
        to = dx.accumulate ? to + part : part;
      }
    }
  });
  return y;
}

}  // namespace bayesflow::ops
