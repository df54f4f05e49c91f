/// The loss that each mode reaches on the tutorial's model, and what regularizing the summaries does for finding foreign data.
///   bench_modes [share] [seed]     share of the full size (20,000 simulations, 10,000 steps): 1 by default
/// The optimum is -2.188. Data that are seen again teach less: with N simulations the posterior that fits them best is not the one that
/// fits all.
#include <algorithm>
#include <bayesflow/bayesflow.hpp>
#include <cstdio>
#include <cstdlib>

namespace bf = bayesflow;

namespace {

bf::GenerativeModel model(double location = 0) {
  return bf::GenerativeModel(bf::Prior([=](bf::Rng& rng) { return rng.normal({4}, location); }),
                             bf::Simulator([](const bf::Array& theta, bf::Rng& rng) {
                               return rng.normal({50, 4}, theta);
                             }));
}

bf::AmortizedPosterior tutorial(double mmd = 0) {
  return bf::AmortizedPosterior(bf::InvertibleNetwork({.num_params = 4, .num_coupling_layers = 4, .coupling = bf::unregularized_affine()}),
                                bf::DeepSet({.summary_dim = 10}), {.summary_mmd_weight = mmd});
}

void report(const char* name, const bf::AmortizedPosterior& amortizer, const bf::TrainingSummary& run) {
  const bf::Simulations fresh = model().simulate(2000, 99, "fresh", 0);
  std::printf("%-52s %6zu steps, %7lld simulations: training loss %.3f, fresh data %.3f\n", name, run.history.steps.size(),
              static_cast<long long>(run.simulations), run.history.epochs.back().train.total(),
              amortizer.compute_loss(bf::default_configurator(fresh)).loss);
  for (const std::string& warning : run.warnings) std::printf("  %s\n", warning.c_str());
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  const double share = argc > 1 ? std::atof(argv[1]) : 1.0;
  const std::uint64_t seed = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 0;
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
  {
    bf::AmortizedPosterior a = tutorial();
    bf::Trainer trainer(a, model(), {.seed = seed});
    report("offline with early stopping", a,
           trainer.train_offline(model().simulate(sims, 5, "data", 0),
                                 {.epochs = 16, .validation_sims = 500, .early_stopping = bf::EarlyStoppingOptions{.patience = 2}}));
  }
  {
    bf::AmortizedPosterior a = tutorial();
    bf::Trainer trainer(a, model(), {.seed = seed});
    report("experience replay, 1000 batches", a, trainer.train_experience_replay({.epochs = 10, .iterations_per_epoch = epoch}));
  }
  {
    bf::AmortizedPosterior a = tutorial();
    bf::Trainer trainer(a, model(), {.seed = seed});
    report("rounds, four times a quarter, 6 passes each", a, trainer.train_rounds({.rounds = 4, .sim_per_round = sims / 4, .epochs = 6}));
  }
  std::printf("\npower of the misspecification test at level 0.05 (10 observed data sets, 40 repetitions, priors moved by so much):\n%-28s",
              "summary_mmd_weight");
  const double shifts[] = {0, 0.5, 1, 2, 4};
  for (const double s : shifts) std::printf(" %6.1f", s);
  std::printf("\n");
  for (const double weight : {0.0, 1.0}) {
    bf::AmortizedPosterior a = tutorial(weight);
    bf::Trainer trainer(a, model(), {.seed = seed});
    (void)trainer.train_online({.epochs = 3, .iterations_per_epoch = epoch});
    std::printf("%-28.1f", weight);
    for (const double shift : shifts) {
      int rejected = 0;
      for (std::uint64_t i = 0; i < 40; ++i) {
        const bf::Inputs observed = bf::default_configurator(model(shift).simulate(10, 1000 + i, "observed", 0));
        rejected +=
            bf::mmd_hypothesis_test(a, observed, model(), {.num_reference_simulations = 200, .num_null_samples = 39, .seed = i}).rejects();
      }
      std::printf(" %6.2f", rejected / 40.0);
      std::fflush(stdout);
    }
    std::printf("\n");
  }
}
