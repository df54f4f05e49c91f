/// Markov chains for densities with gradients, such as learned likelihoods.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "bayesflow/amortizers/amortized_likelihood.hpp"
#include "bayesflow/amortizers/amortized_posterior_likelihood.hpp"
#include "bayesflow/mcmc/convergence.hpp"

namespace bayesflow::mcmc {

/// A log density up to a constant, and its gradient, at points (n, P). -infinity where there is no density; the gradient there is not used.
struct Evaluated {
  Array value;     ///< (n)
  Array gradient;  ///< (n, P)
};
/// Of all chains at a time, so that networks evaluate them in one pass, on all cores.
using Target = std::function<Evaluated(const Array& points)>;
/// Settings of `sample`.
struct Options {
  std::int64_t warmup = 500;       ///< iterations of each chain that adapt step and metric, and are left out; at least 100
  std::int64_t draws = 1000;       ///< of each chain, after these; at least 4
  double target_acceptance = 0.8;  ///< mean probability of acceptance that the step is adapted to, in (0, 1)
  double trajectory =
      1.5707963268;             ///< length of a trajectory in units of the posterior's scale, on average; pi/2 is best for a normal one
  std::int64_t max_steps = 64;  ///< leapfrog steps of a trajectory, at most
  std::uint64_t seed = 0;
  /// Bounds of the parameters (P), infinite where there is none; empty: none at all. Chains move in the logarithm of the distance to one
  /// bound, in the logit between two, where a density that ends has no edge; draws and densities are those of the parameters.
  Array lower = {}, upper = {};
  void validate() const;  ///< throws ConfigurationError naming field, value and constraint
};
/// Draws of all chains, and whether they can be used.
struct Result {
  Array draws;                        ///< (chains, draws, P)
  Array log_density;                  ///< (chains, draws)
  Convergence convergence;            ///< R-hat and effective numbers of draws, of each parameter
  double acceptance = 0;              ///< mean probability of acceptance, after warm-up
  double step = 0;                    ///< of the leapfrog integrator, in units of the metric
  std::int64_t divergences = 0;       ///< trajectories after warm-up whose energy went astray
  std::int64_t evaluations = 0;       ///< calls of the target
  std::vector<std::string> warnings;  ///< what is amiss: chains that disagree, too few effective draws, divergences
};

/// Hamiltonian Monte Carlo (Duane et al. 1987; Neal 2011): one chain from each row of `start` (chains, P), all of them in step.
/// A trajectory solves dq/dt = M^-1 p, dp/dt = grad log density(q) with the leapfrog method and is accepted with probability
/// min(1, exp(-change of energy)). In warm-up the step is adapted by dual averaging (Hoffman and Gelman 2014) to the mean acceptance of all
/// chains, and the metric M^-1 to the covariance of their draws. Lengths of trajectories vary by half their mean.
///
/// One seed, one result, for any number of threads. At least 2 chains: 4 or more, from starting points that differ as much as the prior's
/// draws, make R-hat worth something. Throws ArgumentError for a start without density, and ShapeError.
[[nodiscard]] Result sample(const Target& target, const Array& start, const Options& options = {});

/// Gradients of a LogPrior: (n, P).
using LogPriorGradient = std::function<Array(const Array& parameters)>;

/// log q(x_1 | theta) + ... + log q(x_n | theta) + log p(theta): the posterior of one data set of independent observations, (n, D), under a
/// learned likelihood (Papamakarios et al. 2019). Conditions are theta, followed by `context` (C - P numbers) where the likelihood was
/// trained with such. Parameters and observations are as the likelihood's configurator gives them.
/// Without a gradient of the prior, central differences of it are taken; it should be smooth then.
[[nodiscard]] Target posterior(const AmortizedLikelihood& likelihood, const Array& observables, const LogPrior& log_prior,
                               const LogPriorGradient& prior_gradient = {}, const Array& context = {});

}  // namespace bayesflow::mcmc
