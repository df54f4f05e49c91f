#include "bayesflow/networks/latent.hpp"

#include <fmt/format.h>

#include <cmath>

#include "bayesflow/core/errors.hpp"

namespace bayesflow {

Latent gaussian_latent() {
  return {"gaussian", [](Tensor z) { return ops::gaussian_log_density(z); },
          [](Rng& rng, std::span<float> z, std::int64_t) { rng.fill_normal(z); }};
}

Latent student_t_latent(double df) {
  if (!(df > 0) || !std::isfinite(df))
    throw ConfigurationError(fmt::format("student_t_latent: df must be positive and finite; got {}", df));
  return {fmt::format("student_t({})", df), [df](Tensor z) { return ops::student_t_log_density(z, static_cast<float>(df)); },
          [df](Rng& rng, std::span<float> z, std::int64_t dim) {
            for (std::size_t i = 0; i < z.size(); i += static_cast<std::size_t>(dim)) {
              const double scale = 1 / std::sqrt(2 * rng.gamma(0.5 * df) / df);
              for (std::size_t j = 0; j < static_cast<std::size_t>(dim); ++j) z[i + j] = static_cast<float>(rng.normal() * scale);
            }
          }};
}

}  // namespace bayesflow
