/// Two moons: a posterior of two crescents, which one Gaussian could never describe. A flow of spline couplings with learnable
/// permutations learns it from simulations alone; there is nothing to summarize, so the data are a direct condition.
#include <algorithm>
#include <bayesflow/bayesflow.hpp>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <numbers>

namespace bf = bayesflow;

namespace {

/// True if both crescents of this observation lie in the prior's square, and apart from each other: then each has half of the
/// posterior, and the density below is exact. A crescent is at most 0.13 wide and 0.26 long (four standard deviations of r).
bool both_crescents_inside(double x1, double x2) {
  const double reach = 0.14, along = 0.25 - x1;
  return along > 0 && (along + reach + std::abs(x2) + reach) / std::numbers::sqrt2 < 1;
}

/// log p(theta | x): the noise that would explain x is a point (u, v) of the right half-plane, of density N(r; 0.1, 0.01) / (pi r).
double log_posterior(double t1, double t2, double x1, double x2) {
  const double u = x1 - 0.25 + std::abs(t1 + t2) / std::numbers::sqrt2, v = x2 - (t2 - t1) / std::numbers::sqrt2;
  if (u < 0) return -std::numeric_limits<double>::infinity();
  const double r = std::hypot(u, v), z = (r - 0.1) / 0.01;
  return -0.5 * z * z - std::log(0.01 * std::sqrt(2 * std::numbers::pi)) - std::log(std::numbers::pi * r) - std::log(2.0);
}

}  // namespace

int main(int argc, char** argv) {
  const bool small = argc > 1 && std::strcmp(argv[1], "--small") == 0;  // a few seconds, for tests

  // x = (r cos a + 1/4 - |t1 + t2| / sqrt 2, r sin a + (t2 - t1) / sqrt 2), a ~ U(-pi/2, pi/2), r ~ N(0.1, 0.01^2), t ~ U(-1, 1)^2: one of
  // the benchmark problems that the library has (docs/benchmarks.md).
  const bf::benchmarks::Benchmark two_moons("two_moons", {.logger = bf::stderr_logger()});
  const bf::GenerativeModel model = two_moons.generative_model();

  bf::InvertibleNetwork inference_net({.num_params = 2,
                                       .num_coupling_layers = small ? 2 : 6,
                                       .coupling_design = bf::CouplingDesign::spline,
                                       .coupling = bf::unregularized_spline(),
                                       .permutation = bf::PermutationKind::learnable});
  bf::AmortizedPosterior amortizer(inference_net);

  // The data become direct conditions, and parameters get the width that the splines cover.
  const auto configurator = [](const bf::Simulations& sims) {
    bf::Batch inputs;
    inputs.set(bf::roles::parameters, sims.prior_draws * 3.0);
    inputs.set(bf::roles::direct_conditions, sims.sim_data);
    return inputs;
  };
  bf::Trainer trainer(amortizer, model, {.configurator = configurator, .progress = bf::console_progress()});
  const auto run = trainer.train_online(
      {.epochs = small ? 2 : 15, .iterations_per_epoch = small ? 150 : 1000, .batch_size = 128, .run = {.validation_sims = 500}});
  std::printf("%s\n", run.full().c_str());

  // The observation x = (0, 0). Draws are right if the data that they would produce lie around it as the noise says: r = 0.1.
  const bf::Batch observed{{bf::roles::direct_conditions, bf::Array({1, 2})}};
  const std::int64_t n = 2000;
  const bf::Array draws = amortizer.sample(observed, n).row(0) / 3.0;
  std::int64_t hits = 0, upper = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    const double t1 = draws(i, 0), t2 = draws(i, 1);
    // Within three standard deviations, 0.1 +- 0.03, as 99.7 % of the exact posterior are.
    const double u = -0.25 + std::abs(t1 + t2) / std::numbers::sqrt2, v = -(t2 - t1) / std::numbers::sqrt2;
    hits += u > 0 && std::abs(std::hypot(u, v) - 0.1) < 0.03;
    upper += t1 + t2 > 0;
  }
  const double share = static_cast<double>(hits) / static_cast<double>(n), balance = static_cast<double>(upper) / static_cast<double>(n);

  // A score over many new observations: the density at the true parameters, less the exact one.
  const bf::Simulations test = model(small ? 500 : 5000);
  const bf::Array ours = amortizer.log_posterior(trainer.configure(test)) + 2 * std::log(3.0);
  double gap = 0;
  std::int64_t inside = 0;
  for (std::int64_t i = 0; i < test.batch_size(); ++i) {
    const double x1 = test.sim_data(i, 0), x2 = test.sim_data(i, 1);
    if (!both_crescents_inside(x1, x2)) continue;
    gap += log_posterior(test.prior_draws(i, 0), test.prior_draws(i, 1), x1, x2) - ours[i];
    ++inside;
  }
  gap /= static_cast<double>(inside);
  std::printf("two crescents at x = (0, 0):\n");
  std::printf("  %.1f %% of the draws lie on one of them (exact posterior: 99.7 %%)\n", 100 * share);
  std::printf("  %.1f %% on the upper one (exact posterior: 50 %%)\n", 100 * balance);
  std::printf("  divergence to the exact posterior %.3f nats, over %ld observations\n", gap, static_cast<long>(inside));
  const bool good = share > 0.9 && std::abs(balance - 0.5) < 0.1 && gap < 0.3;
  return std::isfinite(gap) && draws.all_finite() && (small || good) ? 0 : 1;
}
