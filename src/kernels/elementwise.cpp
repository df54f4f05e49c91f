#include "kernels/elementwise.hpp"

#include <algorithm>
#include <cmath>

#include "kernels/targets.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/elementwise.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/relu-inl.hpp"
#include "kernels/vectors-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace bayesflow::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr float kLeak = 0.2f;
constexpr float kSeluScale = 1.05070098735548f, kSeluAlpha = 1.67326324235438f;
constexpr float kPi = 3.14159265358979f;

/// x > 0 ? x : scale (e^x - 1)
HWY_INLINE V exponential_linear(V x, float scale) {
  const D d;
  const hn::Mask<D> above = hn::Gt(x, hn::Zero(d));
  return hn::IfThenElse(above, x, hn::Mul(hn::Set(d, scale), hn::Expm1(d, hn::IfThenZeroElse(above, x))));
}
/// P(Z > |x|) for a standard normal Z: erfc(z) / 2 with z = |x| / sqrt(2), and erfc(z) = t g(t) e^(-z^2) with t = 1 / (1 + z / 2). g is a
/// polynomial that was fitted to erfcx(z) / t at Chebyshev nodes of t in [0.02, 1]; its relative error is 7e-9.
HWY_INLINE V upper_tail(V x) {
  const D d;
  constexpr float kG[] = {0.282094823f, 0.282092034f,  0.246920303f, 0.174961469f,  0.0954263581f, -0.0657912403f,
                          0.146021373f, -0.473367669f, 0.508665334f, -0.241544292f, 0.0445215127f};
  const V one = hn::Set(d, 1.0f);
  const V t = hn::Div(one, hn::MulAdd(hn::Abs(x), hn::Set(d, 0.353553391f), one));
  V g = hn::Set(d, kG[10]);
  for (int i = 9; i >= 0; --i) g = hn::MulAdd(g, t, hn::Set(d, kG[i]));
  return hn::Mul(hn::Mul(hn::Set(d, 0.5f), hn::Mul(t, g)), exponential(hn::Mul(hn::Mul(x, x), hn::Set(d, -0.5f))));
}
/// P(Z < x)
HWY_INLINE V normal_cdf(V x) {
  const D d;
  const V tail = upper_tail(x);
  return hn::IfThenElse(hn::Lt(x, hn::Zero(d)), tail, hn::Sub(hn::Set(d, 1.0f), tail));
}
/// Beyond this, tanh(log(1 + e^x)) is 1 in float32.
constexpr float kMishTop = 20.0f;
/// n with tanh(log(1 + e^x)) = n / (n + 2), for x up to kMishTop: n = e^x (e^x + 2)
HWY_INLINE V mish_ratio(V x) {
  const D d;
  const V top = hn::Set(d, kMishTop), e = exponential(hn::IfThenElse(hn::Gt(x, top), top, x));
  return hn::Mul(e, hn::Add(e, hn::Set(d, 2.0f)));
}
/// x between two bounds; NaN stays.
HWY_INLINE V between(V x, float low, float high) {
  const D d;
  const V a = hn::Set(d, low), b = hn::Set(d, high);
  return hn::IfThenElse(hn::Lt(x, a), a, hn::IfThenElse(hn::Gt(x, b), b, x));
}

template <Activation kA>
HWY_INLINE V value(V x) {
  const D d;
  if constexpr (kA == Activation::relu) return relu(x);
  if constexpr (kA == Activation::leaky_relu) return hn::Max(x, hn::Mul(x, hn::Set(d, kLeak)));
  if constexpr (kA == Activation::elu) return exponential_linear(x, 1.0f);
  if constexpr (kA == Activation::selu) return hn::Mul(hn::Set(d, kSeluScale), exponential_linear(x, kSeluAlpha));
  if constexpr (kA == Activation::tanh) return hn::Tanh(d, x);
  if constexpr (kA == Activation::sigmoid) return logistic(x);
  if constexpr (kA == Activation::swish) return hn::Mul(x, logistic(x));
  if constexpr (kA == Activation::softplus)
    // max(x, 0) + log(1 + e^-|x|) neither overflows nor loses digits
    return hn::Add(relu(x), hn::Log1p(d, hn::Exp(d, hn::Neg(hn::Abs(x)))));
  if constexpr (kA == Activation::exponential) return exponential(x);
  if constexpr (kA == Activation::gelu) return hn::Mul(x, normal_cdf(x));
  if constexpr (kA == Activation::hard_sigmoid) return between(hn::MulAdd(x, hn::Set(d, 0.2f), hn::Set(d, 0.5f)), 0.0f, 1.0f);
  if constexpr (kA == Activation::mish) {
    const V n = mish_ratio(x);
    return hn::Mul(x, hn::Div(n, hn::Add(n, hn::Set(d, 2.0f))));
  }
  if constexpr (kA == Activation::relu6) return between(x, 0.0f, 6.0f);
  if constexpr (kA == Activation::softsign) {
    const V one = hn::Set(d, 1.0f), size = hn::Abs(x);
    const V ratio = hn::Div(x, hn::Add(one, size));
    return hn::IfThenElse(hn::Gt(size, hn::Set(d, 1e30f)), hn::CopySign(one, x), ratio);  // infinity has a sign, too
  }
  return x;
}
template <Activation kA>
HWY_INLINE V slope(V y) {
  const D d;
  const V one = hn::Set(d, 1.0f);
  if constexpr (kA == Activation::relu) return hn::IfThenElseZero(hn::Gt(y, hn::Zero(d)), one);
  if constexpr (kA == Activation::leaky_relu) return hn::IfThenElse(hn::Gt(y, hn::Zero(d)), one, hn::Set(d, kLeak));
  if constexpr (kA == Activation::elu) return hn::IfThenElse(hn::Gt(y, hn::Zero(d)), one, hn::Add(y, one));
  if constexpr (kA == Activation::selu)
    return hn::IfThenElse(hn::Gt(y, hn::Zero(d)), hn::Set(d, kSeluScale), hn::Add(y, hn::Set(d, kSeluScale * kSeluAlpha)));
  if constexpr (kA == Activation::tanh) return hn::NegMulAdd(y, y, one);
  if constexpr (kA == Activation::sigmoid) return hn::NegMulAdd(y, y, y);
  if constexpr (kA == Activation::swish) {
    const V s = logistic(y);  // y is the input here
    return hn::MulAdd(hn::Mul(y, s), hn::Sub(one, s), s);
  }
  if constexpr (kA == Activation::softplus) return hn::Neg(hn::Expm1(d, hn::Neg(y)));
  if constexpr (kA == Activation::exponential) return y;
  if constexpr (kA == Activation::gelu) {  // y is the input here, and for mish
    const V density = hn::Mul(hn::Set(d, 0.398942280f), exponential(hn::Mul(hn::Mul(y, y), hn::Set(d, -0.5f))));
    return hn::MulAdd(y, density, normal_cdf(y));
  }
  if constexpr (kA == Activation::hard_sigmoid)
    return hn::IfThenElseZero(hn::And(hn::Gt(y, hn::Zero(d)), hn::Lt(y, one)), hn::Set(d, 0.2f));
  if constexpr (kA == Activation::mish) {
    const V n = mish_ratio(y), sum = hn::Add(n, hn::Set(d, 2.0f));
    // 1 - tanh^2 = 4 (n + 1) / (n + 2)^2
    const V rest = hn::Div(hn::Mul(hn::Set(d, 4.0f), hn::Add(n, one)), hn::Mul(sum, sum));
    return hn::IfThenElse(hn::Gt(y, hn::Set(d, kMishTop)), one, hn::MulAdd(hn::Mul(y, logistic(y)), rest, hn::Div(n, sum)));
  }
  if constexpr (kA == Activation::relu6) return hn::IfThenElseZero(hn::And(hn::Gt(y, hn::Zero(d)), hn::Lt(y, hn::Set(d, 6.0f))), one);
  if constexpr (kA == Activation::softsign) {
    const V rest = hn::Sub(one, hn::Abs(y));
    return hn::Mul(rest, rest);
  }
  return one;
}

template <class F>
HWY_INLINE void dispatch(Activation activation, F f) {
  switch (activation) {
    case Activation::identity:
      return f(std::integral_constant<Activation, Activation::identity>{});
    case Activation::relu:
      return f(std::integral_constant<Activation, Activation::relu>{});
    case Activation::leaky_relu:
      return f(std::integral_constant<Activation, Activation::leaky_relu>{});
    case Activation::elu:
      return f(std::integral_constant<Activation, Activation::elu>{});
    case Activation::selu:
      return f(std::integral_constant<Activation, Activation::selu>{});
    case Activation::tanh:
      return f(std::integral_constant<Activation, Activation::tanh>{});
    case Activation::sigmoid:
      return f(std::integral_constant<Activation, Activation::sigmoid>{});
    case Activation::swish:
      return f(std::integral_constant<Activation, Activation::swish>{});
    case Activation::softplus:
      return f(std::integral_constant<Activation, Activation::softplus>{});
    case Activation::exponential:
      return f(std::integral_constant<Activation, Activation::exponential>{});
    case Activation::gelu:
      return f(std::integral_constant<Activation, Activation::gelu>{});
    case Activation::hard_sigmoid:
      return f(std::integral_constant<Activation, Activation::hard_sigmoid>{});
    case Activation::mish:
      return f(std::integral_constant<Activation, Activation::mish>{});
    case Activation::relu6:
      return f(std::integral_constant<Activation, Activation::relu6>{});
    case Activation::softsign:
      return f(std::integral_constant<Activation, Activation::softsign>{});
    case Activation::softmax:
      return;  // needs whole rows: ops::softmax
  }
}

void activate(Activation activation, const float* x, float* y, std::int64_t n) {
  dispatch(activation, [&](auto a) HWY_ATTR {
    for_vectors(n, [&](std::int64_t i, hn::Mask<D> m, auto w) HWY_ATTR { store(value<a.value>(load(x + i, m, w)), y + i, m, w); });
  });
}

void activate_backward(Activation activation, const float* y, const float* dy, float* dx, std::int64_t n) {
  dispatch(activation, [&](auto a) HWY_ATTR {
    for_vectors(n, [&](std::int64_t i, hn::Mask<D> m, auto w)
                       HWY_ATTR { store(hn::Mul(slope<a.value>(load(y + i, m, w)), load(dy + i, m, w)), dx + i, m, w); });
  });
}

void add(float* sum, const float* x, std::int64_t n) {
  for_vectors(
      n, [&](std::int64_t i, hn::Mask<D> m, auto w) HWY_ATTR { store(hn::Add(load(sum + i, m, w), load(x + i, m, w)), sum + i, m, w); });
}
void add_scaled(float* sum, const float* x, float factor, std::int64_t n) {
  const V f = hn::Set(D(), factor);
  for_vectors(n, [&](std::int64_t i, hn::Mask<D> m, auto w)
                     HWY_ATTR { store(hn::MulAdd(f, load(x + i, m, w), load(sum + i, m, w)), sum + i, m, w); });
}
void scale(const float* x, float factor, float* y, std::int64_t n) {
  const V f = hn::Set(D(), factor);
  for_vectors(n, [&](std::int64_t i, hn::Mask<D> m, auto w) HWY_ATTR { store(hn::Mul(f, load(x + i, m, w)), y + i, m, w); });
}
void multiply(const float* a, const float* b, float* y, std::int64_t n) {
  for_vectors(n,
              [&](std::int64_t i, hn::Mask<D> m, auto w) HWY_ATTR { store(hn::Mul(load(a + i, m, w), load(b + i, m, w)), y + i, m, w); });
}
void multiply_add(const float* a, const float* b, float* sum, std::int64_t n) {
  for_vectors(n, [&](std::int64_t i, hn::Mask<D> m, auto w)
                     HWY_ATTR { store(hn::MulAdd(load(a + i, m, w), load(b + i, m, w), load(sum + i, m, w)), sum + i, m, w); });
}

void sum_groups(const float* x, std::int64_t groups, std::int64_t period, std::int64_t cols, float factor, float* y, bool accumulate) {
  const V f = hn::Set(D(), factor);
  for (std::int64_t g = 0; g < groups; ++g)
    for_vectors(cols, [&](std::int64_t j, hn::Mask<D> m, auto w) HWY_ATTR {
      const float* p = x + g * period * cols + j;
      V s0 = hn::Zero(D()), s1 = s0;
      std::int64_t i = 0;
      for (; i + 2 <= period; i += 2, p += 2 * cols) {
        s0 = hn::Add(s0, load(p, m, w));
        s1 = hn::Add(s1, load(p + cols, m, w));
      }
      if (i < period) s0 = hn::Add(s0, load(p, m, w));
      V s = hn::Mul(f, hn::Add(s0, s1));
      float* out = y + g * cols + j;
      if (accumulate) s = hn::Add(s, load(out, m, w));
      store(s, out, m, w);
    });
}

void repeat_rows(const float* x, std::int64_t groups, std::int64_t period, std::int64_t cols, float factor, float* y, bool accumulate,
                 const float* mask) {
  const V f = hn::Set(D(), factor);
  for (std::int64_t g = 0; g < groups; ++g)
    for_vectors(cols, [&](std::int64_t j, hn::Mask<D> m, auto w) HWY_ATTR {
      const V v = hn::Mul(f, load(x + g * cols + j, m, w));
      float* out = y + g * period * cols + j;
      const float* at = mask ? mask + g * period * cols + j : nullptr;
      if (at && !accumulate) {  // the frequent case: the mean of a relu layer's outputs
        for (std::int64_t i = 0; i < period; ++i, out += cols, at += cols)
          store(hn::IfThenElseZero(hn::Gt(load(at, m, w), hn::Zero(D())), v), out, m, w);
        return;
      }
      for (std::int64_t i = 0; i < period; ++i, out += cols) {
        V sum = accumulate ? hn::Add(v, load(out, m, w)) : v;
        if (at) sum = hn::IfThenElseZero(hn::Gt(load(at + i * cols, m, w), hn::Zero(D())), sum);
        store(sum, out, m, w);
      }
    });
}

std::int64_t bytes_of_vector() { return static_cast<std::int64_t>((hn::Lanes(D()) + 7) / 8); }
std::int64_t bytes_of_bits(std::int64_t cols) {
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(D()));
  return (cols + lanes - 1) / lanes * bytes_of_vector();
}

void pool_rows(const float* x, std::int64_t rows, std::int64_t cols, float factor, float* y, PoolPiece piece, std::uint8_t* positive) {
  const D d;
  const std::int64_t stride = bytes_of_bits(cols);
  for_vectors(cols, [&](std::int64_t j, hn::Mask<D> m, auto w) HWY_ATTR {
    const float* p = x + j;
    std::uint8_t* bits = positive;
    const auto next = [&]() HWY_ATTR {
      const V v = load(p, m, w);
      if (positive) {
        hn::StoreMaskBits(d, hn::Gt(v, hn::Zero(d)), bits);
        bits += stride;
      }
      p += cols;
      return v;
    };
    float* const sums = piece.sums ? piece.sums + j : nullptr;
    V s0 = piece.begins ? hn::Zero(d) : load(sums, m, w), s1 = piece.begins ? s0 : load(sums + cols, m, w);
    std::int64_t i = 0;
    for (; i + 2 <= rows; i += 2) {
      s0 = hn::Add(s0, next());
      s1 = hn::Add(s1, next());
    }
    if (i < rows) s0 = hn::Add(s0, next());
    if (piece.ends) {
      store(hn::Mul(hn::Set(d, factor), hn::Add(s0, s1)), y + j, m, w);
    } else {
      store(s0, i < rows ? sums + cols : sums, m, w);
      store(s1, i < rows ? sums : sums + cols, m, w);
    }
    if (positive) positive += bytes_of_vector();
  });
}

void unpool_rows(const float* x, std::int64_t rows, std::int64_t cols, float factor, float* y, const std::uint8_t* positive) {
  const D d;
  const std::int64_t stride = bytes_of_bits(cols);
  for_vectors(cols, [&](std::int64_t j, hn::Mask<D> m, auto w) HWY_ATTR {
    const V v = hn::Mul(hn::Set(d, factor), load(x + j, m, w));
    float* out = y + j;
    const std::uint8_t* bits = positive;
    for (std::int64_t i = 0; i < rows; ++i, out += cols) {
      if (!positive) {
        store(v, out, m, w);
        continue;
      }
      store(hn::IfThenElseZero(hn::LoadMaskBits(d, bits), v), out, m, w);
      bits += stride;
    }
    if (positive) positive += bytes_of_vector();
  });
}

HWY_INLINE V clamped(V s, float clamp) {
  const D d;
  if (clamp <= 0) return s;
  return hn::Mul(hn::Set(d, 2.0f * clamp / kPi), hn::Atan(d, hn::Mul(s, hn::Set(d, 1.0f / clamp))));
}

void affine_forward(const float* u, const float* s, const float* t, float clamp, float* v, float* q, float* e, std::int64_t n) {
  for_vectors(n, [&](std::int64_t i, hn::Mask<D> m, auto w) HWY_ATTR {
    const V qv = clamped(load(s + i, m, w), clamp);
    const V ev = exponential(qv);
    store(qv, q + i, m, w);
    store(ev, e + i, m, w);
    store(hn::MulAdd(load(u + i, m, w), ev, load(t + i, m, w)), v + i, m, w);
  });
}

void affine_backward(const float* u, const float* s, const float* e, const float* dv, const float* dq, float clamp, float* du, float* ds,
                     std::int64_t n) {
  const D d;
  for_vectors(n, [&](std::int64_t i, hn::Mask<D> m, auto w) HWY_ATTR {
    const V g = hn::Mul(load(dv + i, m, w), load(e + i, m, w));
    store(g, du + i, m, w);
    V gq = hn::MulAdd(g, load(u + i, m, w), load(dq + i, m, w));
    if (clamp > 0) {
      const V r = hn::Mul(load(s + i, m, w), hn::Set(d, 1.0f / clamp));
      gq = hn::Div(hn::Mul(gq, hn::Set(d, 2.0f / kPi)), hn::MulAdd(r, r, hn::Set(d, 1.0f)));
    }
    store(gq, ds + i, m, w);
  });
}

void affine_inverse(const float* v, const float* s, const float* t, float clamp, float* u, std::int64_t n) {
  for_vectors(n, [&](std::int64_t i, hn::Mask<D> m, auto w) HWY_ATTR {
    const V q = clamped(load(s + i, m, w), clamp);
    store(hn::Mul(hn::Sub(load(v + i, m, w), load(t + i, m, w)), exponential(hn::Neg(q))), u + i, m, w);
  });
}

double sum_of_squares(const float* x, std::int64_t n) {
  const D d;
  double total = 0;
  constexpr std::int64_t kBlock = 2048;  // short enough that float partial sums keep their digits
  for (std::int64_t b = 0; b < n; b += kBlock) {
    V s = hn::Zero(d);
    for_vectors(std::min(kBlock, n - b), [&](std::int64_t i, hn::Mask<D> m, auto w) HWY_ATTR {
      const V v = load(x + b + i, m, w);
      s = hn::MulAdd(v, v, s);
    });
    total += static_cast<double>(hn::GetLane(hn::SumOfLanes(d, s)));
  }
  return total;
}

double reduce_gradient(float* g, const float* const* lanes, int count, const float* w, float l2, std::int64_t n) {
  const D d;
  V s = hn::Zero(d);
  for_vectors(n, [&](std::int64_t i, hn::Mask<D> m, auto whole) HWY_ATTR {
    V v = load(lanes[0] + i, m, whole);
    for (int l = 1; l < count; ++l) v = hn::Add(v, load(lanes[l] + i, m, whole));
    if (w) v = hn::MulAdd(hn::Set(d, l2), load(w + i, m, whole), v);
    if (w || count > 1 || lanes[0] != g) store(v, g + i, m, whole);
    s = hn::MulAdd(v, v, s);
  });
  return static_cast<double>(hn::GetLane(hn::SumOfLanes(d, s)));
}

/// Prefetches a cache line for writing. A line that is fetched for reading arrives in shared state; writing to it then takes a second
/// transaction to make it exclusive.
HWY_INLINE void prefetch_for_write(const float* p) {
#if defined(__x86_64__)
  // The builtin makes a reading prefetch of it unless the target says -mprfchw; processors without the instruction skip it.
  asm volatile("prefetchw %0" ::"m"(*p));
#else
  __builtin_prefetch(p, 1);
#endif
}

void adam(const AdamStep& step, float* w, float* m, float* v, const float* g, std::int64_t n) {
  const D d;
  const V factor = hn::Set(d, step.factor), b1 = hn::Set(d, step.beta1), c1 = hn::Set(d, step.one_minus_beta1);
  const V b2 = hn::Set(d, step.beta2), c2 = hn::Set(d, step.one_minus_beta2), rate = hn::Set(d, step.rate), eps = hn::Set(d, step.epsilon);
  const V keep = hn::Set(d, 1.0f - step.shrink);
  // Three streams that are read and written at the pace of memory; the hardware fetches the fourth well by itself.
  constexpr std::int64_t kAhead = 256;
  for_vectors(n, [&](std::int64_t i, hn::Mask<D> k, auto whole) HWY_ATTR {
    for (const float* stream : {w, m, v}) prefetch_for_write(stream + i + kAhead);
    const V gv = hn::Mul(factor, load(g + i, k, whole));
    const V mv = hn::MulAdd(b1, load(m + i, k, whole), hn::Mul(c1, gv));
    const V vv = hn::MulAdd(b2, load(v + i, k, whole), hn::Mul(c2, hn::Mul(gv, gv)));
    const V move = hn::Div(hn::Mul(rate, mv), hn::Add(hn::Sqrt(vv), eps));
    store(mv, m + i, k, whole);
    store(vv, v + i, k, whole);
    store(hn::MulSub(keep, load(w + i, k, whole), move), w + i, k, whole);
  });
}

void sgd(float factor, float momentum, float rate, float* w, float* m, const float* g, std::int64_t n) {
  const D d;
  const V mu = hn::Set(d, momentum), step = hn::Set(d, -rate * factor);
  for_vectors(n, [&](std::int64_t i, hn::Mask<D> k, auto whole) HWY_ATTR {
    const V mv = hn::MulAdd(mu, load(m + i, k, whole), hn::Mul(step, load(g + i, k, whole)));
    store(mv, m + i, k, whole);
    store(hn::Add(load(w + i, k, whole), mv), w + i, k, whole);
  });
}

}  // namespace bayesflow::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace bayesflow::kernels {

HWY_EXPORT(activate);
HWY_EXPORT(activate_backward);
HWY_EXPORT(add);
HWY_EXPORT(add_scaled);
HWY_EXPORT(scale);
HWY_EXPORT(multiply);
HWY_EXPORT(multiply_add);
HWY_EXPORT(sum_groups);
HWY_EXPORT(repeat_rows);
HWY_EXPORT(bytes_of_bits);
HWY_EXPORT(pool_rows);
HWY_EXPORT(unpool_rows);
HWY_EXPORT(affine_forward);
HWY_EXPORT(affine_backward);
HWY_EXPORT(affine_inverse);
HWY_EXPORT(sum_of_squares);
HWY_EXPORT(reduce_gradient);
HWY_EXPORT(adam);
HWY_EXPORT(sgd);

void activate(Activation activation, const float* x, float* y, std::int64_t n) { HWY_DYNAMIC_DISPATCH(activate)(activation, x, y, n); }
void activate_backward(Activation activation, const float* y, const float* dy, float* dx, std::int64_t n) {
  HWY_DYNAMIC_DISPATCH(activate_backward)(activation, y, dy, dx, n);
}
void add(float* sum, const float* x, std::int64_t n) { HWY_DYNAMIC_DISPATCH(add)(sum, x, n); }
void add_scaled(float* sum, const float* x, float factor, std::int64_t n) { HWY_DYNAMIC_DISPATCH(add_scaled)(sum, x, factor, n); }
void scale(const float* x, float factor, float* y, std::int64_t n) { HWY_DYNAMIC_DISPATCH(scale)(x, factor, y, n); }
void multiply(const float* a, const float* b, float* y, std::int64_t n) { HWY_DYNAMIC_DISPATCH(multiply)(a, b, y, n); }
void multiply_add(const float* a, const float* b, float* sum, std::int64_t n) { HWY_DYNAMIC_DISPATCH(multiply_add)(a, b, sum, n); }
void sum_groups(const float* x, std::int64_t groups, std::int64_t period, std::int64_t cols, float factor, float* y, bool accumulate) {
  HWY_DYNAMIC_DISPATCH(sum_groups)(x, groups, period, cols, factor, y, accumulate);
}
void repeat_rows(const float* x, std::int64_t groups, std::int64_t period, std::int64_t cols, float factor, float* y, bool accumulate,
                 const float* mask) {
  HWY_DYNAMIC_DISPATCH(repeat_rows)(x, groups, period, cols, factor, y, accumulate, mask);
}
std::int64_t bytes_of_bits(std::int64_t cols) { return HWY_DYNAMIC_DISPATCH(bytes_of_bits)(cols); }
void pool_rows(const float* x, std::int64_t rows, std::int64_t cols, float factor, float* y, PoolPiece piece, std::uint8_t* positive) {
  HWY_DYNAMIC_DISPATCH(pool_rows)(x, rows, cols, factor, y, piece, positive);
}
void unpool_rows(const float* x, std::int64_t rows, std::int64_t cols, float factor, float* y, const std::uint8_t* positive) {
  HWY_DYNAMIC_DISPATCH(unpool_rows)(x, rows, cols, factor, y, positive);
}
void affine_forward(const float* u, const float* s, const float* t, float clamp, float* v, float* q, float* e, std::int64_t n) {
  HWY_DYNAMIC_DISPATCH(affine_forward)(u, s, t, clamp, v, q, e, n);
}
void affine_backward(const float* u, const float* s, const float* e, const float* dv, const float* dq, float clamp, float* du, float* ds,
                     std::int64_t n) {
  HWY_DYNAMIC_DISPATCH(affine_backward)(u, s, e, dv, dq, clamp, du, ds, n);
}
void affine_inverse(const float* v, const float* s, const float* t, float clamp, float* u, std::int64_t n) {
  HWY_DYNAMIC_DISPATCH(affine_inverse)(v, s, t, clamp, u, n);
}
double sum_of_squares(const float* x, std::int64_t n) { return HWY_DYNAMIC_DISPATCH(sum_of_squares)(x, n); }
double reduce_gradient(float* g, const float* const* lanes, int count, const float* w, float l2, std::int64_t n) {
  return HWY_DYNAMIC_DISPATCH(reduce_gradient)(g, lanes, count, w, l2, n);
}
void adam(const AdamStep& step, float* w, float* m, float* v, const float* g, std::int64_t n) {
  HWY_DYNAMIC_DISPATCH(adam)(step, w, m, v, g, n);
}
void sgd(float factor, float momentum, float rate, float* w, float* m, const float* g, std::int64_t n) {
  HWY_DYNAMIC_DISPATCH(sgd)(factor, momentum, rate, w, m, g, n);
}

}  // namespace bayesflow::kernels
#endif
