#include "bayesflow/nn/recurrent.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "bayesflow/autodiff/ops/shape.hpp"
#include "bayesflow/core/errors.hpp"

namespace bayesflow::nn {

void Recurrent::build(const Builder& builder, std::int64_t inputs) {
  if (units_ < 1) throw ConfigurationError(fmt::format("recurrent layer: units = {}; it needs at least one unit", units_));
  store_ = &builder.store();
  const bool lstm = kind_ == CellKind::lstm;
  const std::int64_t width = (lstm ? 4 : 3) * units_;
  kernel_ = builder.add("kernel", {inputs, width}, Initializer::glorot_uniform);
  recurrent_kernel_ = builder.add("recurrent_kernel", {units_, width}, Initializer::orthogonal);
  bias_ = builder.add("bias", lstm ? Shape{width} : Shape{2, width}, Initializer::zeros);
  if (lstm) std::fill_n(store_->value(bias_).begin() + units_, units_, 1.0f);
}

Tensor Recurrent::operator()(Tape& tape, Tensor x, Tensor mask) const {
  const ops::Cell cell{store_->tensor(tape, kernel_), store_->tensor(tape, recurrent_kernel_), store_->tensor(tape, bias_)};
  return kind_ == CellKind::lstm ? ops::lstm(x, cell, options_, mask) : ops::gru(x, cell, options_, mask);
}

EnumNames<CellKind> names_of(CellKind) { return {{CellKind::lstm, "lstm"}, {CellKind::gru, "gru"}}; }

LastState::LastState(CellKind kind, std::int64_t units, bool bidirectional)
    : forward_(kind, units), backward_(kind, units, {.reverse = true}), bidirectional_(bidirectional) {}

void LastState::build(const Builder& builder, std::int64_t inputs) {
  forward_.build(bidirectional_ ? builder.scope("forward") : builder, inputs);
  if (bidirectional_) backward_.build(builder.scope("backward"), inputs);
}

Tensor LastState::operator()(Tape& tape, Tensor x, Tensor mask) const {
  if (!bidirectional_) return forward_(tape, x, mask);
  const Tensor states[] = {forward_(tape, x, mask), backward_(tape, x, mask)};
  return ops::concat(states);
}

}  // namespace bayesflow::nn
