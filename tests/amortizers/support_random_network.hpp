/// Inference networks with random weights and no conditions, so that what they describe is far from where they start.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "bayesflow/networks/inference_network.hpp"
#include "bayesflow/nn/gradient_check.hpp"
#include "bayesflow/nn/parameters.hpp"

namespace bayesflow {

template <class Net>
struct RandomNetwork {
  nn::ParameterStore store;
  Net net;
  template <class Options>
  explicit RandomNetwork(Options options, double scale = 0.3) : net(std::move(options)) {
    net.build(nn::Builder(store, 1), net.options().num_params, 0);
    nn::randomize(store, 2, scale);
  }
  [[nodiscard]] Array log_density(const Array& y) const {
    Tape tape;
    tape.reset({.gradients = false, .training = false});
    const Tensor out = net.log_density(tape, tape.input(y), {});
    Array values({out.size()});
    for (std::int64_t i = 0; i < out.size(); ++i) values[i] = static_cast<double>(out.data()[i]);
    return values;
  }
  [[nodiscard]] Array draws(std::int64_t count, std::uint64_t seed = 0) const {
    Tape tape;
    tape.reset({.gradients = false, .training = false});
    std::vector<Rng> streams;
    for (std::int64_t first = 0; first < count; first += DrawStreams::kBlock)
      streams.push_back(Rng(seed, "draws").at(static_cast<std::uint64_t>(first)));
    DrawStreams numbers(count, std::move(streams));
    const Tensor out = net.sample(tape, numbers, {});
    Array values({count, net.target_width()});
    for (std::int64_t i = 0; i < out.size(); ++i) values.data()[i] = static_cast<double>(out.data()[i]);
    return values;
  }
};

/// The integral of a density of one or two parameters over [-half, half].
template <class Random>
double integral_of(const Random& random, double half, double step) {
  const std::int64_t width = random.net.target_width();
  const auto n = static_cast<std::int64_t>(2 * half / step);
  Array grid({width == 1 ? n : n * n, width});
  for (std::int64_t i = 0; i < grid.dim(0); ++i) {
    grid(i, 0) = -half + step * (static_cast<double>(width == 1 ? i : i / n) + 0.5);
    if (width == 2) grid(i, 1) = -half + step * (static_cast<double>(i % n) + 0.5);
  }
  return exp(random.log_density(grid)).sum() * (width == 1 ? step : step * step);
}

}  // namespace bayesflow
