/// A network that tells two classes apart: two hidden layers, trained as v1 and scikit-learn do.
#pragma once

#include <cstdint>
#include <vector>

#include "bayesflow/data/simulations.hpp"

namespace bayesflow::diagnostics {

/// Trains on rows of both classes, standardized: `sim_data` (N, d), labels 1 or 0 in `prior_draws` (N, 1). Returns the logits of label 1
/// of the rows of `asked` (M, d).
std::vector<double> classify(const Simulations& samples, const Array& asked, std::int64_t units, std::int64_t max_epochs,
                             std::uint64_t seed);

}  // namespace bayesflow::diagnostics
