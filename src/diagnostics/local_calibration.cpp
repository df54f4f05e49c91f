#include "bayesflow/diagnostics/local_calibration.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "bayesflow/core/errors.hpp"
#include "bayesflow/diagnostics/sbc.hpp"
#include "diagnostics/numbers.hpp"

namespace bayesflow {
namespace {

constexpr std::int64_t kLook = 50, kTogether = 500;

std::size_t index(std::int64_t i) { return static_cast<std::size_t>(i); }

/// Posterior means and logarithms of standard deviations, (data sets, 2 P).
Array moments(const AmortizedPosterior& amortizer, const Batch& data, std::uint64_t seed) {
  const std::int64_t sets = data.batch_size(), width = amortizer.num_params();
  Array out({sets, 2 * width});
  std::vector<Foreign> ignored;
  for (std::int64_t from = 0; from < sets; from += kTogether) {
    const std::int64_t to = std::min(sets, from + kTogether);
    const Array draws =
        amortizer.sample(data.rows(from, to), kLook,
                         {.seed = Rng(seed, "looking for near data", static_cast<std::uint64_t>(from)).bits(), .foreign = &ignored});
    const Array mean = draws.mean(1), sd = draws.std_along(1);
    for (std::int64_t b = 0; b < to - from; ++b)
      for (std::int64_t j = 0; j < width; ++j) {
        out(from + b, j) = mean(b, j);
        out(from + b, width + j) = std::log(std::max(sd(b, j), 1e-30));
      }
  }
  return out;
}

}  // namespace

void LocalCalibrationOptions::validate() const {
  diagnostics::require_option(num_near >= 20, "LocalCalibrationOptions", "num_near", static_cast<double>(num_near), "at least 20");
  diagnostics::require_option(n_samples >= 10, "LocalCalibrationOptions", "n_samples", static_cast<double>(n_samples), "at least 10");
}

LocalCalibration local_calibration(const AmortizedPosterior& amortizer, const Batch& observed, const Batch& simulated,
                                   const LocalCalibrationOptions& options) {
  options.validate();
  const std::int64_t width = amortizer.num_params();
  const Block* truths = simulated.find(roles::parameters);
  if (!truths || truths->rank() != 2 || truths->dim(1) != width)
    throw ShapeError(fmt::format("local_calibration: simulations need parameters of shape (simulations, {}); got {}", width,
                                 truths ? truths->shape().to_string() : "none"));
  if (observed.batch_size() != 1)
    throw ShapeError(fmt::format("local_calibration: it looks at one observed data set; got {}", observed.batch_size()));
  LocalCalibration out;
  out.num_simulations = truths->dim(0);
  if (out.num_simulations < 5 * options.num_near)
    throw ArgumentError(
        fmt::format("local_calibration: {} simulations are too few to pick the nearest {} of them; give at least {}, or pick "
                    "fewer",
                    out.num_simulations, options.num_near, 5 * options.num_near));
  Batch alone = observed, data = simulated;
  alone.set(roles::parameters, {});
  data.set(roles::parameters, {});
  const Array wanted = moments(amortizer, alone, options.seed), theirs = moments(amortizer, data, options.seed);
  std::vector<double> distance(index(out.num_simulations), 0.0);
  for (std::int64_t b = 0; b < out.num_simulations; ++b)
    for (std::int64_t j = 0; j < width; ++j) {
      const double shift = (theirs(b, j) - wanted(0, j)) / std::exp(wanted(0, width + j));
      const double scale = theirs(b, width + j) - wanted(0, width + j);
      distance[index(b)] += shift * shift + scale * scale;
    }
  out.near.resize(index(out.num_simulations));
  std::iota(out.near.begin(), out.near.end(), std::int64_t{0});
  std::ranges::stable_sort(out.near, {}, [&](std::int64_t b) { return distance[index(b)]; });
  out.near.resize(index(options.num_near));
  out.share = static_cast<double>(options.num_near) / static_cast<double>(out.num_simulations);

  const Batch near = data.take(out.near);
  const Array parameters = truths->take(out.near).array();
  std::vector<Foreign> ignored;
  const Array draws =
      amortizer.sample(near, options.n_samples, {.seed = Rng(options.seed, "ranks of near data").bits(), .foreign = &ignored});
  const diagnostics::SbcEcdf ecdf =
      diagnostics::sbc_ecdf(draws, parameters, {}, {.param_names = options.param_names, .seed = options.seed});
  out.p_values = ecdf.p_value;
  out.ranks = ecdf.ranks;
  out.p_value = std::min(1.0, std::ranges::min(out.p_values) * static_cast<double>(width));
  out.verdict =
      diagnostics::verdict(draws, parameters, {.param_names = options.param_names, .expect_contraction = false, .seed = options.seed});
  return out;
}

}  // namespace bayesflow
