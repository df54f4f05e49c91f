/// Writes a report that holds everything a report can hold: make_page PAGE FOLDER PARAMETERS
#include <cstdio>
#include <cstdlib>

#include "bayesflow/report/report.hpp"
#include "figures/support_cases.hpp"

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: %s PAGE FOLDER PARAMETERS\n", argv[0]);
    return 2;
  }
  namespace bf = bayesflow;
  const std::int64_t parameters = std::atoll(argv[3]);
  const auto data = bf::test::example(200, 99, parameters);
  bf::ReportOptions options{.param_names = bf::test::names(parameters), .facts = {{"Model", "made up"}}};
  bf::TrainingSummary training;
  training.reason = "Training completed.";
  training.warnings = {"a warning"};
  bf::Rng rng(1);
  for (int i = 0; i < 2000; ++i)
    training.history.steps.push_back({.losses = {{"loss", rng.normal()}, {"summary_loss", 1}, {"weight_decay", 0.1}}});
  options.training = training;
  options.latents = rng.normal({200, parameters});
  options.log_posterior = rng.normal({200});
  options.data_folder = argv[2];
  const bf::Simulator simulator([](const bf::Array& theta, bf::Rng& r) { return r.normal({20}, theta[0], 1.0); });
  options.predictive = bf::diagnostics::posterior_predictive(
      data.draws.slice(0, 1), rng.normal({1, 20}), simulator,
      {{"mean", [](const bf::Array& x) { return x.mean(); }}, {"largest", [](const bf::Array& x) { return x.max(); }}});
  bf::report(data.draws, data.truths, argv[1], options);
  return 0;
}
