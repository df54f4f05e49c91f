/// Every figure of the library, each in two lines: docs/figures.md explains them.
///   figures [--small] [FOLDER]     files go to FOLDER (figures_results)
#include <bayesflow/bayesflow.hpp>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>

namespace bf = bayesflow;
namespace bd = bayesflow::diagnostics;

namespace {

void draw_diagnostics(const bf::Array& draws, const bf::Array& truths) {
  bf::plot_recovery(bd::recovery(draws, truths)).save("recovery.svg");
  bf::plot_z_score_contraction(bd::z_score_contraction(draws, truths)).save("contraction.svg");
  const bd::SbcRanks ranks = bd::sbc_ranks(draws, truths);
  bf::plot_sbc_histograms(bd::sbc_histograms(ranks)).save("histograms.svg");
  bf::plot_sbc_ecdf(bd::sbc_ecdf(ranks, {.difference = true})).save("ecdf.svg");
  bf::plot_sbc_ecdf(bd::sbc_ecdf(ranks, {.over_all_parameters = true}), {.stacked = true}).save("ecdf_stacked.svg");
  bf::plot_coverage(bd::coverage(ranks)).save("coverage.svg");
  bf::plot_tarp(bd::tarp(draws, truths)).save("tarp.svg");
}

void draw_one_posterior(const bf::Array& posterior, const bf::Array& truth, const bf::Prior& prior, const bf::Array& latents) {
  bf::plot_prior2d(prior).save("prior.svg");
  const bf::Array prior_draws = prior(1000, /*seed=*/1).prior_draws;
  bf::plot_posterior_2d(bd::posterior_2d(posterior, prior_draws, {.truth = truth})).save("posterior.svg");
  bf::plot_latent_space_2d(bd::latent_space_2d(latents)).save("latents.svg");
}

void draw_predictions(const bf::Array& posterior, const bf::Array& observed, const bf::Simulator& simulator) {
  const bd::PosteriorPredictive predictive = bd::posterior_predictive(
      posterior.expand_dims(0), observed.expand_dims(0), simulator,
      {{"mean", [](const bf::Array& x) { return x.mean(); }}, {"largest", [](const bf::Array& x) { return x.max(); }}});
  bf::plot_posterior_predictive(predictive).save("predictive.svg");
  bf::plot_pushforward(predictive.bands).save("pushforward.svg");
}

void draw_misspecification(const bf::Array& observed_summaries, const bf::Array& simulated_summaries) {
  bf::plot_mmd_hypothesis_test(bd::mmd_hypothesis_test(observed_summaries, simulated_summaries)).save("mmd.svg");
}

void draw_model_comparison(const bf::Array& true_models, const bf::Array& probabilities) {
  bf::plot_calibration_curves(bd::expected_calibration_error(true_models, probabilities)).save("model_calibration.svg");
  bf::plot_confusion_matrix(bd::confusion_matrix(true_models, probabilities)).save("confusion.svg");
}

void change_and_save(const bf::Array& draws, const bf::Array& truths) {
  bf::Figure figure = bf::plot_recovery(bd::recovery(draws, truths), {.color = bf::figures::kBlue, .grid = {.columns = 2}});
  figure.title = "Recovery of $\\mu$ from 50 observations";
  figure.panel_width = figure.panel_height = 180;  // points, of the area between the axes
  figure.panels[0].elements.push_back(bf::figures::Text{.x = -2, .y = 2.5, .text = "the first"});
  figure.save("changed.png", {.dpi = 300});                                  // by gnuplot
  figure.save("changed.pdf");                                                // by gnuplot
  figure.save("changed.svg");                                                // by the library itself
  figure.save("gnuplot.svg", {.renderer = bf::figures::Renderer::gnuplot});  // if you prefer its text shapes
}

}  // namespace

int main(int argc, char** argv) {
  const bool small = argc > 1 && std::strcmp(argv[1], "--small") == 0;  // for tests
  const std::filesystem::path results = argc > 1 + small ? argv[1 + small] : "figures_results";

  bf::Prior prior([](bf::Rng& rng) { return rng.normal({3}); });
  bf::Simulator simulator([](const bf::Array& theta, bf::Rng& rng) { return rng.normal({50, 3}, /*loc=*/theta); });
  bf::GenerativeModel model(prior, simulator);
  bf::AmortizedPosterior amortizer(bf::InvertibleNetwork({.num_params = 3, .num_coupling_layers = 2}), bf::DeepSet({.summary_dim = 6}));
  bf::Trainer trainer(amortizer, model);
  const auto run = trainer.train_online({.epochs = 5, .iterations_per_epoch = small ? 50 : 500, .run = {.validation_sims = 200}});

  std::filesystem::create_directories(results);
  std::filesystem::current_path(results);
  bf::plot_losses(bd::losses(run.history)).save("losses.svg");

  const auto simulated = model(300);
  const auto test = trainer.configure(simulated);
  const bf::Array draws = amortizer.sample(test, 250);
  draw_diagnostics(draws, test.array(bf::roles::parameters));
  change_and_save(draws, test.array(bf::roles::parameters));
  const bf::Array latents = amortizer.forward(test).z;  // of the true parameters
  draw_one_posterior(draws.row(0), test.array(bf::roles::parameters).row(0), prior, latents);
  draw_predictions(draws.row(0), simulated.sim_data.row(0), simulator);

  // Means of the data stand for summaries, and for what would come from a network that compares two models.
  const bf::Array summaries = simulated.sim_data.mean(1);
  draw_misspecification(summaries.slice(0, 20) + 0.5, summaries.slice(20, 300));
  bf::Array chosen({300}), probabilities({300, 2});
  for (std::int64_t b = 0; b < 300; ++b) {
    chosen(b) = test.array(bf::roles::parameters)(b, 0) > 0;
    probabilities(b, 1) = 1 / (1 + std::exp(-10 * summaries(b, 0)));
    probabilities(b, 0) = 1 - probabilities(b, 1);
  }
  draw_model_comparison(chosen, probabilities);
  std::printf("the figures are in %s\n", results.c_str());
  return 0;
}
