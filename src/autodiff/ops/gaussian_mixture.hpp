/// Log-densities of Gaussian mixtures in one pass; private to the networks that give mixtures.
#pragma once

#include <cstdint>

#include "bayesflow/autodiff/tensor.hpp"

namespace bayesflow::ops {

/// What a mixture of K normal distributions in D dimensions is made of.
struct Mixture {
  std::int64_t components = 1, width = 1;
  bool full = true;  ///< covariances are full, or diagonal
  /// Numbers of a component's precision factor L: the logs of its diagonal, then if `full` the rows below it.
  [[nodiscard]] std::int64_t factor() const { return width + (full ? width * (width - 1) / 2 : 0); }
  /// Raw numbers of a mixture: K logits of weights, K means, K factors.
  [[nodiscard]] std::int64_t numbers() const { return components * (1 + width + factor()); }
};

/// log sum_k w_k N(x; m_k, (L_k^T L_k)^-1) with w the softmax of the logits and L_k lower triangular. x: (..., D), raw: (..., numbers).
Tensor gaussian_mixture_log_density(Tensor x, Tensor raw, const Mixture& mixture);

}  // namespace bayesflow::ops
