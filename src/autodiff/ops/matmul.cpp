/// Products of many matrices.
#include "autodiff/ops/axes.hpp"
#include "autodiff/ops/gemm.hpp"
#include "bayesflow/autodiff/ops/dense.hpp"

namespace bayesflow::ops {
namespace {

using detail::grad_of;
using detail::grad_sink;
using detail::GradSink;

/// The result's shape, the leading axes, where each operand lies in them, and the extents of one product.
struct Batch {
  Shape shape, lead;
  Strides a, b;
  std::int64_t rows, depth, cols, lda, ldb;
  Transposed transposed;
};

Strides scaled(Strides s, std::int64_t factor) {
  for (std::int64_t& k : s) k *= factor;
  return s;
}

Batch batch_of(Tensor a, Tensor b, Transposed transposed) {
  require(a.rank() >= 2 && b.rank() >= 2, "batched_matmul: needs matrices; got {} and {}", shape_of(a), shape_of(b));
  Batch m{};
  m.transposed = transposed;
  m.lda = a.dim(-1), m.ldb = b.dim(-1);
  m.rows = a.dim(transposed.a ? -1 : -2), m.depth = a.dim(transposed.a ? -2 : -1), m.cols = b.dim(transposed.b ? -2 : -1);
  require(b.dim(transposed.b ? -1 : -2) == m.depth, "batched_matmul: {}{} and {}{} have no product", shape_of(a), transposed.a ? "^T" : "",
          shape_of(b), transposed.b ? "^T" : "");
  const Shape of_a = a.shape().slice(0, -2), of_b = b.shape().slice(0, -2);
  m.lead = of_a.rank() >= of_b.rank() ? of_a : of_b;
  for (int k = 1; k <= std::min(of_a.rank(), of_b.rank()); ++k) m.lead.set(-k, of_a[-k] == 1 ? of_b[-k] : of_a[-k]);
  require(broadcasts_to(of_a, m.lead) && broadcasts_to(of_b, m.lead), "batched_matmul: leading axes of {} and {} do not fit", shape_of(a),
          shape_of(b));
  m.shape = m.lead;
  m.shape.push_back(m.rows);
  m.shape.push_back(m.cols);
  // Matrices that meet one and the same second operand are one matrix of more rows.
  if (!transposed.a && of_b.size() == 1 && m.lead.size() > 0) {
    m.rows *= m.lead.size();
    m.lead = {1};
    return m;
  }
  m.a = scaled(broadcast_strides(of_a, m.lead), a.dim(-2) * a.dim(-1));
  m.b = scaled(broadcast_strides(of_b, m.lead), b.dim(-2) * b.dim(-1));
  return m;
}

/// The derivative with respect to one operand, which may meet several products: they add up.
template <class F>
void into(Tensor x, const Batch& m, const Strides& of_x, const Strides& of_other, F product) {
  if (!x.needs_grad()) return;
  const GradSink d = grad_sink(x);
  const bool apart = m.lead.size() == 1 || x.size() == m.lead.size() * x.dim(-2) * x.dim(-1);  // each product has a part of its own
  if (!d.accumulate && !apart) std::fill_n(d.data, x.size(), 0.0f);
  std::int64_t at = 0;
  for_offsets(m.lead, of_x, of_other, [&](std::int64_t in_x, std::int64_t in_other) {
    product(d.data + in_x, in_other, at, d.accumulate || !apart);
    at += m.rows * m.cols;
  });
}

}  // namespace

Tensor batched_matmul(Tensor a, Tensor b, Transposed transposed) {
  const Batch m = batch_of(a, b, transposed);
  Tape& tape = a.tape();
  Tensor y = tape.result(m.shape, {a, b});
  std::int64_t out = 0;
  for_offsets(m.lead, m.a, m.b, [&](std::int64_t in_a, std::int64_t in_b) {
    gemm(tape, tape.arena(), m.rows, m.depth, m.cols, {a.data() + in_a, m.lda, transposed.a}, {b.data() + in_b, m.ldb, transposed.b},
         y.data() + out, m.cols, false);
    out += m.rows * m.cols;
  });
  tape.on_backward(y, [a, b, y, m] {
    Tape& t = y.tape();
    Arena& arena = t.backward_arena();
    // C = A B: dA = dC B^T, dB = A^T dC; of an operand that is transposed, the transposes of these.
    into(a, m, m.a, m.b, [&](float* da, std::int64_t in_b, std::int64_t at, bool accumulate) {
      const float* dc = grad_of(y) + at;
      const float* at_b = b.data() + in_b;
      if (m.transposed.a)
        gemm(t, arena, m.depth, m.cols, m.rows, {at_b, m.ldb, m.transposed.b}, {dc, m.cols, true}, da, m.lda, accumulate);
      else
        gemm(t, arena, m.rows, m.cols, m.depth, {dc, m.cols}, {at_b, m.ldb, !m.transposed.b}, da, m.lda, accumulate);
    });
    into(b, m, m.b, m.a, [&](float* db, std::int64_t in_a, std::int64_t at, bool accumulate) {
      const float* dc = grad_of(y) + at;
      const float* at_a = a.data() + in_a;
      if (m.transposed.b)
        gemm(t, arena, m.cols, m.rows, m.depth, {dc, m.cols, true}, {at_a, m.lda, m.transposed.a}, db, m.ldb, accumulate);
      else
        gemm(t, arena, m.depth, m.rows, m.cols, {at_a, m.lda, !m.transposed.a}, {dc, m.cols}, db, m.ldb, accumulate);
    });
  });
  return y;
}

}  // namespace bayesflow::ops
