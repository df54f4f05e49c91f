/// Products of matrices of which either may be transposed, by the kernels that fit.
#pragma once

#include "bayesflow/autodiff/tape.hpp"
#include "kernels/product.hpp"

namespace bayesflow::ops {

/// A matrix in memory, or its transpose.
struct MatrixView {
  const float* data;
  std::int64_t ld;
  bool transposed = false;
};

/// C (+)= A B. A: rows x depth, B: depth x cols. Counted on the tape; scratch comes from `arena`.
inline void gemm(Tape& tape, Arena& arena, std::int64_t rows, std::int64_t depth, std::int64_t cols, MatrixView a, MatrixView b, float* c,
                 std::int64_t ldc, bool accumulate) {
  tape.count_product(rows, depth, cols);
  if (a.transposed && !b.transposed)
    return kernels::transposed_product({a.data, a.ld, b.data, b.ld, c, ldc, rows, depth, cols, accumulate});
  const Arena::Mark mark = arena.mark();
  if (a.transposed) {
    float* transposed = arena.floats(rows * depth);
    kernels::transpose(a.data, a.ld, depth, rows, transposed, depth);
    a = {transposed, depth};
  }
  kernels::Product p{};
  p.a = a.data, p.lda = a.ld;
  p.c = c, p.ldc = ldc;
  p.rows = rows, p.depth = depth, p.cols = cols;
  p.accumulate = accumulate;
  if (b.transposed) {
    p.b_transposed = b.data, p.ldbt = b.ld;
    p.panel = arena.floats(kernels::kPanelFloats);
  } else {
    p.b = b.data, p.ldb = b.ld;
  }
  kernels::product(p);
  arena.rewind(mark);
}

}  // namespace bayesflow::ops
