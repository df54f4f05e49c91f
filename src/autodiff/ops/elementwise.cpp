/// Elementwise operations.
#include "bayesflow/autodiff/ops/elementwise.hpp"

#include <algorithm>
#include <cmath>

#include "autodiff/check.hpp"
#include "autodiff/ops/dropout.hpp"
#include "autodiff/ops/pieces.hpp"
#include "bayesflow/autodiff/ops/attention.hpp"
#include "kernels/elementwise.hpp"
#include "kernels/ordered.hpp"

namespace bayesflow::ops {
namespace {

using detail::deliver;
using detail::grad_of;
using detail::grad_sink;
using detail::GradSink;

void same_shape(const char* op, Tensor a, Tensor b) {
  require(a.shape() == b.shape(), "{}: shapes must be equal; got {} and {}", op, shape_of(a), shape_of(b));
}

}  // namespace

Tensor activate(Tensor x, Activation activation) {
  if (activation == Activation::softmax) return softmax(x);
  Tensor y = x.tape().result(x.shape(), {x});
  for_elements(x.tape(), x.size(), [&](std::int64_t i, std::int64_t n) { kernels::activate(activation, x.data() + i, y.data() + i, n); });
  x.tape().on_backward(y, [x, y, activation] {
    Arena& arena = x.tape().backward_arena();
    const GradSink dx = grad_sink(x);
    const float* at = kernels::needs_input(activation) ? x.data() : y.data();
    const Arena::Mark mark = arena.mark();
    float* part = dx.accumulate ? arena.floats(x.size()) : dx.data;
    for_elements(x.tape(), x.size(), [&](std::int64_t i, std::int64_t n) {
      kernels::activate_backward(activation, at + i, grad_of(y) + i, part + i, n);
      if (dx.accumulate) kernels::add(dx.data + i, part + i, n);
    });
    arena.rewind(mark);
  });
  return y;
}

Tensor add(Tensor a, Tensor b) {
  same_shape("add", a, b);
  Tensor y = a.tape().result(a.shape(), {a, b});
  for_elements(a.tape(), a.size(), [&](std::int64_t i, std::int64_t n) {
    std::copy_n(a.data() + i, n, y.data() + i);
    kernels::add(y.data() + i, b.data() + i, n);
  });
  a.tape().on_backward(y, [a, b, y] {
    deliver(a, grad_of(y));
    deliver(b, grad_of(y));
  });
  return y;
}

Tensor subtract(Tensor a, Tensor b) {
  same_shape("subtract", a, b);
  Tensor y = a.tape().result(a.shape(), {a, b});
  for_elements(a.tape(), a.size(), [&](std::int64_t i, std::int64_t n) {
    std::copy_n(a.data() + i, n, y.data() + i);
    kernels::add_scaled(y.data() + i, b.data() + i, -1.0f, n);
  });
  a.tape().on_backward(y, [a, b, y] {
    deliver(a, grad_of(y));
    deliver(b, grad_of(y), -1.0f);
  });
  return y;
}

Tensor multiply(Tensor a, Tensor b) {
  same_shape("multiply", a, b);
  Tensor y = a.tape().result(a.shape(), {a, b});
  for_elements(a.tape(), a.size(), [&](std::int64_t i, std::int64_t n) { kernels::multiply(a.data() + i, b.data() + i, y.data() + i, n); });
  a.tape().on_backward(y, [a, b, y] {
    const auto part = [&](Tensor to, Tensor other) {
      if (!to.needs_grad()) return;
      const GradSink d = grad_sink(to);
      for_elements(a.tape(), y.size(), [&](std::int64_t i, std::int64_t n) {
        (d.accumulate ? kernels::multiply_add : kernels::multiply)(grad_of(y) + i, other.data() + i, d.data + i, n);
      });
    };
    part(a, b);
    part(b, a);
  });
  return y;
}

Tensor scale(Tensor x, float factor) {
  Tensor y = x.tape().result(x.shape(), {x});
  for_elements(x.tape(), x.size(), [&](std::int64_t i, std::int64_t n) { kernels::scale(x.data() + i, factor, y.data() + i, n); });
  x.tape().on_backward(y, [x, y, factor] { deliver(x, grad_of(y), factor); });
  return y;
}

Tensor log(Tensor x) {
  Tensor y = x.tape().result(x.shape(), {x});
  for (std::int64_t i = 0, n = x.size(); i < n; ++i) y.data()[i] = std::log(x.data()[i]);
  x.tape().on_backward(y, [x, y] {
    const GradSink dx = grad_sink(x);
    for (std::int64_t i = 0, n = x.size(); i < n; ++i) {
      const float part = grad_of(y)[i] / x.data()[i];
      dx.data[i] = dx.accumulate ? dx.data[i] + part : part;
    }
  });
  return y;
}

Tensor add_scalar(Tensor x, Tensor s) {
  require(s.size() == 1, "add_scalar: needs one element to add; got {}", shape_of(s));
  Tensor y = x.tape().result(x.shape(), {x, s});
  for (std::int64_t i = 0, n = x.size(); i < n; ++i) y.data()[i] = x.data()[i] + s.data()[0];
  x.tape().on_backward(y, [x, s, y] {
    deliver(x, grad_of(y));
    if (!s.needs_grad()) return;
    const auto sum = static_cast<float>(kernels::ordered_sum(grad_of(y), y.size()));
    deliver(s, &sum);
  });
  return y;
}

Tensor dropout(Tensor x, float p) {
  if (!(p >= 0 && p < 1)) throw ArgumentError(fmt::format("dropout: p must be in [0, 1), so that something is kept; got {}", p));
  if (p == 0) return x;
  Tensor y = x.tape().result(x.shape(), {x});
  float* mask = x.tape().arena().floats(x.size());
  x.tape().rng().fill_kept({mask, static_cast<std::size_t>(x.size())}, detail::dropout_threshold(p), detail::dropout_scale(p));
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

}  // namespace bayesflow::ops
