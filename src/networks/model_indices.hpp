/// Targets that say from which model data come.
#pragma once

#include <cstdint>

#include "bayesflow/autodiff/ops.hpp"
#include "bayesflow/core/array.hpp"

namespace bayesflow::networks {

/// Throws ConfigurationError unless there is a column for each model.
void require_model_indices(const char* owner, std::int64_t num_models, std::int64_t target_width);
/// Throws ArgumentError unless rows are probabilities: not negative, with a sum of 1.
void check_model_indices(const char* owner, Tensor targets);
/// y (1 - e) + e / d
[[nodiscard]] Tensor smoothed(Tape& tape, Tensor one_hot, double e);
/// One-hot rows, at the largest of each row's numbers.
void make_one_hot(Array& rows);

}  // namespace bayesflow::networks
