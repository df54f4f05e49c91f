/// What networks that learn a field over time have in common: a differential equation makes draws and densities.
#pragma once

#include <cstdint>

#include "bayesflow/networks/inference_network.hpp"
#include "bayesflow/networks/time_network.hpp"

namespace bayesflow {

/// The equation dx/ds = v(x, s; condition) carries normal numbers of standard deviation `latent_sd` at s = 0 to targets at s = 1. Draws
/// solve it forward. Densities solve it back: log q(y) = log N(x(0); 0, latent_sd^2) - integral of the trace of dv/dx, which is computed
/// exactly, with one backward pass over as many rows as there are targets' columns, or estimated (Hutchinson 1990; Grathwohl et al. 2019,
/// FFJORD). Densities have no derivatives. Derived classes say what v is, and how it is learnt.
class EquationNetwork : public InferenceNetwork {
 public:
  /// Throws ConfigurationError unless targets are as wide as `num_params` says.
  void build(const nn::Builder& builder, std::int64_t target_width, std::int64_t condition_width) final;
  [[nodiscard]] std::int64_t target_width() const final { return settings_.num_params; }
  [[nodiscard]] Tensor sample(Tape& tape, DrawStreams& streams, Tensor condition) const override;
  [[nodiscard]] Tensor log_density(Tape& tape, Tensor targets, Tensor condition) const final;
  [[nodiscard]] bool has_density() const final { return true; }
  [[nodiscard]] bool has_draws() const final { return true; }

 protected:
  struct Settings {
    const char* kind;          ///< "FlowMatchingNetwork", in messages
    const char* width_option;  ///< "FlowMatchingOptions::num_params", in messages
    std::int64_t num_params;
    TimeNetwork network;
    OdeSolver solver;
    std::int64_t steps;         ///< of euler and rk4
    double tolerance;           ///< of dopri5
    std::int64_t trace_probes;  ///< 0: exact traces
    double latent_sd = 1;
  };
  explicit EquationNetwork(Settings settings);

  /// v(x, s; condition) of x (rows, D), with times (rows, 1).
  [[nodiscard]] virtual Tensor slope(Tape& tape, Tensor x, Tensor times, Tensor condition) const = 0;
  /// Throws ShapeError unless targets and condition are what the network was built for.
  void check(Tensor targets, Tensor condition) const;
  [[nodiscard]] const TimeNetwork& network() const { return settings_.network; }
  [[nodiscard]] std::int64_t condition_width() const { return condition_width_; }

 private:
  Settings settings_;
  std::int64_t condition_width_ = 0;
};

}  // namespace bayesflow
