/// Chains of dense layers: nearly all arithmetic of the library.
#include "bayesflow/autodiff/ops/dense.hpp"

#include <algorithm>
#include <cstring>

#include "autodiff/check.hpp"
#include "bayesflow/autodiff/ops/reduce.hpp"
#include "kernels/elementwise.hpp"
#include "kernels/product.hpp"

namespace bayesflow::ops {
namespace {

using detail::GradSink;
using kernels::Epilogue;

constexpr int kMaxLayers = 8;
// Rows that pass through all layers together: activations of 64-128 features stay in the second-level cache.
constexpr std::int64_t kRowBlock = 128;
// A product with so few columns wastes most of a vector; it and its gradient are computed transposed.
constexpr std::int64_t kFewColumns = 4;

// From here on, packing a matrix costs less than it saves.
constexpr std::int64_t kPackedRows = 200, kPackedDepth = 64;

/// Blocks of one size, so that no small one is left over.
std::int64_t rows_per_block(std::int64_t rows) {
  const std::int64_t blocks = std::max<std::int64_t>(1, (rows + kRowBlock - 1) / kRowBlock);
  return std::max<std::int64_t>(1, (rows + blocks - 1) / blocks);
}

struct Chain {
  int count;
  Tensor kernel[kMaxLayers], bias[kMaxLayers];
  Activation activation[kMaxLayers];
  std::int64_t in[kMaxLayers], out[kMaxLayers];
  Tensor x, condition, y;
  std::int64_t rows, period;    // period: rows that share one row of the condition
  std::int64_t x_cols, c_cols;  // of the first layer's input
  float* outputs[kMaxLayers];   // activations of each layer, all rows
  float* inputs[kMaxLayers];    // before the activation, where its derivative needs that
  std::int64_t pooled;          // rows that share one row of y, their mean; 0: none do, and y is the last layer's output
  std::uint8_t*
      positive;  // of the last layer's outputs, if they are pooled after a relu: one bit a value, all that the backward pass needs

  /// What layer l reads, from `row` on: the condition's half of the first layer aside.
  [[nodiscard]] const float* input_of(int l, std::int64_t row) const { return l ? outputs[l - 1] + row * in[l] : x.data() + row * x_cols; }
  [[nodiscard]] kernels::Ahead ahead_of(int l, std::int64_t row, std::int64_t rows_ahead) const {
    if (rows_ahead <= 0) return {};
    return {input_of(l, row), rows_ahead * (l ? in[l] : x_cols)};
  }
};

const float* transposed(Tensor kernel, Arena& arena) {
  float* t = arena.floats(kernel.size());
  kernels::transpose(kernel.data(), kernel.dim(1), kernel.dim(0), kernel.dim(1), t, kernel.dim(0));
  return t;
}

/// Every product of a chain is made, and counted, here.
void multiply(const Chain& c, const kernels::Product& p) {
  kernels::product(p);
  c.y.tape().count_product(p.rows, p.depth, p.cols);
}

/// `wt`: W^T, if it is at hand; `packed`: W, packed, or null.
void forward_layer(const Chain& c, int l, const float* wt, const float* packed, const float* h, const float* group_start, std::int64_t row,
                   std::int64_t rows, float* z, float* y) {
  kernels::Product p{};
  p.a = h;
  p.lda = l ? c.in[l] : c.x_cols;
  p.b = packed ? packed : c.kernel[l].data();
  p.packed = packed != nullptr;
  p.ldb = c.out[l];
  p.rows = rows;
  p.depth = p.lda;
  p.cols = c.out[l];
  const bool relu = c.activation[l] == Activation::relu;
  const bool keep_input = kernels::needs_input(c.activation[l]);
  p.c = keep_input ? z : y;
  p.ldc = c.out[l];
  if (l == 0 && group_start) {
    p.init = group_start;
    p.init_stride = c.out[0];
    p.init_period = c.period == c.rows ? 0 : c.period;  // 0: one group, the same start for all rows
    p.init_row = row;
  } else if (c.bias[l]) {
    p.init = c.bias[l].data();
  }
  // The transposed kernel of the first layer has the condition's columns too.
  p.b_transposed = wt;
  p.ldbt = c.in[l];
  p.epilogue = relu ? Epilogue::relu : Epilogue::none;
  multiply(c, p);
  if (!relu && c.activation[l] != Activation::identity) kernels::activate(c.activation[l], p.c, y, rows * c.out[l]);
}

/// f(first row within the block, count, group): the stretches of one group within rows [row, row + rows) of a chain that pools.
template <class F>
void for_groups(const Chain& c, std::int64_t row, std::int64_t rows, F f) {
  for (std::int64_t i = 0; i < rows;) {
    const std::int64_t group = (row + i) / c.pooled, end = std::min(rows, (group + 1) * c.pooled - row);
    f(i, end - i, group);
    i = end;
  }
}

/// Adds the rows of a block to the means; `sums`: of the group that goes on in the next block.
void pool_block(const Chain& c, const float* block, std::int64_t row, std::int64_t rows, float* sums) {
  const std::int64_t n = c.y.cols(), bytes = kernels::bytes_of_bits(n);
  for_groups(c, row, rows, [&](std::int64_t i, std::int64_t count, std::int64_t group) {
    const kernels::PoolPiece piece{.begins = (row + i) % c.pooled == 0, .ends = (row + i + count) % c.pooled == 0, .sums = sums};
    kernels::pool_rows(block + i * n, count, n, 1.0f / static_cast<float>(c.pooled), c.y.node()->value + group * n, piece,
                       c.positive ? c.positive + (row + i) * bytes : nullptr);
  });
}

/// The gradients of a block's rows, from those of the means.
void unpool_block(const Chain& c, float* block, std::int64_t row, std::int64_t rows) {
  const std::int64_t n = c.y.cols(), bytes = kernels::bytes_of_bits(n);
  for_groups(c, row, rows, [&](std::int64_t i, std::int64_t count, std::int64_t group) {
    kernels::unpool_rows(c.y.node()->grad + group * n, count, n, 1.0f / static_cast<float>(c.pooled), block + i * n,
                         c.positive ? c.positive + (row + i) * bytes : nullptr);
  });
}

/// Adds h^T dz to `dw` and the sums of dz's columns to `db`, if they are asked for; what is not to be accumulated is overwritten.
void add_gradients(const Chain& c, const float* h, std::int64_t ldh, const float* dz, std::int64_t ldz, std::int64_t rows, std::int64_t k,
                   std::int64_t n, GradSink dw, GradSink db, Arena& arena) {
  const bool few = n <= kFewColumns && k > 4 * kFewColumns;
  if (db.data && (few || !dw.data || k == 0)) {
    kernels::column_sums(dz, ldz, rows, n, db.data, db.accumulate);
    db.data = nullptr;
  }
  if (!dw.data || k == 0) return;
  c.y.tape().count_product(k, rows, n);
  if (!few) return kernels::transposed_product({h, ldh, dz, ldz, dw.data, n, k, rows, n, dw.accumulate, db.data, db.accumulate});
  const Arena::Mark mark = arena.mark();
  float* t = arena.floats(n * k);
  kernels::transposed_product({dz, ldz, h, ldh, t, k, n, rows, k, false});
  for (std::int64_t i = 0; i < k; ++i)
    for (std::int64_t j = 0; j < n; ++j) dw.data[i * n + j] = t[j * k + i] + (dw.accumulate ? dw.data[i * n + j] : 0.0f);
  arena.rewind(mark);
}

/// dx (+)= dz W^T for the rows of W that begin at `first`, with W^T or room for pieces of it; where x was made by a relu, dx is masked as
/// its derivative wants it.
void add_input_gradient(const Chain& c, const float* dz, std::int64_t rows, std::int64_t first, std::int64_t cols, const float* wt,
                        Tensor x, std::int64_t row, GradSink dx, float* panel, kernels::Ahead ahead = {}) {
  kernels::Product p{};
  p.ahead = ahead;
  p.a = dz;
  p.lda = p.depth = c.out[0];
  p.b = wt ? wt + first : nullptr;
  p.panel = panel;
  p.ldb = c.in[0];
  p.c = dx.data + row * cols;
  p.ldc = p.cols = cols;
  p.rows = rows;
  p.accumulate = dx.accumulate;
  p.b_transposed = c.kernel[0].data() + first * c.out[0];
  p.ldbt = c.out[0];
  if (x.node()->relu) {
    p.epilogue = Epilogue::relu_mask;
    p.mask = x.data() + row * cols;
    p.ldmask = cols;
  }
  multiply(c, p);
}

/// The derivative of a sum over blocks of rows: all but the first block add.
GradSink of_block(GradSink sink, bool first_block) { return {sink.data, sink.accumulate || !first_block}; }

void backward_chain(const Chain& c) {
  Arena& arena = c.y.tape().backward_arena();
  const int last = c.count - 1;
  GradSink dw[kMaxLayers]{}, db[kMaxLayers]{};
  const float* wt[kMaxLayers]{};
  GradSink dx{}, dc{};
  const bool is_masked = c.y.node()->grad_masked;
  // All sinks first: they may allocate memory that outlives this scratch.
  for (int l = 0; l < c.count; ++l) {
    if (c.kernel[l].needs_grad()) dw[l] = detail::grad_sink(c.kernel[l]);
    if (c.bias[l] && c.bias[l].needs_grad()) db[l] = detail::grad_sink(c.bias[l]);
  }
  if (c.x.needs_grad()) dx = detail::masked_grad_sink(c.x);
  if (c.condition && c.condition.needs_grad()) dc = detail::masked_grad_sink(c.condition);
  const Arena::Mark mark = arena.mark();
  std::int64_t widest = 1;
  for (int l = 0; l < c.count; ++l) {
    widest = std::max(widest, c.out[l]);
    // For one block of rows, a product turns the pieces of W that it needs while they are in the first-level cache.
    if (c.rows > kRowBlock && (l > 0 || dx.data || dc.data)) wt[l] = transposed(c.kernel[l], arena);
  }
  const std::int64_t block = rows_per_block(c.rows);
  float* scratch[2] = {arena.floats(block * widest), arena.floats(block * widest)};
  float* panel = arena.floats(kernels::kPanelFloats);
  // Sums of the first layer's dz over the rows of a group: all that the condition's half needs.
  const std::int64_t groups = c.condition ? c.rows / c.period : 0;
  const bool shared = c.condition && c.period > 1;
  float* dr = shared ? arena.floats(groups * c.out[0]) : nullptr;
  if (shared) std::memset(dr, 0, static_cast<std::size_t>(groups * c.out[0]) * sizeof(float));
  const std::int64_t n = c.out[0];
  const GradSink dw_condition{dw[0].data ? dw[0].data + c.x_cols * n : nullptr, dw[0].accumulate};

  const float* dy = c.y.node()->grad;
  for (std::int64_t row = 0; row < c.rows; row += block) {
    const std::int64_t rows = std::min(block, c.rows - row);
    const bool first_block = row == 0;
    const float* dz = c.pooled ? nullptr : dy + row * c.out[last];
    int side = 0;
    if (c.pooled) {
      unpool_block(c, scratch[0], row, rows);
      dz = scratch[0];
      side = 1;
    } else if (c.activation[last] != Activation::identity && !is_masked) {
      const float* at = (kernels::needs_input(c.activation[last]) ? c.inputs[last] : c.outputs[last]) + row * c.out[last];
      kernels::activate_backward(c.activation[last], at, dz, scratch[0], rows * c.out[last]);
      dz = scratch[0];
      side = 1;
    }
    for (int l = last; l > 0; --l) {
      const float* h = c.input_of(l, row);
      add_gradients(c, h, c.in[l], dz, c.out[l], rows, c.in[l], c.out[l], of_block(dw[l], first_block), of_block(db[l], first_block),
                    arena);
      const Activation below = c.activation[l - 1];
      kernels::Product p{};
      p.a = dz;
      p.lda = p.depth = c.out[l];
      p.b = wt[l];
      p.ldb = p.ldc = p.cols = c.in[l];
      p.c = scratch[side];
      p.rows = rows;
      p.b_transposed = c.kernel[l].data();
      p.ldbt = c.out[l];
      p.panel = panel;
      // Activations were written a whole pass ago, and lie in the last-level cache by now.
      p.ahead = c.ahead_of(l - 1, row, rows);
      if (below == Activation::relu) {
        p.epilogue = Epilogue::relu_mask;
        p.mask = h;
        p.ldmask = c.in[l];
      }
      multiply(c, p);
      if (below != Activation::relu && below != Activation::identity) {
        const float* at = (kernels::needs_input(below) ? c.inputs[l - 1] : c.outputs[l - 1]) + row * c.in[l];
        kernels::activate_backward(below, at, scratch[side], scratch[side], rows * c.in[l]);
      }
      dz = scratch[side];
      side ^= 1;
    }
    // first layer
    const GradSink none{};
    add_gradients(c, c.input_of(0, row), c.x_cols, dz, n, rows, c.x_cols, n, of_block(dw[0], first_block),
                  shared ? none : of_block(db[0], first_block), arena);
    if (shared) {
      for (std::int64_t i = 0; i < rows;) {
        const std::int64_t g = (row + i) / c.period, end = std::min(rows, (g + 1) * c.period - row);
        kernels::column_sums(dz + i * n, n, end - i, n, dr + g * n, true);
        i = end;
      }
    } else if (c.condition) {
      add_gradients(c, c.condition.data() + row * c.c_cols, c.c_cols, dz, n, rows, c.c_cols, n, of_block(dw_condition, first_block), none,
                    arena);
      if (dc.data) add_input_gradient(c, dz, rows, c.x_cols, c.c_cols, wt[0], c.condition, row, dc, panel);
    }
    if (dx.data && c.x_cols)
      add_input_gradient(c, dz, rows, 0, c.x_cols, wt[0], c.x, row, dx, panel,
                         c.ahead_of(last, row + block, std::min(block, c.rows - row - block)));
  }
  if (shared) {
    add_gradients(c, c.condition.data(), c.c_cols, dr, n, groups, c.c_cols, n, dw_condition, db[0], arena);
    if (dc.data) add_input_gradient(c, dr, groups, c.x_cols, c.c_cols, wt[0], c.condition, 0, dc, panel);
  }
  arena.rewind(mark);
}

Tensor make_chain(std::span<const Layer> layers, Tensor x, Tensor condition, bool pools) {
  require(!layers.empty() && layers.size() <= kMaxLayers, "dense_chain: needs 1 to {} layers; got {}", kMaxLayers, layers.size());
  Tape& tape = x.tape();
  Chain c{};
  c.count = static_cast<int>(layers.size());
  c.x = x;
  c.condition = condition;
  c.x_cols = x.cols();
  c.c_cols = condition ? condition.cols() : 0;
  c.rows = x.cols() ? x.rows() : x.shape().slice(0, -1).size();
  c.period = 1;
  c.pooled = pools ? x.dim(-2) : 0;
  if (condition) {
    require(condition.rows() > 0 && c.rows % condition.rows() == 0,
            "dense_chain: rows of x {} must be a multiple of the condition's rows {}", shape_of(x), shape_of(condition));
    c.period = c.rows / condition.rows();
  }
  std::int64_t width = c.x_cols + c.c_cols;
  bool needs = x.needs_grad() || (condition && condition.needs_grad());
  for (int l = 0; l < c.count; ++l) {
    const Layer& layer = layers[static_cast<std::size_t>(l)];
    require(layer.kernel.rank() == 2 && layer.kernel.dim(0) == width,
            "dense_chain: layer {} needs inputs of width {} (kernel {}); got width {}", l, layer.kernel.dim(0), shape_of(layer.kernel),
            width);
    c.kernel[l] = layer.kernel;
    c.bias[l] = layer.bias;
    c.activation[l] = layer.activation;
    c.in[l] = width;
    c.out[l] = width = layer.kernel.dim(1);
    require(!layer.bias || layer.bias.size() == width, "dense_chain: layer {} has kernel {} but bias {}", l, shape_of(layer.kernel),
            shape_of(layer.bias));
    needs = needs || layer.kernel.needs_grad() || (layer.bias && layer.bias.needs_grad());
  }
  Shape shape = pools ? x.shape().slice(0, -1) : x.shape();
  shape.set(-1, width);
  c.y = tape.result(shape, {});
  c.y.node()->needs_grad = tape.records() && needs;
  const bool relu = c.activation[c.count - 1] == Activation::relu;
  c.y.node()->relu = relu && !pools;
  const bool keep = c.y.needs_grad();
  const int last = c.count - 1;

  Arena& arena = tape.arena();
  if (keep)
    for (int l = 0; l < c.count; ++l) {
      c.outputs[l] = l < last ? arena.floats(c.rows * c.out[l]) : pools ? nullptr : c.y.data();
      c.inputs[l] = kernels::needs_input(c.activation[l]) ? arena.floats(c.rows * c.out[l]) : nullptr;
    }
  if (keep && pools && relu)
    c.positive =
        static_cast<std::uint8_t*>(arena.bytes(static_cast<std::size_t>(c.rows * kernels::bytes_of_bits(width) + kernels::kBitsSlack)));
  const Arena::Mark mark = arena.mark();
  const std::int64_t block = rows_per_block(c.rows);
  std::int64_t widest = 1;
  for (int l = 0; l < c.count; ++l) widest = std::max(widest, c.out[l]);
  float* to_pool = pools ? arena.floats(block * width) : nullptr;
  float* sums = pools ? arena.floats(2 * width) : nullptr;
  float* scratch[2] = {nullptr, nullptr};
  if (!keep)
    for (float*& s : scratch) s = arena.floats(block * widest);

  const float* wt[kMaxLayers]{};
  float* packed[kMaxLayers]{};
  for (int l = 0; l < c.count; ++l) {
    const std::int64_t depth = l ? c.in[l] : c.x_cols;
    if (c.out[l] <= kFewColumns) wt[l] = transposed(c.kernel[l], arena);
    if (c.out[l] <= kernels::kPanelColumns || depth < kPackedDepth || c.rows < kPackedRows) continue;
    packed[l] = arena.floats(depth * c.out[l]);
    kernels::pack(c.kernel[l].data(), c.out[l], depth, c.out[l], packed[l]);
  }

  // The condition's part of the first layer, bias included, once per group.
  float* start = nullptr;
  if (condition) {
    start = arena.floats(condition.rows() * c.out[0]);
    kernels::Product p{};
    p.a = condition.data();
    p.lda = p.depth = c.c_cols;
    p.b = c.kernel[0].data() + c.x_cols * c.out[0];
    p.ldb = p.ldc = p.cols = c.out[0];
    p.c = start;
    p.rows = condition.rows();
    p.init = c.bias[0] ? c.bias[0].data() : nullptr;
    multiply(c, p);
  }
  for (std::int64_t row = 0; row < c.rows; row += block) {
    const std::int64_t rows = std::min(block, c.rows - row);
    const float* h = x.data() + row * c.x_cols;
    for (int l = 0; l < c.count; ++l) {
      float* y = l == last ? (pools ? to_pool : c.y.data() + row * width) : keep ? c.outputs[l] + row * c.out[l] : scratch[l & 1];
      float* z = keep ? (c.inputs[l] ? c.inputs[l] + row * c.out[l] : nullptr) : y;
      forward_layer(c, l, wt[l], packed[l], h, start, row, rows, z, y);
      h = y;
    }
    if (pools) pool_block(c, to_pool, row, rows, sums);
  }
  arena.rewind(mark);
  // The record keeps the chain by value; it lies in the arena with the op.
  tape.on_backward(c.y, [c] { backward_chain(c); });
  return c.y;
}

}  // namespace

Tensor dense_chain(std::span<const Layer> layers, Tensor x, Tensor condition) { return make_chain(layers, x, condition, false); }

Tensor mean_of_chain(std::span<const Layer> layers, Tensor x, Tensor condition) {
  const bool fused = !layers.empty() && (layers.back().activation == Activation::relu || layers.back().activation == Activation::identity);
  if (!fused) return mean_pool(dense_chain(layers, x, condition));
  require(x.rank() >= 2 && x.dim(-2) > 0, "mean_of_chain: needs shape (..., N, d) with N >= 1; got {}", shape_of(x));
  return make_chain(layers, x, condition, true);
}

Tensor dense(Tensor x, const Layer& layer) { return dense_chain(std::span<const Layer>(&layer, 1), x); }

Tensor matmul(Tensor x, Tensor kernel) { return dense(x, {kernel, {}, Activation::identity}); }

}  // namespace bayesflow::ops
