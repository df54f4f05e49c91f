/// Small models and networks that train in milliseconds.
#pragma once

#include <cstdint>
#include <vector>

#include "bayesflow/amortizers/amortized_posterior.hpp"
#include "bayesflow/networks/deep_set.hpp"
#include "bayesflow/training/trainer.hpp"

namespace bayesflow {

/// theta ~ N(0, I), n observations ~ N(theta, I): the posterior is N(sum(x) / (n + 1), I / (n + 1)).
inline GenerativeModel gaussian_model(std::int64_t width, std::int64_t n, GenerativeModelOptions options = {}) {
  return GenerativeModel(Prior([width](Rng& rng) { return rng.normal({width}); }), Simulator([width, n](const Array& theta, Rng& rng) {
                           return rng.normal({n, width}, theta);
                         }),
                         std::move(options));
}

inline CouplingOptions tiny_coupling() {
  CouplingOptions coupling = unregularized_coupling();
  coupling.dense.units = 8;
  coupling.num_dense = 1;
  return coupling;
}

inline InvertibleNetwork tiny_flow(std::int64_t params) {
  return InvertibleNetwork({.num_params = params, .num_coupling_layers = 2, .coupling = tiny_coupling()});
}

inline DeepSet tiny_deep_set() {
  const DenseOptions dense{.units = 8};
  return DeepSet({.summary_dim = 4, .num_dense_s1 = 1, .num_dense_s2 = 1, .num_equiv = 0, .dense_s1 = dense, .dense_s2 = dense});
}

inline AmortizedPosterior tiny_posterior(std::int64_t params = 2, AmortizedPosteriorOptions options = {}) {
  return AmortizedPosterior(tiny_flow(params), tiny_deep_set(), std::move(options));
}

inline std::vector<float> weights_of(const AmortizedPosterior& amortizer) {
  return {amortizer.store().values(), amortizer.store().values() + amortizer.store().size()};
}

}  // namespace bayesflow
