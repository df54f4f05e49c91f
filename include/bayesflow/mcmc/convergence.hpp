/// Have Markov chains converged, and how many independent draws are they worth?
#pragma once

#include <cstdint>

#include "bayesflow/core/array.hpp"

namespace bayesflow::mcmc {

/// All for draws of one quantity, (chains, n) with at least 2 chains of at least 4 draws. NaN if a draw is not finite, or all are equal.
/// Vehtari, Gelman, Simpson, Carpenter, Buerkner (2021), Rank-normalization, folding, and localization: an improved R-hat for assessing
/// convergence of MCMC, Bayesian Analysis 16.

/// R-hat = sqrt(((n - 1)/n W + B/n) / W) with the variances within (W) and between (B/n) the halves of chains, after rank normalization:
/// the larger of that of the draws and that of |draws - median|. Near 1 if the chains agree; above 1.01 they do not yet.
[[nodiscard]] double rhat(const Array& draws);
/// Effective number of draws for the mean, after rank normalization: n chains / (1 + 2 sum of autocorrelations), summed as far as pairs of
/// them are positive and fall (Geyer 1992).
[[nodiscard]] double ess_bulk(const Array& draws);
/// The smaller one of those for the 5 % and 95 % quantiles.
[[nodiscard]] double ess_tail(const Array& draws);

/// Of every quantity of draws (chains, n, P): (P).
struct Convergence {
  Array rhat, ess_bulk, ess_tail;
};
[[nodiscard]] Convergence convergence_of(const Array& draws);

}  // namespace bayesflow::mcmc
