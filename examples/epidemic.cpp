/// Daily case counts of an outbreak: how contagious is it, how long are people infectious, how many cases are missed, and what comes next?
/// A network for series learns the posterior from simulated epidemics; any counts are then answered in milliseconds.
///
/// SIR: of S susceptible people 1 - exp(-beta I / N) are infected each day, beta = R0 / D, and of I infectious ones I / D recover. A share
/// rho of the new infections is reported, fewer at weekends, with counts that are negative binomial.
#include <algorithm>
#include <bayesflow/bayesflow.hpp>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <string>

namespace bf = bayesflow;

constexpr double kPopulation = 500'000, kDispersion = 20;
constexpr std::int64_t kDays = 30, kForecast = 60;
constexpr double kWeek[] = {1.1, 1.1, 1.05, 1.05, 1.0, 0.8, 0.6};  // Monday to Sunday
constexpr double kMean[] = {0.69, 1.79, -1.0, 3.4}, kSd[] = {0.35, 0.35, 0.7, 0.8};
const std::vector<std::string> kNames = {"log R0", "log D", "logit rho", "log I0"};

/// Reported cases of each day: (days, 1). Parameters are in standard deviations of the prior, which networks learn well.
bf::Array epidemic(const bf::Array& theta, std::int64_t days, bf::Rng& rng) {
  double p[4];
  for (std::int64_t j = 0; j < 4; ++j) p[j] = std::exp(kMean[j] + kSd[j] * theta[j]);
  const double r0 = p[0], duration = p[1], reported = p[2] / (1 + p[2]);
  double infectious = p[3], susceptible = kPopulation - infectious;
  bf::Array cases({days, 1});
  for (std::int64_t day = 0; day < days; ++day) {
    const double infected = susceptible * (1 - std::exp(-r0 / duration * infectious / kPopulation));
    susceptible -= infected;
    infectious += infected - infectious / duration;
    const double expected = std::max(reported * kWeek[day % 7] * infected, 1e-6);
    cases[day] = static_cast<double>(rng.poisson(rng.gamma(kDispersion, expected / kDispersion)));
  }
  return cases;
}

/// Counts run from 0 to tens of thousands; networks want numbers of unit scale.
bf::Batch configure(const bf::Simulations& simulations) {
  bf::Batch batch = bf::default_configurator(simulations);
  batch.update(bf::roles::summary_conditions, [](bf::Array& cases) {
    for (double& c : cases.values()) c = std::log1p(c) / 4;
  });
  return batch;
}

int main(int argc, char** argv) {
  const bool small = argc > 1 && std::strcmp(argv[1], "--small") == 0;  // a few seconds, for tests

  const bf::GenerativeModel model(bf::Prior([](bf::Rng& rng) { return rng.normal({4}); }, {.param_names = kNames}),
                                  bf::Simulator([](const bf::Array& theta, bf::Rng& rng) { return epidemic(theta, kDays, rng); }));
  bf::CouplingOptions coupling = bf::unregularized_coupling();  // no simulation is seen twice: no dropout
  coupling.dense.units = 64;
  bf::AmortizedPosterior amortizer(bf::InvertibleNetwork({.num_params = 4, .num_coupling_layers = 5, .coupling = coupling}),
                                   bf::SequenceNetwork({.summary_dim = 12, .lstm_units = 32}));
  bf::Trainer trainer(amortizer, model, {.configurator = configure, .progress = bf::console_progress()});
  std::printf("%s\n", trainer.train_online({.epochs = 1, .iterations_per_epoch = small ? 150 : 8000, .batch_size = 64}).brief().c_str());

  // An outbreak that the model made, of which the network sees the first 30 of 60 days.
  bf::Rng rng(23);
  const bf::Array truth = bf::Array::of({0.5, -0.5, -0.3, 0.3});
  const bf::Array cases = epidemic(truth, kForecast, rng);
  const bf::Batch observed = configure({.sim_data = cases.slice(0, kDays).expand_dims(0)});
  const bf::Array draws = amortizer.sample(observed, 1000);  // (1, 1000, 4)
  for (std::int64_t j = 0; j < 4; ++j) {
    const bf::Array column = draws.row(0).columns(j, j + 1);
    std::printf("%-9s %5.2f +- %.2f, in truth %5.2f\n", kNames[static_cast<std::size_t>(j)].c_str(), kMean[j] + kSd[j] * column.mean(),
                kSd[j] * column.std(1), kMean[j] + kSd[j] * truth[j]);
  }

  // Sixty days of the posterior's epidemics, with the counts on top: half of it is a forecast.
  const bf::Simulator sixty([](const bf::Array& theta, bf::Rng& r) { return epidemic(theta, kForecast, r); });
  const auto predictive = bf::diagnostics::posterior_predictive(
      draws, cases.expand_dims(0), sixty, {{"largest", [](const bf::Array& x) { return x.max(); }}}, {.max_draws = small ? 100 : 500});
  std::vector<double> days;
  for (std::int64_t day = 1; day <= kForecast; ++day) days.push_back(static_cast<double>(day));
  bf::Figure figure = bf::plot_pushforward(predictive.bands, {.times = days, .x_label = "Day", .y_label = "Reported cases"});
  figure.title = "Thirty days seen, thirty forecast";
  figure.panels[0].elements.emplace_back(bf::figures::Rule{.kind = bf::figures::Rule::Kind::vertical, .position = kDays + 0.5});
  figure.save("epidemic.svg");

  const bf::Batch test = trainer.configure(model(small ? 100 : 500));
  const bf::Array post = amortizer.sample(test, 200), truths = test.array(bf::roles::parameters);
  std::printf("%s\n", bf::diagnostics::verdict(post, truths, test, {.param_names = kNames}).sentence.c_str());
  const double r = bf::diagnostics::recovery(post, truths).r[0].value;
  std::printf("correlation of true and estimated log R0: %.2f\n", r);
  return r > (small ? 0.4 : 0.8) ? 0 : 1;
}
