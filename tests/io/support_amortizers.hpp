/// Small amortizers with weights that look trained.
#pragma once

#include "bayesflow/amortizers/amortized_posterior.hpp"
#include "bayesflow/networks/deep_set.hpp"

namespace bayesflow {

inline Inputs some_inputs(std::int64_t batch = 5, std::int64_t n_obs = 12, std::int64_t width = 3, std::int64_t direct = 0) {
  Rng rng(11, "inputs");
  Inputs out;
  out.parameters = rng.normal({batch, 4});
  if (width) out.summary_conditions = rng.normal({batch, n_obs, width});
  if (direct) out.direct_conditions = rng.normal({batch, direct});
  return out;
}

/// Every weight gets a number of its own, so that a mix-up shows.
inline void scramble(AmortizedPosterior& amortizer) {
  Rng rng(5, "weights");
  nn::ParameterStore& store = amortizer.store();
  for (std::size_t i = 0; i < store.table().size(); ++i)
    for (float& w : store.value(static_cast<int>(i))) w += static_cast<float>(rng.normal(0.0, 0.05));
  amortizer.update_state();
}

inline DeepSetOptions small_deep_set() {
  return {.summary_dim = 6,
          .num_equiv = 1,
          .dense_s1 = {.units = 8},
          .dense_s2 = {.units = 8},
          .dense_s3 = {.units = 8, .activation = Activation::elu}};
}

inline AmortizedPosterior small_amortizer(InvertibleNetworkOptions flow = {}, DeepSetOptions deep_set = small_deep_set(),
                                          AmortizedPosteriorOptions options = {}) {
  flow.num_params = 4;
  flow.num_coupling_layers = 2;
  flow.coupling.dense.units = 16;
  AmortizedPosterior out(InvertibleNetwork(std::move(flow)), DeepSet(std::move(deep_set)), std::move(options));
  out.build(some_inputs());
  scramble(out);
  return out;
}

}  // namespace bayesflow
