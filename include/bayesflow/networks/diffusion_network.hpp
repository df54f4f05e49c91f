/// Diffusion models: noise is taken away step by step.
#pragma once

#include <cstdint>
#include <string>

#include "bayesflow/core/describe.hpp"
#include "bayesflow/networks/equation_network.hpp"

namespace bayesflow {

/// Noise levels sigma, of training and of the sampler's time s from 0 (most noise) to 1 (least).
enum class NoiseSchedule : std::uint8_t {
  edm,     ///< training: log sigma ~ N(-1.2, 1.2^2); sampler: sigma^(1/7) linear in s. Karras et al. (2022)
  cosine,  ///< sigma = tan(u), u uniform in training and linear in s: Nichol and Dhariwal (2021), for data of unit scale
};
[[nodiscard]] EnumNames<NoiseSchedule> names_of(NoiseSchedule);

/// How draws are made. Densities always solve the equation.
enum class DiffusionSampler : std::uint8_t {
  ode,  ///< the probability-flow equation, by `solver`
  sde,  ///< `steps` steps: fresh noise is added, and more than that taken away by a step of Heun (algorithm 2 of Karras et al. 2022)
};
[[nodiscard]] EnumNames<DiffusionSampler> names_of(DiffusionSampler);

/// Settings of a DiffusionNetwork.
struct DiffusionOptions {
  std::int64_t num_params = 0;  ///< width of the targets; mandatory
  DenseOptions dense = {.units = 256, .activation = Activation::swish};
  std::int64_t num_dense = 4;
  bool residual = true;               ///< hidden layers but the first add to their input
  double dropout_prob = 0;            ///< after each hidden layer, in training
  std::int64_t time_frequencies = 8;  ///< sines and cosines of the noise level's logarithm, brought to [0, 1], as inputs beside it
  NoiseSchedule schedule = NoiseSchedule::edm;
  double sigma_min = 1e-3, sigma_max = 80;  ///< least and most noise
  double sigma_data = 1;                    ///< standard deviation of targets
  DiffusionSampler sampler = DiffusionSampler::ode;
  OdeSolver solver = OdeSolver::rk4;
  std::int64_t steps = 25;        ///< of euler, rk4 and the sde
  double tolerance = 1e-4;        ///< dopri5: error of a step, absolute and relative
  std::int64_t trace_probes = 0;  ///< as of FlowMatchingOptions
  void validate() const;          ///< throws ConfigurationError
};

template <class V>
void describe(V& v, DiffusionOptions& o) {
  v("num_params", o.num_params, width());
  v("dense", o.dense);
  v("num_dense", o.num_dense, between(1, 100));
  v("residual", o.residual);
  v("dropout_prob", o.dropout_prob, probability());
  v("time_frequencies", o.time_frequencies, steps(0, 100));
  v("schedule", o.schedule);
  v("sigma_min", o.sigma_min, between(1e-6, 1));
  v("sigma_max", o.sigma_max, between(2, 1e4));
  v("sigma_data", o.sigma_data, between(1e-3, 1e3));
  v("sampler", o.sampler);
  v("solver", o.solver);
  v("steps", o.steps, steps(1, 100000));
  v("tolerance", o.tolerance, between(1e-8, 0.1));
  v("trace_probes", o.trace_probes, steps(0, 1000));
}

/// D(x; sigma, c) takes normal noise of standard deviation sigma away from targets: x = y + sigma n -> E[y | x, c]. With d = sigma_data,
///   D = d^2 / (sigma^2 + d^2) x + sigma d / sqrt(sigma^2 + d^2) F(x / sqrt(sigma^2 + d^2), sigma, c),
/// F a dense network whose wanted output has unit scale at every sigma; the loss of a target is |F - wanted F|^2 at a random sigma and
/// noise. Draws start at the most noise and follow dx/dsigma = (x - D) / sigma (or that with fresh noise) to the least; densities: see
/// EquationNetwork. What remains in draws and densities is noise of sigma_min. Targets should be of unit scale.
///
/// Karras et al. (2022), Elucidating the design space of diffusion-based generative models; Song et al. (2021), Score-based generative
/// modeling through stochastic differential equations; for posteriors Sharrock et al. (2024), Sequential neural score estimation.
class DiffusionNetwork final : public EquationNetwork {
 public:
  explicit DiffusionNetwork(const DiffusionOptions& options);

  /// In training one random noise level and noise for each target; else the mean over the same 16 of each for all targets.
  [[nodiscard]] Tensor loss(Tape& tape, Tensor targets, Tensor condition) const override;
  [[nodiscard]] Tensor sample(Tape& tape, DrawStreams& streams, Tensor condition) const override;
  [[nodiscard]] std::string to_string() const override;
  [[nodiscard]] const DiffusionOptions& options() const { return options_; }

  /// sigma at the sampler's time s in [0, 1], and its derivative.
  struct Noise {
    double sigma, slope;
  };
  [[nodiscard]] Noise noise_at(double s) const;
  /// D(x; sigma, c): x (..., D), a noise level (..., 1) of each row, a condition (batch, C) or of each row.
  [[nodiscard]] Tensor denoised(Tape& tape, Tensor x, Tensor sigma, Tensor condition) const;

 private:
  Tensor slope(Tape& tape, Tensor x, Tensor times, Tensor condition) const override;
  Tensor raw(Tape& tape, Tensor x, Tensor sigma, Tensor condition) const;
  DiffusionOptions options_;
};

}  // namespace bayesflow
