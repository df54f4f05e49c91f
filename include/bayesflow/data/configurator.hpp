/// From simulations to what the networks are given.
#pragma once

#include <functional>
#include <optional>

#include "bayesflow/data/batch.hpp"
#include "bayesflow/data/simulations.hpp"

namespace bayesflow {

/// Any callable: it may drop rows, standardize, one-hot, repeat a context.
using Configurator = std::function<Batch(const Simulations&)>;

/// v1's default rule, with its defects mended:
/// - summary_conditions = sim_data; a batchable context is broadcast over the observations and joined on the last axis (O12);
///   data of rank 2 (batch, d) is joined directly;
/// - direct_conditions = the non-batchable contexts, repeated over the batch: a scalar (a number of observations) becomes (batch, 1) (O11);
/// - parameters = prior_draws.
/// Throws ConfigurationError naming the shapes that do not fit.
[[nodiscard]] Batch default_configurator(const Simulations& simulations);
/// Of a likelihood: observables = sim_data; conditions = prior_draws, joined by batchable contexts of one row per data set and by
/// non-batchable contexts, repeated over the batch. Throws ConfigurationError naming the shapes that do not fit.
[[nodiscard]] Batch likelihood_configurator(const Simulations& simulations);
/// The default in double precision, for configurators that go on from it.
struct DefaultConditions {
  Array parameters = {}, summary_conditions = {};
  std::optional<Array> direct_conditions = {};
};
[[nodiscard]] DefaultConditions default_conditions(const Simulations& simulations);

}  // namespace bayesflow
