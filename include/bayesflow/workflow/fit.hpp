/// From prior and simulator to a checked posterior in one call.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "bayesflow/core/log.hpp"
#include "bayesflow/simulation/generative_model.hpp"
#include "bayesflow/workflow/posterior.hpp"

namespace bayesflow {

/// Settings of `fit`. None is needed but the number of simulations, with a model.
struct FitOptions {
  std::int64_t simulations = 0;  ///< how many a model makes: at least 100
  DataKind data = DataKind::automatic;
  std::uint64_t seed = 0;                      ///< one seed, one result, for any number of threads
  int threads = 0;                             ///< 0: as many as the machine has
  std::int64_t max_members = 4;                ///< networks that are used together, where held-out simulations say that it pays
  std::vector<std::string> param_names = {};   ///< of given simulations; a model has its own
  std::filesystem::path checkpoint_path = {};  ///< a folder: a program that was interrupted is run again and goes on; empty: none
  Logger logger = {};
  bool handle_interrupt = true;  ///< as TrainerOptions::handle_interrupt: fit then throws Interrupted
  void validate() const;         ///< throws ConfigurationError naming field, value and constraint
};

/// Ctrl-C (or SIGTERM) has ended a fit.
class Interrupted : public Error {
 public:
  using Error::Error;
};

/// Learns p(parameters | data) from `options.simulations` simulations of a model, whose own sequence goes on:
///   Posterior posterior = fit(GenerativeModel(prior, simulator), {.simulations = 10000});
///   Array draws = posterior.sample(data, 1000);
///
/// Every tenth simulation (every fifth of fewer than 2,000) is held out. An adapter is made from the others (logarithms of positive skewed
/// numbers, unit scale, and for vectors a linear regression of the parameters on the data); several flows are trained for a short time
/// each; the two with the best held-out log scores are trained in full, and the better of them again from other first weights, each with
/// its best epoch's weights; and they are used together if that has a better held-out log score than the best alone. `Posterior::story`
/// tells it.
///
/// Throws ConfigurationError, SimulationError, and what Trainer throws.
[[nodiscard]] Posterior fit(const GenerativeModel& model, const FitOptions& options);
[[nodiscard]] Posterior fit(const Prior& prior, const Simulator& simulator, const FitOptions& options);
/// The same of simulations that there are: prior_draws (n, P) and sim_data (n, ...), all of one shape.
[[nodiscard]] Posterior fit(const Simulations& simulations, const FitOptions& options = {});

}  // namespace bayesflow
