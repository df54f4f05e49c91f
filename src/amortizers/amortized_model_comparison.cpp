#include "bayesflow/amortizers/amortized_model_comparison.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "bayesflow/core/errors.hpp"

namespace bayesflow {

const AmortizerKind AmortizedModelComparison::kKind{.name = "AmortizedModelComparison",
                                                    .target = roles::model_indices,
                                                    .summary = roles::summary_conditions,
                                                    .direct = roles::direct_conditions,
                                                    .density = "log_prob",
                                                    .configure = model_comparison_configurator,
                                                    .target_field = nullptr};

AmortizedModelComparison::AmortizedModelComparison(std::shared_ptr<InferenceNetwork> inference_net,
                                                   std::shared_ptr<SummaryNetwork> summary_net, AmortizerOptions options)
    : Amortizer(kKind, std::move(inference_net), std::move(summary_net), std::move(options)) {
  if (!this->inference_net().has_outputs())
    throw ConfigurationError(
        "AmortizedModelComparison: needs an inference network that gives log probabilities of models; use a PMPNetwork or an "
        "EvidentialNetwork, or give your own class has_outputs and outputs");
}

Array AmortizedModelComparison::logits(const char* what, const Batch& batch, SampleOptions options) const {
  Array out = outputs(what, batch, options);
  if (out.dim(1) != num_models())
    throw ShapeError(fmt::format("AmortizedModelComparison::{}: the inference network gives outputs of shape {}; they must be (batch, {})",
                                 what, out.shape().to_string(), num_models()));
  return out;
}

Array AmortizedModelComparison::compute_logits(const Batch& batch, SampleOptions options) const {
  return logits("compute_logits", batch, options);
}

Array AmortizedModelComparison::posterior_probs(const Batch& batch, SampleOptions options) const {
  Array out = logits("posterior_probs", batch, options);
  const std::int64_t models = out.dim(1);
  for (double* row = out.data(); row != out.data() + out.size(); row += models) {
    const double largest = *std::max_element(row, row + models);
    double sum = 0;
    for (std::int64_t m = 0; m < models; ++m) sum += row[m] = std::exp(row[m] - largest);
    for (std::int64_t m = 0; m < models; ++m) row[m] /= sum;
  }
  return out;
}

Array AmortizedModelComparison::log_bayes_factors(const Batch& batch, const BayesFactorOptions& options) const {
  constexpr const char* kWhat = "log_bayes_factors";
  const std::int64_t models = num_models();
  if (options.reference < 0 || options.reference >= models)
    throw ArgumentError(fmt::format("AmortizedModelComparison::{}: the reference must be the number of a model, 0 to {}; got {}", kWhat,
                                    models - 1, options.reference));
  std::vector<double> priors = options.model_priors;
  if (priors.empty()) priors.assign(static_cast<std::size_t>(models), 1);
  if (static_cast<std::int64_t>(priors.size()) != models ||
      !std::ranges::all_of(priors, [](double p) { return p > 0 && std::isfinite(p); }))
    throw ArgumentError(fmt::format("AmortizedModelComparison::{}: model_priors must be {} positive numbers; got {{{}}}", kWhat, models,
                                    fmt::join(priors, ", ")));
  Array out = logits(kWhat, batch, options.sample);
  for (double* row = out.data(); row != out.data() + out.size(); row += models) {
    for (std::int64_t m = 0; m < models; ++m) row[m] -= std::log(priors[static_cast<std::size_t>(m)]);
    const double reference = row[options.reference];
    for (std::int64_t m = 0; m < models; ++m) row[m] -= reference;
  }
  return out;
}

const EvidentialNetwork& AmortizedModelComparison::evidential(const char* what, bool with_amount) const {
  const auto* net = dynamic_cast<const EvidentialNetwork*>(&inference_net());
  if (!net)
    throw ConfigurationError(
        fmt::format("AmortizedModelComparison::{}: needs an EvidentialNetwork, which the inference network is not", what));
  if (with_amount && !net->has_draws())
    throw ConfigurationError(
        fmt::format("AmortizedModelComparison::{}: with kl_weight = 0 the loss says nothing about the amount of evidence, so that it would "
                    "mean nothing; train with kl_weight > 0",
                    what));
  return *net;
}

Array AmortizedModelComparison::evidence(const Batch& batch, SampleOptions options) const {
  (void)evidential("evidence", false);
  Array out = logits("evidence", batch, options);
  for (double& v : out.values()) v = std::exp(v);
  return out;
}

Array AmortizedModelComparison::uncertainty(const Batch& batch, SampleOptions options) const {
  (void)evidential("uncertainty", true);
  const Array alpha = evidence(batch, options);
  Array out({alpha.dim(0)});
  for (std::int64_t b = 0; b < out.size(); ++b) {
    const double* row = alpha.data() + b * alpha.dim(1);
    out[b] = static_cast<double>(alpha.dim(1)) / std::accumulate(row, row + alpha.dim(1), 0.0);
  }
  return out;
}

Array AmortizedModelComparison::sample(const Batch& batch, std::int64_t n_samples, SampleOptions options) const {
  (void)evidential("sample", true);
  return draws(batch, n_samples, options);
}

/// The score of a classifier that has learnt nothing is the entropy of the models' shares.
std::vector<std::string> AmortizedModelComparison::review(const Batch& held_out, const std::vector<std::string>& /*names*/) const {
  constexpr std::int64_t kLeastSets = 100;
  const Block* truth = held_out.find(roles::model_indices);
  if (!truth || truth->rank() != 2 || truth->dim(0) < kLeastSets) return {};
  std::vector<Foreign> ignored;
  const Array probabilities = posterior_probs(held_out, {.seed = 0, .foreign = &ignored});
  const std::int64_t sets = truth->dim(0), models = num_models();
  const auto count = static_cast<double>(sets);
  std::vector<double> shares(static_cast<std::size_t>(models), 0);
  double score = 0;
  for (std::int64_t b = 0; b < sets; ++b)
    for (std::int64_t m = 0; m < models; ++m) {
      const auto y = static_cast<double>((*truth)(b, m));
      shares[static_cast<std::size_t>(m)] += y / count;
      if (y > 0) score -= y * std::log(std::max(probabilities(b, m), 1e-30)) / count;
    }
  double entropy = 0;
  for (const double p : shares) entropy -= p > 0 ? p * std::log(p) : 0;
  if (entropy == 0 || score < 0.98 * entropy) return {};
  return {
      fmt::format("the models were not told apart: the probabilities score {:.3f} nats on held-out data, the models' shares alone {:.3f}; "
                  "train longer, try another summary network, or check that the data can tell them apart",
                  score, entropy)};
}

}  // namespace bayesflow
