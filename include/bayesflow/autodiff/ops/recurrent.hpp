/// Recurrent cells over whole sequences.
#pragma once

#include "bayesflow/autodiff/tape.hpp"
#include "bayesflow/autodiff/tensor.hpp"

namespace bayesflow::ops {

/// Parameters of a cell, in Keras' layout: gates side by side on the last axis.
struct Cell {
  Tensor kernel;            ///< (d, gates units)
  Tensor recurrent_kernel;  ///< (units, gates units)
  Tensor bias;              ///< LSTM: (4 units); GRU: (2, 3 units), of the input's and of the recurrent product
};
struct SequenceOptions {
  bool reverse = false;    ///< from the last time to the first
  bool sequences = false;  ///< states at every time, (..., T, units), instead of the last one, (..., units)
};                         ///< Settings of `lstm` and `gru`

/// Long short-term memory (Hochreiter and Schmidhuber 1997), gates i, f, c, o: with z = x W + h U + b,
///   c = sigmoid(z_f) c + sigmoid(z_i) tanh(z_c),  h = sigmoid(z_o) tanh(c), both 0 at first.
/// x: (..., T, d). mask: (..., T); where it is 0 the state stays as it is.
Tensor lstm(Tensor x, const Cell& cell, const SequenceOptions& options = {}, Tensor mask = {});
/// Gated recurrent unit (Cho et al. 2014), gates z, r, h, in the form that Keras calls reset_after:
///   n = tanh(x W_h + b_h + r (h U_h + b'_h)),  h = z h + (1 - z) n, z and r sigmoids of x W + b + h U + b'.
Tensor gru(Tensor x, const Cell& cell, const SequenceOptions& options = {}, Tensor mask = {});

}  // namespace bayesflow::ops
