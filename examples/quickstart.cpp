/// The tutorial's workflow: infer the means of a Gaussian from 50 observations, compare with the exact posterior, and report.
///   quickstart [--small] [FOLDER]     figures and report go to FOLDER (quickstart_results)
#include <bayesflow/bayesflow.hpp>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>

namespace bf = bayesflow;

constexpr int D = 4, n_obs = 50;

/// Draws for 500 new data sets, compared with the exact posterior and drawn. Returns the mean negative log posterior density.
double compare(const bf::Trainer& trainer, const bf::AmortizedPosterior& amortizer, const std::filesystem::path& results) {
  const auto test_sims = trainer.configure(trainer.model()(500));
  const auto draws = amortizer.sample(test_sims, 1000);
  std::printf("posterior draws: %s\n", draws.shape().to_string().c_str());

  // The exact posterior is N(sum(x) / (n + 1), 1 / (n + 1)) in each dimension.
  const double exact_sd = 1 / std::sqrt(n_obs + 1.0);
  const bf::Array exact = test_sims.array(bf::roles::summary_conditions).sum(1) / (n_obs + 1.0);
  const bf::Array error = (draws.mean(1) - exact) / exact_sd;
  const double rms = std::sqrt((error * error).mean());
  const double ratio = draws.std_along(1, 1).mean() / exact_sd;
  const double loss = -amortizer.log_posterior(test_sims).mean();
  std::printf("compared with the exact posterior, over 500 new data sets:\n");
  std::printf("  posterior means are off by %.3f exact standard deviations (rms)\n", rms);
  std::printf("  posterior standard deviations are %.3f times the exact ones\n", ratio);
  std::printf("  negative log posterior density %.3f (the exact posterior's expectation is -2.188)\n", loss);
  bf::plot_recovery(bf::diagnostics::recovery(draws, test_sims.array(bf::roles::parameters))).save(results / "recovery.png", {.dpi = 100});
  bf::plot_sbc_ecdf(bf::diagnostics::sbc_ecdf(draws, test_sims.array(bf::roles::parameters), {.difference = true}))
      .save(results / "calibration.png", {.dpi = 100});
  return loss;
}

int main(int argc, char** argv) {
  const bool small = argc > 1 && std::strcmp(argv[1], "--small") == 0;  // a few seconds instead of twenty, for tests
  const std::filesystem::path results = argc > 1 + small ? argv[1 + small] : "quickstart_results";

  bf::Prior prior([](bf::Rng& rng) { return rng.normal({D}); });
  bf::Simulator simulator([](const bf::Array& theta, bf::Rng& rng) { return rng.normal({n_obs, D}, /*loc=*/theta); });
  bf::GenerativeModel model(prior, simulator, {.logger = bf::stderr_logger()});

  bf::DeepSet summary_net({.summary_dim = 10});
  bf::InvertibleNetwork inference_net({.num_params = D, .num_coupling_layers = 4, .coupling = bf::unregularized_affine()});
  bf::AmortizedPosterior amortizer(inference_net, summary_net);

  bf::Trainer trainer(amortizer, model, {.progress = bf::console_progress()});
  const auto run = trainer.train_online(
      {.epochs = small ? 2 : 10, .iterations_per_epoch = small ? 100 : 1000, .batch_size = 32, .run = {.validation_sims = 200}});
  std::printf("%s\n", run.full().c_str());

  std::filesystem::create_directories(results);
  const double loss = compare(trainer, amortizer, results);
  // All numbers, all figures, and a verdict whether this posterior can be trusted, on one page.
  const auto report = bf::report(trainer, results / "report.html");
  std::printf("verdict: %s\n", report.verdict.sentence.c_str());
  std::printf("figures and the report are in %s; open report.html in a browser\n", results.c_str());
  return std::isfinite(loss) ? 0 : 1;
}
