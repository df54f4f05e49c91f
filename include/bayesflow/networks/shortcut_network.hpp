/// Flow matching whose draws take a few steps.
#pragma once

#include <cstdint>
#include <string>

#include "bayesflow/core/describe.hpp"
#include "bayesflow/networks/equation_network.hpp"

namespace bayesflow {

/// Settings of a ShortcutNetwork.
struct ShortcutOptions {
  std::int64_t num_params = 0;  ///< width of the targets; mandatory
  DenseOptions dense = {.units = 256, .activation = Activation::swish};
  std::int64_t num_dense = 4;
  bool residual = true;               ///< hidden layers but the first add to their input
  double dropout_prob = 0;            ///< after each hidden layer, in training
  std::int64_t time_frequencies = 8;  ///< as of FlowMatchingOptions, of the time and of the length of a step
  std::int64_t finest = 64;           ///< a power of two: the shortest step that is learnt is 2 / finest long
  std::int64_t steps = 4;             ///< of a draw: a power of two, at most finest / 2
  double tolerance = 1e-4;            ///< of densities: error of a step of Dormand and Prince's method, absolute and relative
  std::int64_t trace_probes = 0;      ///< of densities: as of FlowMatchingOptions
  void validate() const;              ///< throws ConfigurationError
};

template <class V>
void describe(V& v, ShortcutOptions& o) {
  v("num_params", o.num_params, width());
  v("dense", o.dense);
  v("num_dense", o.num_dense, between(1, 100));
  v("residual", o.residual);
  v("dropout_prob", o.dropout_prob, probability());
  v("time_frequencies", o.time_frequencies, steps(0, 100));
  v("finest", o.finest, steps(2, 1024));
  v("steps", o.steps, steps(1, 1024));
  v("tolerance", o.tolerance, between(1e-8, 0.1));
  v("trace_probes", o.trace_probes, steps(0, 1000));
}

/// A velocity v(x, t, d; condition) of steps of length d = 2^i / finest, i = 1, 2, ..., from time t to t + d, beside that of no length, d =
/// 0. The loss of a target y is that of flow matching at d = 0, |v((1 - t) z + t y, t, 0) - (y - z)|^2 at a random time and a random normal
/// z, plus that of a step which two steps of half its length say where to end, themselves kept constant in training:
///   |v(x, t, 2 h) - (v(x, t, h) + v(x + h v(x, t, h), t + h, h)) / 2|^2
/// at a random h and a random multiple t of 2 h. The shortest step has no shorter ones: it is v(x + h v(x, t, 0), t + h, 0), by the
/// midpoint rule, where the paper takes two steps of Euler. A draw is `steps` steps from normal numbers; the density is that of the
/// velocity at d = 0: see EquationNetwork. The two agree as far as the steps are learnt: compare draws of few steps with those of more.
///
/// Frans, Hafner, Levine, Abbeel (2025), One step diffusion via shortcut models.
class ShortcutNetwork final : public EquationNetwork {
 public:
  explicit ShortcutNetwork(const ShortcutOptions& options);

  /// In training one random time, start and step for each target; else the mean over the same 16 of each for all targets.
  [[nodiscard]] Tensor loss(Tape& tape, Tensor targets, Tensor condition) const override;
  [[nodiscard]] Tensor sample(Tape& tape, DrawStreams& streams, Tensor condition) const override;
  [[nodiscard]] std::string to_string() const override;
  [[nodiscard]] const ShortcutOptions& options() const { return options_; }

 private:
  Tensor slope(Tape& tape, Tensor x, Tensor times, Tensor condition) const override;
  ShortcutOptions options_;
};

}  // namespace bayesflow
