#include "bayesflow/networks/diffusion_network.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <span>
#include <vector>

#include "bayesflow/core/errors.hpp"
#include "networks/inputs.hpp"
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
constexpr std::int64_t kFixed = 16;  // noise levels of a loss that must not be random

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
    : options_(networks::validated(options)),
      network_(options.dense, options.num_dense, options.residual, options.dropout_prob, options.time_frequencies) {}

void DiffusionNetwork::build(const nn::Builder& builder, std::int64_t target_width, std::int64_t condition_width) {
  networks::require_num_params("DiffusionOptions::num_params", options_.num_params, target_width);
  condition_width_ = condition_width;
  network_.build(builder, target_width, condition_width);
}

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
  return network_(tape, scale_rows(tape, x, sigma, [d](double s) { return 1 / std::hypot(s, d); }), times, condition);
}

Tensor DiffusionNetwork::denoised(Tape& tape, Tensor x, Tensor sigma, Tensor condition) const {
  const double d = options_.sigma_data;
  return ops::add(scale_rows(tape, x, sigma, [d](double s) { return d * d / (s * s + d * d); }),
                  scale_rows(tape, raw(tape, x, sigma, condition), sigma, [d](double s) { return s * d / std::hypot(s, d); }));
}

Tensor DiffusionNetwork::loss(Tape& tape, Tensor targets, Tensor condition) const {
  networks::check_targets("DiffusionNetwork", targets, condition, options_.num_params, condition_width_);
  const std::int64_t width = targets.cols(), rows = targets.rows();
  const double d = options_.sigma_data;
  Shape of_levels = targets.shape();
  of_levels.set(-1, 1);
  // With y constant the wanted F = (y - d^2 / (s^2 + d^2) x) sqrt(s^2 + d^2) / (s d) is a number.
  const auto judge = [&](Tensor sigma, Tensor noise) {
    Tensor x = tape.filled(targets.shape(), 0), wanted = tape.filled(targets.shape(), 0);
    for (std::int64_t i = 0; i < targets.size(); ++i) {
      const double s = static_cast<double>(sigma.data()[i / width]), y = static_cast<double>(targets.data()[i]);
      const double n = static_cast<double>(noise.data()[i]), norm = std::hypot(s, d);
      x.data()[i] = static_cast<float>(y + s * n);
      wanted.data()[i] = static_cast<float>((s / d * y - d * n) / norm);  // that, without the difference of large numbers
    }
    const Tensor difference = ops::subtract(raw(tape, x, sigma, condition), wanted);
    return ops::sum_columns(ops::multiply(difference, difference));
  };
  Tensor sigma = tape.filled(of_levels, 0), noise = tape.filled(targets.shape(), 0);
  if (tape.training()) {
    for (std::int64_t r = 0; r < rows; ++r)
      sigma.data()[r] = static_cast<float>(options_.schedule == NoiseSchedule::edm ? level(options_, 0, tape.rng().normal())
                                                                                   : level(options_, tape.rng().uniform(), 0));
    tape.rng().fill_normal(std::span<float>(noise.data(), static_cast<std::size_t>(noise.size())));
    return judge(sigma, noise);
  }
  // The same for all targets, so that a target's loss is its own.
  Rng rng(0, "noise of a diffusion loss");
  std::vector<float> fixed(static_cast<std::size_t>(width));
  Tensor sum;
  for (std::int64_t k = 0; k < kFixed; ++k) {
    const double share = (static_cast<double>(k) + 0.5) / kFixed;
    const double normal = rng.normal();
    Tensor levels = tape.filled(of_levels, static_cast<float>(level(options_, share, normal))), noises = tape.filled(targets.shape(), 0);
    rng.fill_normal(std::span(fixed));
    for (std::int64_t r = 0; r < rows; ++r) std::ranges::copy(fixed, noises.data() + r * width);
    const Tensor each = judge(levels, noises);
    sum = sum ? ops::add(sum, each) : each;
  }
  return ops::scale(sum, 1.0f / kFixed);
}

namespace {
networks::OdeFlow equation_of(const DiffusionNetwork& net, std::int64_t condition_width) {
  const DiffusionOptions& o = net.options();
  return {.owner = "DiffusionNetwork",
          .width = o.num_params,
          .condition_width = condition_width,
          .solver = o.solver,
          .steps = o.steps,
          .tolerance = o.tolerance,
          .probes = o.trace_probes,
          .latent_sd = std::hypot(o.sigma_max, o.sigma_data),
          .velocity = [&net](Tape& tape, Tensor x, Tensor times, Tensor condition) {
            // dx/ds = (x - D) / sigma dsigma/ds
            Tensor sigma = tape.filled(times.shape(), 0);
            std::vector<double> slope(static_cast<std::size_t>(times.size()));
            for (std::int64_t r = 0; r < times.size(); ++r) {
              const DiffusionNetwork::Noise noise = net.noise_at(static_cast<double>(times.data()[r]));
              sigma.data()[r] = static_cast<float>(noise.sigma);
              slope[static_cast<std::size_t>(r)] = noise.slope / noise.sigma;
            }
            std::size_t row = 0;
            return scale_rows(tape, ops::subtract(x, net.denoised(tape, x, sigma, condition)), sigma, [&](double) { return slope[row++]; });
          }};
}
}  // namespace

Tensor DiffusionNetwork::sample(Tape& tape, DrawStreams& streams, Tensor condition) const {
  const std::int64_t rows = streams.rows(), width = options_.num_params;
  Tensor x = tape.filled({1, rows, width}, 0);
  networks::check_targets("DiffusionNetwork", x, condition, width, condition_width_);
  if (options_.sampler == DiffusionSampler::ode) return networks::draws(tape, streams, condition, equation_of(*this, condition_width_));
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
    inner.reset({.gradients = false, .training = false});
    const Tensor c = given.empty() ? Tensor() : inner.wrap({rows, condition_width_}, given.data());
    const Tensor clean = denoised(inner, inner.wrap({rows, width}, x.data()), inner.filled({rows, 1}, static_cast<float>(sigma)), c);
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

Tensor DiffusionNetwork::log_density(Tape& tape, Tensor targets, Tensor condition) const {
  networks::check_targets("DiffusionNetwork", targets, condition, options_.num_params, condition_width_);
  return networks::log_density(tape, targets, condition, equation_of(*this, condition_width_));
}

std::string DiffusionNetwork::to_string() const {
  return fmt::format(
      "diffusion ({} schedule, {}), {} layers of {} units", options_.schedule == NoiseSchedule::edm ? "EDM" : "cosine",
      options_.sampler == DiffusionSampler::ode ? "probability-flow equation" : fmt::format("{} stochastic steps", options_.steps),
      options_.num_dense, options_.dense.units);
}

}  // namespace bayesflow
