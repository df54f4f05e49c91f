/// Amortizers with weights that do something, and inputs for them.
#pragma once

#include <cstdint>
#include <string>

#include "bayesflow/amortizers/amortized_posterior.hpp"
#include "bayesflow/core/rng.hpp"
#include "bayesflow/networks/deep_set.hpp"

namespace bayesflow {

inline constexpr std::int64_t kObservations = 6, kWidth = 3;  // of a data set of these tests

/// Coupling nets start as the identity; noise on every weight makes them transform, and keeps them invertible.
inline void randomize(AmortizedPosterior& amortizer, std::uint64_t seed = 1) {
  nn::ParameterStore& store = amortizer.store();
  Rng rng(seed, "test weights");
  for (const nn::ParameterInfo& p : store.table())
    for (std::int64_t i = 0; i < p.shape.size(); ++i) store.values()[p.offset + i] += static_cast<float>(0.1 * rng.normal());
}

struct InputSizes {
  std::int64_t sets = 5;
  std::int64_t params = 2;
  bool summary = true;
  std::int64_t direct = 0;  ///< width of direct conditions; 0: none
};

inline Batch random_inputs(const InputSizes& sizes, std::uint64_t seed = 2) {
  Rng rng(seed, "test inputs");
  Batch inputs;
  inputs.set(roles::parameters, rng.normal({sizes.sets, sizes.params}));
  if (sizes.summary) inputs.set(roles::summary_conditions, rng.normal({sizes.sets, kObservations, kWidth}));
  if (sizes.direct) inputs.set(roles::direct_conditions, rng.normal({sizes.sets, sizes.direct}));
  return inputs;
}

inline DeepSet small_deep_set() {
  const DenseOptions dense{.units = 16};
  return DeepSet({.summary_dim = 4, .num_equiv = 1, .dense_s1 = dense, .dense_s2 = dense, .dense_s3 = dense});
}

inline CouplingOptions small_coupling() {
  CouplingOptions coupling = unregularized_coupling();
  coupling.dense.units = 16;
  return coupling;
}

inline InvertibleNetwork small_flow(std::int64_t params, CouplingDesign design = CouplingDesign::affine,
                                    PermutationKind permutation = PermutationKind::fixed) {
  return InvertibleNetwork({.num_params = params,
                            .num_coupling_layers = 3,
                            .coupling_design = design,
                            .coupling = small_coupling(),
                            .permutation = permutation});
}

/// Built for `inputs`, with random weights. A summary network is there if the inputs have something for it.
inline AmortizedPosterior random_posterior(const Batch& inputs, InvertibleNetwork flow, AmortizedPosteriorOptions options = {}) {
  AmortizedPosterior amortizer = inputs.has(roles::summary_conditions)
                                     ? AmortizedPosterior(std::move(flow), small_deep_set(), std::move(options))
                                     : AmortizedPosterior(std::move(flow), std::move(options));
  amortizer.build(inputs, 3);
  randomize(amortizer);
  return amortizer;
}

}  // namespace bayesflow
