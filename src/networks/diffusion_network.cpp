#include "bayesflow/networks/diffusion_network.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <span>
#include <vector>

#include "bayesflow/core/errors.hpp"
#include "networks/noise_loss.hpp"
#include "networks/ode_flow.hpp"
#include "networks/validated.hpp"

namespace bayesflow {

EnumNames<NoiseSchedule> names_of(NoiseSchedule) { return {{NoiseSchedule::edm, "edm"}, {NoiseSchedule::cosine, "cosine"}}; }
EnumNames<DiffusionSampler> names_of(DiffusionSampler) { return {{DiffusionSampler::ode, "ode"}, {DiffusionSampler::sde, "sde"}}; }

void DiffusionOptions::validate() const {
  if (num_params < 1)
    throw ConfigurationError(fmt::format("DiffusionOptions::num_params = {}; it must be the number of parameters, at least 1", num_params));
  validate_described(*this, "DiffusionOptions");
  dense.validate("DiffusionOptions");
}

namespace {

constexpr double kRho = 7, kLogMean = -1.2, kLogSd = 1.2, kChurn = 40;

/// A noise level of training from a number in (0, 1) or a normal one.
double level(const DiffusionOptions& o, double uniform, double normal) {
  if (o.schedule == NoiseSchedule::edm) return std::clamp(std::exp(kLogMean + kLogSd * normal), o.sigma_min, o.sigma_max);
  const double low = std::atan(o.sigma_min), high = std::atan(o.sigma_max);
  return std::tan(low + uniform * (high - low));
}

/// Each row times a number of its own.
Tensor scale_rows(Tape& tape, Tensor x, Tensor sigma, const auto& factor) {
  Tensor by = tape.filled(x.shape(), 0);
  const std::int64_t width = x.cols();
  for (std::int64_t r = 0; r < x.rows(); ++r)
    std::fill_n(by.data() + r * width, width, static_cast<float>(factor(static_cast<double>(sigma.data()[r]))));
  return ops::multiply(x, by);
}

}  // namespace

DiffusionNetwork::DiffusionNetwork(const DiffusionOptions& options)
    : EquationNetwork({"DiffusionNetwork", "DiffusionOptions::num_params", options.num_params,
                       TimeNetwork(options.dense, options.num_dense, options.residual, options.dropout_prob, options.time_frequencies),
                       options.solver, options.steps, options.tolerance, options.trace_probes,
                       std::hypot(options.sigma_max, options.sigma_data)}),
      options_(networks::validated(options)) {}

DiffusionNetwork::Noise DiffusionNetwork::noise_at(double s) const {
  const DiffusionOptions& o = options_;
  if (o.schedule == NoiseSchedule::cosine) {
    const double low = std::atan(o.sigma_min), high = std::atan(o.sigma_max), sigma = std::tan(high + s * (low - high));
    return {sigma, (low - high) * (1 + sigma * sigma)};
  }
  const double low = std::pow(o.sigma_min, 1 / kRho), high = std::pow(o.sigma_max, 1 / kRho), root = high + s * (low - high);
  return {std::pow(root, kRho), kRho * std::pow(root, kRho - 1) * (low - high)};
}

/// F(x / sqrt(sigma^2 + d^2), sigma, c)
Tensor DiffusionNetwork::raw(Tape& tape, Tensor x, Tensor sigma, Tensor condition) const {
  const double d = options_.sigma_data, low = std::log(options_.sigma_min), high = std::log(options_.sigma_max);
  Tensor times = tape.filled(sigma.shape(), 0);
  for (std::int64_t r = 0; r < sigma.size(); ++r)
    times.data()[r] = static_cast<float>((std::log(static_cast<double>(sigma.data()[r])) - low) / (high - low));
  return network()(tape, scale_rows(tape, x, sigma, [d](double s) { return 1 / std::hypot(s, d); }), times, condition);
}

Tensor DiffusionNetwork::denoised(Tape& tape, Tensor x, Tensor sigma, Tensor condition) const {
  const double d = options_.sigma_data;
  return ops::add(scale_rows(tape, x, sigma, [d](double s) { return d * d / (s * s + d * d); }),
                  scale_rows(tape, raw(tape, x, sigma, condition), sigma, [d](double s) { return s * d / std::hypot(s, d); }));
}

Tensor DiffusionNetwork::loss(Tape& tape, Tensor targets, Tensor condition) const {
  check(targets, condition);
  const std::int64_t width = targets.cols();
  const double d = options_.sigma_data;
  // With y constant the wanted F = (y - d^2 / (s^2 + d^2) x) sqrt(s^2 + d^2) / (s d) is a number.
  const auto judge = [&](Tensor sigma, Tensor noise) {
    Tensor x = tape.filled(targets.shape(), 0), wanted = tape.filled(targets.shape(), 0);
    for (std::int64_t i = 0; i < targets.size(); ++i) {
      const double s = static_cast<double>(sigma.data()[i / width]), y = static_cast<double>(targets.data()[i]);
      const double n = static_cast<double>(noise.data()[i]), norm = std::hypot(s, d);
      x.data()[i] = static_cast<float>(y + s * n);
      wanted.data()[i] = static_cast<float>((s / d * y - d * n) / norm);  // that, without the difference of large numbers
    }
    return networks::squares(ops::subtract(raw(tape, x, sigma, condition), wanted));
  };
  const bool edm = options_.schedule == NoiseSchedule::edm;
  return networks::noise_loss(
      tape, targets, "noise of a diffusion loss",
      [&](Rng& rng) { return edm ? level(options_, 0, rng.normal()) : level(options_, rng.uniform(), 0); },
      [&](double share, Rng& rng) { return level(options_, share, rng.normal()); }, judge);
}

Tensor DiffusionNetwork::slope(Tape& tape, Tensor x, Tensor times, Tensor condition) const {
  // dx/ds = (x - D) / sigma dsigma/ds
  Tensor sigma = tape.filled(times.shape(), 0);
  std::vector<double> slope(static_cast<std::size_t>(times.size()));
  for (std::int64_t r = 0; r < times.size(); ++r) {
    const Noise noise = noise_at(static_cast<double>(times.data()[r]));
    sigma.data()[r] = static_cast<float>(noise.sigma);
    slope[static_cast<std::size_t>(r)] = noise.slope / noise.sigma;
  }
  std::size_t row = 0;
  return scale_rows(tape, ops::subtract(x, denoised(tape, x, sigma, condition)), sigma, [&](double) { return slope[row++]; });
}

Tensor DiffusionNetwork::sample(Tape& tape, DrawStreams& streams, Tensor condition) const {
  if (options_.sampler == DiffusionSampler::ode) return EquationNetwork::sample(tape, streams, condition);
  const std::int64_t rows = streams.rows(), width = options_.num_params;
  Tensor x = tape.filled({1, rows, width}, 0);
  check(x, condition);
  const std::vector<float> given = networks::of_each_row(condition, rows);
  const auto normal = [](Rng& rng, std::span<float> values, std::int64_t) { rng.fill_normal(values); };
  Tensor noise = tape.filled(x.shape(), 0);
  streams.fill(noise, normal);
  const double start = std::hypot(options_.sigma_max, options_.sigma_data);
  for (std::int64_t i = 0; i < x.size(); ++i) x.data()[i] = static_cast<float>(start * static_cast<double>(noise.data()[i]));
  Tape inner;  // keeps nothing from step to step
  std::vector<double> slope(static_cast<std::size_t>(x.size()));
  /// (x - D) / sigma, added `weight` times to the slopes.
  const auto add_slope = [&](double sigma, double weight) {
    inner.reset({.gradients = false, .training = false, .precision = tape.precision()});
    const Tensor c = given.empty() ? Tensor() : inner.wrap({rows, condition_width()}, given.data());
    const Tensor clean = denoised(inner, inner.wrap({rows, width}, x.data()), inner.filled({rows, 1}, static_cast<float>(sigma)), c);
    tape.count_flops(0, inner.bfloat16_flops());
    for (std::size_t i = 0; i < slope.size(); ++i)
      slope[i] += weight * (static_cast<double>(x.data()[i]) - static_cast<double>(clean.data()[i])) / sigma;
  };
  const double more = 1 + std::min(kChurn / static_cast<double>(options_.steps), std::numbers::sqrt2 - 1);
  const auto at = [&](std::int64_t k) { return noise_at(static_cast<double>(k) / static_cast<double>(options_.steps)).sigma; };
  for (std::int64_t step = 0; step < options_.steps; ++step) {
    const double from = at(step), noisy = from * more, to = at(step + 1), added = std::sqrt(noisy * noisy - from * from);
    streams.fill(noise, normal);
    for (std::int64_t i = 0; i < x.size(); ++i) x.data()[i] += static_cast<float>(added * static_cast<double>(noise.data()[i]));
    const std::vector<float> before(x.data(), x.data() + x.size());
    const auto move = [&] {
      for (std::size_t i = 0; i < slope.size(); ++i) x.data()[i] = before[i] + static_cast<float>((to - noisy) * slope[i]);
    };
    std::ranges::fill(slope, 0.0);
    add_slope(noisy, 1);
    move();
    for (double& v : slope) v /= 2;
    add_slope(to, 0.5);
    move();
  }
  return x;
}

std::string DiffusionNetwork::to_string() const {
  return fmt::format(
      "diffusion ({} schedule, {}), {} layers of {} units", options_.schedule == NoiseSchedule::edm ? "EDM" : "cosine",
      options_.sampler == DiffusionSampler::ode ? "probability-flow equation" : fmt::format("{} stochastic steps", options_.steps),
      options_.num_dense, options_.dense.units);
}

}  // namespace bayesflow
