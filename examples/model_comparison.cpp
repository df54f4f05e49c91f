/// Which of two models do data come from? A classifier learns posterior model probabilities from simulations of both; Bayes factors follow.
/// Here the exact ones are known, and the learnt ones are compared with them.
///
/// Both models say x_i ~ N(mu, 1). Model 0 believes mu ~ N(0, 1), model 1 mu ~ N(0.5, 1.5^2). The mean of the n observations is then
/// N(0, 1 + 1/n) or N(0.5, 1.5^2 + 1/n), and the ratio of these densities is the Bayes factor.
#include <bayesflow/bayesflow.hpp>
#include <cmath>
#include <cstdio>
#include <cstring>

namespace bf = bayesflow;

constexpr std::int64_t kObservations = 10;

double exact_log_bayes_factor(double mean) {
  const auto log_normal = [mean](double at, double variance) {
    return -0.5 * (mean - at) * (mean - at) / variance - 0.5 * std::log(variance);
  };
  return log_normal(0.5, 2.25 + 1.0 / kObservations) - log_normal(0, 1 + 1.0 / kObservations);
}

int main(int argc, char** argv) {
  const bool small = argc > 1 && std::strcmp(argv[1], "--small") == 0;  // a few seconds, for tests

  const auto model = [](double location, double sd) {
    return bf::GenerativeModel(bf::Prior([=](bf::Rng& rng) { return rng.normal({1}, location, sd); }),
                               bf::Simulator([](const bf::Array& mu, bf::Rng& rng) {
                                 return rng.normal({kObservations, 1}, mu[0]);
                               }));
  };
  // Each simulation is one of a model that is drawn; equal probabilities unless they are given.
  bf::MultiGenerativeModel models({model(0, 1), model(0.5, 1.5)});

  bf::PMPNetwork classifier({.num_models = 2, .hidden = {.dropout_prob = 0}});  // no simulation is seen twice: no dropout
  bf::AmortizedModelComparison amortizer(classifier, bf::DeepSet({.summary_dim = 4, .linear_path = true}));
  bf::Trainer trainer(amortizer, models, {.progress = bf::console_progress()});
  std::printf("%s\n", trainer.train_online({.epochs = 1, .iterations_per_epoch = small ? 1500 : 5000, .batch_size = 64}).full().c_str());

  const bf::Simulations test = models(1000);
  const bf::Batch batch = trainer.configure(test);
  const bf::Array probabilities = amortizer.posterior_probs(batch), factors = amortizer.log_bayes_factors(batch);
  std::printf("mean of the data   p(model 1 | data)   log Bayes factor: learnt   exact\n");
  double error = 0;
  for (std::int64_t b = 0; b < 1000; ++b) {
    const double mean = test.sim_data.row(b).mean(), exact = exact_log_bayes_factor(mean);
    error += std::fabs(factors(b, 1) - exact) / 1000;
    if (b < 5) std::printf("%16.2f %19.3f %26.3f %7.3f\n", mean, probabilities(b, 1), factors(b, 1), exact);
  }
  std::printf("mean absolute error of the log Bayes factors: %.3f\n", error);

  // Are probabilities what they say? An exact classifier shows the noise floor.
  const bf::Array truths = batch.array(bf::roles::model_indices);
  const auto calibration = bf::diagnostics::expected_calibration_error(truths, probabilities);
  const auto confusion = bf::diagnostics::confusion_matrix(truths, probabilities);
  std::printf("calibration error %.3f (noise floor %.3f), %.0f %% of the models found\n", calibration.error[1].value,
              calibration.noise_floor[1], 100 * confusion.accuracy.value);
  return error < (small ? 0.2 : 0.1) ? 0 : 1;
}
