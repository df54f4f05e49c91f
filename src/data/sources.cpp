#include "bayesflow/data/sources.hpp"

#include <fmt/format.h>

#include <cstdint>
#include <optional>
#include <utility>

#include "bayesflow/core/errors.hpp"

namespace bayesflow {

namespace {

constexpr const char* kOwner = "sources configurator";

void check(const std::vector<DataSource>& sources) {
  if (sources.empty()) throw ConfigurationError(fmt::format("{}: at least one source is required", kOwner));
  for (std::size_t i = 0; i < sources.size(); ++i) {
    const DataSource& source = sources[i];
    (void)roles::of_source(roles::summary_conditions, source.name);
    for (std::size_t k = 0; k < i; ++k)
      if (sources[k].name == source.name)
        throw ConfigurationError(fmt::format("{}: there are two sources named \"{}\"; give each a name of its own", kOwner, source.name));
    if (source.shape.rank() == 0 || source.shape.rank() == Shape::kMaxRank || source.shape.size() == 0)
      throw ConfigurationError(fmt::format("{}: the source \"{}\" has the shape {}; one to {} axes with at least one number are required",
                                           kOwner, source.name, source.shape.to_string(), Shape::kMaxRank - 1));
  }
}

Array direct_context(const Array& context, std::int64_t batch, const char* name) {
  Array c = context.rank() == 1 ? context.expand_dims(1) : context;
  if (c.rank() != 2 || c.dim(0) != batch)
    throw ConfigurationError(
        fmt::format("{}: the {} batchable context of shape {} needs shape (batch,) or (batch, c); write a configurator of your own for "
                    "anything else",
                    kOwner, name, context.shape().to_string()));
  return c;
}

}  // namespace

Configurator sources_configurator(std::vector<DataSource> sources) {
  check(sources);
  return [sources = std::move(sources)](const Simulations& simulations) {
    if (!simulations.further.empty())
      throw ConfigurationError(fmt::format("{}: it does not read {}; take it out of the simulations, or write a configurator of your own",
                                           kOwner, simulations.further[0].name));
    Simulations columns = simulations;
    columns.make_columns();
    const Array& data = columns.sim_data;
    std::int64_t width = 0;
    std::string shapes;
    for (const DataSource& source : sources) {
      width += source.shape.size();
      shapes += fmt::format("{}{} {}", shapes.empty() ? "" : ", ", source.name, source.shape.to_string());
    }
    if (data.rank() != 2 || data.dim(1) != width)
      throw ConfigurationError(fmt::format("{}: sim_data must be (batch, {}), the numbers of {} one after the other; got {}", kOwner, width,
                                           shapes, data.shape().to_string()));
    const std::int64_t batch = data.dim(0);
    Batch out{{roles::parameters, columns.prior_draws}};
    std::int64_t first = 0;
    for (const DataSource& source : sources) {
      Shape shape{batch};
      for (int axis = 0; axis < source.shape.rank(); ++axis) shape.push_back(source.shape[axis]);
      out.set(roles::of_source(roles::summary_conditions, source.name), data.columns(first, first + source.shape.size()).reshape(shape));
      first += source.shape.size();
    }
    std::vector<Array> direct;
    if (columns.prior_batchable_context) direct.push_back(direct_context(*columns.prior_batchable_context, batch, "prior's"));
    if (columns.sim_batchable_context) direct.push_back(direct_context(*columns.sim_batchable_context, batch, "simulator's"));
    for (const auto* context : {&columns.prior_non_batchable_context, &columns.sim_non_batchable_context})
      if (*context) direct.push_back((*context)->flatten().expand_dims(0).repeat(batch, 0));
    if (!direct.empty()) out.set(roles::direct_conditions, direct.size() == 1 ? direct[0] : concatenate(direct, -1));
    return out;
  };
}

}  // namespace bayesflow
