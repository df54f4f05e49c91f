#include "bayesflow/data/simulations.hpp"

namespace bayesflow {

Simulations Simulations::take(const std::vector<std::int64_t>& rows) const {
  Simulations out;
  out.prior_non_batchable_context = prior_non_batchable_context;
  out.sim_non_batchable_context = sim_non_batchable_context;
  out.prior_draws = prior_draws.take(rows);
  out.sim_data = sim_data.take(rows);
  if (prior_batchable_context) out.prior_batchable_context = prior_batchable_context->take(rows);
  if (sim_batchable_context) out.sim_batchable_context = sim_batchable_context->take(rows);
  return out;
}

void Simulations::make_columns() {
  if (prior_draws.empty()) return;
  if (prior_draws.rank() == 1) prior_draws = prior_draws.expand_dims(1);
  if (sim_data.rank() == 1) sim_data = sim_data.expand_dims(1);
}

std::vector<std::pair<std::string, const Array*>> Simulations::fields() const {
  const auto of = [](const std::optional<Array>& a) { return a ? &*a : nullptr; };
  return {{"prior_non_batchable_context", of(prior_non_batchable_context)},
          {"prior_batchable_context", of(prior_batchable_context)},
          {"prior_draws", &prior_draws},
          {"sim_non_batchable_context", of(sim_non_batchable_context)},
          {"sim_batchable_context", of(sim_batchable_context)},
          {"sim_data", &sim_data}};
}

}  // namespace bayesflow
