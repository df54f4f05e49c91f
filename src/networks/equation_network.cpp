#include "bayesflow/networks/equation_network.hpp"

#include <utility>

#include "networks/inputs.hpp"
#include "networks/ode_flow.hpp"

namespace bayesflow {

EquationNetwork::EquationNetwork(Settings settings) : settings_(std::move(settings)) {}

void EquationNetwork::build(const nn::Builder& builder, std::int64_t target_width, std::int64_t condition_width) {
  networks::require_num_params(settings_.width_option, settings_.num_params, target_width);
  condition_width_ = condition_width;
  settings_.network.build(builder, target_width, condition_width);
}

void EquationNetwork::check(Tensor targets, Tensor condition) const {
  networks::check_targets(settings_.kind, targets, condition, settings_.num_params, condition_width_);
}

namespace {

networks::OdeFlow equation(const auto& s, std::int64_t condition_width, auto velocity) {
  return {.owner = s.kind,
          .width = s.num_params,
          .condition_width = condition_width,
          .solver = s.solver,
          .steps = s.steps,
          .tolerance = s.tolerance,
          .probes = s.trace_probes,
          .latent_sd = s.latent_sd,
          .velocity = velocity};
}

}  // namespace

Tensor EquationNetwork::sample(Tape& tape, DrawStreams& streams, Tensor condition) const {
  check(tape.filled({1, streams.rows(), settings_.num_params}, 0), condition);
  return networks::draws(tape, streams, condition, equation(settings_, condition_width_, [this](Tape& t, Tensor x, Tensor s, Tensor c) {
                           return slope(t, x, s, c);
                         }));
}

Tensor EquationNetwork::log_density(Tape& tape, Tensor targets, Tensor condition) const {
  check(targets, condition);
  return networks::log_density(
      tape, targets, condition,
      equation(settings_, condition_width_, [this](Tape& t, Tensor x, Tensor s, Tensor c) { return slope(t, x, s, c); }));
}

}  // namespace bayesflow
