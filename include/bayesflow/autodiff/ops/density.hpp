/// Log-densities, distances between samples, and normalized kernels.
#pragma once

#include <span>

#include "bayesflow/autodiff/tape.hpp"
#include "bayesflow/autodiff/tensor.hpp"

namespace bayesflow::ops {

/// log N(z; 0, I) over the last axis, constants included.
Tensor gaussian_log_density(Tensor z);
/// log of the d-variate Student-t density with location 0, scale I and `df` degrees of freedom, over the last axis. Throws
/// ArgumentError unless df is positive and finite.
Tensor student_t_log_density(Tensor z, float df);
/// Kullback-Leibler divergence of Dirichlet(alpha) from the uniform distribution Dirichlet(1, ..., 1), over the last axis of positive
/// concentrations: log Gamma(a) - log Gamma(d) - sum_i log Gamma(alpha_i) + sum_i (alpha_i - 1) (psi(alpha_i) - psi(a)), a = sum_i alpha_i.
Tensor dirichlet_kl(Tensor alpha);
/// Biased (V-statistic) squared maximum mean discrepancy between the rows of x and y with v1's kernel, a sum of 19 Gaussian
/// kernels exp(-|x - y|^2 / (2 sigma)): one element. Couples all rows: runs in one shard.
Tensor mmd(Tensor x, Tensor y);

/// W / max(1, sigma) with sigma = left^T W right after one power iteration from the stored right vector u: (out). The
/// derivative goes through sigma (Miyato et al. 2018). u itself is not changed: shards share it, the owner moves it once a step.
Tensor spectral_normalize(Tensor kernel, std::span<const float> u);

}  // namespace bayesflow::ops
