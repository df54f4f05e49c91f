/// What summary networks check of their input, and make of masks and times.
#pragma once

#include <cstdint>
#include <initializer_list>

#include "bayesflow/networks/summary_network.hpp"

namespace bayesflow::networks {

/// Throws ShapeError unless there is an axis of observations: (batch, ..., n, width), and the width is `input_dim` where that is not 0.
void require_observations(const char* owner, const Shape& data, std::int64_t input_dim = 0);
/// Throws ShapeError unless data are (batch, ..., n, width), with at least one observation, and mask and times, where they are given, have
/// all axes of the data but the last.
void check_observations(const char* owner, const SummaryInput& input, std::int64_t width);
/// Throws ShapeError if a network that was built with times gets none, or the other way around: it would compute something else.
void check_times(const char* owner, const SummaryInput& input, bool built_with_times);

/// Numbers of the observations of each series, (batch, ..., n): 0, 1, 2, ..., where absent ones are not counted.
[[nodiscard]] Tensor positions(Tape& tape, const SummaryInput& input);

/// Whether there is any observation among two neighbours along an axis: half the extent, rounded up.
[[nodiscard]] Tensor halved(Tape& tape, Tensor mask, int axis);
/// Whether there is any observation along the last axis, which goes.
[[nodiscard]] Tensor any_of_last(Tape& tape, Tensor mask);

/// Throws ConfigurationError unless targets are as wide as num_params says; `option` is its full name.
void require_num_params(const char* option, std::int64_t num_params, std::int64_t target_width);
/// Throws ShapeError unless targets are (batch, num_params) or (batch, n, num_params), and conditions are absent, (batch, C) or of each
/// target (batch, n, C), with the C that the network was built for.
void check_targets(const char* owner, Tensor targets, Tensor condition, std::int64_t num_params, std::int64_t condition_width);

/// The first `axes` axes become one.
[[nodiscard]] Shape folded(const Shape& shape, int axes);
/// The data's shape with the last axes replaced.
[[nodiscard]] Shape with_last(Shape shape, int axes, std::initializer_list<std::int64_t> extents);

}  // namespace bayesflow::networks
