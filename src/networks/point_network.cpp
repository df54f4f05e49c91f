#include "bayesflow/networks/point_network.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "bayesflow/core/errors.hpp"
#include "networks/inputs.hpp"
#include "networks/registry.hpp"
#include "networks/validated.hpp"

namespace bayesflow {

EnumNames<PointEstimate> names_of(PointEstimate) {
  return {{PointEstimate::mean, "mean"},     {PointEstimate::mean_and_sd, "mean_and_sd"}, {PointEstimate::quantiles, "quantiles"},
          {PointEstimate::norm_1, "norm_1"}, {PointEstimate::norm_2, "norm_2"},           {PointEstimate::norm_max, "norm_max"},
          {PointEstimate::own, "own"}};
}

void PointNetworkOptions::validate() const {
  if (num_params < 1)
    throw ConfigurationError(
        fmt::format("PointNetworkOptions::num_params = {}; it must be the number of parameters, at least 1", num_params));
  validate_described(*this, "PointNetworkOptions");
  if (estimate == PointEstimate::quantiles &&
      (levels.empty() || std::ranges::adjacent_find(levels, std::greater_equal<>()) != levels.end()))
    throw ConfigurationError(
        fmt::format("PointNetworkOptions::levels = {{{}}}; there must be at least one, and they must ascend", fmt::join(levels, ", ")));
  if (loss_fun && estimate != PointEstimate::own)
    throw ConfigurationError("PointNetworkOptions::loss_fun is set, but would not be used; set estimate to own as well, or leave it out");
}

PointNetwork::PointNetwork(const PointNetworkOptions& options)
    : options_(networks::validated(options)), head_("PointNetwork", options_.hidden) {}

std::int64_t PointNetwork::blocks() const {
  if (options_.estimate == PointEstimate::quantiles) return static_cast<std::int64_t>(options_.levels.size());
  return options_.estimate == PointEstimate::mean_and_sd ? 2 : 1;
}

void PointNetwork::build(const nn::Builder& builder, std::int64_t target_width, std::int64_t condition_width) {
  networks::require_num_params("PointNetworkOptions::num_params", options_.num_params, target_width);
  const std::int64_t outputs = blocks() * options_.num_params;
  if (!options_.body) return head_.build(builder, condition_width, outputs);
  condition_width_ = condition_width;
  SummaryNetwork& body = *options_.body->get();
  if (condition_width < 1) throw ConfigurationError("PointNetwork: needs conditions, from which it makes its answers; got none");
  body.build(builder.scope("body"), Shape{1, condition_width});
  if (body.summary_dim() != outputs)
    throw ConfigurationError(fmt::format("PointNetworkOptions::body gives {} numbers; it must be {}, {} for each of {} parameters",
                                         body.summary_dim(), outputs, blocks(), options_.num_params));
}

std::span<const SummaryPart> PointNetwork::parts() const {
  return options_.body ? std::span<const SummaryPart>(&*options_.body, 1) : std::span<const SummaryPart>();
}

Tensor PointNetwork::raw_outputs(Tape& tape, Tensor condition) const {
  if (!options_.body) return head_(tape, condition);
  if (!condition || condition.rank() != 2 || condition.cols() != condition_width_)
    throw ShapeError(fmt::format("PointNetwork: was built for conditions (batch, {}); got {}", condition_width_,
                                 condition ? condition.shape().to_string() : "none"));
  return (*options_.body)->forward(tape, condition);
}

/// Sums of the first block and softplus of the others: (..., K P)
Tensor PointNetwork::quantiles(Tape& tape, Tensor raw) const {
  const std::int64_t k = blocks(), width = options_.num_params;
  if (k == 1) return raw;
  const Tensor parts[] = {ops::columns(raw, 0, width), ops::activate(ops::columns(raw, width, k * width), Activation::softplus)};
  Tensor sums = tape.filled({k, k}, 0);
  for (std::int64_t i = 0; i < k; ++i) std::fill_n(sums.data() + i * k, i + 1, 1.0f);
  const Tensor steps = ops::reshape(ops::concat(parts), {raw.rows(), k, width});
  return ops::reshape(ops::batched_matmul(sums, steps), raw.shape());
}

Tensor PointNetwork::outputs(Tape& tape, Tensor condition) const {
  const Tensor raw = raw_outputs(tape, condition);
  const std::int64_t width = options_.num_params;
  if (options_.estimate == PointEstimate::quantiles) return quantiles(tape, raw);
  if (options_.estimate != PointEstimate::mean_and_sd) return raw;
  const Tensor parts[] = {ops::columns(raw, 0, width), ops::activate(ops::columns(raw, width, 2 * width), Activation::exponential)};
  return ops::concat(parts);
}

Tensor PointNetwork::loss(Tape& tape, Tensor targets, Tensor condition) const {
  const std::int64_t width = options_.num_params;
  const Tensor raw = Head::matched("PointNetwork", raw_outputs(tape, condition), targets, width);
  const auto error = [&](Tensor from) { return ops::subtract(targets, from); };
  switch (options_.estimate) {
    case PointEstimate::mean: {
      const Tensor e = error(raw);
      return ops::sum_columns(ops::multiply(e, e));
    }
    case PointEstimate::mean_and_sd: {
      const Tensor log_sd = ops::columns(raw, width, 2 * width), e = error(ops::columns(raw, 0, width));
      const Tensor z = ops::multiply(e, ops::activate(ops::scale(log_sd, -1), Activation::exponential));
      return ops::sum_columns(ops::add(log_sd, ops::scale(ops::multiply(z, z), 0.5f)));
    }
    case PointEstimate::quantiles: {
      const Tensor q = quantiles(tape, raw);
      Tensor out;
      for (std::size_t k = 0; k < options_.levels.size(); ++k) {
        const auto first = static_cast<std::int64_t>(k) * width;
        const Tensor e = error(ops::columns(q, first, first + width));
        const Tensor below = ops::activate(ops::scale(e, -1), Activation::relu);
        const Tensor pinball = ops::sum_columns(ops::add(below, ops::scale(e, static_cast<float>(options_.levels[k]))));
        out = out ? ops::add(out, pinball) : pinball;
      }
      return out;
    }
    case PointEstimate::norm_1:
      return ops::norm(error(raw), ops::Norm::one);
    case PointEstimate::norm_2:
      return ops::norm(error(raw), ops::Norm::two);
    case PointEstimate::norm_max:
      return ops::norm(error(raw), ops::Norm::max);
    case PointEstimate::own:
      break;
  }
  if (!options_.loss_fun)
    throw ConfigurationError(
        "PointNetwork: its loss is one of your own, which is not there; give it as PointNetworkOptions::loss_fun, or as "
        "LoadAmortizerOptions::loss_fun if the network comes from a file");
  return options_.loss_fun(raw, targets);
}

std::string PointNetwork::to_string() const {
  std::string what;
  for (const auto& [value, name] : names_of(options_.estimate))
    if (value == options_.estimate) what = name;
  return fmt::format("point estimates ({}) of {} parameters, {}", what, options_.num_params,
                     options_.body ? (*options_.body)->to_string() : head_.to_string());
}

}  // namespace bayesflow
