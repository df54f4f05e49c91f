#include "bayesflow/configuration/configurator.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "bayesflow/core/errors.hpp"
#include "core/float32_range.hpp"
#include "simulation/batch.hpp"

namespace bayesflow {

namespace {

struct Field {
  const char* name;
  const Array* values;  // or null
};
std::array<Field, 3> fields(const Inputs& inputs) {
  return {{{"parameters", inputs.parameters.empty() ? nullptr : &inputs.parameters},
           {"summary_conditions", inputs.summary_conditions ? &*inputs.summary_conditions : nullptr},
           {"direct_conditions", inputs.direct_conditions ? &*inputs.direct_conditions : nullptr}}};
}

std::array<Field, 3> conditions_first(const Inputs& inputs) {
  const auto [parameters, summary, direct] = fields(inputs);
  return {{summary, direct, parameters}};
}

}  // namespace

std::int64_t Inputs::batch_size() const {
  for (const auto& [name, values] : conditions_first(*this)) {
    if (!values) continue;
    if (values->rank() == 0) throw ShapeError(fmt::format("Inputs: {} must have an axis of data sets, axis 0; got a single number", name));
    return values->dim(0);
  }
  throw SummaryStatsError("Inputs: there are neither summary conditions nor direct conditions; set at least one of them");
}

Inputs Inputs::rows(std::int64_t first, std::int64_t last) const {
  const auto part = [&](const std::optional<Array>& a) { return a ? std::optional<Array>(a->slice(first, last)) : std::nullopt; };
  return {parameters.empty() ? Array() : parameters.slice(first, last), part(summary_conditions), part(direct_conditions)};
}

std::string Inputs::non_finite() const {
  for (const auto& [name, values] : fields(*this)) {
    if (!values || detail::within_float32(values->values())) continue;
    const std::span<const double> all = values->values();
    const auto bad = std::find_if_not(all.begin(), all.end(), [](double v) { return detail::within_float32(v); });
    const std::int64_t at = bad - all.begin(), stride = values->rank() ? values->size() / values->dim(0) : 1;
    std::string text = fmt::format("{} in {} of data set {}", detail::unsigned_nan(*bad), name, at / stride);
    if (values->rank() > 1 && values->dim(-1) > 1) text += fmt::format(", column {}", at % values->dim(-1));
    return std::isfinite(*bad) ? fmt::format("{}, {}", text, detail::kBeyondFloat32) : text;
  }
  return {};
}

void Inputs::check(const char* owner) const {
  const std::int64_t batch = batch_size();
  if (batch == 0) throw ShapeError(fmt::format("{}: there are no data sets; axis 0 of the conditions must be at least 1", owner));
  for (const auto& [name, values] : fields(*this))
    if (values && (values->rank() == 0 || values->dim(0) != batch))
      throw ShapeError(fmt::format("{}: axis 0 of every field counts the data sets; got {} of shape {} where there are {}", owner, name,
                                   values->shape().to_string(), batch));
  if (const std::string bad = non_finite(); !bad.empty()) {
    const bool beyond = bad.ends_with(detail::kBeyondFloat32);
    throw ArgumentError(fmt::format("{}: {}; every value must be finite{}: drop such data sets, or replace {}the values as in training",
                                    owner, bad, beyond ? " in float32, which networks compute in" : "", beyond ? "or scale " : ""));
  }
}

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

}  // namespace

Inputs default_configurator(const Simulations& given) {
  std::optional<Simulations> columns;
  if (given.sim_data.rank() == 1 || given.prior_draws.rank() == 1) detail::make_columns(columns.emplace(given));
  const Simulations& s = columns ? *columns : given;
  if (s.sim_data.rank() < 2)
    throw ConfigurationError(
        fmt::format("default configurator: the data needs shape (batch, d), (batch, n, d), ...; got {}", s.sim_data.shape().to_string()));
  if (!s.prior_draws.empty() && s.prior_draws.dim(0) != s.sim_data.dim(0))
    throw ConfigurationError(fmt::format("default configurator: parameters of shape {} and data of shape {} need the same batch on axis 0",
                                         s.prior_draws.shape().to_string(), s.sim_data.shape().to_string()));
  Inputs out;
  out.parameters = s.prior_draws;
  out.summary_conditions = s.sim_data;
  if (s.prior_batchable_context)
    out.summary_conditions = join(*out.summary_conditions, *s.prior_batchable_context, "the prior's batchable context");
  if (s.sim_batchable_context)
    out.summary_conditions = join(*out.summary_conditions, *s.sim_batchable_context, "the simulator's batchable context");
  const std::int64_t batch = s.sim_data.dim(0);
  if (s.prior_non_batchable_context) out.direct_conditions = repeat_over_batch(*s.prior_non_batchable_context, batch);
  if (s.sim_non_batchable_context) {
    Array c = repeat_over_batch(*s.sim_non_batchable_context, batch);
    out.direct_conditions = out.direct_conditions ? concatenate({*out.direct_conditions, c}, -1) : std::move(c);
  }
  return out;
}

}  // namespace bayesflow
