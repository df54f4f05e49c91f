/// Softmax, normalization over the last axis, attention.
#include "bayesflow/autodiff/ops/attention.hpp"

#include <cmath>

#include "autodiff/ops/axes.hpp"
#include "autodiff/ops/dropout.hpp"
#include "autodiff/ops/gemm.hpp"
#include "bayesflow/autodiff/ops/dense.hpp"
#include "bayesflow/autodiff/ops/elementwise.hpp"
#include "bayesflow/autodiff/ops/shape.hpp"
#include "kernels/elementwise.hpp"
#include "kernels/random.hpp"
#include "kernels/rows.hpp"

namespace bayesflow::ops {
namespace {

using detail::grad_of;
using detail::grad_sink;
using detail::GradSink;
using kernels::MaskedRows;

/// f(rows, offset in x) for stretches of rows that share a way through the mask.
template <class F>
void for_masked_rows(const char* op, Tensor x, Tensor mask, F f) {
  require(x.rank() >= 1 && x.cols() > 0, "{}: needs shape (..., n) with n >= 1; got {}", op, shape_of(x));
  const std::int64_t cols = x.cols();
  if (!mask) return f(MaskedRows{x.rows(), cols}, 0);
  require(broadcasts_to(mask.shape(), x.shape()) && mask.cols() == cols,
          "{}: a mask must be broadcast over the leading axes of x {}; got {}", op, shape_of(x), shape_of(mask));
  if (mask.size() == cols) return f(MaskedRows{x.rows(), cols, mask.data(), 0}, 0);
  if (mask.size() == x.size()) return f(MaskedRows{x.rows(), cols, mask.data(), cols}, 0);
  for_offsets(x.shape().slice(0, -1), strides_of(x.shape()), broadcast_strides(mask.shape(), x.shape()),
              [&](std::int64_t in_x, std::int64_t in_mask) {
                f(MaskedRows{1, cols, mask.data() + in_mask, 0}, in_x);
              });
}

Tensor normalized(const char* op, Tensor x, Tensor gain, Tensor bias, float epsilon, bool centre) {
  require(x.rank() >= 1 && x.cols() > 0, "{}: needs shape (..., d) with d >= 1; got {}", op, shape_of(x));
  for (const Tensor& p : {gain, bias})
    require(!p || p.size() == x.cols(), "{}: x {} needs a gain and a bias of its width; got {}", op, shape_of(x), shape_of(p));
  Tape& tape = x.tape();
  Tensor y = tape.result(x.shape(), {x, gain, bias});
  float* mean = tape.arena().floats(2 * x.rows());
  float* scale = mean + x.rows();
  const kernels::Normalization n{x.rows(), x.cols(), centre, epsilon, gain ? gain.data() : nullptr, bias ? bias.data() : nullptr};
  kernels::normalize(n, x.data(), y.data(), mean, scale);
  tape.on_backward(y, [x, gain, bias, y, mean, scale, n] {
    const auto sums = [](Tensor p) -> float* {
      if (!p || !p.needs_grad()) return nullptr;
      const GradSink d = grad_sink(p);
      if (!d.accumulate) std::fill_n(d.data, p.size(), 0.0f);
      return d.data;
    };
    const GradSink dx = x.needs_grad() ? grad_sink(x) : GradSink{};
    float* dgain = sums(gain);
    kernels::normalize_backward(n, x.data(), mean, scale, grad_of(y), dx.data, dx.accumulate, dgain, sums(bias));
  });
  return y;
}

// --- attention ---

// Queries that pass together: their weights of some hundred keys stay in the second-level cache.
constexpr std::int64_t kQueries = 64;

struct Attention {
  Tensor q, k, v, mask, y;
  std::int64_t sets, queries, keys, heads, width, out;  // widths of a head
  std::int64_t q_set;                                   // from one set's queries to the next's; 0: all share them
  std::int64_t mask_set, mask_query;
  float scale;
  float* log_sums;    // of each set, head and query
  float dropout;      // probability; 0: none
  Rng::Blocks noise;  // its random numbers: those of each set, head and query begin with a block of their own
  [[nodiscard]] std::int64_t q_cols() const { return heads * width; }
  [[nodiscard]] std::int64_t v_cols() const { return heads * out; }
  /// Keys up to the last one that is there.
  [[nodiscard]] std::int64_t present(std::int64_t set) const {
    std::int64_t n = keys;
    if (mask && mask_query == 0)
      while (n > 0 && mask.data()[set * mask_set + n - 1] == 0) --n;
    return n;
  }
  [[nodiscard]] MaskedRows rows(std::int64_t set, std::int64_t first, std::int64_t count, std::int64_t present_keys) const {
    if (!mask) return {count, present_keys};
    return {count, present_keys, mask.data() + set * mask_set + first * mask_query, mask_query};
  }
  /// What dropout makes of the weights of some queries: `keep` or 0 for each of the first `present_keys`.
  void keep(std::int64_t set, std::int64_t head, std::int64_t first, std::int64_t count, std::int64_t present_keys, float* mask_out) const {
    const auto row = static_cast<std::uint64_t>((set * heads + head) * queries + first);
    kernels::keep_mask({noise.key, noise.index, noise.first + row * blocks_of_row(), blocks_of_row(), detail::dropout_threshold(dropout),
                        detail::dropout_scale(dropout)},
                       count, present_keys, mask_out, present_keys);
  }
  [[nodiscard]] std::uint64_t blocks_of_row() const { return static_cast<std::uint64_t>((keys + 3) / 4); }
};

/// f(set, head, keys that are there)
template <class F>
void for_heads(const Attention& a, F f) {
  for (std::int64_t set = 0; set < a.sets; ++set) {
    const std::int64_t keys = a.present(set);
    for (std::int64_t head = 0; head < a.heads; ++head) f(set, head, keys);
  }
}
/// f(first query, count)
template <class F>
void for_queries(const Attention& a, F f) {
  for (std::int64_t first = 0; first < a.queries; first += kQueries) f(first, std::min(kQueries, a.queries - first));
}
/// One head's columns of `rows` rows, transposed.
float* transposed(const float* x, std::int64_t ld, std::int64_t rows, std::int64_t cols, float* out) {
  kernels::transpose(x, ld, rows, cols, out, rows);
  return out;
}

void attention_forward(const Attention& a) {
  Tape& tape = a.y.tape();
  Arena& arena = tape.arena();
  const Arena::Mark mark = arena.mark();
  float* weights = arena.floats(kQueries * a.keys);
  float* kept = a.dropout > 0 ? arena.floats(kQueries * a.keys) : nullptr;
  float* kt = arena.floats(a.width * a.keys);
  for_heads(a, [&](std::int64_t set, std::int64_t head, std::int64_t keys) {
    const float* q = a.q.data() + set * a.q_set + head * a.width;
    transposed(a.k.data() + set * a.keys * a.q_cols() + head * a.width, a.q_cols(), keys, a.width, kt);
    for_queries(a, [&](std::int64_t first, std::int64_t count) {
      gemm(tape, arena, count, a.width, keys, {q + first * a.q_cols(), a.q_cols()}, {kt, keys}, weights, keys, false);
      kernels::softmax(a.rows(set, first, count, keys), weights, a.scale, weights,
                       a.log_sums ? a.log_sums + (set * a.heads + head) * a.queries + first : nullptr);
      if (kept) {
        a.keep(set, head, first, count, keys, kept);
        kernels::multiply(weights, kept, weights, count * keys);
      }
      gemm(tape, arena, count, keys, a.out, {weights, keys}, {a.v.data() + set * a.keys * a.v_cols() + head * a.out, a.v_cols()},
           a.y.node()->value + (set * a.queries + first) * a.v_cols() + head * a.out, a.v_cols(), false);
    });
  });
  arena.rewind(mark);
}

/// Weights are computed once more, from the logarithms of their sums.
void attention_backward(const Attention& a) {
  Tape& tape = a.y.tape();
  Arena& arena = tape.backward_arena();
  // Sums that several products make begin at 0; so do gradients of one tensor in several roles.
  const auto sink = [](Tensor x) -> float* {
    if (!x.needs_grad()) return nullptr;
    const GradSink d = grad_sink(x);
    if (!d.accumulate) std::fill_n(d.data, x.size(), 0.0f);
    return d.data;
  };
  float* dq = sink(a.q);
  float* dk = sink(a.k);
  float* dv = sink(a.v);
  const Arena::Mark mark = arena.mark();
  float* weights = arena.floats(kQueries * a.keys);
  float* dweights = arena.floats(kQueries * a.keys);
  float* kept = a.dropout > 0 ? arena.floats(2 * kQueries * a.keys) : nullptr;
  float* kt = arena.floats(a.width * a.keys);
  float* vt = arena.floats(a.out * a.keys);
  for_heads(a, [&](std::int64_t set, std::int64_t head, std::int64_t keys) {
    const std::int64_t at_q = set * a.q_set + head * a.width, at_k = set * a.keys * a.q_cols() + head * a.width;
    const std::int64_t at_v = set * a.keys * a.v_cols() + head * a.out, at_y = set * a.queries * a.v_cols() + head * a.out;
    transposed(a.k.data() + at_k, a.q_cols(), keys, a.width, kt);
    transposed(a.v.data() + at_v, a.v_cols(), keys, a.out, vt);
    for_queries(a, [&](std::int64_t first, std::int64_t count) {
      const float* q = a.q.data() + at_q + first * a.q_cols();
      const float* dy = grad_of(a.y) + at_y + first * a.v_cols();
      gemm(tape, arena, count, a.width, keys, {q, a.q_cols()}, {kt, keys}, weights, keys, false);
      kernels::softmax_again(a.rows(set, first, count, keys), weights, a.scale, a.log_sums + (set * a.heads + head) * a.queries + first,
                             weights);
      const float* used = weights;  // after dropout
      if (kept) {
        a.keep(set, head, first, count, keys, kept);
        kernels::multiply(weights, kept, kept + kQueries * a.keys, count * keys);
        used = kept + kQueries * a.keys;
      }
      if (dv) gemm(tape, arena, keys, count, a.out, {used, keys, true}, {dy, a.v_cols()}, dv + at_v, a.v_cols(), true);
      if (!dq && !dk) return;
      gemm(tape, arena, count, a.out, keys, {dy, a.v_cols()}, {vt, keys}, dweights, keys, false);
      if (kept) kernels::multiply(dweights, kept, dweights, count * keys);
      kernels::softmax_backward(count, keys, weights, dweights, a.scale, dweights, false);
      if (dq)
        gemm(tape, arena, count, keys, a.width, {dweights, keys}, {a.k.data() + at_k, a.q_cols()}, dq + at_q + first * a.q_cols(),
             a.q_cols(), true);
      if (dk) gemm(tape, arena, keys, count, a.width, {dweights, keys, true}, {q, a.q_cols()}, dk + at_k, a.q_cols(), true);
    });
  });
  arena.rewind(mark);
}

}  // namespace

Tensor softmax(Tensor x, Tensor mask) {
  Tensor y = x.tape().result(x.shape(), {x});
  for_masked_rows("softmax", x, mask,
                  [&](const MaskedRows& r, std::int64_t at) { kernels::softmax(r, x.data() + at, 1.0f, y.data() + at); });
  x.tape().on_backward(y, [x, y] {
    const GradSink dx = grad_sink(x);
    kernels::softmax_backward(x.rows(), x.cols(), y.data(), grad_of(y), 1.0f, dx.data, dx.accumulate);
  });
  return y;
}

Tensor log_softmax(Tensor x, Tensor mask) {
  Tensor y = x.tape().result(x.shape(), {x});
  for_masked_rows("log_softmax", x, mask,
                  [&](const MaskedRows& r, std::int64_t at) { kernels::log_softmax(r, x.data() + at, y.data() + at); });
  x.tape().on_backward(y, [x, y, mask] {
    const GradSink dx = grad_sink(x);
    for_masked_rows("log_softmax", x, mask, [&](const MaskedRows& r, std::int64_t at) {
      kernels::log_softmax_backward(r, y.data() + at, grad_of(y) + at, dx.data + at, dx.accumulate);
    });
  });
  return y;
}

Tensor layer_norm(Tensor x, Tensor gain, Tensor bias, float epsilon) { return normalized("layer_norm", x, gain, bias, epsilon, true); }
Tensor rms_norm(Tensor x, Tensor gain, float epsilon) { return normalized("rms_norm", x, gain, {}, epsilon, false); }

Tensor attention(Tensor q, Tensor k, Tensor v, const AttentionOptions& options, Tensor mask) {
  const std::int64_t heads = options.heads;
  require(q.rank() >= 2 && k.rank() >= 2 && v.rank() >= 2, "attention: needs shapes (..., n, d); got {}, {} and {}", shape_of(q),
          shape_of(k), shape_of(v));
  const Shape lead = k.shape().slice(0, -2);
  require(heads >= 1 && q.cols() > 0 && q.cols() == k.cols() && q.cols() % heads == 0 && v.cols() % heads == 0,
          "attention: queries {} and keys {} need one width, and that and the values' {} must be multiples of {} heads", shape_of(q),
          shape_of(k), shape_of(v), heads);
  require(v.shape().slice(0, -1) == k.shape().slice(0, -1), "attention: keys {} and values {} must agree in all but the last axis",
          shape_of(k), shape_of(v));
  require(q.rank() == 2 || q.shape().slice(0, -2) == lead, "attention: queries {} must have the leading axes of the keys {}, or none",
          shape_of(q), shape_of(k));
  Attention a{};
  a.q = q, a.k = k, a.v = v, a.mask = mask;
  a.sets = lead.size(), a.queries = q.dim(-2), a.keys = k.dim(-2);
  a.heads = heads, a.width = q.cols() / heads, a.out = v.cols() / heads;
  a.q_set = q.rank() == 2 ? 0 : a.queries * q.cols();
  a.scale = 1.0f / std::sqrt(static_cast<float>(a.width));
  Shape shape = lead;
  shape.push_back(a.queries);
  if (mask) {
    Shape pairs = shape;
    pairs.push_back(a.keys);
    const bool of_keys = mask.shape() == k.shape().slice(0, -1);
    require(of_keys || mask.shape() == pairs, "attention: a mask must be {} or {}; got {}", k.shape().slice(0, -1).to_string(),
            pairs.to_string(), shape_of(mask));
    a.mask_query = of_keys ? 0 : a.keys;
    a.mask_set = of_keys ? a.keys : a.queries * a.keys;
  }
  shape.push_back(v.cols());
  Tape& tape = q.tape();
  if (!(options.dropout >= 0 && options.dropout < 1))
    throw ArgumentError(fmt::format("attention: dropout must be in [0, 1), so that something is kept; got {}", options.dropout));
  a.dropout = tape.training() ? options.dropout : 0;
  if (a.dropout > 0) a.noise = tape.rng().reserve(static_cast<std::uint64_t>(a.sets * a.heads * a.queries) * a.blocks_of_row());
  a.y = tape.result(shape, {q, k, v});
  a.log_sums = a.y.needs_grad() ? tape.arena().floats(a.sets * a.heads * a.queries) : nullptr;
  attention_forward(a);
  tape.on_backward(a.y, [a] { attention_backward(a); });
  return a.y;
}

}  // namespace bayesflow::ops
