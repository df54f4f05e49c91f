/// Summary networks: from data sets of any size to vectors of fixed length (sbi: embedding nets).
#pragma once

#include <cstdint>
#include <memory>

#include "bayesflow/autodiff/tape.hpp"
#include "bayesflow/nn/parameters.hpp"

namespace bayesflow {

class AmortizedPosterior;

/// To write one of your own, derive from this class, register parameters in `build` (nn::Dense and nn::Mlp do it for you) and
/// compose operations of bayesflow::ops in `forward`; see examples/own_network.cpp. Objects are copied into the
/// amortizer; one that is given as a shared pointer belongs to the first amortizer that builds it.
class SummaryNetwork {
 public:
  virtual ~SummaryNetwork() = default;

  /// Called once, with the shape of a first batch (batch, ...): widths are inferred here.
  virtual void build(const nn::Builder& builder, const Shape& input) = 0;
  /// (batch, ...) -> (batch, summary_dim). Treats data sets independently: the engine cuts batches into shards.
  [[nodiscard]] virtual Tensor forward(Tape& tape, Tensor x) const = 0;
  [[nodiscard]] virtual std::int64_t summary_dim() const = 0;
  /// Runs once per training step, before the forward pass (power iterations and the like).
  virtual void update_state() {}

 private:
  /// The amortizer whose weights a network uses. A copy of a network belongs to none.
  struct Owner {
    Owner() = default;
    ~Owner() = default;
    Owner(const Owner&) {}
    Owner& operator=(const Owner&) { return *this; }  // NOLINT(bugprone-unhandled-self-assignment): it copies nothing
    std::weak_ptr<void> of;
  };
  friend class AmortizedPosterior;
  Owner owner_;
};

}  // namespace bayesflow
