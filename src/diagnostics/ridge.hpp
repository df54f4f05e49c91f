/// Ridge regression that predicts every row from the rows of other folds, cheap to repeat for permuted targets.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "bayesflow/core/array.hpp"
#include "bayesflow/core/rng.hpp"

namespace bayesflow::diagnostics {

/// What depends on the features alone (the inverse of each fold's normal equations) is computed once; targets then cost two products.
class CrossRidge {
 public:
  /// features (B, F), of mean 0 and variance 1; penalties are per row: 0.1 shrinks what a single feature tells by a tenth.
  CrossRidge(const Array& features, std::int64_t folds, std::vector<double> penalties, Rng rng);
  [[nodiscard]] std::int64_t rows() const { return rows_; }
  [[nodiscard]] std::int64_t penalties() const { return static_cast<std::int64_t>(penalties_.size()); }
  /// Predictions of targets (B, T), whose row `order[i]` belongs to the features' row i (empty: its own): (penalties, B, T), row i.
  [[nodiscard]] std::vector<double> predict(const Array& targets, std::span<const std::int64_t> order = {}) const;
  /// Share of each target's variance that is predicted, 1 - SSE / SST with the mean of the other folds in SST: (penalties, T).
  [[nodiscard]] std::vector<double> r2(const Array& targets, std::span<const std::int64_t> order = {}) const;

 private:
  template <class Use>
  void solve(const Array& targets, std::span<const std::int64_t> order, Use&& use) const;

  std::int64_t rows_, width_;
  std::vector<double> penalties_;
  std::vector<std::int64_t> row_of_;    // rows by fold
  std::vector<std::int64_t> first_;     // of each fold in row_of_, and the end
  std::vector<double> x_;               // (B, F) in that order
  std::vector<double> sums_;            // (folds, F): of the other folds' rows
  std::vector<std::vector<double>> m_;  // (folds * penalties) of (F, F)
};

}  // namespace bayesflow::diagnostics
