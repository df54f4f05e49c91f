#include "bayesflow/networks/head.hpp"

#include <fmt/format.h>

#include <vector>

#include "bayesflow/core/errors.hpp"

namespace bayesflow {

Head::Head(const char* owner, const HeadOptions& options)
    : owner_(owner),
      options_(options),
      hidden_(std::vector<DenseOptions>(static_cast<std::size_t>(options.num_dense), options.dense), options.dropout_prob,
              options.mc_dropout) {}

void Head::build(const nn::Builder& builder, std::int64_t condition_width, std::int64_t outputs) {
  if (condition_width < 1) throw ConfigurationError(fmt::format("{}: needs conditions, from which it makes its answers; got none", owner_));
  condition_width_ = condition_width;
  hidden_.build(builder.scope("dense"), condition_width);
  output_ = nn::Dense({.units = outputs, .activation = Activation::identity});
  output_.build(builder.scope("output"), hidden_.units());
}

Tensor Head::operator()(Tape& tape, Tensor condition) const {
  if (!condition || condition.rank() < 2 || condition.cols() != condition_width_)
    throw ShapeError(fmt::format("{}: was built for conditions of width {}; got {}", owner_, condition_width_,
                                 condition ? condition.shape().to_string() : "none"));
  return output_(tape, hidden_(tape, condition));
}

Tensor Head::matched(const char* owner, Tensor outputs, Tensor targets, std::int64_t target_width) {
  if (targets.rank() < 2 || targets.rank() > 3 || targets.cols() != target_width)
    throw ShapeError(fmt::format("{}: targets must have shape (batch, {}) or (batch, n, {}); got {}", owner, target_width, target_width,
                                 targets.shape().to_string()));
  if (outputs.dim(0) != targets.dim(0) || outputs.rank() > targets.rank() || (outputs.rank() == 3 && outputs.dim(1) != targets.dim(1)))
    throw ShapeError(fmt::format(
        "{}: conditions of shape {} do not go with targets {}: the batch, and the observations of a condition per observation, must agree",
        owner, outputs.shape().slice(0, -1).to_string(), targets.shape().to_string()));
  return outputs.rank() < targets.rank() ? ops::repeat(outputs, targets.dim(1)) : outputs;
}

std::string Head::to_string() const { return fmt::format("{} hidden layers of {} units", options_.num_dense, options_.dense.units); }

}  // namespace bayesflow
