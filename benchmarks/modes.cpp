/// The loss that each mode reaches on the tutorial's model.
/// The optimum is -2.188. Data that are seen again teach less: with N simulations the posterior that fits them best is not the one that
/// fits all. Where data come back, theory says how far it is off: the training loss falls below the optimum by about as much as the loss on
/// fresh data stays above it (p / 2N for p weights that matter), so half of their difference estimates the gap.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <bayesflow/bayesflow.hpp>
#include <cstdio>
#include <cstdlib>

namespace bf = bayesflow;

namespace {

bf::GenerativeModel model() {
  return bf::GenerativeModel(bf::Prior([](bf::Rng& rng) { return rng.normal({4}); }),
                             bf::Simulator([](const bf::Array& theta, bf::Rng& rng) {
                               return rng.normal({50, 4}, theta);
                             }));
}

bf::AmortizedPosterior tutorial() {
  return bf::AmortizedPosterior(bf::InvertibleNetwork({.num_params = 4, .num_coupling_layers = 4, .coupling = bf::unregularized_affine()}),
                                bf::DeepSet({.summary_dim = 10}));
}

void report(const char* name, const bf::AmortizedPosterior& amortizer, const bf::TrainingSummary& run) {
  const bf::Simulations fresh = model().simulate(2000, 99, "fresh", 0);
  constexpr double kOptimum = -2.188;
  const double training = run.history.epochs.back().train.total(), loss = amortizer.compute_loss(bf::default_configurator(fresh))["loss"];
  std::printf("%-50s %6zu steps: training loss %.3f, fresh data %.3f, gap %.3f, half the difference %.3f\n", name, run.history.steps.size(),
              training, loss, loss - kOptimum, (loss - training) / 2);
  if (run.stop == bf::TrainingSummary::Stop::stopped_early) std::printf("  %s\n", run.reason.c_str());
  for (const std::string& warning : run.warnings) std::printf("  %s\n", warning.c_str());
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("The loss that each mode reaches on the tutorial's model.");
  double share = 1;
  std::uint64_t seed = 0;
  app.add_option("share", share, "of the full size (20,000 simulations, 10,000 steps)")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("seed", seed)->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  const auto scaled = [share](double full) { return std::max<std::int64_t>(32, static_cast<std::int64_t>(share * full)); };
  const std::int64_t sims = scaled(20000), epoch = scaled(1000);
  {
    bf::AmortizedPosterior a = tutorial();
    bf::Trainer trainer(a, model(), {.seed = seed});
    report("online, every batch fresh", a, trainer.train_online({.epochs = 10, .iterations_per_epoch = epoch}));
  }
  {
    bf::AmortizedPosterior a = tutorial();
    bf::Trainer trainer(a, model(), {.seed = seed});
    report("offline, given simulations, 16 passes", a, trainer.train_offline(model().simulate(sims, 5, "data", 0), {.epochs = 16}));
  }
  for (const std::int64_t patience : {5, 11, 32}) {  // the default, a third, all of the epochs
    bf::AmortizedPosterior a = tutorial();
    bf::Trainer trainer(a, model(), {.seed = seed});
    report(("offline, 32 passes, early stopping (patience " + std::to_string(patience) + ")").c_str(), a,
           trainer.train_offline(
               model().simulate(sims, 5, "data", 0),
               {.epochs = 32, .run = {.validation_sims = 500, .early_stopping = bf::EarlyStoppingOptions{.patience = patience}}}));
  }
  {
    bf::AmortizedPosterior a = tutorial();
    bf::Trainer trainer(a, model(), {.seed = seed});
    report("experience replay, 1000 batches", a, trainer.train_experience_replay({.epochs = 10, .iterations_per_epoch = epoch}));
  }
  {
    bf::AmortizedPosterior a = tutorial();
    bf::Trainer trainer(a, model(), {.seed = seed});
    report("rounds, 4 times a quarter, 6 passes each", a, trainer.train_rounds({.rounds = 4, .sim_per_round = sims / 4, .epochs = 6}));
  }
}
