/// Sums, means and maxima.
#include <algorithm>

#include "autodiff/check.hpp"
#include "bayesflow/autodiff/ops/reduce.hpp"
#include "kernels/elementwise.hpp"

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
  kernels::sum_groups(x.data(), p.groups, p.period, p.cols, factor, y.data(), false);
  x.tape().on_backward(y, [x, y, factor, groups = p.groups, period = p.period, cols = p.cols] {
    const GradSink dx = detail::masked_grad_sink(x);
    kernels::repeat_rows(grad_of(y), groups, period, cols, factor, dx.data, dx.accumulate, x.node()->relu ? x.data() : nullptr);
  });
  return y;
}

}  // namespace

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
