/// Parts of normalizing flows.
#include "bayesflow/autodiff/ops/flow.hpp"

#include <algorithm>
#include <cmath>

#include "autodiff/check.hpp"
#include "autodiff/spline.hpp"
#include "kernels/elementwise.hpp"
#include "kernels/ordered.hpp"

namespace bayesflow::ops {
namespace {

using detail::deliver;
using detail::grad_of;
using detail::grad_sink;
using detail::GradSink;

/// Delivers to a vector the sums of the columns of a b, or of a if b is null.
void deliver_columns(Tensor to, std::int64_t rows, std::int64_t cols, const float* a, const float* b) {
  if (!to.needs_grad()) return;
  const GradSink d = grad_sink(to);
  kernels::column_dots(a, b, rows, cols, d.data, d.accumulate);
}

double* doubles(Arena& arena, std::int64_t count) {
  return static_cast<double*>(arena.bytes(static_cast<std::size_t>(count) * sizeof(double)));
}

/// LU factors with partial pivoting, in double precision; the arena holds them.
struct Lu {
  std::int64_t n;
  double *a, *x;  // the factors, and a column of the inverse
  std::int64_t* pivot;
  Lu(Tensor w, Arena& arena)
      : n(w.dim(0)),
        a(doubles(arena, n * n)),
        x(doubles(arena, n)),
        pivot(static_cast<std::int64_t*>(arena.bytes(static_cast<std::size_t>(n) * sizeof(std::int64_t)))) {
    for (std::int64_t i = 0; i < n * n; ++i) a[i] = static_cast<double>(w.data()[i]);
    for (std::int64_t k = 0; k < n; ++k) {
      std::int64_t p = k;
      for (std::int64_t i = k + 1; i < n; ++i)
        if (std::fabs(at(i, k)) > std::fabs(at(p, k))) p = i;
      pivot[k] = p;
      for (std::int64_t j = 0; j < n && p != k; ++j) std::swap(at(k, j), at(p, j));
      for (std::int64_t i = k + 1; i < n; ++i) {
        at(i, k) /= at(k, k);
        for (std::int64_t j = k + 1; j < n; ++j) at(i, j) -= at(i, k) * at(k, j);
      }
    }
  }
  double& at(std::int64_t i, std::int64_t j) { return a[i * n + j]; }
  double log_abs_det() {
    double s = 0;
    for (std::int64_t i = 0; i < n; ++i) s += std::log(std::fabs(at(i, i)));
    return s;
  }
  /// Column `c` of the inverse, valid until the next call.
  const double* inverse_column(std::int64_t c) {
    for (std::int64_t i = 0; i < n; ++i) x[i] = i == c ? 1.0 : 0.0;
    for (std::int64_t k = 0; k < n; ++k) std::swap(x[k], x[pivot[k]]);
    for (std::int64_t i = 0; i < n; ++i)
      for (std::int64_t j = 0; j < i; ++j) x[i] -= at(i, j) * x[j];
    for (std::int64_t i = n; i-- > 0;) {
      for (std::int64_t j = i + 1; j < n; ++j) x[i] -= at(i, j) * x[j];
      x[i] /= at(i, i);
    }
    return x;
  }
};

void square(const char* op, Tensor w) {
  require(w.rank() == 2 && w.dim(0) == w.dim(1), "{}: needs a square matrix; got {}", op, shape_of(w));
}

void check_columns(const char* op, Tensor x, Tensor s, Tensor b) {
  require(s.size() == x.cols() && b.size() == x.cols(), "{}: x {} needs scale and bias of its last width; got {} and {}", op, shape_of(x),
          shape_of(s), shape_of(b));
}

}  // namespace

Tensor affine_columns(Tensor x, Tensor s, Tensor b) {
  check_columns("affine_columns", x, s, b);
  Tensor y = x.tape().result(x.shape(), {x, s, b});
  const std::int64_t rows = x.rows(), cols = x.cols();
  kernels::affine_columns(x.data(), s.data(), b.data(), rows, cols, y.data());
  x.tape().on_backward(y, [x, s, b, y, rows, cols] {
    const float* dy = grad_of(y);
    if (x.needs_grad()) {
      const GradSink dx = grad_sink(x);
      kernels::scale_columns(dy, s.data(), rows, cols, dx.data, dx.accumulate);
    }
    deliver_columns(s, rows, cols, dy, x.data());
    deliver_columns(b, rows, cols, dy, nullptr);
  });
  return y;
}

Tensor affine_columns_inverse(Tensor y, Tensor s, Tensor b) {
  check_columns("affine_columns_inverse", y, s, b);
  Tensor x = y.tape().result(y.shape(), {});
  const std::int64_t rows = y.rows(), cols = y.cols();
  kernels::affine_columns_inverse(y.data(), s.data(), b.data(), rows, cols, x.data());
  return x;
}

Tensor log_abs_sum(Tensor s) {
  Tensor y = s.tape().result({1}, {s});
  double total = 0;
  for (std::int64_t i = 0, n = s.size(); i < n; ++i) total += std::log(std::fabs(static_cast<double>(s.data()[i])));
  y.data()[0] = static_cast<float>(total);
  s.tape().on_backward(y, [s, y] {
    const GradSink ds = grad_sink(s);
    for (std::int64_t i = 0, n = s.size(); i < n; ++i) ds.data[i] = grad_of(y)[0] / s.data()[i] + (ds.accumulate ? ds.data[i] : 0.0f);
  });
  return y;
}

Tensor log_abs_det(Tensor w) {
  square("log_abs_det", w);
  Tensor y = w.tape().result({1}, {w});
  y.data()[0] = static_cast<float>(Lu(w, w.tape().arena()).log_abs_det());
  // d log|det W| / dW = W^-T
  w.tape().on_backward(y, [w, y] {
    const std::int64_t n = w.dim(0);
    const GradSink d = grad_sink(w);
    Lu lu(w, w.tape().backward_arena());
    for (std::int64_t c = 0; c < n; ++c) {
      const double* column = lu.inverse_column(c);
      for (std::int64_t r = 0; r < n; ++r) {
        const float g = grad_of(y)[0] * static_cast<float>(column[r]);
        d.data[c * n + r] = d.accumulate ? d.data[c * n + r] + g : g;
      }
    }
  });
  return y;
}

Tensor inverse_matrix(Tensor w) {
  square("inverse_matrix", w);
  const std::int64_t n = w.dim(0);
  Tensor y = w.tape().result(w.shape(), {});
  Lu lu(w, w.tape().arena());
  for (std::int64_t c = 0; c < n; ++c) {
    const double* column = lu.inverse_column(c);
    for (std::int64_t r = 0; r < n; ++r) y.data()[r * n + c] = static_cast<float>(column[r]);
  }
  return y;
}

Transformed affine_coupling(Tensor u, Tensor s, Tensor t, float clamp) {
  require(u.shape() == s.shape() && u.shape() == t.shape(), "affine_coupling: shapes of u, s and t must be equal; got {}, {} and {}",
          shape_of(u), shape_of(s), shape_of(t));
  Tape& tape = u.tape();
  Transformed out{tape.result(u.shape(), {u, s, t}), tape.result(u.shape().slice(0, -1), {s})};
  const std::int64_t n = u.size(), cols = u.cols(), rows = out.log_det.size();
  float *q = tape.arena().floats(n), *e = tape.arena().floats(n);
  kernels::affine_forward(u.data(), s.data(), t.data(), clamp, out.value.data(), q, e, n);
  kernels::ordered_row_sums(q, rows, cols, out.log_det.data());
  const Tensor both[] = {out.value, out.log_det};
  tape.on_backward_of_any(both, [out, u, s, t, e, clamp, n, cols, rows] {
    Arena& arena = u.tape().backward_arena();
    const float *dv = detail::grad_or_zero(out.value), *dl = s.needs_grad() ? detail::grad_or_zero(out.log_det) : nullptr;
    if (t.needs_grad()) deliver(t, dv);
    float *dq = arena.floats(n), *du = arena.floats(n), *ds = arena.floats(n);
    for (std::int64_t i = 0; i < rows; ++i) std::fill_n(dq + i * cols, cols, dl ? dl[i] : 0.0f);
    kernels::affine_backward(u.data(), s.data(), e, dv, dq, clamp, du, ds, n);
    deliver(u, du);
    deliver(s, ds);
  });
  return out;
}

Tensor affine_coupling_inverse(Tensor v, Tensor s, Tensor t, float clamp) {
  require(v.shape() == s.shape() && v.shape() == t.shape(),
          "affine_coupling_inverse: shapes of v, s and t must be equal; got {}, {} and {}", shape_of(v), shape_of(s), shape_of(t));
  Tensor u = v.tape().result(v.shape(), {});
  kernels::affine_inverse(v.data(), s.data(), t.data(), clamp, u.data(), v.size());
  return u;
}

SplineOptions v1_spline_options(std::int64_t bins) { return {.bins = bins, .log_offset = 1e-10, .min_bin = 0, .min_slope = 0}; }

namespace {
void check_spline(const char* op, Tensor u, Tensor parameters, const SplineOptions& o) {
  require(o.bins >= 1, "{}: needs at least one bin; got {}", op, o.bins);
  require(parameters.cols() == u.cols() * (3 * o.bins + 1) && parameters.rows() * u.cols() == u.size(),
          "{}: values {} and {} bins need parameters of last width {}; got {}", op, shape_of(u), o.bins, u.cols() * (3 * o.bins + 1),
          shape_of(parameters));
}
double* work_space(Arena& arena, std::int64_t bins) {
  return static_cast<double*>(arena.bytes(static_cast<std::size_t>(5 * (bins + 1)) * sizeof(double)));
}
}  // namespace

Transformed spline_coupling(Tensor u, Tensor parameters, const SplineOptions& o) {
  check_spline("spline_coupling", u, parameters, o);
  Tape& tape = u.tape();
  Transformed out{tape.result(u.shape(), {u, parameters}), tape.result(u.shape().slice(0, -1), {u, parameters})};
  const std::int64_t rows = out.log_det.size(), cols = u.cols(), width = 3 * o.bins + 1;
  // Knots are kept for the backward pass: making them again would cost as much as all the rest.
  const std::int64_t each = 5 * (o.bins + 1);
  const bool keep = out.value.needs_grad();
  auto* kept = static_cast<double*>(tape.arena().bytes(static_cast<std::size_t>(each * (keep ? rows * cols : 1)) * sizeof(double)));
  for (std::int64_t i = 0; i < rows; ++i) {
    double sum = 0;
    for (std::int64_t j = 0; j < cols; ++j) {
      const std::int64_t at = i * cols + j;
      const spline::Knots knots = spline::make_knots(parameters.data() + at * width, o, keep ? kept + at * each : kept);
      const spline::Value v = spline::forward(knots, static_cast<double>(u.data()[at]));
      out.value.data()[at] = static_cast<float>(v.value);
      sum += v.log_slope;
    }
    out.log_det.data()[i] = static_cast<float>(sum);
  }
  const Tensor both[] = {out.value, out.log_det};
  tape.on_backward_of_any(both, [out, u, parameters, o, kept, each, rows, cols, width] {
    const float *dv = detail::grad_or_zero(out.value), *dl = detail::grad_or_zero(out.log_det);
    Arena& arena = u.tape().backward_arena();
    float* draw = arena.floats(parameters.size());
    std::fill_n(draw, parameters.size(), 0.0f);
    float* du = arena.floats(u.size());
    double* work = work_space(arena, o.bins);
    for (std::int64_t at = 0; at < rows * cols; ++at) {
      double* k = kept + at * each;
      const std::int64_t n = o.bins + 1;
      const spline::Knots knots{o.bins, k, k + n, k + 2 * n, k + 3 * n, k + 4 * n, k[2 * n], o.log_offset};
      du[at] =
          static_cast<float>(spline::backward(knots, parameters.data() + at * width, o, static_cast<double>(u.data()[at]),
                                              static_cast<double>(dv[at]), static_cast<double>(dl[at / cols]), draw + at * width, work));
    }
    deliver(u, du);
    deliver(parameters, draw);
  });
  return out;
}

Tensor spline_coupling_inverse(Tensor v, Tensor parameters, const SplineOptions& o) {
  check_spline("spline_coupling_inverse", v, parameters, o);
  Tensor u = v.tape().result(v.shape(), {});
  Arena& arena = v.tape().arena();
  const Arena::Mark mark = arena.mark();
  double* work = work_space(arena, o.bins);
  const std::int64_t width = 3 * o.bins + 1;
  for (std::int64_t at = 0, n = v.size(); at < n; ++at)
    u.data()[at] =
        static_cast<float>(spline::inverse(spline::make_knots(parameters.data() + at * width, o, work), static_cast<double>(v.data()[at])));
  arena.rewind(mark);
  return u;
}

}  // namespace bayesflow::ops
