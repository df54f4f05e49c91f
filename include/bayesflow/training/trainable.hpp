/// What a Trainer trains.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "bayesflow/autodiff/tensor.hpp"
#include "bayesflow/data/configurator.hpp"
#include "bayesflow/data/seen_data.hpp"
#include "bayesflow/nn/parameters.hpp"
#include "bayesflow/training/loss_terms.hpp"

namespace bayesflow {

/// Networks with a loss. Amortizers are made of it, and so is anything else that a Trainer shall train: derive from it. An object of a
/// class derived from it is a handle: its copies share the weights, so that the one that a user keeps is trained by the Trainer's copy.
class Trainable {
 public:
  virtual ~Trainable() = default;

  /// Infers all widths from a first batch and initializes the weights from `seed`; does nothing if that has been done. Throws
  /// ConfigurationError or ShapeError if the batch does not fit.
  virtual void build(const Batch& first, std::optional<std::uint64_t> seed) = 0;
  [[nodiscard]] virtual nn::ParameterStore& store() = 0;
  [[nodiscard]] virtual const nn::ParameterStore& store() const = 0;
  /// Throws ConfigurationError if it can only be trained as part of something else.
  virtual void require_trainable() const {}

  /// What simulations become for it where the trainer has no configurator: default_configurator.
  [[nodiscard]] virtual Batch configure(const Simulations& simulations) const;

  /// Simulations that it wants to see before `configure`; 0: none. The trainer makes them, or takes the first of given ones.
  [[nodiscard]] virtual std::int64_t pilot() const { return 0; }
  /// Fits its adapters to them. Returns sentences about what is amiss with them, which become warnings of the first run.
  virtual std::vector<std::string> fit(std::span<const Simulations> /*first*/, const std::vector<std::string>& /*param_names*/) {
    return {};
  }
  /// Whether NaN in data means a missing value, which an adapter fills.
  [[nodiscard]] virtual bool fills_missing() const { return false; }
  /// Its adapters as text, for checkpoints: of each amortizer that it is made of, "" where there is none.
  [[nodiscard]] virtual std::vector<std::string> adapters() const { return {}; }
  /// Those of a checkpoint. Throws ConfigurationError if their steps are not the same.
  virtual void set_adapters(std::span<const std::string> /*described*/) {}

  /// The terms of the loss, at most LossTerms::kMost - 1; the trainer adds weight decay. They do not change.
  [[nodiscard]] virtual std::vector<std::string> loss_names() const = 0;
  /// The value of each term for a batch: tensors of one element, each a mean over the data sets.
  struct LossTensors {
    std::array<Tensor, LossTerms::kMost> terms;  ///< in the order of the names
    Tensor total;                                ///< their sum, or a multiple of it: of this the gradient is taken
  };
  /// Records the loss of a batch on the tape. Called by one thread at a time.
  [[nodiscard]] virtual LossTensors loss(Tape& tape, const Batch& batch) const = 0;
  /// Called before each training step: changes state that no gradient reaches (the vectors of spectral normalization, say).
  virtual void update_state() {}

  /// Looks at what was learnt when a run has ended. Each sentence about something amiss becomes a warning of the run. `held_out` are
  /// validation data; `names` are those of the parameters, or empty.
  [[nodiscard]] virtual std::vector<std::string> review(const Batch& held_out, const std::vector<std::string>& names) const;

  /// What the networks have been given in training, as far as it is known: a trainer goes on from it, and sets it at the end of each run.
  virtual void set_seen(const SeenData& /*seen*/) {}
  [[nodiscard]] virtual std::shared_ptr<const SeenData> seen() const { return nullptr; }
  /// Outputs of a summary network, (batch, S); empty: there is none.
  [[nodiscard]] virtual Array summaries_of(const Batch& /*inputs*/) const { return {}; }
  /// The loss of every data set by itself, without regularization; empty: not known. What further steps would gain is told from it.
  [[nodiscard]] virtual std::vector<double> losses_of(const Batch& /*inputs*/) const { return {}; }
  /// The networks with their options, as JSON: part of what a run in a checkpoint is recognized by. Empty: not known; then the names and
  /// shapes of the parameters alone tell networks apart.
  [[nodiscard]] virtual std::string architecture() const { return {}; }
  /// Whether the networks bring parameters to unit scale by themselves.
  [[nodiscard]] virtual bool standardizes_parameters() const { return false; }

  /// sum over its parameters of l2 |w|^2
  [[nodiscard]] virtual double weight_decay() const;

 protected:
  /// That of some of the parameters of a store.
  [[nodiscard]] static double weight_decay_of(const nn::ParameterStore& store, std::int64_t first, std::int64_t last);
};

}  // namespace bayesflow
