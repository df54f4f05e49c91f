#include "bayesflow/networks/shortcut_network.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <span>
#include <vector>

#include "bayesflow/core/errors.hpp"
#include "networks/noise_loss.hpp"
#include "networks/ode_flow.hpp"
#include "networks/validated.hpp"

namespace bayesflow {

void ShortcutOptions::validate() const {
  if (num_params < 1)
    throw ConfigurationError(fmt::format("ShortcutOptions::num_params = {}; it must be the number of parameters, at least 1", num_params));
  validate_described(*this, "ShortcutOptions");
  dense.validate("ShortcutOptions");
  const auto power_of_two = [](std::int64_t n) { return std::has_single_bit(static_cast<std::uint64_t>(n)); };
  if (!power_of_two(finest) || !power_of_two(steps) || 2 * steps > finest)
    throw ConfigurationError(fmt::format(
        "ShortcutOptions: finest and steps must be powers of two (1, 2, 4, ...), and steps at most half of finest; got {} and {}", finest,
        steps));
}

namespace {

std::int64_t log2_of(std::int64_t power_of_two) { return std::countr_zero(static_cast<std::uint64_t>(power_of_two)); }

/// i of the longest step, which is 2^i / finest = 1.
std::int64_t levels(const ShortcutOptions& o) { return log2_of(o.finest); }

/// What the network is told of a step: 0 for one of no length, else i / levels.
float length_input(const ShortcutOptions& o, std::int64_t level) {
  return static_cast<float>(static_cast<double>(level) / static_cast<double>(levels(o)));
}

}  // namespace

ShortcutNetwork::ShortcutNetwork(const ShortcutOptions& options)
    : EquationNetwork({"ShortcutNetwork", "ShortcutOptions::num_params", options.num_params,
                       TimeNetwork(options.dense, options.num_dense, options.residual, options.dropout_prob, options.time_frequencies, 2),
                       OdeSolver::dopri5, options.finest, options.tolerance, options.trace_probes}),
      options_(networks::validated(options)) {}

Tensor ShortcutNetwork::loss(Tape& tape, Tensor targets, Tensor condition) const {
  check(targets, condition);
  const std::int64_t rows = targets.rows();
  Shape of_times = targets.shape(), of_inputs = targets.shape();
  of_times.set(-1, 1);
  of_inputs.set(-1, 2);
  // Times and lengths of the rows' steps.
  const auto inputs = [&](auto time, auto level) {
    Tensor out = tape.filled(of_inputs, 0);
    for (std::int64_t r = 0; r < rows; ++r) {
      out.data()[2 * r] = static_cast<float>(time(r));
      out.data()[2 * r + 1] = length_input(options_, level(r));
    }
    return out;
  };
  const auto velocity = [&](Tensor x, Tensor times) { return network()(tape, x, times, condition); };
  const auto judge = [&](Tensor t, Tensor z) {
    const networks::Line line = networks::line(tape, targets, t, z);
    const auto no_length = [](std::int64_t) { return std::int64_t{0}; };
    const Tensor matching =
        networks::squares(ops::subtract(velocity(line.x, inputs([&](std::int64_t r) { return t.data()[r]; }, no_length)), line.velocity));
    // A step of 2^i / finest from a multiple of its length.
    Tensor from = tape.filled(of_times, 0), level = tape.filled(of_times, 0), half = tape.filled(targets.shape(), 0);
    Tensor share = tape.filled(targets.shape(), 0.5f);  // of the second velocity
    for (std::int64_t r = 0; r < rows; ++r) {
      const double at = static_cast<double>(t.data()[r]), uniform = tape.training() ? tape.rng().uniform() : at;
      const std::int64_t most = levels(options_);
      const std::int64_t i =
          1 + std::min(most - 1, tape.training() ? static_cast<std::int64_t>(tape.rng().uniform() * static_cast<double>(most))
                                                 : static_cast<std::int64_t>(16 * at) % most);
      const double step = std::ldexp(1.0, static_cast<int>(i)) / static_cast<double>(options_.finest);
      level.data()[r] = static_cast<float>(i);
      from.data()[r] = static_cast<float>(step * std::floor(uniform / step));
      std::fill_n(half.data() + r * targets.cols(), targets.cols(), static_cast<float>(step / 2));
      if (i == 1) std::fill_n(share.data() + r * targets.cols(), targets.cols(), 1.0f);  // the midpoint rule
    }
    const auto of = [&](std::int64_t r) { return static_cast<std::int64_t>(level.data()[r]); };
    const auto shorter = [&](std::int64_t r) { return of(r) - 1; };
    const auto start = [&](std::int64_t r) { return from.data()[r]; };
    const auto middle = [&](std::int64_t r) { return from.data()[r] + half.data()[r * targets.cols()]; };
    const Tensor x = networks::line(tape, targets, from, z).x, first = velocity(x, inputs(start, shorter));
    const Tensor second = velocity(ops::add(x, ops::multiply(half, first)), inputs(middle, shorter));
    Tensor wanted = ops::add(first, ops::multiply(share, ops::subtract(second, first)));
    if (tape.training()) {  // numbers, without derivatives
      Tensor numbers = tape.filled(targets.shape(), 0);
      std::copy_n(wanted.data(), wanted.size(), numbers.data());
      wanted = numbers;
    }
    return ops::add(matching, networks::squares(ops::subtract(velocity(x, inputs(start, of)), wanted)));
  };
  return networks::noise_loss(
      tape, targets, "starts of a shortcut loss", [](Rng& rng) { return rng.uniform(); }, [](double share, Rng&) { return share; }, judge);
}

Tensor ShortcutNetwork::slope(Tape& tape, Tensor x, Tensor times, Tensor condition) const {
  Tensor inputs = tape.filled({times.size(), 2}, 0);
  for (std::int64_t r = 0; r < times.size(); ++r) inputs.data()[2 * r] = times.data()[r];
  return network()(tape, x, inputs, condition);
}

Tensor ShortcutNetwork::sample(Tape& tape, DrawStreams& streams, Tensor condition) const {
  const std::int64_t rows = streams.rows(), width = options_.num_params;
  Tensor x = tape.filled({1, rows, width}, 0);
  check(x, condition);
  streams.fill(x, [](Rng& rng, std::span<float> values, std::int64_t) { rng.fill_normal(values); });
  const std::vector<float> given = networks::of_each_row(condition, rows);
  const auto step = 1 / static_cast<float>(options_.steps);
  const float length = length_input(options_, levels(options_) - log2_of(options_.steps));
  Tape inner;  // keeps nothing from step to step
  for (std::int64_t k = 0; k < options_.steps; ++k) {
    inner.reset({.gradients = false, .training = false, .precision = tape.precision()});
    Tensor inputs = inner.filled({rows, 2}, length);
    for (std::int64_t r = 0; r < rows; ++r) inputs.data()[2 * r] = static_cast<float>(k) * step;
    const Tensor c = given.empty() ? Tensor() : inner.wrap({rows, condition_width()}, given.data());
    const Tensor v = network()(inner, inner.wrap({rows, width}, x.data()), inputs, c);
    tape.count_flops(0, inner.bfloat16_flops());
    for (std::int64_t i = 0; i < x.size(); ++i) x.data()[i] += step * v.data()[i];
  }
  return x;
}

std::string ShortcutNetwork::to_string() const {
  return fmt::format("shortcut model, draws in {} step{}, {} layers of {} units", options_.steps, options_.steps == 1 ? "" : "s",
                     options_.num_dense, options_.dense.units);
}

}  // namespace bayesflow
