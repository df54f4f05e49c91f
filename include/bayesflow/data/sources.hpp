/// Several sources of data in what one simulator returns.
#pragma once

#include <string>
#include <vector>

#include "bayesflow/core/shape.hpp"
#include "bayesflow/data/configurator.hpp"

namespace bayesflow {

/// One of several sources of data: its name, and the shape of it in one data set ({50, 1}: a series; {10, 2}: a table of ten rows).
struct DataSource {
  std::string name;
  Shape shape;
};

/// The configurator for a FusionNetwork of these sources, whose numbers a simulator returns one source after the other, as one row:
/// sim_data is (batch, W), with W the sum of the shapes' sizes, and becomes summary_conditions.NAME (batch, shape...) of each source.
/// Contexts, which belong to no source, become direct_conditions (batch, c): batchable ones of shape (batch) or (batch, c), then
/// non-batchable ones, repeated over the batch; of the prior and then of the simulator. parameters = prior_draws.
///
/// Throws ConfigurationError for no source, a name that a role cannot have or that is there twice, an empty shape; the configurator for
/// data of another width, batchable contexts of other shapes, and further fields: sources with masks or times need a configurator of their
/// own.
[[nodiscard]] Configurator sources_configurator(std::vector<DataSource> sources);

}  // namespace bayesflow
