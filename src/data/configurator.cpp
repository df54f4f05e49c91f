#include "bayesflow/data/configurator.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "bayesflow/core/errors.hpp"

namespace bayesflow {

namespace {

/// Joins a batchable context to the data on the last axis, repeated over the axes that it lacks (O12).
Array join(const Array& data, const Array& context, const char* name) {
  const auto fail = [&] {
    return ConfigurationError(
        fmt::format("default configurator: {} of shape {} cannot be joined to data of shape {}: it needs shape (batch,), (batch, c) "
                    "or all axes of the data but the last; write a configurator of your own for anything else",
                    name, context.shape().to_string(), data.shape().to_string()));
  };
  if (context.rank() == 0 || context.dim(0) != data.dim(0)) throw fail();
  Array c = context.rank() == 1 ? context.expand_dims(1) : context;
  // Between these ranks it is open which axes of the data are meant.
  if (c.rank() != 2 && c.rank() != data.rank()) throw fail();
  while (c.rank() < data.rank()) c = c.expand_dims(1);
  Shape shape = data.shape();
  shape.set(-1, c.dim(-1));
  try {
    c = c.broadcast_to(shape);
  } catch (const ShapeError&) {
    throw fail();
  }
  return concatenate({data, c}, -1);
}

/// A non-batchable context, the same for all, as (batch, c) (O11).
Array repeat_over_batch(const Array& context, std::int64_t batch) { return context.flatten().expand_dims(0).repeat(batch, 0); }

/// A further field that nothing reads would be left out without a word.
void require_known(const Simulations::Further& field, const char* owner, std::initializer_list<std::string_view> known) {
  if (std::ranges::find(known, std::string_view(field.name)) == known.end())
    throw ConfigurationError(
        fmt::format("{}: it does not read {}; take it out of the simulations, or write a configurator of your own", owner, field.name));
}

}  // namespace

Batch default_configurator(const Simulations& simulations) {
  const DefaultConditions c = default_conditions(simulations);
  Batch out{{roles::parameters, c.parameters},
            {roles::summary_conditions, c.summary_conditions},
            {roles::direct_conditions, c.direct_conditions}};
  out.set(roles::summary_mask, c.summary_mask);
  out.set(roles::summary_times, c.summary_times);
  return out;
}

Batch model_comparison_configurator(const Simulations& simulations) {
  const Array* indices = simulations.find(fields::model_indices);
  if (!indices)
    throw ConfigurationError(
        fmt::format("model comparison configurator: the simulations need {}, one row for each with 1 for the model that made it; a "
                    "MultiGenerativeModel makes them",
                    fields::model_indices));
  const DefaultConditions c = default_conditions(simulations, {fields::model_indices, fields::prior_draws_mask});
  Batch out{
      {roles::model_indices, *indices}, {roles::summary_conditions, c.summary_conditions}, {roles::direct_conditions, c.direct_conditions}};
  out.set(roles::summary_mask, c.summary_mask);
  out.set(roles::summary_times, c.summary_times);
  return out;
}

Batch likelihood_configurator(const Simulations& given) {
  for (const Simulations::Further& f : given.further) require_known(f, "likelihood configurator", {});
  Simulations s = given;
  s.make_columns();
  if (s.prior_draws.rank() != 2 || s.sim_data.rank() < 2 || s.sim_data.rank() > 3)
    throw ConfigurationError(fmt::format(
        "likelihood configurator: parameters need shape (batch, P) and data (batch, d) or (batch, n, d); got {} and {}; write a "
        "configurator of your own for anything else",
        s.prior_draws.shape().to_string(), s.sim_data.shape().to_string()));
  const std::int64_t batch = s.prior_draws.dim(0);
  std::vector<Array> parts{s.prior_draws};
  for (const auto& [context, name] :
       {std::pair{&s.prior_batchable_context, "prior's"}, std::pair{&s.sim_batchable_context, "simulator's"}}) {
    if (!*context) continue;
    const Array c = (*context)->rank() == 1 ? (*context)->expand_dims(1) : **context;
    if (c.rank() != 2 || c.dim(0) != batch)
      throw ConfigurationError(
          fmt::format("likelihood configurator: the {} batchable context of shape {} needs shape (batch,) or (batch, c); "
                      "write a configurator of your own for anything else",
                      name, c.shape().to_string()));
    parts.push_back(c);
  }
  for (const auto* context : {&s.prior_non_batchable_context, &s.sim_non_batchable_context})
    if (*context) parts.push_back(repeat_over_batch(**context, batch));
  return {{roles::observables, s.sim_data}, {roles::conditions, parts.size() == 1 ? parts[0] : concatenate(parts, -1)}};
}

Batch two_level_configurator(const Simulations& simulations) {
  for (const char* name : {fields::hyper_prior_draws, fields::local_prior_draws})
    if (!simulations.find(name))
      throw ConfigurationError(
          fmt::format("two-level configurator: the simulations need {}, as a TwoLevelGenerativeModel makes them", name));
  const DefaultConditions c = default_conditions(
      simulations, {fields::hyper_prior_draws, fields::local_prior_draws, fields::shared_prior_draws, fields::local_mask});
  Batch out{{roles::hyper_parameters, *simulations.find(fields::hyper_prior_draws)},
            {roles::local_parameters, *simulations.find(fields::local_prior_draws)}};
  if (const Array* shared = simulations.find(fields::shared_prior_draws)) out.set(roles::shared_parameters, *shared);
  if (const Array* mask = simulations.find(fields::local_mask)) out.set(roles::local_mask, *mask);
  out.set(roles::summary_conditions, c.summary_conditions);
  out.set(roles::summary_mask, c.summary_mask);
  out.set(roles::summary_times, c.summary_times);
  out.set(roles::direct_global_conditions, c.direct_conditions);
  out.set(roles::direct_local_conditions, c.direct_conditions);
  return out;
}

DefaultConditions default_conditions(const Simulations& given, std::initializer_list<std::string_view> also) {
  for (const Simulations::Further& f : given.further)
    if (f.name != fields::sim_data_mask && f.name != fields::sim_data_times) require_known(f, "default configurator", also);
  std::optional<Simulations> columns;
  if (given.sim_data.rank() == 1 || given.prior_draws.rank() == 1) columns.emplace(given).make_columns();
  const Simulations& s = columns ? *columns : given;
  if (s.sim_data.rank() < 2)
    throw ConfigurationError(
        fmt::format("default configurator: the data needs shape (batch, d), (batch, n, d), ...; got {}", s.sim_data.shape().to_string()));
  if (!s.prior_draws.empty() && s.prior_draws.dim(0) != s.sim_data.dim(0))
    throw ConfigurationError(fmt::format("default configurator: parameters of shape {} and data of shape {} need the same batch on axis 0",
                                         s.prior_draws.shape().to_string(), s.sim_data.shape().to_string()));
  std::optional<Array> joined, direct;
  const auto data = [&]() -> const Array& { return joined ? *joined : s.sim_data; };
  if (s.prior_batchable_context) joined = join(data(), *s.prior_batchable_context, "the prior's batchable context");
  if (s.sim_batchable_context) joined = join(data(), *s.sim_batchable_context, "the simulator's batchable context");
  const std::int64_t batch = s.sim_data.dim(0);
  if (s.prior_non_batchable_context) direct = repeat_over_batch(*s.prior_non_batchable_context, batch);
  if (s.sim_non_batchable_context) {
    Array c = repeat_over_batch(*s.sim_non_batchable_context, batch);
    direct = direct ? concatenate({*direct, c}, -1) : std::move(c);
  }
  const auto further = [&](const char* name) {
    const Array* values = s.find(name);
    return values ? std::optional(*values) : std::nullopt;
  };
  return {s.prior_draws, data(), std::move(direct), further(fields::sim_data_mask), further(fields::sim_data_times)};
}

}  // namespace bayesflow
