#include "bayesflow/diagnostics/misspecification.hpp"

#include "bayesflow/core/errors.hpp"
#include "diagnostics/numbers.hpp"

namespace bayesflow {

using diagnostics::MmdHypothesisTest;

namespace {

/// One row per data set, of what is compared.
Array features(const AmortizedPosterior& amortizer, const Batch& inputs, MmdSpace space) {
  if (space == MmdSpace::summary) return amortizer.summary(inputs);
  std::vector<RoleName> read;
  if (const SummaryNetwork* net = amortizer.summary_net())
    for (const std::string& source : net->sources()) read.push_back(roles::of_source(roles::summary_conditions, source));
  if (read.empty()) read.emplace_back(inputs.has(roles::summary_conditions) ? roles::summary_conditions : roles::direct_conditions);
  Array out;
  for (const RoleName& role : read) {
    const Block* data = inputs.find(role);
    if (!data) throw SummaryStatsError("mmd_hypothesis_test: there are neither summary conditions nor direct conditions to compare");
    const Array flat = data->array().reshape({data->dim(0), data->dim(0) ? data->size() / data->dim(0) : 0});
    out = &role == read.data() ? flat : concatenate({out, flat}, 1);
  }
  return out;
}

}  // namespace

void MisspecificationOptions::validate() const {
  nonfinite.validate();
  test.validate();
  diagnostics::require_option(num_reference_simulations >= 4, "MisspecificationOptions", "num_reference_simulations",
                              static_cast<double>(num_reference_simulations), "at least 4");
  if (!configurator) throw ConfigurationError("MisspecificationOptions: configurator is empty; give a callable or leave the default");
}

MmdHypothesisTest mmd_hypothesis_test(const AmortizedPosterior& amortizer, const Batch& observed, const GenerativeModel& model,
                                      const MisspecificationOptions& options) {
  options.validate();
  const auto simulate = [&](std::int64_t n, const char* purpose, std::int64_t first) {
    NonFiniteCount ignored;
    return options.configurator(model.simulate(n, options.test.seed, purpose, static_cast<std::uint64_t>(first), nullptr,
                                               options.nonfinite.keeping_count(), ignored));
  };
  if (options.test.bootstrap)
    return mmd_hypothesis_test(amortizer, observed, simulate(2 * options.num_reference_simulations, "mmd reference", 0), options);
  const Array reference = features(amortizer, simulate(options.num_reference_simulations, "mmd reference", 0), options.space);
  const Array ours = features(amortizer, observed, options.space);
  std::vector<Array> null_sets;
  for (std::int64_t i = 0; i < options.test.num_null_samples; ++i) {
    null_sets.push_back(features(amortizer, simulate(ours.dim(0), "mmd null", i * ours.dim(0)), options.space));
    if (options.progress) options.progress(i + 1, options.test.num_null_samples);
  }
  return diagnostics::mmd_hypothesis_test(ours, reference, concatenate(null_sets, 0), options.test);
}

MmdHypothesisTest mmd_hypothesis_test(const AmortizedPosterior& amortizer, const Batch& observed, const Batch& reference,
                                      const MisspecificationOptions& options) {
  options.validate();
  return diagnostics::mmd_hypothesis_test(features(amortizer, observed, options.space), features(amortizer, reference, options.space),
                                          options.test);
}

}  // namespace bayesflow
