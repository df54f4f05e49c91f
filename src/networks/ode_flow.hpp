/// Draws and densities of distributions whose equation dx/dt = v(x, t) carries normal numbers to targets.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "bayesflow/networks/inference_network.hpp"
#include "bayesflow/networks/time_network.hpp"

namespace bayesflow::networks {

struct OdeFlow {
  const char* owner;  ///< in messages
  std::int64_t width, condition_width;
  OdeSolver solver;
  std::int64_t steps;    ///< euler, rk4
  double tolerance;      ///< dopri5: of a step, absolute and relative
  std::int64_t probes;   ///< 0: exact traces, else Hutchinson's estimate by this many random vectors of signs
  double latent_sd = 1;  ///< of x at t = 0; targets are x at t = 1
  std::function<Tensor(Tape&, Tensor x, Tensor times, Tensor condition)> velocity;
};

/// x(1) from x(0) ~ N(0, latent_sd^2): (1, rows, width). A row's numbers depend on no other row.
[[nodiscard]] Tensor draws(Tape& tape, DrawStreams& streams, Tensor condition, const OdeFlow& flow);
/// log N(x(0); 0, latent_sd^2) minus the integral of the trace of dv/dx. ConfigurationError if derivatives are asked for.
[[nodiscard]] Tensor log_density(Tape& tape, Tensor targets, Tensor condition, const OdeFlow& flow);
/// Conditions of each of `rows` rows: those that several share are repeated.
[[nodiscard]] std::vector<float> of_each_row(Tensor condition, std::int64_t rows);

}  // namespace bayesflow::networks
