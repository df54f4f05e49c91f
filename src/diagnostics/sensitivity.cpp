#include "bayesflow/diagnostics/sensitivity.hpp"

#include <fmt/format.h>

#include <cmath>

#include "bayesflow/diagnostics/recovery.hpp"
#include "bayesflow/diagnostics/two_sample.hpp"
#include "diagnostics/numbers.hpp"

namespace bayesflow::diagnostics {

void SensitivityOptions::validate() const {
  require_option(n_sim >= 1, "SensitivityOptions", "n_sim", real(n_sim), "1 or more");
  require_option(n_posterior_samples >= 1, "SensitivityOptions", "n_posterior_samples", real(n_posterior_samples), "1 or more");
  nonfinite.validate();
  if (!configurator) throw ConfigurationError("SensitivityOptions: configurator is empty; give a callable or leave the default");
}

Sensitivity sensitivity(const AmortizedPosterior& amortizer, const GenerativeModel& model,
                        const std::function<GenerativeModel(double first, double second)>& other, const SensitivityAxis& first,
                        const SensitivityAxis& second, const SensitivityOptions& options) {
  options.validate();
  if (!other) throw ConfigurationError("sensitivity: the function that makes a model of two values is empty");
  for (const SensitivityAxis* axis : {&first, &second})
    if (axis->values.empty())
      throw ConfigurationError(fmt::format("sensitivity: axis \"{}\" has no values; give at least one", axis->name));
  const auto simulate = [&](const GenerativeModel& from) {
    NonFiniteCount ignored;
    return options.configurator(
        from.simulate(options.n_sim, options.seed, "sensitivity", 0, nullptr, options.nonfinite.keeping_count(), ignored));
  };
  Sensitivity out{.first = first, .second = second, .posterior_error = {}, .summary_mmd = {}};
  const auto rows = static_cast<std::int64_t>(first.values.size()), columns = static_cast<std::int64_t>(second.values.size());
  out.posterior_error = Array({rows, columns});
  Array reference;
  if (amortizer.summary_net()) {
    reference = amortizer.summary(simulate(model));
    out.summary_mmd = Array({rows, columns});
  }
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < columns; ++j) {
      const Batch batch = simulate(other(first.values[index(i)], second.values[index(j)]));
      if (!batch.has(roles::parameters))
        throw ConfigurationError("sensitivity: the configurator's batch has no parameters, which are the truths");
      out.posterior_error(i, j) =
          aggregated_rmse(amortizer.sample(batch, options.n_posterior_samples, {.seed = options.seed}), batch.array(roles::parameters))
              .value;
      if (!reference.empty()) out.summary_mmd(i, j) = std::sqrt(maximum_mean_discrepancy(amortizer.summary(batch), reference));
    }
  return out;
}

std::vector<Table> Sensitivity::tables() const {
  std::vector<double> a, b;
  for (const double x : first.values)
    for (const double y : second.values) {
      a.push_back(x);
      b.push_back(y);
    }
  TableBuilder out("sensitivity");
  out.add("first: " + first.name, a).add("second: " + second.name, b).add("posterior_error", posterior_error);
  if (!summary_mmd.empty()) out.add("summary_mmd", summary_mmd);
  return {out};
}

}  // namespace bayesflow::diagnostics
