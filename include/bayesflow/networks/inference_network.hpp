/// Inference networks: what is learnt about a target, given conditions.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "bayesflow/autodiff/ops.hpp"
#include "bayesflow/autodiff/tape.hpp"
#include "bayesflow/core/array.hpp"
#include "bayesflow/core/rng.hpp"
#include "bayesflow/networks/latent.hpp"
#include "bayesflow/networks/network.hpp"
#include "bayesflow/networks/summary_network.hpp"
#include "bayesflow/nn/parameters.hpp"

namespace bayesflow {

/// Random numbers of some draws for one condition. Each block of `kBlock` draws has a stream of its own, so that a draw does not depend on
/// how many there are, nor on the thread that makes it.
class DrawStreams {
 public:
  static constexpr std::int64_t kBlock = 256;
  DrawStreams(std::int64_t rows, std::vector<Rng> streams) : rows_(rows), streams_(std::move(streams)) {}
  [[nodiscard]] std::int64_t rows() const { return rows_; }
  /// Calls fill(rng, values, width) for the rows of each block; `values` are those of a tensor of `rows` rows. Streams go on from call to
  /// call.
  void fill(Tensor values, const std::function<void(Rng&, std::span<float>, std::int64_t)>& fill);

 private:
  std::int64_t rows_;
  std::vector<Rng> streams_;
};

class NormalizingFlow;

/// q(target | condition), or whatever else can be learnt of a target. Targets are (batch, D) or (batch, n, D); a condition is absent,
/// (batch, C), or (batch, n, C) with one row for each row of a target. To write one of your own, derive from this class, register
/// parameters in `build`, compose operations in the rest; see examples/own_inference_network.cpp.
class InferenceNetwork : public Network {
 public:
  /// Called once: registers parameters for targets and conditions of these widths (0: no condition).
  virtual void build(const nn::Builder& builder, std::int64_t target_width, std::int64_t condition_width) = 0;
  /// Width of the targets; 0 if it is taken from the first batch and the network is not built.
  [[nodiscard]] virtual std::int64_t target_width() const = 0;
  /// One number for each target, (batch) or (batch, n): what training lowers. Treats rows independently: the engine cuts them into shards.
  [[nodiscard]] virtual Tensor loss(Tape& tape, Tensor targets, Tensor condition) const = 0;
  /// Draws for one condition (1, C), or for one of each draw, (1, rows, C): (1, rows, D). The default says that the network has none.
  [[nodiscard]] virtual Tensor sample(Tape& tape, DrawStreams& streams, Tensor condition) const;
  /// log q(target | condition): (batch) or (batch, n). The default says that the network has none.
  [[nodiscard]] virtual Tensor log_density(Tape& tape, Tensor targets, Tensor condition) const;
  /// Answers that need no random numbers, one row for each condition: (batch, C) -> (batch, W). What they mean is the network's to say. The
  /// default says that the network has none.
  [[nodiscard]] virtual Tensor outputs(Tape& tape, Tensor condition) const;
  [[nodiscard]] virtual bool has_outputs() const { return false; }
  [[nodiscard]] virtual bool has_density() const { return false; }
  [[nodiscard]] virtual bool has_draws() const { return false; }
  /// Noise of its own at inference (dropout that stays active), which must not depend on how many draws are made together.
  [[nodiscard]] virtual bool is_noisy_at_inference() const { return false; }
  /// Whether it brings targets to unit scale by itself.
  [[nodiscard]] virtual bool standardizes_targets() const { return false; }
  /// Turns normal numbers, from which model files make targets to test with, into ones that can be.
  virtual void make_valid(Array& /*targets*/) const {}
  /// This network as a flow; null: it is none.
  [[nodiscard]] virtual NormalizingFlow* as_flow() { return nullptr; }
  [[nodiscard]] const NormalizingFlow* as_flow() const { return const_cast<InferenceNetwork*>(this)->as_flow(); }
  /// Networks that it is made of.
  [[nodiscard]] virtual std::span<const SummaryPart> parts() const { return {}; }
  /// How the engine cuts the rows of targets of this shape in training. A function of the shape, never of the machine.
  [[nodiscard]] virtual Plan plan(const Shape& targets) const;
};

/// z = f(target; condition), invertible in the target: density by the change of variables, draws by the inverse.
/// log q(target | c) = log p(f(target; c)) + log |det df/dtarget|
class NormalizingFlow : public InferenceNetwork {
 public:
  /// Latents, and the log of the absolute determinant of the Jacobian.
  [[nodiscard]] virtual ops::Transformed forward(Tape& tape, Tensor targets, Tensor condition = {}) const = 0;
  [[nodiscard]] virtual Tensor inverse(Tape& tape, Tensor latent, Tensor condition = {}) const = 0;

  /// Of z; standard normal unless it was set. Set it before the network is built.
  [[nodiscard]] const Latent& latent() const { return latent_; }
  void set_latent(Latent latent) { latent_ = std::move(latent); }

  [[nodiscard]] Tensor loss(Tape& tape, Tensor targets, Tensor condition) const override;
  [[nodiscard]] Tensor sample(Tape& tape, DrawStreams& streams, Tensor condition) const override;
  [[nodiscard]] Tensor log_density(Tape& tape, Tensor targets, Tensor condition) const override;
  [[nodiscard]] bool has_density() const override { return true; }
  [[nodiscard]] bool has_draws() const override { return true; }
  [[nodiscard]] NormalizingFlow* as_flow() final { return this; }
  using InferenceNetwork::as_flow;

 private:
  Latent latent_ = gaussian_latent();
};

}  // namespace bayesflow
