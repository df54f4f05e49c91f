#include "bayesflow/networks/mixture_density_network.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include "autodiff/ops/gaussian_mixture.hpp"
#include "bayesflow/core/errors.hpp"
#include "networks/inputs.hpp"

namespace bayesflow {

EnumNames<Covariance> names_of(Covariance) { return {{Covariance::full, "full"}, {Covariance::diagonal, "diagonal"}}; }

void MixtureDensityOptions::validate() const {
  if (num_params < 1)
    throw ConfigurationError(
        fmt::format("MixtureDensityOptions::num_params = {}; it must be the number of parameters, at least 1", num_params));
  validate_described(*this, "MixtureDensityOptions");
  dense.validate("MixtureDensityOptions");
}

namespace {
ops::Mixture mixture_of(const MixtureDensityOptions& o) { return {o.num_components, o.num_params, o.covariance == Covariance::full}; }
}  // namespace

MixtureDensityNetwork::MixtureDensityNetwork(const MixtureDensityOptions& options) : options_(options) { options_.validate(); }

void MixtureDensityNetwork::build(const nn::Builder& builder, std::int64_t target_width, std::int64_t condition_width) {
  networks::require_num_params("MixtureDensityOptions::num_params", options_.num_params, target_width);
  if (condition_width < 1) throw ConfigurationError("MixtureDensityNetwork: needs conditions, from which it makes its mixtures; got none");
  condition_width_ = condition_width;
  hidden_ = nn::Mlp(std::vector<DenseOptions>(static_cast<std::size_t>(options_.num_dense), options_.dense), options_.dropout_prob);
  hidden_.build(builder.scope("dense"), condition_width);
  const ops::Mixture mixture = mixture_of(options_);
  const std::int64_t inputs = hidden_.units() + condition_width;
  const auto linear = [&](const char* name, std::int64_t units, nn::Start bias) {
    nn::Dense out(
        {.units = units, .activation = Activation::identity, .kernel_initializer = nn::Initializer::zeros, .bias_initializer = bias});
    out.build(builder.scope(name), inputs);
    return out;
  };
  logits_ = linear("logits", mixture.components, nn::Initializer::zeros);
  means_ = linear("means", mixture.components * mixture.width, {nn::Initializer::random_normal, 20});  // N(0, 1)
  factors_ = linear("factors", mixture.components * mixture.factor(), nn::Initializer::zeros);
}

Tensor MixtureDensityNetwork::numbers(Tape& tape, Tensor condition) const {
  const Tensor seen[] = {hidden_(tape, condition), condition}, h = ops::concat(seen);
  const Tensor parts[] = {logits_(tape, h), means_(tape, h), factors_(tape, h)};
  return ops::concat(parts);
}

Tensor MixtureDensityNetwork::log_density(Tape& tape, Tensor targets, Tensor condition) const {
  networks::check_targets("MixtureDensityNetwork", targets, condition, options_.num_params, condition_width_);
  Tensor raw = numbers(tape, condition);
  if (raw.rank() < targets.rank()) raw = ops::repeat(raw, targets.dim(1));
  return ops::gaussian_mixture_log_density(targets, raw, mixture_of(options_));
}

Tensor MixtureDensityNetwork::loss(Tape& tape, Tensor targets, Tensor condition) const {
  return ops::scale(log_density(tape, targets, condition), -1.0f);
}

Tensor MixtureDensityNetwork::sample(Tape& tape, DrawStreams& streams, Tensor condition) const {
  const ops::Mixture m = mixture_of(options_);
  const std::int64_t rows = streams.rows(), d = m.width, k = m.components;
  Tensor out = tape.filled({1, rows, d}, 0), noise = tape.filled({1, rows, d + 1}, 0);
  networks::check_targets("MixtureDensityNetwork", out, condition, options_.num_params, condition_width_);
  // A uniform number chooses the component, normal numbers the place in it.
  streams.fill(noise, [](Rng& rng, std::span<float> values, std::int64_t width) {
    for (std::size_t i = 0; i < values.size(); i += static_cast<std::size_t>(width)) {
      values[i] = static_cast<float>(rng.uniform());
      rng.fill_normal(values.subspan(i + 1, static_cast<std::size_t>(width) - 1));
    }
  });
  const Tensor raw = numbers(tape, condition);
  const std::int64_t each = rows / raw.rows();  // draws of a mixture
  std::vector<double> weights(static_cast<std::size_t>(k));
  for (std::int64_t r = 0; r < rows; ++r) {
    const float *p = raw.data() + r / each * m.numbers(), *z = noise.data() + r * (d + 1);
    if (r % each == 0) {
      const double most = static_cast<double>(*std::max_element(p, p + k));
      double sum = 0;
      for (std::int64_t i = 0; i < k; ++i) sum += weights[static_cast<std::size_t>(i)] = std::exp(static_cast<double>(p[i]) - most);
      for (double& w : weights) w /= sum;
    }
    std::int64_t at = 0;
    for (double left = static_cast<double>(*z++); at + 1 < k && left >= weights[static_cast<std::size_t>(at)]; ++at)
      left -= weights[static_cast<std::size_t>(at)];
    const float *mean = p + k + at * d, *factor = p + k * (1 + d) + at * m.factor(), *below = factor + d;
    float* to = out.data() + r * d;
    for (std::int64_t i = 0; i < d; ++i) {  // L (x - mean) = z, from the first row down
      auto v = static_cast<double>(z[i]);
      for (std::int64_t j = 0; m.full && j < i; ++j)
        v -= static_cast<double>(*below++) * (static_cast<double>(to[j]) - static_cast<double>(mean[j]));
      to[i] = static_cast<float>(static_cast<double>(mean[i]) + v * std::exp(-static_cast<double>(factor[i])));
    }
  }
  return out;
}

std::string MixtureDensityNetwork::to_string() const {
  return fmt::format("mixture of {} normal distributions of {} parameters, {} covariances, {} hidden layers of {} units",
                     options_.num_components, options_.num_params, options_.covariance == Covariance::full ? "full" : "diagonal",
                     options_.num_dense, options_.dense.units);
}

}  // namespace bayesflow
