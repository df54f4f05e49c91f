#include "autodiff/ops/gaussian_mixture.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "autodiff/check.hpp"
#include "bayesflow/autodiff/tape.hpp"

namespace bayesflow::ops {
namespace {

/// One row: log-densities of the weighted components. z (K, D) gets L_k (x - m_k).
double log_density(const Mixture& m, const float* x, const float* raw, double* of_components, double* z) {
  const std::int64_t d = m.width;
  double most_logit = -std::numeric_limits<double>::infinity();
  for (std::int64_t k = 0; k < m.components; ++k) most_logit = std::max(most_logit, static_cast<double>(raw[k]));
  double sum = 0;
  for (std::int64_t k = 0; k < m.components; ++k) sum += std::exp(static_cast<double>(raw[k]) - most_logit);
  const double log_sum = most_logit + std::log(sum), constant = 0.5 * static_cast<double>(d) * std::log(2 * std::numbers::pi);
  double most = -std::numeric_limits<double>::infinity();
  for (std::int64_t k = 0; k < m.components; ++k) {
    const float *mean = raw + m.components + k * d, *factor = raw + m.components * (1 + d) + k * m.factor(), *below = factor + d;
    double out = static_cast<double>(raw[k]) - log_sum - constant;
    for (std::int64_t i = 0; i < d; ++i) {
      const auto log_scale = static_cast<double>(factor[i]);
      double at = std::exp(log_scale) * (static_cast<double>(x[i]) - static_cast<double>(mean[i]));
      if (m.full)
        for (std::int64_t j = 0; j < i; ++j)
          at += static_cast<double>(*below++) * (static_cast<double>(x[j]) - static_cast<double>(mean[j]));
      z[k * d + i] = at;
      out += log_scale - 0.5 * at * at;
    }
    of_components[k] = out;
    most = std::max(most, out);
  }
  if (!std::isfinite(most)) return most;
  sum = 0;
  for (std::int64_t k = 0; k < m.components; ++k) sum += std::exp(of_components[k] - most);
  return most + std::log(sum);
}

double* doubles(Arena& arena, std::int64_t count) {
  return static_cast<double*>(arena.bytes(static_cast<std::size_t>(count) * sizeof(double)));
}

}  // namespace

Tensor gaussian_mixture_log_density(Tensor x, Tensor raw, const Mixture& m) {
  require(x.rank() >= 1 && x.cols() == m.width && raw.cols() == m.numbers() && raw.shape().slice(0, -1) == x.shape().slice(0, -1),
          "gaussian_mixture_log_density: {} components in {} dimensions need x (..., {}) and numbers (..., {}); got {} and {}",
          m.components, m.width, m.width, m.numbers(), shape_of(x), shape_of(raw));
  Tape& tape = x.tape();
  Tensor y = tape.result(x.shape().slice(0, -1), {x, raw});
  const std::int64_t rows = y.size(), d = m.width, numbers = m.numbers();
  {
    const Arena::Mark mark = tape.arena().mark();
    double *of_components = doubles(tape.arena(), m.components), *z = doubles(tape.arena(), m.components * d);
    for (std::int64_t r = 0; r < rows; ++r)
      y.data()[r] = static_cast<float>(log_density(m, x.data() + r * d, raw.data() + r * numbers, of_components, z));
    tape.arena().rewind(mark);
  }
  // With the share r_k of a component in the density and v = x - m_k: d log q / d logit = r_k - w_k, and of the component's own density
  // d / d log L_ii = 1 - z_i L_ii v_i, d / d L_ij = -z_i v_j, d / d v = -L^T z.
  tape.on_backward(y, [x, raw, y, m, rows, d, numbers] {
    Arena& arena = x.tape().backward_arena();
    double *of_components = doubles(arena, m.components), *z = doubles(arena, m.components * d), *slope = doubles(arena, d);
    float *dx = arena.floats(x.size()), *draw = arena.floats(raw.size());
    for (std::int64_t r = 0; r < rows; ++r) {
      const float *at = x.data() + r * d, *p = raw.data() + r * numbers;
      float *to_x = dx + r * d, *to = draw + r * numbers;
      const double total = log_density(m, at, p, of_components, z), g = static_cast<double>(detail::grad_of(y)[r]);
      double most = -std::numeric_limits<double>::infinity(), sum = 0;
      for (std::int64_t k = 0; k < m.components; ++k) most = std::max(most, static_cast<double>(p[k]));
      for (std::int64_t k = 0; k < m.components; ++k) sum += std::exp(static_cast<double>(p[k]) - most);
      std::fill_n(to_x, d, 0.0f);
      for (std::int64_t k = 0; k < m.components; ++k) {
        const float *mean = p + m.components + k * d, *factor = p + m.components * (1 + d) + k * m.factor(), *below = factor + d;
        float *to_mean = to + (mean - p), *to_factor = to + (factor - p), *to_below = to_factor + d;
        const double share = g * std::exp(of_components[k] - total);
        to[k] = static_cast<float>(share - g * std::exp(static_cast<double>(p[k]) - most) / sum);
        std::fill_n(slope, d, 0.0);
        for (std::int64_t i = 0; i < d; ++i) {
          const double scale = std::exp(static_cast<double>(factor[i])), zi = z[k * d + i];
          to_factor[i] = static_cast<float>(share * (1 - zi * scale * (static_cast<double>(at[i]) - static_cast<double>(mean[i]))));
          slope[i] -= zi * scale;
          for (std::int64_t j = 0; m.full && j < i; ++j) {
            *to_below++ = static_cast<float>(-share * zi * (static_cast<double>(at[j]) - static_cast<double>(mean[j])));
            slope[j] -= zi * static_cast<double>(*below++);
          }
        }
        for (std::int64_t i = 0; i < d; ++i) {
          to_mean[i] = static_cast<float>(-share * slope[i]);
          to_x[i] += static_cast<float>(share * slope[i]);
        }
      }
    }
    if (x.needs_grad()) detail::deliver(x, dx);
    if (raw.needs_grad()) detail::deliver(raw, draw);
  });
  return y;
}

}  // namespace bayesflow::ops
