/// Recurrent cells over whole sequences.
#include "bayesflow/autodiff/ops/recurrent.hpp"

#include <algorithm>

#include "autodiff/check.hpp"
#include "autodiff/ops/gemm.hpp"
#include "kernels/elementwise.hpp"
#include "kernels/recurrent.hpp"

namespace bayesflow::ops {
namespace {

using detail::grad_of;
using detail::grad_sink;
using detail::GradSink;

struct Recurrent {
  Tensor x, kernel, recurrent, bias, mask, y;
  bool is_gru, reverse, sequences;
  std::int64_t sets, times, inputs, units, width;  // width: of all gates
  float* gates;                                    // (sets, times, width)
  float* other;                                    // (sets, times, units): cells, or the candidate's recurrent sums
  float* h;                                        // (sets, times, units)
  const float* zeros;                              // the state before the first step
  /// Gates that one recurrent product adds up: all of an LSTM's; z and r of a GRU's, whose candidate has its own.
  [[nodiscard]] std::int64_t joint() const { return is_gru ? 2 * units : width; }
  [[nodiscard]] std::int64_t time(std::int64_t step) const { return reverse ? times - 1 - step : step; }
  [[nodiscard]] float* gates_at(std::int64_t t) const { return gates + t * width; }
  [[nodiscard]] float* state_at(float* states, std::int64_t t) const { return states + t * units; }
  [[nodiscard]] kernels::CellStep step(std::int64_t number) const {
    const std::int64_t t = time(number), before = number > 0 ? time(number - 1) : 0;
    kernels::CellStep s{};
    s.rows = sets, s.units = units;
    s.mask = mask ? mask.data() + t : nullptr, s.mask_stride = times;
    s.gates = gates_at(t), s.gate_stride = times * width;
    s.other = state_at(other, t), s.h = state_at(h, t), s.state_stride = times * units;
    s.other_before = number > 0 ? state_at(other, before) : zeros;
    s.h_before = number > 0 ? state_at(h, before) : zeros;
    s.before_stride = number > 0 ? times * units : 0;
    return s;
  }
};

void multiply(const Recurrent& r, const kernels::Product& p) {
  kernels::product(p);
  r.y.tape().count_product(p.rows, p.depth, p.cols);
}

/// h U for all sequences, added to `c` or begun with `init`. U is packed.
void recurrent_product(const Recurrent& r, std::int64_t number, const float* u, std::int64_t cols, float* c, std::int64_t ldc,
                       const float* init) {
  kernels::Product p{};
  p.a = number > 0 ? r.state_at(r.h, r.time(number - 1)) : r.zeros;
  p.lda = number > 0 ? r.times * r.units : 0;
  p.b = u, p.packed = true;
  p.c = c, p.ldc = ldc;
  p.rows = r.sets, p.depth = number > 0 ? r.units : 0, p.cols = cols;
  p.init = init;
  p.accumulate = init == nullptr;
  multiply(r, p);
}

void forward(const Recurrent& r) {
  Arena& arena = r.y.tape().arena();
  const Arena::Mark mark = arena.mark();
  const std::int64_t n = r.units, joint = r.joint(), ld = r.width;
  // Everything that does not wait for a state: one product over all times. Both biases of a GRU's z and r go along.
  float* start = arena.floats(r.width);
  std::copy_n(r.bias.data(), r.width, start);
  if (r.is_gru) kernels::add(start, r.bias.data() + r.width, joint);
  kernels::Product p{};
  p.a = r.x.data(), p.lda = p.depth = r.inputs;
  p.b = r.kernel.data(), p.ldb = r.width;
  p.c = r.gates, p.ldc = p.cols = r.width;
  p.rows = r.sets * r.times;
  p.init = start;
  multiply(r, p);
  float* u = arena.floats(n * joint);
  kernels::pack(r.recurrent.data(), ld, n, joint, u);
  float* u_candidate = r.is_gru ? arena.floats(n * n) : nullptr;
  if (r.is_gru) kernels::pack(r.recurrent.data() + joint, ld, n, n, u_candidate);
  for (std::int64_t number = 0; number < r.times; ++number) {
    const kernels::CellStep s = r.step(number);
    if (number > 0) recurrent_product(r, number, u, joint, s.gates, s.gate_stride, nullptr);
    if (r.is_gru) recurrent_product(r, number, u_candidate, n, s.other, s.state_stride, r.bias.data() + r.width + joint);
    r.is_gru ? kernels::gru_step(s) : kernels::lstm_step(s);
  }
  arena.rewind(mark);
}

void backward(const Recurrent& r) {
  Tape& tape = r.y.tape();
  Arena& arena = tape.backward_arena();
  const auto sink = [](Tensor t) { return t.needs_grad() ? grad_sink(t) : GradSink{}; };
  const GradSink dx = sink(r.x), dw = sink(r.kernel), du = sink(r.recurrent), db = sink(r.bias);
  const Arena::Mark mark = arena.mark();
  const std::int64_t n = r.units, joint = r.joint();
  float* ut = arena.floats(n * r.width);
  kernels::transpose(r.recurrent.data(), r.width, n, r.width, ut, n);
  float* dh = arena.floats(r.sets * n);
  float* dc = arena.floats(r.sets * n);
  std::fill_n(dh, r.sets * n, 0.0f);
  std::fill_n(dc, r.sets * n, 0.0f);
  for (std::int64_t number = r.times - 1; number >= 0; --number) {
    const kernels::CellStep s = r.step(number);
    kernels::CellGradients g{dh, dc, nullptr, 0};
    if (r.sequences)
      g.dy = grad_of(r.y) + r.time(number) * n, g.dy_stride = r.times * n;
    else if (number == r.times - 1)
      g.dy = grad_of(r.y), g.dy_stride = n;
    r.is_gru ? kernels::gru_step_backward(s, g) : kernels::lstm_step_backward(s, g);
    if (number == 0) break;  // the first state is no variable
    gemm(tape, arena, r.sets, joint, n, {s.gates, s.gate_stride}, {ut, n}, dh, n, true);
    if (r.is_gru) gemm(tape, arena, r.sets, n, n, {s.other, s.state_stride}, {ut + joint * n, n}, dh, n, true);
  }
  // Gates hold their gradients now: what remains are products over all times.
  const std::int64_t rows = r.sets * r.times;
  if (dx.data)
    gemm(tape, arena, rows, r.width, r.inputs, {r.gates, r.width}, {r.kernel.data(), r.width, true}, dx.data, r.inputs, dx.accumulate);
  if (dw.data)
    gemm(tape, arena, r.inputs, rows, r.width, {r.x.data(), r.inputs, true}, {r.gates, r.width}, dw.data, r.width, dw.accumulate);
  if (db.data) {
    kernels::column_sums(r.gates, r.width, rows, r.width, db.data, db.accumulate);
    if (r.is_gru) {
      kernels::column_sums(r.gates, r.width, rows, joint, db.data + r.width, db.accumulate);
      kernels::column_sums(r.other, n, rows, n, db.data + r.width + joint, db.accumulate);
    }
  }
  if (du.data) {
    if (!du.accumulate) std::fill_n(du.data, n * r.width, 0.0f);
    // A step's gradients meet the state before it: rows of one sequence, one time apart.
    const std::int64_t from = r.reverse ? 1 : 0, to = r.reverse ? 0 : 1;
    for (std::int64_t set = 0; set < r.sets && r.times > 1; ++set) {
      const MatrixView before{r.h + (set * r.times + from) * n, n, true};
      const float* gates = r.gates + (set * r.times + to) * r.width;
      gemm(tape, arena, n, r.times - 1, joint, before, {gates, r.width}, du.data, r.width, true);
      if (r.is_gru) gemm(tape, arena, n, r.times - 1, n, before, {r.other + (set * r.times + to) * n, n}, du.data + joint, r.width, true);
    }
  }
  arena.rewind(mark);
}

Tensor run(const char* op, bool is_gru, Tensor x, const Cell& cell, const SequenceOptions& options, Tensor mask) {
  const std::int64_t gates = is_gru ? 3 : 4;
  require(x.rank() >= 2 && x.dim(-2) > 0, "{}: needs shape (..., T, d) with T >= 1; got {}", op, shape_of(x));
  require(cell.kernel && cell.recurrent_kernel && cell.bias, "{}: needs a kernel, a recurrent kernel and a bias", op);
  Recurrent r{};
  r.x = x, r.kernel = cell.kernel, r.recurrent = cell.recurrent_kernel, r.bias = cell.bias, r.mask = mask;
  r.is_gru = is_gru, r.reverse = options.reverse, r.sequences = options.sequences;
  r.times = x.dim(-2), r.inputs = x.cols(), r.units = r.recurrent.dim(0), r.width = gates * r.units;
  const Shape lead = x.shape().slice(0, -2);
  r.sets = lead.size();
  require(r.kernel.shape() == Shape{r.inputs, r.width} && r.recurrent.shape() == Shape{r.units, r.width} && r.units > 0,
          "{}: x {} needs a kernel ({}, {} units) and a recurrent kernel (units, {} units); got {} and {}", op, shape_of(x), r.inputs,
          gates, gates, shape_of(r.kernel), shape_of(r.recurrent));
  require(r.bias.size() == (is_gru ? 2 : 1) * r.width, "{}: {} units need a bias of {} values; got {}", op, r.units,
          (is_gru ? 2 : 1) * r.width, shape_of(r.bias));
  require(!mask || mask.shape() == x.shape().slice(0, -1), "{}: x {} needs a mask of all axes but the last; got {}", op, shape_of(x),
          shape_of(mask));
  Shape shape = lead;
  if (r.sequences) shape.push_back(r.times);
  shape.push_back(r.units);
  Tape& tape = x.tape();
  r.y = tape.result(shape, {x, r.kernel, r.recurrent, r.bias});
  Arena& arena = tape.arena();
  float* zeros = arena.floats(r.units);
  std::fill_n(zeros, r.units, 0.0f);
  r.zeros = zeros;
  const Arena::Mark mark = arena.mark();
  r.gates = arena.floats(r.sets * r.times * r.width);
  r.other = arena.floats(r.sets * r.times * r.units);
  r.h = r.sequences ? r.y.data() : arena.floats(r.sets * r.times * r.units);
  forward(r);
  const std::int64_t last = r.time(r.times - 1);
  if (!r.sequences)
    for (std::int64_t set = 0; set < r.sets; ++set)
      std::copy_n(r.h + (set * r.times + last) * r.units, r.units, r.y.data() + set * r.units);
  if (!r.y.needs_grad()) arena.rewind(mark);
  tape.on_backward(r.y, [r] { backward(r); });
  return r.y;
}

}  // namespace

Tensor lstm(Tensor x, const Cell& cell, const SequenceOptions& options, Tensor mask) { return run("lstm", false, x, cell, options, mask); }
Tensor gru(Tensor x, const Cell& cell, const SequenceOptions& options, Tensor mask) { return run("gru", true, x, cell, options, mask); }

}  // namespace bayesflow::ops
