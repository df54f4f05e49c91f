/// Latent distributions of a flow.
#pragma once

#include <functional>
#include <string>

#include "bayesflow/autodiff/ops.hpp"
#include "bayesflow/core/rng.hpp"

namespace bayesflow {

/// A latent distribution: any log density that is made of operations, with a sampler that belongs to it.
struct Latent {
  std::string name;
  std::function<Tensor(Tensor z)> log_density;                                 ///< (..., D) -> (...), constants included
  std::function<void(Rng& rng, std::span<float> z, std::int64_t dim)> sample;  ///< fills rows of width dim
};

/// N(0, I), v1's default.
[[nodiscard]] Latent gaussian_latent();
/// D-variate Student-t with location 0 and scale I: heavier tails. Throws ConfigurationError unless df is positive and finite.
[[nodiscard]] Latent student_t_latent(double df);

}  // namespace bayesflow
