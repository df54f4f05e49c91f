#include "networks/inputs.hpp"

#include <fmt/format.h>

#include "bayesflow/core/errors.hpp"

namespace bayesflow::networks {

void require_observations(const char* owner, const Shape& data, std::int64_t input_dim) {
  if (data.rank() < 3)
    throw ShapeError(
        fmt::format("{}: needs data of shape (batch, ..., observations, width); got {}. Add an axis for observations, or use no summary "
                    "network and pass the data as direct_conditions",
                    owner, data.to_string()));
  if (input_dim > 0 && data[-1] != input_dim)
    throw ShapeError(fmt::format("{}: input_dim = {}, but the data {} are {} wide; input_dim must be their last axis", owner, input_dim,
                                 data.to_string(), data[-1]));
}

void check_observations(const char* owner, const SummaryInput& input, std::int64_t width) {
  const Tensor x = input.data;
  if (x.rank() < 3 || x.cols() != width || x.dim(-2) < 1)
    throw ShapeError(fmt::format("{}: was built for data (batch, ..., observations, {}); got {}", owner, width, x.shape().to_string()));
  const Shape wanted = x.shape().slice(0, -1);
  const auto check = [&](Tensor given, const char* what) {
    if (given && given.shape() != wanted)
      throw ShapeError(fmt::format("{}: {} of shape {} do not go with data of shape {}; they must be {}", owner, what,
                                   given.shape().to_string(), x.shape().to_string(), wanted.to_string()));
  };
  check(input.mask, "masks");
  check(input.times, "times");
}

void check_times(const char* owner, const SummaryInput& input, bool built_with_times) {
  if (built_with_times && !input.times)
    throw ShapeError(fmt::format("{}: was built with times, and there are none now; give the times of all observations", owner));
  if (!built_with_times && input.times)
    throw ShapeError(fmt::format("{}: was built without times, and there are some now; train it with times, or leave them out", owner));
}

Tensor positions(Tape& tape, const SummaryInput& input) {
  const Shape shape = input.data.shape().slice(0, -1);
  Tensor out = tape.filled(shape, 0);
  const std::int64_t n = shape[-1], series = n > 0 ? shape.size() / n : 0;
  for (std::int64_t s = 0; s < series; ++s)
    for (std::int64_t i = 0, at = 0; i < n; ++i) {
      out.data()[s * n + i] = static_cast<float>(at);
      if (!input.mask || input.mask.data()[s * n + i] != 0) ++at;
    }
  return out;
}

Tensor halved(Tape& tape, Tensor mask, int axis) {
  Shape shape = mask.shape();
  const std::int64_t n = shape[axis], half = (n + 1) / 2;
  const std::int64_t inner = shape.slice(axis + 1, shape.rank()).size(), outer = shape.slice(0, axis).size();
  shape.set(axis, half);
  Tensor out = tape.filled(shape, 0);
  for (std::int64_t o = 0; o < outer; ++o)
    for (std::int64_t i = 0; i < n; ++i)
      for (std::int64_t k = 0; k < inner; ++k)
        if (mask.data()[(o * n + i) * inner + k] != 0) out.data()[(o * half + i / 2) * inner + k] = 1;
  return out;
}

Tensor any_of_last(Tape& tape, Tensor mask) {
  Tensor out = tape.filled(mask.shape().slice(0, -1), 0);
  const std::int64_t n = mask.cols();
  for (std::int64_t i = 0; i < mask.size(); ++i)
    if (mask.data()[i] != 0) out.data()[i / n] = 1;
  return out;
}

void require_num_params(const char* option, std::int64_t num_params, std::int64_t target_width) {
  if (target_width != num_params)
    throw ConfigurationError(
        fmt::format("{} = {}, but the targets have a width of {}; set it to {}", option, num_params, target_width, target_width));
}

void check_targets(const char* owner, Tensor targets, Tensor condition, std::int64_t num_params, std::int64_t condition_width) {
  if (targets.rank() < 2 || targets.rank() > 3 || targets.cols() != num_params)
    throw ShapeError(fmt::format("{}: targets must have shape (batch, {}) or (batch, n, {}); got {}", owner, num_params, num_params,
                                 targets.shape().to_string()));
  const std::int64_t width = condition ? condition.cols() : 0;
  const bool agrees = !condition || (condition.rank() >= 2 && condition.rank() <= targets.rank() &&
                                     condition.shape().slice(0, condition.rank() - 1) == targets.shape().slice(0, condition.rank() - 1));
  if (width != condition_width || !agrees)
    throw ShapeError(fmt::format("{}: was built for conditions of width {}, and targets are {}; got conditions {}", owner, condition_width,
                                 targets.shape().to_string(), condition ? condition.shape().to_string() : "none"));
}

Shape folded(const Shape& shape, int axes) {
  Shape out{shape.slice(0, axes).size()};
  for (int axis = axes; axis < shape.rank(); ++axis) out.push_back(shape[axis]);
  return out;
}

Shape with_last(Shape shape, int axes, std::initializer_list<std::int64_t> extents) {
  shape = shape.slice(0, shape.rank() - axes);
  for (const std::int64_t extent : extents) shape.push_back(extent);
  return shape;
}

}  // namespace bayesflow::networks
