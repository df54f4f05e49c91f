#include "bayesflow/nn/convolution.hpp"

#include <fmt/format.h>

#include "bayesflow/autodiff/ops/elementwise.hpp"
#include "bayesflow/autodiff/ops/shape.hpp"
#include "bayesflow/core/errors.hpp"

namespace bayesflow::nn {
namespace {

void require_filters(const char* layer, std::int64_t filters) {
  if (filters < 1) throw ConfigurationError(fmt::format("{}: filters = {}; it needs at least one filter", layer, filters));
}
Tensor activated(Tensor x, Activation activation) { return activation == Activation::identity ? x : ops::activate(x, activation); }

}  // namespace

void Conv1d::build(const Builder& builder, std::int64_t inputs) {
  require_filters("Conv1d", options_.filters);
  store_ = &builder.store();
  kernel_ = builder.add("kernel", {options_.size, inputs, options_.filters}, Initializer::glorot_uniform);
  bias_ = builder.add("bias", {options_.filters}, Initializer::zeros);
}
Tensor Conv1d::operator()(Tape& tape, Tensor x, Tensor mask) const {
  if (mask) x = ops::mask_rows(x, mask);
  return activated(ops::conv1d(x, store_->tensor(tape, kernel_), store_->tensor(tape, bias_), options_.window), options_.activation);
}

void Conv2d::build(const Builder& builder, std::int64_t inputs) {
  require_filters("Conv2d", options_.filters);
  store_ = &builder.store();
  kernel_ = builder.add("kernel", {options_.size[0], options_.size[1], inputs, options_.filters}, Initializer::glorot_uniform);
  bias_ = builder.add("bias", {options_.filters}, Initializer::zeros);
}
Tensor Conv2d::operator()(Tape& tape, Tensor x) const {
  return activated(ops::conv2d(x, store_->tensor(tape, kernel_), store_->tensor(tape, bias_), options_.window), options_.activation);
}

}  // namespace bayesflow::nn
