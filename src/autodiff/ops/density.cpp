/// Log-densities, distances between samples, and normalized kernels.
#include "bayesflow/autodiff/ops/density.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "autodiff/check.hpp"
#include "autodiff/mmd_kernel.hpp"
#include "kernels/elementwise.hpp"
#include "kernels/ordered.hpp"

namespace bayesflow::ops {
namespace {

using detail::grad_of;
using detail::grad_sink;
using detail::GradSink;
using detail::kernel;

constexpr double kLog2Pi = 1.8378770664093454836;
constexpr double kPi = 3.14159265358979323846;

double squared_distance(const float* a, const float* b, std::int64_t d) {
  double s = 0;
  for (std::int64_t j = 0; j < d; ++j) {
    const double v = static_cast<double>(a[j]) - static_cast<double>(b[j]);
    s += v * v;
  }
  return s;
}

/// psi(x) = d/dx log Gamma(x), x > 0: recurrence up to 8, asymptotic series beyond. Within 1e-13.
double digamma(double x) {
  double shift = 0;
  for (; x < 8; ++x) shift -= 1 / x;
  const double s = 1 / (x * x);
  return shift + std::log(x) - 0.5 / x -
         s * (1.0 / 12 - s * (1.0 / 120 - s * (1.0 / 252 - s * (1.0 / 240 - s * (1.0 / 132 - s * 691.0 / 32760)))));
}

/// psi'(x), in the same way.
double trigamma(double x) {
  double shift = 0;
  for (; x < 8; ++x) shift += 1 / (x * x);
  const double s = 1 / (x * x);
  return shift + 1 / x + 0.5 * s + s / x * (1.0 / 6 - s * (1.0 / 30 - s * (1.0 / 42 - s * (1.0 / 30 - s * 5.0 / 66))));
}

}  // namespace

Tensor gaussian_log_density(Tensor z) {
  Tensor y = z.tape().result(z.shape().slice(0, -1), {z});
  const std::int64_t rows = y.size(), cols = z.cols();
  kernels::ordered_row_squares(z.data(), rows, cols, y.data());
  const auto constant = static_cast<float>(0.5 * kLog2Pi * static_cast<double>(cols));
  for (std::int64_t i = 0; i < rows; ++i) y.data()[i] = -0.5f * y.data()[i] - constant;
  z.tape().on_backward(y, [z, y, rows, cols] {
    const GradSink d = grad_sink(z);
    Arena& arena = z.tape().backward_arena();
    const Arena::Mark mark = arena.mark();
    float* factors = arena.floats(rows);
    kernels::scale(grad_of(y), -1.0f, factors, rows);
    kernels::scale_rows(z.data(), factors, rows, cols, d.data, d.accumulate);
    arena.rewind(mark);
  });
  return y;
}

Tensor student_t_log_density(Tensor z, float df) {
  if (!(df > 0) || !std::isfinite(df))
    throw ArgumentError(fmt::format("student_t_log_density: df must be positive and finite; got {}", df));
  Tensor y = z.tape().result(z.shape().slice(0, -1), {z});
  const std::int64_t rows = y.size(), cols = z.cols();
  const double v = static_cast<double>(df), d = static_cast<double>(cols);
  const double constant = std::lgamma(0.5 * (v + d)) - std::lgamma(0.5 * v) - 0.5 * d * std::log(v * kPi);
  for (std::int64_t i = 0; i < rows; ++i) {
    double s = 0;
    for (std::int64_t j = 0; j < cols; ++j) s += static_cast<double>(z.data()[i * cols + j]) * static_cast<double>(z.data()[i * cols + j]);
    y.data()[i] = static_cast<float>(constant - 0.5 * (v + d) * std::log1p(s / v));
  }
  z.tape().on_backward(y, [z, y, rows, cols, v, d] {
    const GradSink sink = grad_sink(z);
    for (std::int64_t i = 0; i < rows; ++i) {
      double s = 0;
      for (std::int64_t j = 0; j < cols; ++j)
        s += static_cast<double>(z.data()[i * cols + j]) * static_cast<double>(z.data()[i * cols + j]);
      const auto factor = static_cast<float>(-(v + d) / (v + s)) * grad_of(y)[i];
      for (std::int64_t j = 0; j < cols; ++j) {
        const float g = factor * z.data()[i * cols + j];
        sink.data[i * cols + j] = sink.accumulate ? sink.data[i * cols + j] + g : g;
      }
    }
  });
  return y;
}

Tensor dirichlet_kl(Tensor alpha) {
  require(alpha.rank() >= 1 && alpha.cols() > 0, "dirichlet_kl: needs shape (..., d) with d >= 1; got {}", shape_of(alpha));
  Tensor y = alpha.tape().result(alpha.shape().slice(0, -1), {alpha});
  const std::int64_t rows = alpha.rows(), cols = alpha.cols();
  for (std::int64_t i = 0; i < rows; ++i) {
    const float* a = alpha.data() + i * cols;
    double total = 0, kl = -std::lgamma(static_cast<double>(cols));
    for (std::int64_t j = 0; j < cols; ++j) total += static_cast<double>(a[j]);
    const double psi = digamma(total);
    for (std::int64_t j = 0; j < cols; ++j) {
      const auto v = static_cast<double>(a[j]);
      kl += (v - 1) * (digamma(v) - psi) - std::lgamma(v);
    }
    y.data()[i] = static_cast<float>(kl + std::lgamma(total));
  }
  alpha.tape().on_backward(y, [alpha, y, rows, cols] {
    const GradSink d = grad_sink(alpha);
    for (std::int64_t i = 0; i < rows; ++i) {
      const float* a = alpha.data() + i * cols;
      double total = 0;
      for (std::int64_t j = 0; j < cols; ++j) total += static_cast<double>(a[j]);
      const double common = (total - static_cast<double>(cols)) * trigamma(total);
      for (std::int64_t j = 0; j < cols; ++j) {
        const auto v = static_cast<double>(a[j]);
        const float part = grad_of(y)[i] * static_cast<float>((v - 1) * trigamma(v) - common);
        float& to = d.data[i * cols + j];
        to = d.accumulate ? to + part : part;
      }
    }
  });
  return y;
}

Tensor mmd(Tensor x, Tensor y) {
  require(x.rank() == 2 && y.rank() == 2 && x.cols() == y.cols() && x.rows() > 0 && y.rows() > 0,
          "mmd: needs two samples (n, d) and (m, d); got {} and {}", shape_of(x), shape_of(y));
  Tensor out = x.tape().result({1}, {x, y});
  const std::int64_t d = x.cols();
  const auto mean_kernel = [d](Tensor a, Tensor b) {
    double s = 0;
    for (std::int64_t i = 0; i < a.rows(); ++i)
      for (std::int64_t j = 0; j < b.rows(); ++j) s += kernel(squared_distance(a.data() + i * d, b.data() + j * d, d)).value;
    return s / static_cast<double>(a.rows() * b.rows());
  };
  out.data()[0] = static_cast<float>(mean_kernel(x, x) + mean_kernel(y, y) - 2 * mean_kernel(x, y));
  x.tape().on_backward(out, [x, y, out, d] {
    const auto part = [&](Tensor to, Tensor other) {
      if (!to.needs_grad()) return;
      const GradSink sink = grad_sink(to);
      const std::int64_t a = to.rows(), b = other.rows();
      for (std::int64_t i = 0; i < a; ++i)
        for (std::int64_t k = 0; k < d; ++k) {
          const float* row = to.data() + i * d;
          double g = 0;
          for (std::int64_t j = 0; j < a; ++j)
            g += 4.0 / static_cast<double>(a * a) * kernel(squared_distance(row, to.data() + j * d, d)).slope *
                 (static_cast<double>(row[k]) - static_cast<double>(to.data()[j * d + k]));
          for (std::int64_t j = 0; j < b; ++j)
            g -= 4.0 / static_cast<double>(a * b) * kernel(squared_distance(row, other.data() + j * d, d)).slope *
                 (static_cast<double>(row[k]) - static_cast<double>(other.data()[j * d + k]));
          const float value = static_cast<float>(g) * grad_of(out)[0];
          sink.data[i * d + k] = sink.accumulate ? sink.data[i * d + k] + value : value;
        }
    };
    part(x, y);
    part(y, x);
  });
  return out;
}

Tensor spectral_normalize(Tensor kernel, std::span<const float> u) {
  require(kernel.rank() == 2 && static_cast<std::int64_t>(u.size()) == kernel.dim(1),
          "spectral_normalize: kernel {} needs a vector of {} values; got {}", shape_of(kernel), kernel.dim(1), u.size());
  Tape& tape = kernel.tape();
  const std::int64_t k = kernel.dim(0), n = kernel.dim(1);
  float *left = tape.arena().floats(k), *right = tape.arena().floats(n);
  const float* w = kernel.data();
  const auto normalize = [](float* v, std::int64_t size) {
    double s = 1e-12;
    for (std::int64_t i = 0; i < size; ++i) s += static_cast<double>(v[i]) * static_cast<double>(v[i]);
    const auto r = static_cast<float>(1.0 / std::sqrt(s));
    for (std::int64_t i = 0; i < size; ++i) v[i] *= r;
  };
  // left = W u, right = W^T left
  for (std::int64_t i = 0; i < k; ++i) {
    left[i] = 0;
    for (std::int64_t j = 0; j < n; ++j) left[i] += w[i * n + j] * u[static_cast<std::size_t>(j)];
  }
  normalize(left, k);
  std::fill_n(right, n, 0.0f);
  for (std::int64_t i = 0; i < k; ++i)
    for (std::int64_t j = 0; j < n; ++j) right[j] += left[i] * w[i * n + j];
  normalize(right, n);
  double sigma = 0;
  for (std::int64_t i = 0; i < k; ++i)
    for (std::int64_t j = 0; j < n; ++j)
      sigma += static_cast<double>(left[i]) * static_cast<double>(w[i * n + j]) * static_cast<double>(right[j]);
  Tensor y = tape.result(kernel.shape(), {kernel});
  const auto divisor = static_cast<float>(std::max(1.0, sigma));
  for (std::int64_t i = 0; i < k * n; ++i) y.data()[i] = w[i] / divisor;
  tape.on_backward(y, [kernel, y, left, right, divisor, k, n] {
    // W / sigma: (dY - <dY, Y> left right^T) / sigma where sigma > 1, else dY
    const GradSink d = grad_sink(kernel);
    double inner = 0;
    if (divisor > 1)
      for (std::int64_t i = 0; i < k * n; ++i) inner += static_cast<double>(grad_of(y)[i]) * static_cast<double>(y.data()[i]);
    for (std::int64_t i = 0; i < k; ++i)
      for (std::int64_t j = 0; j < n; ++j) {
        const float g = (grad_of(y)[i * n + j] - static_cast<float>(inner) * left[i] * right[j]) / divisor;
        d.data[i * n + j] = d.accumulate ? d.data[i * n + j] + g : g;
      }
  });
  return y;
}

}  // namespace bayesflow::ops
