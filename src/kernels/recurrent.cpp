#include "kernels/recurrent.hpp"

#include <algorithm>

#include "kernels/targets.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/recurrent.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/vectors-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace bayesflow::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// s (1 - s), the slope of a sigmoid from its value; 1 - t^2, that of a tanh.
HWY_INLINE V sigmoid_slope(V s) { return hn::NegMulAdd(s, s, s); }
HWY_INLINE V tanh_slope(V t) { return hn::NegMulAdd(t, t, hn::Set(D(), 1.0f)); }
/// Highway's Tanh makes a number of NaN.
HWY_INLINE V tangent(V x) { return hn::IfThenElse(hn::IsNaN(x), x, hn::Tanh(D(), x)); }

HWY_INLINE bool absent(const CellStep& s, std::int64_t row) { return s.mask && s.mask[row * s.mask_stride] == 0; }

void lstm_step(const CellStep& s) {
  const std::int64_t n = s.units;
  for (std::int64_t r = 0; r < s.rows; ++r) {
    float* gates = s.gates + r * s.gate_stride;
    float* c = s.other + r * s.state_stride;
    float* h = s.h + r * s.state_stride;
    const float* c_before = s.other_before + r * s.before_stride;
    const float* h_before = s.h_before + r * s.before_stride;
    if (absent(s, r)) {
      std::copy_n(c_before, n, c);
      std::copy_n(h_before, n, h);
      continue;
    }
    for_vectors(n, [&](std::int64_t j, hn::Mask<D> m, auto w) HWY_ATTR {
      const V in = logistic(load(gates + j, m, w)), forget = logistic(load(gates + n + j, m, w));
      const V candidate = tangent(load(gates + 2 * n + j, m, w)), out = logistic(load(gates + 3 * n + j, m, w));
      const V cell = hn::MulAdd(forget, load(c_before + j, m, w), hn::Mul(in, candidate));
      store(in, gates + j, m, w);
      store(forget, gates + n + j, m, w);
      store(candidate, gates + 2 * n + j, m, w);
      store(out, gates + 3 * n + j, m, w);
      store(cell, c + j, m, w);
      store(hn::Mul(out, tangent(cell)), h + j, m, w);
    });
  }
}

void gru_step(const CellStep& s) {
  const V one = hn::Set(D(), 1.0f);
  const std::int64_t n = s.units;
  for (std::int64_t r = 0; r < s.rows; ++r) {
    float* gates = s.gates + r * s.gate_stride;
    const float* other = s.other + r * s.state_stride;
    float* h = s.h + r * s.state_stride;
    const float* h_before = s.h_before + r * s.before_stride;
    if (absent(s, r)) {
      std::copy_n(h_before, n, h);
      continue;
    }
    for_vectors(n, [&](std::int64_t j, hn::Mask<D> m, auto w) HWY_ATTR {
      const V update = logistic(load(gates + j, m, w)), reset = logistic(load(gates + n + j, m, w));
      const V candidate = tangent(hn::MulAdd(reset, load(other + j, m, w), load(gates + 2 * n + j, m, w)));
      store(update, gates + j, m, w);
      store(reset, gates + n + j, m, w);
      store(candidate, gates + 2 * n + j, m, w);
      store(hn::MulAdd(update, load(h_before + j, m, w), hn::Mul(hn::Sub(one, update), candidate)), h + j, m, w);
    });
  }
}

/// dh with what comes from outside added. For a step that a sequence does not have, gradients pass by: those of `gates` gates are 0.
HWY_INLINE bool begin_backward(const CellStep& s, const CellGradients& g, std::int64_t r, std::int64_t gates) {
  const std::int64_t n = s.units;
  float* dh = g.dh + r * n;
  if (g.dy)
    for_vectors(n, [&](std::int64_t j, hn::Mask<D> m, auto w)
                       HWY_ATTR { store(hn::Add(load(dh + j, m, w), load(g.dy + r * g.dy_stride + j, m, w)), dh + j, m, w); });
  if (!absent(s, r)) return true;
  std::fill_n(s.gates + r * s.gate_stride, gates * n, 0.0f);
  return false;
}

void lstm_step_backward(const CellStep& s, const CellGradients& g) {
  const D d;
  const std::int64_t n = s.units;
  for (std::int64_t r = 0; r < s.rows; ++r) {
    if (!begin_backward(s, g, r, 4)) continue;
    float* gates = s.gates + r * s.gate_stride;
    const float* c = s.other + r * s.state_stride;
    const float* c_before = s.other_before + r * s.before_stride;
    float* dh = g.dh + r * n;
    float* dc = g.dc + r * n;
    for_vectors(n, [&](std::int64_t j, hn::Mask<D> m, auto w) HWY_ATTR {
      const V in = load(gates + j, m, w), forget = load(gates + n + j, m, w), candidate = load(gates + 2 * n + j, m, w);
      const V out = load(gates + 3 * n + j, m, w), cell = tangent(load(c + j, m, w)), given = load(dh + j, m, w);
      const V dcell = hn::MulAdd(hn::Mul(given, out), tanh_slope(cell), load(dc + j, m, w));
      store(hn::Mul(hn::Mul(dcell, candidate), sigmoid_slope(in)), gates + j, m, w);
      store(hn::Mul(hn::Mul(dcell, load(c_before + j, m, w)), sigmoid_slope(forget)), gates + n + j, m, w);
      store(hn::Mul(hn::Mul(dcell, in), tanh_slope(candidate)), gates + 2 * n + j, m, w);
      store(hn::Mul(hn::Mul(given, cell), sigmoid_slope(out)), gates + 3 * n + j, m, w);
      store(hn::Mul(dcell, forget), dc + j, m, w);
      store(hn::Zero(d), dh + j, m, w);
    });
  }
}

void gru_step_backward(const CellStep& s, const CellGradients& g) {
  const V one = hn::Set(D(), 1.0f);
  const std::int64_t n = s.units;
  for (std::int64_t r = 0; r < s.rows; ++r) {
    float* other = s.other + r * s.state_stride;
    if (!begin_backward(s, g, r, 3)) {
      std::fill_n(other, n, 0.0f);
      continue;
    }
    float* gates = s.gates + r * s.gate_stride;
    const float* h_before = s.h_before + r * s.before_stride;
    float* dh = g.dh + r * n;
    for_vectors(n, [&](std::int64_t j, hn::Mask<D> m, auto w) HWY_ATTR {
      const V update = load(gates + j, m, w), reset = load(gates + n + j, m, w), candidate = load(gates + 2 * n + j, m, w);
      const V given = load(dh + j, m, w), before = load(h_before + j, m, w);
      const V dcandidate = hn::Mul(hn::Mul(given, hn::Sub(one, update)), tanh_slope(candidate));
      store(hn::Mul(hn::Mul(given, hn::Sub(before, candidate)), sigmoid_slope(update)), gates + j, m, w);
      store(hn::Mul(hn::Mul(dcandidate, load(other + j, m, w)), sigmoid_slope(reset)), gates + n + j, m, w);
      store(dcandidate, gates + 2 * n + j, m, w);
      store(hn::Mul(dcandidate, reset), other + j, m, w);
      store(hn::Mul(given, update), dh + j, m, w);
    });
  }
}

}  // namespace bayesflow::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace bayesflow::kernels {

HWY_EXPORT(lstm_step);
HWY_EXPORT(gru_step);
HWY_EXPORT(lstm_step_backward);
HWY_EXPORT(gru_step_backward);

void lstm_step(const CellStep& s) { HWY_DYNAMIC_DISPATCH(lstm_step)(s); }
void gru_step(const CellStep& s) { HWY_DYNAMIC_DISPATCH(gru_step)(s); }
void lstm_step_backward(const CellStep& s, const CellGradients& g) { HWY_DYNAMIC_DISPATCH(lstm_step_backward)(s, g); }
void gru_step_backward(const CellStep& s, const CellGradients& g) { HWY_DYNAMIC_DISPATCH(gru_step_backward)(s, g); }

}  // namespace bayesflow::kernels
#endif
