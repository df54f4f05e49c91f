/// Groups whose parameters have a common distribution: schools, subjects, sites. A two-level posterior gives the hyper parameters from all
/// groups, and each group's parameters from its own data and the hyper parameters, for any number of groups and of observations.
///
/// Here mu ~ N(0, 1), theta_g ~ N(mu, 0.7), and a group's observations are N(theta_g, 1): the exact posterior is known, and compared with.
#include <bayesflow/bayesflow.hpp>
#include <cmath>
#include <cstdio>
#include <cstring>

namespace bf = bayesflow;

constexpr double kTau = 0.7;

int main(int argc, char** argv) {
  const bool small = argc > 1 && std::strcmp(argv[1], "--small") == 0;  // a few seconds, for tests

  bf::TwoLevelPrior prior([](bf::Rng& rng) { return rng.normal({1}); },
                          [](const bf::Array& mu, const bf::Context&, bf::Rng& rng) {
                            return rng.normal({rng.integers(3, 11), 1}, mu[0], kTau);  // 3 to 10 groups
                          });
  const bf::TwoLevelSimulator simulator = [](const bf::Array& theta, const bf::Array&, const bf::Context&, bf::Rng& rng) {
    bf::Array data({theta.dim(0), rng.integers(5, 21), 1});  // 5 to 20 observations
    for (std::int64_t g = 0; g < data.dim(0); ++g)
      for (std::int64_t i = 0; i < data.dim(1); ++i) data(g, i, 0) = rng.normal(theta(g, 0), 1.0);
    return data;
  };
  bf::TwoLevelGenerativeModel model(prior, simulator, {.pad_to = {10, 20}});

  // The deep set of the first level sees the observations of a group, that of the second what the first one makes of all groups.
  bf::CouplingOptions coupling = bf::unregularized_coupling();  // no simulation is seen twice: no dropout
  const bf::InvertibleNetwork flow({.num_params = 1, .num_coupling_layers = 2, .coupling = coupling});
  bf::HierarchicalNetwork summary(
      {.networks = {bf::DeepSet({.summary_dim = 8, .linear_path = true}), bf::DeepSet({.summary_dim = 16, .linear_path = true})}});
  bf::TwoLevelAmortizedPosterior amortizer(flow, flow, summary);
  bf::Trainer trainer(amortizer, model, {.progress = bf::console_progress()});
  std::printf("%s\n", trainer.train_online({.epochs = 1, .iterations_per_epoch = small ? 400 : 5000, .batch_size = 32}).full().c_str());

  const bf::Simulations test = model(200);
  const bf::Batch batch = trainer.configure(test);
  const auto draws = amortizer.sample(batch, 500);  // .global (200, 500, 1), .local (200, 10, 500, 1): NaN for groups that are not there
  double global_error = 0, local_error = 0, groups = 0;
  for (std::int64_t b = 0; b < 200; ++b) {
    double precision = 1, sum = 0;
    for (std::int64_t g = 0; g < 10; ++g) {
      const double n = test.find(bf::fields::sim_data_mask)->row(b).row(g).sum();
      if (n == 0) continue;
      const double mean = test.sim_data.row(b).row(g).sum() / n, variance = kTau * kTau + 1 / n;
      precision += 1 / variance;
      sum += mean / variance;
      // Given the draws of mu, the exact mean of theta_g.
      const double mu = draws.global.row(b).mean(), exact = (mu / (kTau * kTau) + n * mean) / (1 / (kTau * kTau) + n);
      local_error += std::fabs(draws.local.row(b).row(g).mean() - exact);
      ++groups;
    }
    global_error += std::fabs(draws.global.row(b).mean() - sum / precision) / 200;
    if (b < 5)
      std::printf("mu: %.2f +- %.2f, exactly %.2f +- %.2f\n", draws.global.row(b).mean(), draws.global.row(b).std(1), sum / precision,
                  1 / std::sqrt(precision));
  }
  local_error /= groups;
  std::printf("mean errors of the posterior means: %.3f of mu, %.3f of a group's parameter\n", global_error, local_error);
  return global_error < (small ? 0.15 : 0.1) && local_error < (small ? 0.15 : 0.1) ? 0 : 1;
}
