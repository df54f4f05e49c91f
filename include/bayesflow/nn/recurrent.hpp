/// Recurrent layers with Keras' parameters.
#pragma once

#include <cstdint>

#include "bayesflow/autodiff/ops/recurrent.hpp"
#include "bayesflow/core/describe.hpp"
#include "bayesflow/nn/parameters.hpp"

namespace bayesflow::nn {
/// The kind of a recurrent layer.
enum class CellKind : std::uint8_t { lstm, gru };
[[nodiscard]] EnumNames<CellKind> names_of(CellKind);

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

/// What a cell knows at the end of a series: its last state. If `bidirectional`, the last state of a second cell, which runs from the end
/// to the beginning, beside it.
class LastState {
 public:
  LastState() = default;
  LastState(CellKind kind, std::int64_t units, bool bidirectional);
  void build(const Builder& builder, std::int64_t inputs);  ///< as Recurrent; of two cells: in the scopes "forward" and "backward"
  /// (..., T, inputs) -> (..., width). mask: (..., T); where it is 0 the state stays as it is.
  [[nodiscard]] Tensor operator()(Tape& tape, Tensor x, Tensor mask = {}) const;
  [[nodiscard]] std::int64_t width() const { return forward_.units() * (bidirectional_ ? 2 : 1); }

 private:
  Recurrent forward_, backward_;
  bool bidirectional_ = false;
};

}  // namespace bayesflow::nn
