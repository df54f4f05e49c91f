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

}  // namespace bayesflow
