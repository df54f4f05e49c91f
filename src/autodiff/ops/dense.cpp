/// Chains of dense layers: nearly all arithmetic of the library.
#include "bayesflow/autodiff/ops/dense.hpp"

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

#include "autodiff/check.hpp"
#include "autodiff/fused.hpp"
#include "autodiff/ops/mean_of_chain.hpp"
#include "autodiff/ops/pieces.hpp"
#include "bayesflow/autodiff/ops/attention.hpp"
#include "bayesflow/autodiff/ops/reduce.hpp"
#include "kernels/bfloat16.hpp"
#include "kernels/elementwise.hpp"
#include "kernels/ordered.hpp"
#include "kernels/product.hpp"

namespace bayesflow::ops {
namespace {

using detail::GradSink;
using kernels::Epilogue;
using kernels::Pair;

constexpr int kMaxLayers = 8;
// Rows that pass through all layers together: activations of 64-128 features stay in the second-level cache.
constexpr std::int64_t kRowBlock = 128;
// A product with so few columns wastes most of a vector; it and its gradient are computed transposed.
constexpr std::int64_t kFewColumns = 4;

// From here on, packing a matrix costs less than it saves.
constexpr std::int64_t kPackedRows = 200, kPackedDepth = 64;

// Layers with fewer inputs stay in float32: they are cheap, and read data and parameters, whose digits count.
constexpr std::int64_t kHalfDepth = 32;

// Pieces of a chain that cuts its rows go in groups, each a task with memory of its own; in the backward pass with sums of its own of the
// gradients of weights, which are added in order.
constexpr std::int64_t kForwardGroups = 16, kBackwardGroups = 8;

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
  bool half[kMaxLayers];        // layers whose products are made in bfloat16
  Pair* halves[kMaxLayers];     // rounded outputs, all rows, for a next layer of that kind
  Pair* half_x;                 // the first layer's input for it
  std::int64_t pooled;          // rows that share one row of y, their mean; 0: none do, and y is the last layer's output
  std::uint8_t* positive;       // if the last layer's outputs are pooled after a relu: which are positive, one bit each
  std::int64_t pieces;          // of rows, cut by shapes alone
  bool cuts;                    // pieces may run side by side

  /// What layer l reads, from `row` on: the condition's half of the first layer aside.
  [[nodiscard]] const float* input_of(int l, std::int64_t row) const { return l ? outputs[l - 1] + row * in[l] : x.data() + row * x_cols; }
  [[nodiscard]] kernels::Ahead ahead_of(int l, std::int64_t row, std::int64_t rows_ahead) const {
    if (rows_ahead <= 0 || (l > 0 && outputs[l - 1] == nullptr)) return {};
    return {input_of(l, row), rows_ahead * (l ? in[l] : x_cols)};
  }
  /// A group of rows that are pooled lies in one piece, or is cut into several; no piece has parts of two.
  [[nodiscard]] std::int64_t first_row(std::int64_t piece) const {
    return pooled && !pools_in_pieces() ? pooled * (rows / pooled * piece / pieces) : rows * piece / pieces;
  }
  [[nodiscard]] bool pools_in_pieces() const { return pieces_of(pooled) > 1; }
  [[nodiscard]] std::int64_t widest() const { return std::max<std::int64_t>(1, *std::max_element(out, out + count)); }
  [[nodiscard]] std::int64_t depth(int l) const { return l ? in[l] : x_cols; }
  [[nodiscard]] bool any_half() const { return std::find(half, half + count, true) != half + count; }
  [[nodiscard]] std::int64_t widest_half() const { return kernels::padded(std::max(x_cols, widest())); }
  /// Whether layer l is read in bfloat16.
  [[nodiscard]] bool feeds_half(int l) const { return l + 1 < count && half[l + 1]; }
  [[nodiscard]] bool is_plain(int l) const { return activation[l] == Activation::relu || activation[l] == Activation::identity; }
  /// Whether the derivative needs the output of layer l in float32.
  [[nodiscard]] bool keeps_output(int l) const { return !feeds_half(l) || !(is_plain(l) || kernels::needs_input(activation[l])); }
  /// What layer l reads in bfloat16.
  [[nodiscard]] Pair* half_input_of(int l, std::int64_t row) const {
    return l ? halves[l - 1] + row * kernels::padded(in[l]) / 2 : half_x + row * kernels::padded(x_cols) / 2;
  }
};

/// Sums over groups of `period` rows that are being made for rows [first_row, ...): those of the group of `row` lie at `of(row)`.
struct GroupSums {
  float* sums;
  std::int64_t first_row, period, cols;
  [[nodiscard]] float* of(std::int64_t row) const { return sums + (row / period - first_row / period) * cols; }
};
std::int64_t groups_within(std::int64_t first_row, std::int64_t end_row, std::int64_t period) {
  return (end_row - 1) / period - first_row / period + 1;
}

const float* transposed(Tensor kernel, Arena& arena) {
  float* t = arena.floats(kernel.size());
  kernels::transpose(kernel.data(), kernel.dim(1), kernel.dim(0), kernel.dim(1), t, kernel.dim(0));
  return t;
}

/// Every product of a chain is made, and counted, with it: pieces that run side by side count by themselves.
class Products {
 public:
  void operator()(const kernels::Product& p) {
    kernels::product(p);
    count(p.rows, p.depth, p.cols);
  }
  void operator()(const kernels::TransposedProduct& p) {
    kernels::transposed_product(p);
    count(p.rows, p.depth, p.cols);
  }
  void operator()(const kernels::HalfProduct& p) {
    kernels::product(p);
    count(p.rows, 2 * p.pairs, p.cols);
    half_flops_ += 4 * p.rows * p.pairs * p.cols;
  }
  Products& operator+=(const Products& other) {
    flops_ += other.flops_;
    half_flops_ += other.half_flops_;
    return *this;
  }
  [[nodiscard]] std::int64_t flops() const { return flops_; }
  [[nodiscard]] std::int64_t half_flops() const { return half_flops_; }

 private:
  void count(std::int64_t rows, std::int64_t depth, std::int64_t cols) { flops_ += 2 * rows * depth * cols; }
  std::int64_t flops_ = 0, half_flops_ = 0;
};

/// Room for numbers in bfloat16, `cols` of them padded, or for pairs of rows.
Pair* halves(Arena& arena, std::int64_t rows, std::int64_t cols) {
  return static_cast<Pair*>(arena.bytes(static_cast<std::size_t>(rows * cols / 2) * sizeof(Pair)));
}
Pair* pairs(Arena& arena, std::int64_t rows, std::int64_t cols) { return halves(arena, 2 * kernels::pairs_of(rows), cols); }

/// How the first layer begins: with the condition's part, or with the bias as all others do.
template <class AnyProduct>
void set_start(const Chain& c, int l, const float* group_start, std::int64_t row, AnyProduct& p) {
  if (l == 0 && group_start) {
    p.init = group_start;
    p.init_stride = c.out[0];
    p.init_period = c.period == c.rows ? 0 : c.period;  // 0: one group, the same start for all rows
    p.init_row = row;
  } else if (c.bias[l]) {
    p.init = c.bias[l].data();
  }
}

/// The product and the activation in bfloat16. `half`: where the result is wanted in bfloat16 as well as, or in place of, in y.
void forward_half(const Chain& c, int l, const Pair* packed, const Pair* h, const float* group_start, std::int64_t row, std::int64_t rows,
                  float* z, float* y, Pair* half, Products& products) {
  kernels::HalfProduct p{};
  p.a = h;
  p.row_stride = kernels::padded(c.depth(l)) / 2;
  p.pair_stride = 1;
  p.b = packed;
  p.rows = rows;
  p.pairs = kernels::pairs_of(c.depth(l));
  p.cols = c.out[l];
  set_start(c, l, group_start, row, p);
  p.epilogue = c.activation[l] == Activation::relu ? Epilogue::relu : Epilogue::none;
  if (half && c.is_plain(l)) {
    p.half = half;
    return products(p);
  }
  p.c = kernels::needs_input(c.activation[l]) ? z : y;
  p.ldc = c.out[l];
  products(p);
  if (!c.is_plain(l)) kernels::activate(c.activation[l], p.c, y, rows * c.out[l]);
  if (half) kernels::round_rows(y, c.out[l], rows, c.out[l], half);
}

/// `wt`: W^T, if it is at hand; `packed`: W, packed, or null.
void forward_layer(const Chain& c, int l, const float* wt, const float* packed, const float* h, const float* group_start, std::int64_t row,
                   std::int64_t rows, float* z, float* y, Products& products) {
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
  set_start(c, l, group_start, row, p);
  // The transposed kernel of the first layer has the condition's columns too.
  p.b_transposed = wt;
  p.ldbt = c.in[l];
  p.epilogue = relu ? Epilogue::relu : Epilogue::none;
  products(p);
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

/// Where the means over rows [first_row, end_row) are made.
struct Means {
  std::int64_t first_row, end_row;
  float* of_piece;  ///< these rows' part of their group's mean; null: groups are complete
  float* sums;      ///< of the group that goes on in the next block
};

/// Adds the rows of a block to the means.
void pool_block(const Chain& c, const float* block, std::int64_t row, std::int64_t rows, const Means& means) {
  const std::int64_t n = c.y.cols(), bytes = kernels::bytes_of_bits(n);
  for_groups(c, row, rows, [&](std::int64_t i, std::int64_t count, std::int64_t group) {
    const std::int64_t begin = row + i, end = begin + count;
    const kernels::PoolPiece piece{.begins = begin % c.pooled == 0 || begin == means.first_row,
                                   .ends = end % c.pooled == 0 || end == means.end_row,
                                   .sums = means.sums};
    kernels::pool_rows(block + i * n, count, n, 1.0f / static_cast<float>(c.pooled),
                       means.of_piece ? means.of_piece : c.y.node()->value + group * n, piece,
                       c.positive ? c.positive + begin * bytes : nullptr);
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
/// `spare`: room for n k values where n is of few columns.
void add_gradients(const float* h, std::int64_t ldh, const float* dz, std::int64_t ldz, std::int64_t rows, std::int64_t k, std::int64_t n,
                   GradSink dw, GradSink db, float* spare, Products& products) {
  const bool few = n <= kFewColumns && k > 4 * kFewColumns;
  if (db.data && (few || !dw.data || k == 0)) {
    kernels::column_sums(dz, ldz, rows, n, db.data, db.accumulate);
    db.data = nullptr;
  }
  if (!dw.data || k == 0) return;
  if (!few) return products(kernels::TransposedProduct{h, ldh, dz, ldz, dw.data, n, k, rows, n, dw.accumulate, db.data, db.accumulate});
  products(kernels::TransposedProduct{dz, ldz, h, ldh, spare, k, n, rows, k, false});
  kernels::add_transposed(spare, k, n, dw.data, dw.accumulate);
}

/// dx (+)= dz W^T for the rows of W that begin at `first`, with W^T or room for pieces of it; where x was made by a relu, dx is masked as
/// its derivative wants it.
void add_input_gradient(const Chain& c, const float* dz, std::int64_t rows, std::int64_t first, std::int64_t cols, const float* wt,
                        Tensor x, std::int64_t row, GradSink dx, float* panel, Products& products, kernels::Ahead ahead = {}) {
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
  if (detail::fused(x).relu) {
    p.epilogue = Epilogue::relu_mask;
    p.mask = x.data() + row * cols;
    p.ldmask = cols;
  }
  products(p);
}

/// The derivative of a sum over blocks of rows: all but the first block add.
GradSink of_block(GradSink sink, bool first_block) { return {sink.data, sink.accumulate || !first_block}; }

/// What the pieces of a group need in the backward pass.
struct alignas(64) BackwardPart {
  float* scratch[2];
  float *panel, *spare;
  Pair *half[2], *pairs_h, *pairs_dz;  // of layers in bfloat16
  GradSink dw[kMaxLayers], db[kMaxLayers];
  Products products;
};

/// The backward pass of a chain: what all rows share.
class BackwardChain {
 public:
  explicit BackwardChain(const Chain& c) : c_(c), arena_(c.y.tape().backward_arena()), last_(c.count - 1), n_(c.out[0]) {
    // All sinks first: they may allocate memory that outlives this scratch.
    for (int l = 0; l < c.count; ++l) {
      if (c.kernel[l].needs_grad()) dw_[l] = detail::grad_sink(c.kernel[l]);
      if (c.bias[l] && c.bias[l].needs_grad()) db_[l] = detail::grad_sink(c.bias[l]);
    }
    if (c.x.needs_grad()) dx_ = detail::masked_grad_sink(c.x);
    if (c.condition && c.condition.needs_grad()) dc_ = detail::masked_grad_sink(c.condition);
    is_masked_ = detail::fused(c.y).grad_masked;
    shared_ = c.condition && c.period > 1;
  }

  void run() {
    const Arena::Mark mark = arena_.mark();
    // For one block of rows, a product transposes the pieces of W that it needs while they are in the first-level cache.
    for (int l = 0; l < c_.count; ++l)
      if (c_.half[l] && (l > 0 || dx_.data)) {
        Pair* wt = pairs(arena_, c_.out[l], kernels::padded(c_.depth(l)));
        kernels::pack_half_transposed(c_.kernel[l].data(), c_.out[l], c_.out[l], c_.depth(l), wt);
        half_wt_[l] = wt;
      }
    for (int l = 0; l < c_.count; ++l)
      if (c_.rows > kRowBlock && (c_.half[l] ? l == 0 && dc_.data : l > 0 || dx_.data || dc_.data))
        wt_[l] = transposed(c_.kernel[l], arena_);
    const std::int64_t groups = c_.condition ? c_.rows / c_.period : 0;
    dr_ = shared_ ? arena_.floats(groups * n_) : nullptr;
    if (shared_) std::memset(dr_, 0, static_cast<std::size_t>(groups * n_) * sizeof(float));
    BackwardPart whole = part();
    for (int l = 0; l < c_.count; ++l) whole.dw[l] = dw_[l], whole.db[l] = db_[l];
    if (c_.cuts)
      in_pieces(whole.products);
    else
      rows(0, c_.rows, whole, {dr_, 0, c_.period, n_}, true);
    if (shared_) {
      const GradSink dw{dw_[0].data ? dw_[0].data + c_.x_cols * n_ : nullptr, dw_[0].accumulate};
      add_gradients(c_.condition.data(), c_.c_cols, dr_, n_, groups, c_.c_cols, n_, dw, db_[0], whole.spare, whole.products);
      if (dc_.data) add_input_gradient(c_, dr_, groups, c_.x_cols, c_.c_cols, wt_[0], c_.condition, 0, dc_, whole.panel, whole.products);
    }
    c_.y.tape().count_flops(whole.products.flops(), whole.products.half_flops());
    arena_.rewind(mark);
  }

 private:
  BackwardPart part() {
    BackwardPart p{};
    const std::int64_t block = c_.cuts ? kRowBlock : rows_per_block(c_.rows);
    for (float*& s : p.scratch) s = arena_.floats(block * c_.widest());
    p.panel = arena_.floats(kernels::kPanelFloats);
    if (c_.any_half()) {
      const std::int64_t width = c_.widest_half();
      for (Pair*& h : p.half) h = halves(arena_, block, width);
      p.pairs_h = pairs(arena_, block, width);
      p.pairs_dz = pairs(arena_, block, width);
    }
    std::int64_t few = 0;
    for (int l = 0; l < c_.count; ++l)
      if (c_.out[l] <= kFewColumns) few = std::max(few, c_.in[l] * c_.out[l]);
    p.spare = arena_.floats(few);
    return p;
  }

  /// Whether layer `l` has a gradient of its bias from each row; else the sums over groups give it.
  [[nodiscard]] bool bias_by_rows(int l) const { return db_[l].data && (l > 0 || !shared_); }
  /// How many values of the kernel's gradient rows contribute to.
  [[nodiscard]] std::int64_t kernel_by_rows(int l) const {
    return dw_[l].data ? (l == 0 && shared_ ? c_.x_cols : c_.in[l]) * c_.out[l] : 0;
  }

  void in_pieces(Products& products) {
    const std::int64_t tasks = std::min(c_.pieces, kBackwardGroups);
    auto* parts = static_cast<BackwardPart*>(arena_.bytes(static_cast<std::size_t>(tasks) * sizeof(BackwardPart)));
    float** sums = shared_ ? static_cast<float**>(arena_.bytes(static_cast<std::size_t>(c_.pieces) * sizeof(float*))) : nullptr;
    for (std::int64_t k = 0; k < tasks; ++k) {
      BackwardPart& p = *new (parts + k) BackwardPart(part());
      for (int l = 0; l < c_.count; ++l) {
        if (const std::int64_t size = kernel_by_rows(l)) p.dw[l] = {arena_.floats(size), false};
        if (bias_by_rows(l)) p.db[l] = {arena_.floats(c_.out[l]), false};
      }
    }
    for (std::int64_t piece = 0; shared_ && piece < c_.pieces; ++piece) {
      const std::int64_t size = groups_within(c_.first_row(piece), c_.first_row(piece + 1), c_.period) * n_;
      sums[piece] = arena_.floats(size);
      std::fill_n(sums[piece], size, 0.0f);
    }
    ThreadPool* pool = c_.y.tape().pool();
    bayesflow::detail::engine_for_each(pool, tasks, [&](std::int64_t k) {
      bool first = true;
      for (std::int64_t piece = c_.pieces * k / tasks; piece < c_.pieces * (k + 1) / tasks; ++piece) {
        const std::int64_t row = c_.first_row(piece);
        rows(row, c_.first_row(piece + 1), parts[k], {shared_ ? sums[piece] : nullptr, row, c_.period, n_}, std::exchange(first, false));
      }
    });
    bayesflow::detail::engine_for_each(pool, std::int64_t{2} * c_.count, [&](std::int64_t i) {
      const int l = static_cast<int>(i / 2);
      const bool bias = i % 2 != 0;
      if (bias ? bias_by_rows(l) : kernel_by_rows(l) > 0)
        add_up(bias ? db_[l] : dw_[l], bias ? c_.out[l] : kernel_by_rows(l), tasks,
               [&](std::int64_t k) { return bias ? parts[k].db[l].data : parts[k].dw[l].data; });
    });
    for (std::int64_t piece = 0; shared_ && piece < c_.pieces; ++piece) {
      const std::int64_t row = c_.first_row(piece);
      kernels::add(dr_ + row / c_.period * n_, sums[piece], groups_within(row, c_.first_row(piece + 1), c_.period) * n_);
    }
    for (std::int64_t k = 0; k < tasks; ++k) products += parts[k].products;
  }

  /// The sums that the groups of pieces have made, in order.
  template <class PartOf>
  static void add_up(GradSink sink, std::int64_t size, std::int64_t tasks, PartOf of) {
    const float* all[kBackwardGroups + 1];
    int n = 0;
    if (sink.accumulate) all[n++] = sink.data;
    for (std::int64_t k = 0; k < tasks; ++k) all[n++] = of(k);
    (void)kernels::reduce_gradient(sink.data, all, n, nullptr, 0, size);
  }

  /// `dr`: sums of the first layer's dz over the rows of a group, which are all that a shared condition's half needs.
  void rows(std::int64_t first_row, std::int64_t end_row, BackwardPart& part, const GroupSums& dr, bool first) {
    const Chain& c = c_;
    const std::int64_t block = rows_per_block(end_row - first_row);
    const GradSink dw_condition{part.dw[0].data ? part.dw[0].data + c.x_cols * n_ : nullptr, part.dw[0].accumulate};
    const float* dy = c.y.node()->grad;
    for (std::int64_t row = first_row; row < end_row; row += block) {
      const std::int64_t count = std::min(block, end_row - row);
      const bool first_block = first && row == first_row;
      const float* dz = c.pooled ? nullptr : dy + row * c.out[last_];
      int side = 0;
      if (c.pooled) {
        unpool_block(c, part.scratch[0], row, count);
        dz = part.scratch[0];
        side = 1;
      } else if (c.activation[last_] != Activation::identity && !is_masked_) {
        const float* at = (kernels::needs_input(c.activation[last_]) ? c.inputs[last_] : c.outputs[last_]) + row * c.out[last_];
        kernels::activate_backward(c.activation[last_], at, dz, part.scratch[0], count * c.out[last_]);
        dz = part.scratch[0];
        side = 1;
      }
      const Pair* half_dz = nullptr;  // dz, if it is in bfloat16 alone
      for (int l = last_; l > 0; --l) {
        if (c.half[l]) {
          half_layer(l, row, count, dz, half_dz, side, part, first_block);
          continue;
        }
        const float* h = c.input_of(l, row);
        add_gradients(h, c.in[l], dz, c.out[l], count, c.in[l], c.out[l], of_block(part.dw[l], first_block),
                      of_block(part.db[l], first_block), part.spare, part.products);
        const Activation below = c.activation[l - 1];
        kernels::Product p{};
        p.a = dz;
        p.lda = p.depth = c.out[l];
        p.b = wt_[l];
        p.ldb = p.ldc = p.cols = c.in[l];
        p.c = part.scratch[side];
        p.rows = count;
        p.b_transposed = c.kernel[l].data();
        p.ldbt = c.out[l];
        p.panel = part.panel;
        // Activations were written a whole pass ago, and lie in the last-level cache by now.
        p.ahead = c.ahead_of(l - 1, row, count);
        if (below == Activation::relu) {
          p.epilogue = Epilogue::relu_mask;
          p.mask = h;
          p.ldmask = c.in[l];
        }
        part.products(p);
        derivative_below(l, row, count, part.scratch[side]);
        dz = part.scratch[side];
        side ^= 1;
      }
      // first layer
      const GradSink none{}, db = shared_ ? none : of_block(part.db[0], first_block);
      if (c.half[0]) {
        half_dz = half_gradients(0, row, count, dz, half_dz, part, of_block(part.dw[0], first_block), db);
        if (dx_.data) {
          kernels::HalfProduct p = half_input_gradient(0, count, half_dz);
          p.c = dx_.data + row * c.x_cols;
          p.ldc = c.x_cols;
          p.accumulate = dx_.accumulate;
          if (detail::fused(c.x).relu) {
            p.epilogue = Epilogue::relu_mask;
            p.mask = c.x.data() + row * c.x_cols;
            p.ldmask = c.x_cols;
          }
          part.products(p);
        }
      } else {
        add_gradients(c.input_of(0, row), c.x_cols, dz, n_, count, c.x_cols, n_, of_block(part.dw[0], first_block), db, part.spare,
                      part.products);
      }
      if (shared_) {
        for (std::int64_t i = 0; i < count;) {
          const std::int64_t end = std::min(count, ((row + i) / c.period + 1) * c.period - row);
          kernels::column_sums(dz + i * n_, n_, end - i, n_, dr.of(row + i), true);
          i = end;
        }
      } else if (c.condition) {
        add_gradients(c.condition.data() + row * c.c_cols, c.c_cols, dz, n_, count, c.c_cols, n_, of_block(dw_condition, first_block), none,
                      part.spare, part.products);
        if (dc_.data) add_input_gradient(c, dz, count, c.x_cols, c.c_cols, wt_[0], c.condition, row, dc_, part.panel, part.products);
      }
      if (dx_.data && c.x_cols && !c.half[0])
        add_input_gradient(c, dz, count, 0, c.x_cols, wt_[0], c.x, row, dx_, part.panel, part.products,
                           c.ahead_of(last_, row + block, std::min(block, end_row - row - block)));
    }
  }

  /// The derivative of the activation below layer l, if no product has applied it.
  void derivative_below(int l, std::int64_t row, std::int64_t count, float* dz) const {
    const Activation below = c_.activation[l - 1];
    if (below == Activation::relu || below == Activation::identity) return;
    const float* at = (kernels::needs_input(below) ? c_.inputs[l - 1] : c_.outputs[l - 1]) + row * c_.in[l];
    kernels::activate_backward(below, at, dz, dz, count * c_.in[l]);
  }

  /// Adds the gradients of layer l's weights, in bfloat16 with float32 sums, and returns dz in bfloat16.
  const Pair* half_gradients(int l, std::int64_t row, std::int64_t count, const float* dz, const Pair* half_dz, BackwardPart& part,
                             GradSink dw, GradSink db) const {
    const std::int64_t k = c_.depth(l), n = c_.out[l];
    if (!half_dz) {
      kernels::round_rows(dz, n, count, n, part.half[0]);
      half_dz = part.half[0];
    }
    if (!dw.data && !db.data) return half_dz;
    kernels::pair_rows(half_dz, count, n, part.pairs_dz);
    if (db.data) kernels::column_sums(part.pairs_dz, kernels::pairs_of(count), n, db.data, db.accumulate);
    if (!dw.data) return half_dz;
    kernels::pair_rows(c_.half_input_of(l, row), count, k, part.pairs_h);
    kernels::HalfProduct p{};
    p.a = part.pairs_h;
    p.row_stride = 1;
    p.pair_stride = kernels::padded(k);
    p.b = part.pairs_dz;
    p.ldb = kernels::padded(n);
    p.rows = k;
    p.pairs = kernels::pairs_of(count);
    p.cols = p.ldc = n;
    p.c = dw.data;
    p.accumulate = dw.accumulate;
    part.products(p);
    return half_dz;
  }

  /// dz W^T of layer l, without its destination.
  [[nodiscard]] kernels::HalfProduct half_input_gradient(int l, std::int64_t count, const Pair* half_dz) const {
    kernels::HalfProduct p{};
    p.a = half_dz;
    p.row_stride = kernels::padded(c_.out[l]) / 2;
    p.pair_stride = 1;
    p.b = half_wt_[l];
    p.rows = count;
    p.pairs = kernels::pairs_of(c_.out[l]);
    p.cols = c_.depth(l);
    return p;
  }

  /// A layer in bfloat16 but the first: its gradients, and dz of the layer below, in bfloat16 if that is all it needs.
  void half_layer(int l, std::int64_t row, std::int64_t count, const float*& dz, const Pair*& half_dz, int& side, BackwardPart& part,
                  bool first_block) const {
    half_dz = half_gradients(l, row, count, dz, half_dz, part, of_block(part.dw[l], first_block), of_block(part.db[l], first_block));
    kernels::HalfProduct p = half_input_gradient(l, count, half_dz);
    if (c_.activation[l - 1] == Activation::relu) {
      p.epilogue = Epilogue::relu_mask;
      p.half_mask = c_.half_input_of(l, row);
    }
    const bool half_below = c_.half[l - 1] && c_.is_plain(l - 1);
    if (half_below) p.half = half_dz == part.half[0] ? part.half[1] : part.half[0];
    half_dz = p.half;
    dz = nullptr;
    // The condition's half of the first layer is made in float32.
    if (half_below && !(l == 1 && c_.condition)) return part.products(p);
    p.c = part.scratch[side];
    p.ldc = c_.in[l];
    part.products(p);
    derivative_below(l, row, count, part.scratch[side]);
    dz = part.scratch[side];
    side ^= 1;
  }

  const Chain& c_;
  Arena& arena_;
  int last_;
  std::int64_t n_;  // columns of the first layer
  GradSink dw_[kMaxLayers]{}, db_[kMaxLayers]{};
  const float* wt_[kMaxLayers]{};
  const Pair* half_wt_[kMaxLayers]{};
  GradSink dx_{}, dc_{};
  bool is_masked_ = false;
  bool shared_ = false;  // rows share a condition
  float* dr_ = nullptr;  // of all groups
};

/// What the pieces of a group need in the forward pass.
struct alignas(64) ForwardPart {
  float *to_pool, *sums;
  float* scratch[2];
  Pair *half[2], *half_x;  // of layers in bfloat16
  Products products;
};

Tensor make_chain(std::span<const Layer> layers, Tensor x, Tensor condition, bool pools, Precision precision) {
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
  c.cuts = tape.cuts_rows() && pieces_of(c.rows) > 1;
  // Sums over rows are made in the same pieces wherever a data set lies, so that its results do not depend on the others of a batch.
  if (const std::int64_t of_group = c.pooled ? pieces_of(c.pooled) : 1; of_group > 1)
    c.pieces = c.rows / c.pooled * of_group;
  else
    c.pieces = !c.cuts ? 1 : c.pooled ? std::min(c.rows / c.pooled, pieces_of(c.rows)) : pieces_of(c.rows);
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
    c.half[l] = precision == Precision::bfloat16 && c.depth(l) >= kHalfDepth && width > kFewColumns;
  }
  Shape shape = pools ? x.shape().slice(0, -1) : x.shape();
  shape.set(-1, width);
  c.y = tape.result(shape, {});
  c.y.node()->needs_grad = tape.records() && needs;
  const bool relu = c.activation[c.count - 1] == Activation::relu;
  detail::fused(c.y).relu = relu && !pools;
  const bool keep = c.y.needs_grad();
  const int last = c.count - 1;

  Arena& arena = tape.arena();
  if (keep)
    for (int l = 0; l < c.count; ++l) {
      c.outputs[l] = l < last ? (c.keeps_output(l) ? arena.floats(c.rows * c.out[l]) : nullptr) : pools ? nullptr : c.y.data();
      if (c.feeds_half(l)) c.halves[l] = halves(arena, c.rows, kernels::padded(c.out[l]));
      if (l == 0 && c.half[0]) c.half_x = halves(arena, c.rows, kernels::padded(c.x_cols));
      c.inputs[l] = kernels::needs_input(c.activation[l]) ? arena.floats(c.rows * c.out[l]) : nullptr;
    }
  if (keep && pools && relu)
    c.positive =
        static_cast<std::uint8_t*>(arena.bytes(static_cast<std::size_t>(c.rows * kernels::bytes_of_bits(width) + kernels::kBitsSlack)));
  const Arena::Mark mark = arena.mark();
  Products products;
  const float* wt[kMaxLayers]{};
  float* packed[kMaxLayers]{};
  Pair* half[kMaxLayers]{};
  for (int l = 0; l < c.count; ++l) {
    const std::int64_t depth = c.depth(l);
    if (c.half[l]) {
      half[l] = pairs(arena, depth, kernels::padded(c.out[l]));
      kernels::pack_half(c.kernel[l].data(), c.out[l], depth, c.out[l], half[l]);
      continue;
    }
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
    products(p);
  }
  const auto part = [&] {
    const std::int64_t block = c.pieces == 1 ? rows_per_block(c.rows) : kRowBlock;
    ForwardPart p{};
    if (pools) p.to_pool = arena.floats(block * width), p.sums = arena.floats(2 * width);
    const bool any_half = c.any_half();
    if (!keep || any_half)
      for (float*& s : p.scratch) s = arena.floats(block * c.widest());
    if (any_half) {
      for (Pair*& h : p.half) h = halves(arena, block, c.widest_half());
      p.half_x = halves(arena, block, c.widest_half());
    }
    return p;
  };
  float* means = c.pools_in_pieces() ? arena.floats(c.pieces * width) : nullptr;
  const auto run_piece = [&](std::int64_t piece, ForwardPart& p) {
    const std::int64_t first_row = c.first_row(piece), end_row = c.first_row(piece + 1), block = rows_per_block(end_row - first_row);
    for (std::int64_t row = first_row; row < end_row; row += block) {
      const std::int64_t rows = std::min(block, end_row - row);
      const float* h = x.data() + row * c.x_cols;
      const Pair* half_h = nullptr;
      for (int l = 0; l < c.count; ++l) {
        float* y = l == last              ? (pools ? p.to_pool : c.y.data() + row * width)
                   : keep && c.outputs[l] ? c.outputs[l] + row * c.out[l]
                                          : p.scratch[l & 1];
        float* z = keep ? (c.inputs[l] ? c.inputs[l] + row * c.out[l] : nullptr) : y;
        Pair* half_y = !c.feeds_half(l) ? nullptr : keep ? c.half_input_of(l + 1, row) : p.half[l & 1];
        if (c.half[l]) {
          if (l == 0) {
            Pair* half_x = keep ? c.half_input_of(0, row) : p.half_x;
            kernels::round_rows(h, c.x_cols, rows, c.x_cols, half_x);
            half_h = half_x;
          }
          forward_half(c, l, half[l], half_h, start, row, rows, z, y, half_y, p.products);
        } else {
          forward_layer(c, l, wt[l], packed[l], h, start, row, rows, z, y, p.products);
          if (half_y) kernels::round_rows(y, c.out[l], rows, c.out[l], half_y);
        }
        h = y;
        half_h = half_y;
      }
      if (pools) pool_block(c, p.to_pool, row, rows, {first_row, end_row, means ? means + piece * width : nullptr, p.sums});
    }
  };
  const std::int64_t tasks = c.cuts ? std::min(c.pieces, kForwardGroups) : 1;
  auto* parts = static_cast<ForwardPart*>(arena.bytes(static_cast<std::size_t>(tasks) * sizeof(ForwardPart)));
  for (std::int64_t k = 0; k < tasks; ++k) new (parts + k) ForwardPart(part());
  const auto task = [&](std::int64_t k) {
    for (std::int64_t piece = c.pieces * k / tasks; piece < c.pieces * (k + 1) / tasks; ++piece) run_piece(piece, parts[k]);
  };
  if (tasks == 1)
    task(0);
  else
    bayesflow::detail::engine_for_each(tape.pool(), tasks, task);
  if (means) kernels::sum_groups(means, c.rows / c.pooled, pieces_of(c.pooled), width, 1.0f, c.y.data(), false);
  for (std::int64_t k = 0; k < tasks; ++k) products += parts[k].products;
  tape.count_flops(products.flops(), products.half_flops());
  arena.rewind(mark);
  // The record keeps the chain by value; it lies in the arena with the op.
  tape.on_backward(c.y, [c] { BackwardChain(c).run(); });
  return c.y;
}

/// Number of the first layer with a softmax; that of layers if there is none.
std::size_t first_softmax(std::span<const Layer> layers) {
  return static_cast<std::size_t>(std::ranges::find(layers, Activation::softmax, &Layer::activation) - layers.begin());
}

}  // namespace

Tensor dense_chain(std::span<const Layer> layers, Tensor x, Tensor condition) {
  const std::size_t cut = first_softmax(layers);
  if (cut == layers.size() || layers.size() > kMaxLayers) return make_chain(layers, x, condition, false, x.tape().precision());
  // A softmax needs whole rows: the chain is cut after its layer.
  Layer before[kMaxLayers];
  std::copy_n(layers.begin(), cut + 1, before);
  before[cut].activation = Activation::identity;
  const Tensor y = softmax(make_chain(std::span<const Layer>(before, cut + 1), x, condition, false, x.tape().precision()));
  return cut + 1 == layers.size() ? y : dense_chain(layers.subspan(cut + 1), y);
}

Tensor mean_of_chain(std::span<const Layer> layers, Tensor x, Tensor condition) {
  const bool fused = !layers.empty() && first_softmax(layers) == layers.size() &&
                     (layers.back().activation == Activation::relu || layers.back().activation == Activation::identity);
  if (!fused) return mean_pool(dense_chain(layers, x, condition));
  require(x.rank() >= 2 && x.dim(-2) > 0, "mean_of_chain: needs shape (..., N, d) with N >= 1; got {}", shape_of(x));
  return make_chain(layers, x, condition, true, x.tape().precision());
}

Tensor dense(Tensor x, const Layer& layer) { return dense_chain(std::span<const Layer>(&layer, 1), x); }

Tensor matmul(Tensor x, Tensor kernel) {
  const Layer layer{kernel, {}, Activation::identity};
  return make_chain(std::span<const Layer>(&layer, 1), x, {}, false, Precision::float32);
}

}  // namespace bayesflow::ops
