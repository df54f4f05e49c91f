/// Time steps of recurrent cells for many sequences at once: everything but the matrix products. Single-threaded.
#pragma once

#include <cstdint>

namespace bayesflow::kernels {

/// One step of `rows` sequences. What belongs to one sequence lies `units` or `width` floats in a row; the next sequence's comes a stride
/// later.
struct CellStep {
  std::int64_t rows, units;
  const float* mask;  ///< a number a sequence, 0 where it has no such step and keeps its state; null: all have
  std::int64_t mask_stride;
  float* gates;  ///< of each sequence: sums before the step, activations after it; backward, their gradients
  std::int64_t gate_stride;
  float* other;               ///< LSTM: cells after the step; GRU: U_h h + b of the candidate, backward its gradient
  float* h;                   ///< outputs after the step
  const float* other_before;  ///< LSTM: cells before the step
  const float* h_before;
  std::int64_t state_stride, before_stride;
};
/// i, f, o = sigmoid, g = tanh of the gates i, f, g, o;  c = f c_before + i g,  h = o tanh(c).
void lstm_step(const CellStep& s);
/// z, r = sigmoid, n = tanh(n + r other) of the gates z, r, n;  h = z h_before + (1 - z) n.
void gru_step(const CellStep& s);

/// Gradients that flow back through a step: dh and dc (`units` a sequence, one after the other) are those of h and c, `dy` (or null) is
/// added to dh first. Afterwards they are those of h_before and c_before, without what flows through the products, which a caller adds.
struct CellGradients {
  float* dh;
  float* dc;
  const float* dy;
  std::int64_t dy_stride;
};
void lstm_step_backward(const CellStep& s, const CellGradients& g);
void gru_step_backward(const CellStep& s, const CellGradients& g);

}  // namespace bayesflow::kernels
