/// From simulations to what the networks are given.
#pragma once

#include <functional>
#include <initializer_list>
#include <optional>
#include <string_view>

#include "bayesflow/data/batch.hpp"
#include "bayesflow/data/simulations.hpp"

namespace bayesflow {

/// Any callable: it may drop rows, standardize, one-hot, repeat a context.
using Configurator = std::function<Batch(const Simulations&)>;

/// v1's default rule, with its defects mended:
/// - summary_conditions = sim_data; a batchable context is broadcast over the observations and joined on the last axis (O12);
///   data of rank 2 (batch, d) is joined directly;
/// - direct_conditions = the non-batchable contexts, repeated over the batch: a scalar (a number of observations) becomes (batch, 1) (O11);
/// - parameters = prior_draws;
/// - summary_mask and summary_times = the further fields sim_data_mask and sim_data_times.
/// Throws ConfigurationError naming the shapes that do not fit, or a further field that none of this reads.
[[nodiscard]] Batch default_configurator(const Simulations& simulations);
/// Of a likelihood: observables = sim_data; conditions = prior_draws, joined by batchable contexts of one row per data set and by
/// non-batchable contexts, repeated over the batch. Throws ConfigurationError naming the shapes that do not fit.
[[nodiscard]] Batch likelihood_configurator(const Simulations& simulations);
/// Of model comparison: model_indices = the field of that name; the rest as by default, without parameters.
[[nodiscard]] Batch model_comparison_configurator(const Simulations& simulations);
/// Of two-level models: hyper_parameters, local_parameters, shared_parameters and local_mask = the fields hyper_prior_draws,
/// local_prior_draws, shared_prior_draws and local_mask; summary_conditions, mask and times as by default; non-batchable contexts are
/// direct_global_conditions and direct_local_conditions both.
[[nodiscard]] Batch two_level_configurator(const Simulations& simulations);
/// The default in double precision, for configurators that go on from it, and read the further fields `also` beside its own.
struct DefaultConditions {
  Array parameters = {}, summary_conditions = {};
  std::optional<Array> direct_conditions = {}, summary_mask = {}, summary_times = {};
};
[[nodiscard]] DefaultConditions default_conditions(const Simulations& simulations, std::initializer_list<std::string_view> also = {});

}  // namespace bayesflow
