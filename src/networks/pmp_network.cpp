#include "bayesflow/networks/pmp_network.hpp"

#include <fmt/format.h>

#include "networks/model_indices.hpp"
#include "networks/validated.hpp"

namespace bayesflow {

void PMPNetworkOptions::validate() const { validate_described(*this, "PMPNetworkOptions"); }

PMPNetwork::PMPNetwork(PMPNetworkOptions options) : options_(networks::validated(options)), head_("PMPNetwork", options_.hidden) {}

void PMPNetwork::build(const nn::Builder& builder, std::int64_t target_width, std::int64_t condition_width) {
  networks::require_model_indices("PMPNetwork", options_.num_models, target_width);
  head_.build(builder, condition_width, options_.num_models);
}

Tensor PMPNetwork::log_density(Tape& tape, Tensor targets, Tensor condition) const {
  const Tensor logits = head_(tape, condition, targets, options_.num_models);
  networks::check_model_indices("PMPNetwork", targets);
  return ops::sum_columns(ops::multiply(targets, ops::log_softmax(logits)));
}

Tensor PMPNetwork::loss(Tape& tape, Tensor targets, Tensor condition) const {
  return ops::scale(log_density(tape, networks::smoothed(tape, targets, options_.label_smoothing), condition), -1);
}

void PMPNetwork::make_valid(Array& targets) const { networks::make_one_hot(targets); }

std::string PMPNetwork::to_string() const {
  return fmt::format("posterior model probabilities of {} models, {}", options_.num_models, head_.to_string());
}

}  // namespace bayesflow
