/// A posterior and a likelihood, trained together, answer what neither of them does alone: how well the model fits (the marginal
/// likelihood), and what the posterior is under another prior (Markov chains on the likelihood).
///
/// Here theta ~ N(0, I) in two dimensions and six observations N(theta, 1), so that every answer is known, and compared with.
#include <algorithm>
#include <bayesflow/bayesflow.hpp>
#include <cmath>
#include <cstdio>
#include <cstring>

namespace bf = bayesflow;

constexpr std::int64_t kObservations = 6;
constexpr double kLogTwoPi = 1.8378770664093453;

/// Log density of N(0, sd^2 I) at each row.
bf::Array log_normal(const bf::Array& theta, double sd) {
  bf::Array out(bf::Shape{theta.dim(0)});
  for (std::int64_t i = 0; i < theta.dim(0); ++i)
    for (std::int64_t j = 0; j < 2; ++j) out(i) -= 0.5 * theta(i, j) * theta(i, j) / (sd * sd) + std::log(sd) + 0.5 * kLogTwoPi;
  return out;
}

int main(int argc, char** argv) {
  const bool small = argc > 1 && std::strcmp(argv[1], "--small") == 0;  // a few seconds, for tests

  const bf::GenerativeModel model(bf::Prior([](bf::Rng& rng) { return rng.normal({2}); }),
                                  bf::Simulator([](const bf::Array& theta, bf::Rng& rng) {
                                    bf::Array x({kObservations, 2});
                                    for (std::int64_t i = 0; i < kObservations; ++i)
                                      for (std::int64_t j = 0; j < 2; ++j) x(i, j) = rng.normal(theta[j], 1.0);
                                    return x;
                                  }));

  // One trainer trains both, each to the weights that it would have alone.
  bf::CouplingOptions coupling = bf::unregularized_coupling();  // no simulation is seen twice: no dropout
  coupling.dense.units = 32;
  const bf::InvertibleNetwork flow({.num_params = 2, .num_coupling_layers = 4, .coupling = coupling});
  const bf::AmortizedPosteriorLikelihood joint(bf::AmortizedPosterior(flow, bf::DeepSet({.summary_dim = 8})),
                                               bf::AmortizedLikelihood(flow));
  bf::Trainer trainer(joint, model);
  std::printf("%s\n", trainer.train_online({.epochs = 1, .iterations_per_epoch = small ? 800 : 5000, .batch_size = 64}).brief().c_str());

  const bf::Simulations test = model.simulate(5, 9, "test", 0);
  const bf::Batch batch = trainer.configure(test);
  const bf::MarginalLikelihood m = joint.log_marginal_likelihood(batch, [](const bf::Array& theta) { return log_normal(theta, 1); });
  double worst = 0;
  for (std::int64_t b = 0; b < 5; ++b) {
    double exact = 0;  // of each dimension: observations with variance 1 and covariance 1
    for (std::int64_t j = 0; j < 2; ++j) {
      double sum = 0, square = 0;
      for (std::int64_t i = 0; i < kObservations; ++i) {
        const double x = test.sim_data(b, i, j);
        sum += x;
        square += x * x;
      }
      exact -= 0.5 * (square - sum * sum / (kObservations + 1) + std::log(kObservations + 1.0) + kObservations * kLogTwoPi);
    }
    std::printf("log p(x) = %.2f +- %.2f, exactly %.2f\n", m.value(b), m.spread(b), exact);
    worst = std::max(worst, std::fabs(m.value(b) - exact));
  }

  // Another prior, N(0, 0.5^2 I): the likelihood stays, and chains draw from the new posterior.
  const bf::Array x = test.sim_data.row(0);
  const bf::mcmc::Target target = bf::mcmc::posterior(joint.likelihood(), x, [](const bf::Array& theta) { return log_normal(theta, 0.5); });
  const bf::mcmc::Result chains =
      bf::mcmc::sample(target, bf::Rng(1).normal({4, 2}, 0.0, 0.5), {.warmup = small ? 200 : 500, .draws = small ? 300 : 1000});
  for (const std::string& warning : chains.warnings) std::printf("%s\n", warning.c_str());
  double distance = 0;
  for (std::int64_t j = 0; j < 2; ++j) {
    const double precision = kObservations + 4, exact = x.columns(j, j + 1).sum() / precision, sd = 1 / std::sqrt(precision);
    const bf::Array draws = chains.draws.columns(j, j + 1);
    std::printf("theta_%d: %.2f +- %.2f, exactly %.2f +- %.2f; R-hat %.3f, %.0f effective draws\n", static_cast<int>(j + 1), draws.mean(),
                draws.std(1), exact, sd, chains.convergence.rhat(j), chains.convergence.ess_bulk(j));
    distance = std::max(distance, std::fabs(draws.mean() - exact) / sd);
  }
  return worst < (small ? 1.0 : 0.3) && distance < 0.5 ? 0 : 1;
}
