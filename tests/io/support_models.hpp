/// Small models that simulate quickly.
#pragma once

#include <cmath>
#include <limits>

#include "bayesflow/simulation/generative_model.hpp"

namespace bayesflow {

/// The quickstart's model: 4 means, 50 observations of each.
inline GenerativeModel gaussian_model(GenerativeModelOptions options = {}, double shift = 0) {
  Prior prior([shift](Rng& rng) { return rng.normal({4}, shift); }, {.param_names = {"a", "b", "c", "d"}});
  Simulator simulator([](const Array& theta, Rng& rng) { return rng.normal({50, 4}, theta); });
  return {prior, simulator, std::move(options)};
}

/// One number of observations for each batch.
inline GenerativeModel varying_model() {
  Prior prior([](Rng& rng) { return rng.normal({2}); });
  const ContextGenerator context({.non_batchable = [](Rng& rng) { return Array({1}, static_cast<double>(rng.integers(1, 30))); }});
  Simulator simulator(
      [](const Array& theta, const Context& c, Rng& rng) {
        return rng.normal({static_cast<std::int64_t>(c.non_batchable->item()), 2}, theta);
      },
      {.context = context});
  return {prior, simulator};
}

/// About one simulation in twenty holds a NaN.
inline GenerativeModel faulty_model(double share = 0.05) {
  Prior prior([](Rng& rng) { return rng.normal({2}); });
  Simulator simulator([share](const Array& theta, Rng& rng) {
    Array x = rng.normal({3, 2}, theta);
    if (rng.uniform() < share) x[1] = std::numeric_limits<double>::quiet_NaN();
    return x;
  });
  return {prior, simulator, {.skip_test = true}};
}

/// Without prior_draws: parameters are further fields, as are a mask and a value that each batch shares.
inline GenerativeModel further_model(bool varying = false) {
  const auto function = [varying](const BatchRequest& request) {
    const std::int64_t n = varying ? 2 + static_cast<std::int64_t>(request.first_index / 8 % 3) : 3;
    Simulations out;
    Array hyper({request.batch_size, 1}), local({request.batch_size, n, 2});
    for (std::int64_t i = 0; i < request.batch_size; ++i) {
      Rng rng = request.streams.at(request.first_index + static_cast<std::uint64_t>(i));
      hyper.set_row(i, rng.normal({1}));
      local.set_row(i, rng.normal({n, 2}));
    }
    out.sim_data = local * 2.0;
    out.set(fields::hyper_prior_draws, hyper);
    out.set(fields::local_prior_draws, local);
    out.set(fields::sim_data_mask, Array({request.batch_size, n}, 1.0));
    if (varying) out.set("design", Array({n}, 0.5), FieldRole::shared);
    return out;
  };
  return {function, {.one_context_per_batch = varying, .depends_on_batch = varying}};
}

}  // namespace bayesflow
