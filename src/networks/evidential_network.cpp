#include "bayesflow/networks/evidential_network.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "bayesflow/core/errors.hpp"
#include "networks/model_indices.hpp"
#include "networks/validated.hpp"

namespace bayesflow {

void EvidentialNetworkOptions::validate() const {
  validate_described(*this, "EvidentialNetworkOptions");
  using enum Activation;
  const auto known = {softplus, relu, exponential, sigmoid, hard_sigmoid, relu6};
  if (std::find(known.begin(), known.end(), output_activation) == known.end())
    throw ConfigurationError(fmt::format(
        "EvidentialNetworkOptions::output_activation = {}; evidence cannot be negative: it must be softplus, relu, exponential, "
        "sigmoid, hard_sigmoid or relu6",
        bayesflow::to_string(output_activation)));
}

EvidentialNetwork::EvidentialNetwork(EvidentialNetworkOptions options)
    : options_(networks::validated(options)), head_("EvidentialNetwork", options_.hidden) {}

void EvidentialNetwork::build(const nn::Builder& builder, std::int64_t target_width, std::int64_t condition_width) {
  networks::require_model_indices("EvidentialNetwork", options_.num_models, target_width);
  head_.build(builder, condition_width, options_.num_models);
}

Tensor EvidentialNetwork::alpha_of(Tape& tape, Tensor outputs) const {
  return ops::add(ops::activate(outputs, options_.output_activation), tape.filled(outputs.shape(), 1));
}

Tensor EvidentialNetwork::concentrations(Tape& tape, Tensor condition) const { return alpha_of(tape, head_(tape, condition)); }

namespace {
/// sum_m y_m log(alpha_m / sum alpha), of rows y that sum to 1
Tensor log_score(Tensor y, Tensor alpha) {
  return ops::subtract(ops::sum_columns(ops::multiply(y, ops::log(alpha))), ops::log(ops::sum_columns(alpha)));
}
}  // namespace

Tensor EvidentialNetwork::log_density(Tape& tape, Tensor targets, Tensor condition) const {
  const Tensor out = head_(tape, condition, targets, options_.num_models);
  networks::check_model_indices("EvidentialNetwork", targets);
  return log_score(targets, alpha_of(tape, out));
}

Tensor EvidentialNetwork::loss(Tape& tape, Tensor targets, Tensor condition) const {
  const Tensor alpha = alpha_of(tape, head_(tape, condition, targets, options_.num_models));
  networks::check_model_indices("EvidentialNetwork", targets);
  const Tensor out = ops::scale(log_score(networks::smoothed(tape, targets, options_.label_smoothing), alpha), -1);
  if (options_.kl_weight == 0) return out;
  const Tensor others = ops::subtract(tape.filled(targets.shape(), 1), targets);
  const Tensor kl = ops::dirichlet_kl(ops::add(ops::multiply(alpha, others), targets));
  return ops::add(out, ops::scale(kl, static_cast<float>(options_.kl_weight)));
}

Tensor EvidentialNetwork::sample(Tape& tape, DrawStreams& streams, Tensor condition) const {
  if (!has_draws())
    throw ConfigurationError(
        "EvidentialNetwork: with kl_weight = 0 the loss says nothing about the amount of evidence, so draws of probabilities would mean "
        "nothing; train with kl_weight > 0");
  const Tensor alpha = concentrations(tape, condition);
  Tensor out = tape.filled({1, streams.rows(), options_.num_models}, 0);
  streams.fill(out, [&alpha](Rng& rng, std::span<float> values, std::int64_t width) {
    std::vector<double> row(static_cast<std::size_t>(width));
    for (std::size_t i = 0; i < values.size(); i += row.size()) {
      double sum = 0;
      for (std::size_t j = 0; j < row.size(); ++j) sum += row[j] = rng.gamma(static_cast<double>(alpha.data()[j]));
      for (std::size_t j = 0; j < row.size(); ++j) values[i + j] = static_cast<float>(row[j] / sum);
    }
  });
  return out;
}

void EvidentialNetwork::make_valid(Array& targets) const { networks::make_one_hot(targets); }

std::string EvidentialNetwork::to_string() const {
  return fmt::format("evidential network for {} models, {}", options_.num_models, head_.to_string());
}

}  // namespace bayesflow
