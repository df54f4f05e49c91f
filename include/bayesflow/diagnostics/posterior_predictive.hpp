/// Do data simulated from the posterior look like the data observed?
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "bayesflow/core/array.hpp"
#include "bayesflow/diagnostics/table.hpp"
#include "bayesflow/simulation/generative_model.hpp"
#include "bayesflow/simulation/simulator.hpp"

namespace bayesflow::diagnostics {

/// A number computed from one data set, for example its mean, largest value or lag-1 autocorrelation.
struct DataStatistic {
  std::string name;
  std::function<double(const Array&)> function;
};

/// Settings of `posterior_predictive` and `pushforward`.
struct PredictiveOptions {
  std::int64_t max_draws = 200;                                       ///< draws per data set that are simulated from (the first ones)
  std::vector<double> probabilities = {0.05, 0.25, 0.5, 0.75, 0.95};  ///< of the quantiles of every data value
  std::uint64_t seed = 0;                                             ///< of the simulations
  int threads = 0;                                                    ///< for simulators that are thread-safe
  void validate() const;
};

/// Quantiles of each value of the simulated data: for a time series the band around its course.
struct Pushforward {
  std::vector<double> probabilities;                ///< (Q)
  Shape data_shape;                                 ///< of one data set
  Array quantiles;                                  ///< (B, Q, values of a data set, row-major)
  Array observed;                                   ///< (B, values), or empty
  std::int64_t num_draws = 0;                       ///< simulations behind each quantile
  [[nodiscard]] std::vector<Table> tables() const;  ///< "pushforward"
};

/// Per data set b and statistic k, with T of the observed and T* of the simulated data:
///   tail probability = (1/2 + #{T* > T} + 1/2 #{T* = T}) / (S + 1), two-sided p-value = 2 min(tail, 1 - tail).
struct PosteriorPredictive {
  std::vector<std::string> statistics;              ///< (K)
  Array observed;                                   ///< (B, K)
  Array simulated;                                  ///< (B, S, K)
  Array tail_probability;                           ///< (B, K)
  Array standard_error;                             ///< (B, K) of the tail probability, binomial in S
  Array p_value;                                    ///< (B, K) two-sided
  std::vector<double> overall_p_value;              ///< (K) smallest p-value times B, at most 1 (Bonferroni over data sets)
  Pushforward bands;                                ///< with the observed data
  [[nodiscard]] std::vector<Table> tables() const;  ///< "posterior_predictive", and those of `bands`
};

/// draws (B, S, P), observed data (B, ...). SimulationError if the simulator fails; ShapeError if its data have another shape.
[[nodiscard]] PosteriorPredictive posterior_predictive(const Array& draws, const Array& observed, const Simulator& simulator,
                                                       const std::vector<DataStatistic>& statistics, const PredictiveOptions& options = {});
/// The same with a generative model's simulator.
[[nodiscard]] PosteriorPredictive posterior_predictive(const Array& draws, const Array& observed, const GenerativeModel& model,
                                                       const std::vector<DataStatistic>& statistics, const PredictiveOptions& options = {});
/// Quantiles of data simulated from given draws (B, S, P), or (S, P) for one set (B = 1), for example of the prior.
[[nodiscard]] Pushforward pushforward(const Array& draws, const Simulator& simulator, const PredictiveOptions& options = {});

}  // namespace bayesflow::diagnostics
