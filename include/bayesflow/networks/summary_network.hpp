/// Summary networks: from data sets of any size to vectors of fixed length (sbi: embedding nets).
#pragma once

#include <cstdint>

#include "bayesflow/autodiff/plan.hpp"
#include "bayesflow/autodiff/tape.hpp"
#include "bayesflow/networks/network.hpp"
#include "bayesflow/nn/parameters.hpp"

namespace bayesflow {

/// What a summary network is given of a batch.
struct SummaryInput {
  SummaryInput(Tensor d, Tensor m = {}, Tensor t = {}) : data(d), mask(m), times(t) {}  // NOLINT(google-explicit-constructor)
  Tensor data;                                                                          ///< (batch, n, d), (batch, d), ...
  Tensor mask;   ///< (batch, n): 1 where there is an observation, 0 where there is padding; no tensor: nothing is padding
  Tensor times;  ///< (batch, n): when each observation was made; no tensor: not known
};

/// Shapes of the first batch, from which widths are inferred.
struct SummaryShape {
  SummaryShape(const Shape& d, bool t = false) : data(d), has_times(t) {}  // NOLINT(google-explicit-constructor)
  Shape data;                                                              ///< (batch, ...)
  bool has_times;                                                          ///< there will be times
};

/// To write one of your own, derive from this class, register parameters in `build` (nn::Dense and nn::Mlp do it for you) and
/// compose operations of bayesflow::ops in `forward`; see examples/own_network.cpp.
class SummaryNetwork : public Network {
 public:
  /// Called once, with the shapes of a first batch: widths are inferred here.
  virtual void build(const nn::Builder& builder, const SummaryShape& input) = 0;
  /// (batch, ...) -> (batch, summary_dim). Treats data sets independently: the engine cuts batches into shards.
  [[nodiscard]] virtual Tensor forward(Tape& tape, const SummaryInput& input) const = 0;
  [[nodiscard]] virtual std::int64_t summary_dim() const = 0;
  /// How the engine cuts data of this shape: a function of the shape, never of the machine. Networks whose work on observations is done by
  /// chains of dense layers return plan_sets.
  [[nodiscard]] virtual Plan plan(const Shape& data) const { return plan_rows(data[0], rows_per_item(data)); }
  /// Whether `forward` reads the mask. Then padding must change nothing: results are those of the data set without it, up to rounding.
  /// Amortizers refuse masks where it is false.
  [[nodiscard]] virtual bool takes_mask() const { return false; }
  /// Whether `forward` reads the times. Amortizers refuse times where it is false.
  [[nodiscard]] virtual bool takes_times() const { return false; }
};

}  // namespace bayesflow
