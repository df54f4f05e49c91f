#include "bayesflow/networks/time_network.hpp"

#include <fmt/format.h>

#include <cmath>
#include <numbers>
#include <span>

namespace bayesflow {

EnumNames<OdeSolver> names_of(OdeSolver) { return {{OdeSolver::euler, "euler"}, {OdeSolver::rk4, "rk4"}, {OdeSolver::dopri5, "dopri5"}}; }

TimeNetwork::TimeNetwork(const DenseOptions& dense, std::int64_t num_dense, bool residual, double dropout_prob, std::int64_t frequencies,
                         std::int64_t times)
    : dense_(dense), num_dense_(num_dense), frequencies_(frequencies), times_(times), residual_(residual), dropout_prob_(dropout_prob) {}

void TimeNetwork::build(const nn::Builder& builder, std::int64_t width, std::int64_t condition_width) {
  hidden_.clear();
  std::int64_t inputs = width + times_ * (1 + 2 * frequencies_) + condition_width;
  for (std::int64_t i = 0; i < num_dense_; ++i) {
    hidden_.emplace_back(dense_);
    hidden_.back().build(builder.scope(fmt::format("dense.{}", i)), inputs);
    inputs = dense_.units;
  }
  output_ = nn::Dense({.units = width, .activation = Activation::identity});
  output_.build(builder.scope("output"), inputs);
}

Tensor TimeNetwork::operator()(Tape& tape, Tensor x, Tensor times, Tensor condition) const {
  Shape shape = x.shape();
  shape.set(-1, times_ * (1 + 2 * frequencies_));
  Tensor features = tape.filled(shape, 0);
  float* to = features.data();
  for (std::int64_t i = 0; i < times.size(); ++i) {
    const double t = static_cast<double>(times.data()[i]);
    *to++ = static_cast<float>(t);
    for (std::int64_t k = 1; k <= frequencies_; ++k) {
      *to++ = static_cast<float>(std::sin(std::numbers::pi * static_cast<double>(k) * t));
      *to++ = static_cast<float>(std::cos(std::numbers::pi * static_cast<double>(k) * t));
    }
  }
  if (condition && condition.rank() < x.rank()) condition = ops::repeat(condition, x.dim(1));
  const Tensor inputs[] = {x, features, condition};
  Tensor h = ops::concat(std::span(inputs, condition ? 3 : 2));
  for (std::size_t i = 0; i < hidden_.size(); ++i) {
    Tensor y = hidden_[i](tape, h);
    if (dropout_prob_ > 0 && tape.training()) y = ops::dropout(y, static_cast<float>(dropout_prob_));
    h = i > 0 && residual_ ? ops::add(h, y) : y;
  }
  return output_(tape, h);
}

}  // namespace bayesflow
