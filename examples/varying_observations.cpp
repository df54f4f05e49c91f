/// Data sets of many sizes with one network: the number of observations is drawn anew for every batch. It is a context that all
/// simulations of a batch share (non-batchable); the default configurator makes it a direct condition, beside the summaries, whose
/// means over observations do not tell it.
#include <algorithm>
#include <bayesflow/bayesflow.hpp>
#include <cmath>
#include <cstdio>
#include <cstring>

namespace bf = bayesflow;

int main(int argc, char** argv) {
  const bool small = argc > 1 && std::strcmp(argv[1], "--small") == 0;  // a few seconds, for tests
  constexpr int D = 2;

  // The context is log n: of about the size of the networks' other inputs.
  bf::ContextGenerator sizes(
      {.non_batchable = [](bf::Rng& rng) { return bf::Array::scalar(std::log(static_cast<double>(rng.integers(2, 101)))); }});
  const auto count = [](const bf::Context& context) { return std::llround(std::exp(context.non_batchable->item())); };

  bf::Prior prior([](bf::Rng& rng) { return rng.normal({D}); });
  bf::Simulator simulator(
      [count](const bf::Array& theta, const bf::Context& context, bf::Rng& rng) {
        return rng.normal({count(context), D}, /*loc=*/theta);
      },
      {.context = sizes});
  bf::GenerativeModel model(prior, simulator, {.logger = bf::stderr_logger()});

  bf::DeepSet summary_net({.summary_dim = 10});
  bf::InvertibleNetwork inference_net({.num_params = D, .num_coupling_layers = 4, .coupling = bf::unregularized_affine()});
  bf::AmortizedPosterior amortizer(inference_net, summary_net);

  bf::Trainer trainer(amortizer, model, {.progress = bf::console_progress()});
  const auto run = trainer.train_online({.epochs = small ? 2 : 8, .iterations_per_epoch = small ? 150 : 1000, .batch_size = 32});
  std::printf("%s\n", run.full().c_str());

  // The exact posterior is N(sum(x) / (n + 1), 1 / (n + 1)) in each dimension.
  const std::int64_t sets = small ? 50 : 300;
  std::printf("compared with the exact posterior, over %ld new data sets of each size:\n", static_cast<long>(sets));
  std::printf("  %5s  %10s  %12s  %6s  %s\n", "n", "exact sd", "posterior sd", "ratio", "rms error of the mean / exact sd");
  double worst_ratio = 0, worst_error = 0;
  for (const std::int64_t n : {2, 5, 10, 20, 50, 100}) {
    const bf::Array theta = prior(sets, /*seed=*/100).prior_draws;
    bf::Rng rng(200 + static_cast<std::uint64_t>(n));
    bf::Batch inputs;
    inputs.set(bf::roles::summary_conditions, rng.normal({sets, n, D}, theta.expand_dims(1)));
    inputs.set(bf::roles::direct_conditions, bf::Array({sets, 1}, std::log(static_cast<double>(n))));
    const bf::Array draws = amortizer.sample(inputs, 500);
    const double exact_sd = 1 / std::sqrt(static_cast<double>(n) + 1);
    const bf::Array exact = inputs.array(bf::roles::summary_conditions).sum(1) / (static_cast<double>(n) + 1);
    const bf::Array error = (draws.mean(1) - exact) / exact_sd;
    const double sd = draws.std_along(1, 1).mean(), rms = std::sqrt((error * error).mean());
    std::printf("  %5ld  %10.4f  %12.4f  %6.3f  %.3f\n", static_cast<long>(n), exact_sd, sd, sd / exact_sd, rms);
    worst_ratio = std::max(worst_ratio, std::abs(std::log(sd / exact_sd)));
    worst_error = std::max(worst_error, rms);
  }
  std::printf("largest deviation of a standard deviation: %.1f %%; of a mean: %.3f exact standard deviations\n",
              100 * (std::exp(worst_ratio) - 1), worst_error);
  const bool good = worst_ratio < 0.2 && worst_error < 0.35;
  return std::isfinite(worst_ratio) && std::isfinite(worst_error) && (small || good) ? 0 : 1;
}
