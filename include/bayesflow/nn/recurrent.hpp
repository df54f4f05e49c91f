/// Recurrent layers with Keras' parameters.
#pragma once

#include <cstdint>

#include "bayesflow/autodiff/ops/recurrent.hpp"
#include "bayesflow/nn/parameters.hpp"

namespace bayesflow::nn {

enum class CellKind : std::uint8_t { lstm, gru };

/// A recurrent cell over the last axis but one: the last state, or all of them (`SequenceOptions::sequences`). Two layers, one of them in
/// reverse, and ops::concat make a bidirectional one.
class Recurrent {
 public:
  Recurrent() = default;
  Recurrent(CellKind kind, std::int64_t units, ops::SequenceOptions options = {}) : kind_(kind), units_(units), options_(options) {}
  /// Registers "kernel" (Glorot), "recurrent_kernel" (orthogonal) and "bias" (0; 1 for the forget gate of an LSTM).
  void build(const Builder& builder, std::int64_t inputs);
  [[nodiscard]] Tensor operator()(Tape& tape, Tensor x, Tensor mask = {}) const;
  [[nodiscard]] std::int64_t units() const { return units_; }

 private:
  CellKind kind_ = CellKind::lstm;
  std::int64_t units_ = 64;
  ops::SequenceOptions options_;
  ParameterStore* store_ = nullptr;
  int kernel_ = -1, recurrent_kernel_ = -1, bias_ = -1;
};

}  // namespace bayesflow::nn
