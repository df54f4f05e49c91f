/// Simulation-based calibration of quantities that depend on parameters and data.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "bayesflow/core/array.hpp"
#include "bayesflow/diagnostics/sbc.hpp"

namespace bayesflow::diagnostics {

/// A number f(theta, x) of a parameter vector and a data set: a product of parameters, the log-likelihood, a prediction.
struct TestQuantity {
  std::string name;
  /// (n, P) parameters, and the data set that they belong to, to n numbers. Each must depend on its own row alone: truth and draws are
  /// given together, the truth last. Infinite numbers are ranked (a log-likelihood may be -inf); NaN is an ArgumentError.
  std::function<Array(const Array& parameters, const Array& data)> function;
};

/// Ranks of the truth's value among those of the draws: uniform on {0, ..., S} for an exact posterior whatever the quantity. Quantities
/// that use the data see what ranks of parameters alone do not: that of the log-likelihood finds a posterior that is equal to the prior.
/// Draws equal to the truth (counts, indicators, a likelihood of 0) are put below or above it at random, so that ties do not bend the
/// ranks.
///
/// draws (B, S, P), truths (B, P), data (B, ...): functions get data.row(b), or an empty array if data are empty. The result's parameters
/// are the quantities: histograms, ECDFs, coverage and figures take it as they take other ranks. Functions are called from this thread.
/// Modrák, Moon, Kim, Bürkner, Huurre, Faltejsková, Gelman, Vehtari (2023), Simulation-based calibration checking for Bayesian
/// computation: the choice of test quantities shapes sensitivity.
/// Throws ShapeError, ArgumentError, and ConfigurationError if there is no quantity or one has no function. options.param_names must be
/// empty.
[[nodiscard]] SbcRanks sbc_ranks(const Array& draws, const Array& truths, const Array& data, const std::vector<TestQuantity>& quantities,
                                 const SbcRankOptions& options = {});

}  // namespace bayesflow::diagnostics
