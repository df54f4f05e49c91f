/// Draws of the quickstart's posterior, exact or wrong in a known way.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <string>

#include "bayesflow/core/array.hpp"
#include "bayesflow/core/rng.hpp"
#include "support/expect.hpp"

namespace bayesflow::diagnostics {

struct Posterior {
  Array draws;   // (B, S, P)
  Array truths;  // (B, P)
};

/// theta ~ N(0, 1), 50 observations N(theta, 1): the posterior is N(sum x / 51, 1 / 51). `distort` changes standard draws (P).
inline Posterior quickstart_posterior(std::int64_t data_sets, std::int64_t num_draws, std::int64_t parameters = 4, std::uint64_t seed = 1,
                                      const std::function<void(double*)>& distort = {}) {
  Rng rng(seed, "quickstart posterior");
  Posterior out{Array({data_sets, num_draws, parameters}), Array({data_sets, parameters})};
  const double sd = 1 / std::sqrt(51.0);
  std::vector<double> mean(static_cast<std::size_t>(parameters)), z(mean);
  for (std::int64_t b = 0; b < data_sets; ++b) {
    for (std::int64_t p = 0; p < parameters; ++p) {
      out.truths(b, p) = rng.normal();
      mean[static_cast<std::size_t>(p)] = (50 * out.truths(b, p) + std::sqrt(50.0) * rng.normal()) / 51;
    }
    for (std::int64_t s = 0; s < num_draws; ++s) {
      for (double& v : z) v = rng.normal();
      if (distort) distort(z.data());
      for (std::int64_t p = 0; p < parameters; ++p)
        out.draws(b, s, p) = mean[static_cast<std::size_t>(p)] + sd * z[static_cast<std::size_t>(p)];
    }
  }
  return out;
}

}  // namespace bayesflow::diagnostics
