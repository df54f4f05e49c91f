/// How much does the answer depend on the prior? One network learns the posteriors under all of a family of priors: the prior's
/// scale is a context of its own for each simulation (batchable), and the default configurator gives it to the summary network
/// beside every observation. Afterwards any scale is a matter of milliseconds.
#include <algorithm>
#include <bayesflow/bayesflow.hpp>
#include <cmath>
#include <cstdio>
#include <cstring>

namespace bf = bayesflow;

int main(int argc, char** argv) {
  const bool small = argc > 1 && std::strcmp(argv[1], "--small") == 0;  // a few seconds, for tests
  constexpr int n_obs = 5;                                              // few, so that the prior matters

  // theta ~ N(0, scale^2), scale log-uniform between 1/4 and 4
  bf::ContextGenerator scales({.batchable = [](bf::Rng& rng) { return bf::Array({1}, std::exp(rng.uniform(-1.386, 1.386))); }});
  bf::Prior prior([](const bf::Context& context, bf::Rng& rng) { return rng.normal({1}, 0.0, /*scale=*/context.batchable->item()); },
                  {.context = scales, .param_names = {"mu"}});
  bf::Simulator simulator([](const bf::Array& theta, bf::Rng& rng) { return rng.normal({n_obs, 1}, /*loc=*/theta); });
  bf::GenerativeModel model(prior, simulator, {.logger = bf::stderr_logger()});

  bf::DeepSet summary_net({.summary_dim = 8});
  bf::InvertibleNetwork inference_net({.num_params = 1, .num_coupling_layers = 4, .coupling = bf::unregularized_affine()});
  bf::AmortizedPosterior amortizer(inference_net, summary_net);

  bf::Trainer trainer(amortizer, model, {.progress = bf::console_progress()});
  const auto run = trainer.train_online({.epochs = small ? 2 : 8, .iterations_per_epoch = small ? 150 : 1000, .batch_size = 32});
  std::printf("%s\n", run.full().c_str());

  // One data set with mean 1 under several priors. The exact posterior is N(n mean / p, 1 / p) with precision p = n + 1 / scale^2.
  bf::Array data = bf::Rng(7, "observation").normal({n_obs, 1});
  data += 1.0 - data.mean();
  std::printf("one data set of %d observations with mean 1, under priors N(0, scale^2):\n", n_obs);
  std::printf("  %6s  %21s  %21s\n", "scale", "posterior mean, exact", "posterior sd, exact");
  double worst_mean = 0, worst_sd = 0;
  for (const double scale : {0.25, 0.5, 1.0, 2.0, 4.0}) {
    bf::Simulations sims;  // as the model would make them, so that the trainer's configurator prepares them
    sims.sim_data = data.expand_dims(0);
    sims.prior_batchable_context = bf::Array({1, 1}, scale);
    const bf::Array draws = amortizer.sample(trainer.configure(sims), 4000);
    const double precision = n_obs + 1 / (scale * scale), exact_mean = n_obs / precision, exact_sd = 1 / std::sqrt(precision);
    const double mean = draws.mean(), sd = draws.std(1);
    std::printf("  %6.2f  %12.3f  %7.3f  %12.3f  %7.3f\n", scale, mean, exact_mean, sd, exact_sd);
    worst_mean = std::max(worst_mean, std::abs(mean - exact_mean) / exact_sd);
    worst_sd = std::max(worst_sd, std::abs(std::log(sd / exact_sd)));
  }
  std::printf("largest deviation of a mean: %.3f exact standard deviations; of a standard deviation: %.1f %%\n", worst_mean,
              100 * (std::exp(worst_sd) - 1));
  const bool good = worst_mean < 0.3 && worst_sd < 0.2;
  return std::isfinite(worst_mean) && std::isfinite(worst_sd) && (small || good) ? 0 : 1;
}
