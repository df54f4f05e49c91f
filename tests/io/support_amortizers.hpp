/// Small amortizers with weights that look trained.
#pragma once

#include "bayesflow/amortizers/amortized_posterior.hpp"
#include "bayesflow/networks/deep_set.hpp"
#include "bayesflow/networks/graph_network.hpp"

namespace bayesflow {

inline Batch some_inputs(std::int64_t batch = 5, std::int64_t n_obs = 12, std::int64_t width = 3, std::int64_t direct = 0) {
  Rng rng(11, "inputs");
  Batch out;
  out.set(roles::parameters, rng.normal({batch, 4}));
  if (width) out.set(roles::summary_conditions, rng.normal({batch, n_obs, width}));
  if (direct) out.set(roles::direct_conditions, rng.normal({batch, direct}));
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

/// A node of every kind of setting.
inline GraphOptions small_graph() {
  using enum GraphOp;
  return {
      .layers = {{"observation", {.units = 8}}, {"block.inner", {.units = 8, .activation = Activation::tanh, .kernel_regularizer = 0.25}}},
      .nodes = {{.name = "first", .op = dense, .sources = {"data"}, .layer = "observation"},
                {.name = "kept", .op = dropout, .sources = {"first"}, .number = 0.1},
                {.name = "second", .op = dense, .sources = {"kept"}, .layer = "block.inner"},
                {.name = "third", .op = dense, .sources = {"second"}, .layer = "block.inner"},
                {.name = "residual", .op = add, .sources = {"first", "third"}},
                {.name = "shorter", .op = scale, .sources = {"residual"}, .number = 1.0 / 3},
                {.name = "mean", .op = mean_pool, .sources = {"shorter"}},
                {.name = "bent", .op = GraphOp::activation, .sources = {"mean"}, .activation = Activation::softplus},
                {.name = "some", .op = columns, .sources = {"bent"}, .first = -5, .last = -1}}};
}

inline AmortizedPosterior small_graph_amortizer() {
  AmortizedPosterior out(InvertibleNetwork({.num_params = 4, .num_coupling_layers = 2}), GraphNetwork(small_graph()));
  out.build(some_inputs());
  scramble(out);
  return out;
}

}  // namespace bayesflow
