/// Is a posterior calibrated at one data set, and not only on average?
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bayesflow/amortizers/amortized_posterior.hpp"
#include "bayesflow/core/array.hpp"
#include "bayesflow/data/batch.hpp"
#include "bayesflow/diagnostics/verdict.hpp"

namespace bayesflow {

/// Settings of `local_calibration`.
struct LocalCalibrationOptions {
  std::int64_t num_near = 200;   ///< simulations that are looked at: those whose posteriors are most like the observed data's
  std::int64_t n_samples = 100;  ///< draws of each of them, for ranks
  std::vector<std::string> param_names = {};
  std::uint64_t seed = 0;
  void validate() const;
};

/// What simulations near one data set say. p-values are those of diagnostics::sbc_ecdf, exact for an exact posterior.
struct LocalCalibration {
  double p_value = 1;                ///< that the posterior is calibrated there: the smallest of `p_values` times their number, at most 1
  std::vector<double> p_values;      ///< (P)
  Array ranks;                       ///< (num_near, P): draws below the truth, 0 ... n_samples
  std::vector<std::int64_t> near;    ///< (num_near) which simulations, the nearest first
  double share = 0;                  ///< num_near over the simulations: how local the answer is
  diagnostics::Verdict verdict;      ///< what is wrong there, and by how much
  std::int64_t num_simulations = 0;  ///< that were given
};

/// Simulation-based calibration given that the data are like the observed ones. `simulated` are fresh simulations with their parameters,
/// which training has not seen. Of each, and of the one observed data set, 50 draws tell the posterior's means and the logarithms of its
/// standard deviations; simulations are near by
///
///   sum over parameters of ((mean - mean_observed) / sd_observed)^2 + (log sd - log sd_observed)^2.
///
/// Among the nearest ones ranks of the parameters in further draws are uniform if the posterior is exact, whatever data are picked: what is
/// picked depends on data alone (calibration given a statistic of the data: Modrak, Moon, Kim, Buerkner, Huurre, Faltejskova, Gelman,
/// Vehtari 2023, Simulation-based calibration checking for Bayesian computation). Posterior SBC (Saeilynoja, Schmitt, Buerkner, Vehtari
/// 2025) asks the same of data simulated from the posterior; it needs the prior's density or networks for both data sets together, this
/// needs neither, but more simulations the more the data tell. Throws ShapeError, ConfigurationError and ArgumentError.
[[nodiscard]] LocalCalibration local_calibration(const AmortizedPosterior& amortizer, const Batch& observed, const Batch& simulated,
                                                 const LocalCalibrationOptions& options = {});

}  // namespace bayesflow
