/// What simulations look like: of it the choice of adapter and summary network follows.
#pragma once

#include "bayesflow/data/simulations.hpp"
#include "bayesflow/training/options.hpp"
#include "bayesflow/workflow/plan.hpp"

namespace bayesflow::workflow {

/// Kind of the data, logarithms and bounds. `data`: automatic, or the user's word.
[[nodiscard]] FitPlan look(const Simulations& simulations, DataKind data);

/// Whether the order of the rows of data (simulations, n, d) tells something: means or variances change with the place, or neighbours are
/// more alike than rows that are far apart.
[[nodiscard]] bool is_ordered(const Array& data);

/// How networks of a plan are trained.
[[nodiscard]] OfflineOptions training_of(const FitPlan& plan, const Simulations& train, const Simulations& held);

}  // namespace bayesflow::workflow
