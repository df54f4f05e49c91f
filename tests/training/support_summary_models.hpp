/// Models whose data fit the cases of all summary networks.
#pragma once

#include "bayesflow/data/configurator.hpp"
#include "bayesflow/simulation/generative_model.hpp"
#include "support/summary_cases.hpp"

namespace bayesflow::support {

/// theta ~ N(0, I) of two numbers; all data but the numbers of parts are theta plus noise.
inline GenerativeModel summary_model(const SummaryCase& c) {
  return GenerativeModel(Prior([](Rng& rng) { return rng.normal({2}); }), Simulator([c](const Array& theta, Rng& rng) {
                           Array x = rng.normal(c.shape(1, 6)).row(0);
                           for (std::int64_t i = 0; i < x.size(); ++i)
                             x.data()[i] = c.parts > 0 && i % c.width == 0 ? static_cast<double>(rng.integers(0, c.parts))
                                                                           : x.data()[i] + theta[i % 2];
                           return x;
                         }));
}

/// The default, for every source of the case.
inline Configurator summary_configurator(const SummaryCase& c) {
  if (c.sources.empty()) return {};
  return [c](const Simulations& simulations) { return with_sources(c, default_configurator(simulations)); };
}

}  // namespace bayesflow::support
