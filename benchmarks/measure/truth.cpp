#include "measure/truth.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "measure/speed.hpp"

namespace bf = bayesflow;

namespace bench {
namespace {

constexpr std::uint64_t kTestSeed = 20'240'601;  // none of the training seeds
constexpr std::int64_t kSetsAtOnce = 500;

double log_scale(const TruthModel& model) {
  double sum = 0;
  for (const double s : model.scale()) sum += std::log(s);
  return sum;
}

bf::Simulations rows(const bf::Simulations& all, std::int64_t first, std::int64_t last) {
  std::vector<std::int64_t> index(static_cast<std::size_t>(last - first));
  std::iota(index.begin(), index.end(), first);
  return all.take(index);
}

/// Sums over test sets and parameters.
struct MomentSums {
  double square = 0, ratio = 0;
  std::int64_t count = 0;

  void add(const TruthModel& model, const bf::Array& draws, std::int64_t set, const Moments& exact) {
    const std::int64_t n = draws.dim(1), width = draws.dim(2);
    const double* x = draws.data() + set * n * width;
    for (std::int64_t j = 0; j < width; ++j) {
      const auto p = static_cast<std::size_t>(j);
      double mean = 0, variance = 0;
      for (std::int64_t k = 0; k < n; ++k) mean += x[k * width + j] / static_cast<double>(n);
      for (std::int64_t k = 0; k < n; ++k) variance += std::pow(x[k * width + j] - mean, 2) / static_cast<double>(n - 1);
      // Into exact standard deviations.
      const double unit = model.scale()[p] / exact.sd[p];
      const double error = (model.shift()[p] + model.scale()[p] * mean - exact.mean[p]) / exact.sd[p];
      variance *= unit * unit;
      square += error * error - variance / static_cast<double>(n);
      ratio +=
          std::sqrt(variance) * (1 + 1 / (4.0 * static_cast<double>(n - 1)));  // sqrt of the sample variance is a little small on average
      ++count;
    }
  }
};

}  // namespace

TestSets make_test_sets(const TruthModel& model, std::int64_t count) {
  TestSets t;
  bf::ThreadPool pool;
  t.simulations = model.generative_model().simulate(count, kTestSeed, "truth", 0, &pool);
  t.log_density.resize(static_cast<std::size_t>(count));
  t.moments.resize(static_cast<std::size_t>(count));
  pool.for_each(count, [&](std::int64_t i) {
    const auto data = t.simulations.sim_data.row_values(i);
    t.log_density[static_cast<std::size_t>(i)] = model.log_posterior(t.simulations.prior_draws.row_values(i), data);
    t.moments[static_cast<std::size_t>(i)] = model.moments(data);
  });
  for (const double p : t.log_density) t.optimum -= p / static_cast<double>(count);
  t.optimum -= log_scale(model);
  return t;
}

TruthResult compare(const TruthModel& model, const TestSets& tests, const bf::AmortizedPosterior& amortizer, std::int64_t draws) {
  const std::int64_t count = tests.simulations.batch_size();
  double sum = 0, square = 0;
  MomentSums moments;
  for (std::int64_t first = 0; first < count; first += kSetsAtOnce) {
    const std::int64_t last = std::min(count, first + kSetsAtOnce);
    const bf::Batch inputs = model.configure(rows(tests.simulations, first, last));
    const bf::Array log_q = amortizer.log_posterior(inputs);
    const bf::Array sampled = amortizer.sample(inputs, draws, {.seed = kTestSeed + static_cast<std::uint64_t>(first)});
    for (std::int64_t i = first; i < last; ++i) {
      const auto at = static_cast<std::size_t>(i);
      const double difference = tests.log_density[at] - (log_q[i - first] - log_scale(model));
      sum += difference;
      square += difference * difference;
      moments.add(model, sampled, i - first, tests.moments[at]);
    }
  }
  const auto n = static_cast<double>(count), m = static_cast<double>(moments.count);
  TruthResult r;
  r.divergence = sum / n;
  r.divergence_error = std::sqrt((square / n - r.divergence * r.divergence) / (n - 1));
  r.mean_error = std::sqrt(std::max(0.0, moments.square / m));
  r.sd_ratio = moments.ratio / m;
  return r;
}

TruthResult train_and_compare(const TruthModel& model, const TestSets& tests, const TruthSettings& settings, std::uint64_t seed) {
  bf::Trainer trainer(model.amortizer(settings.networks), model.generative_model(),
                      {.configurator = [&](const bf::Simulations& s) { return model.configure(s); },
                       .seed = seed,
                       .threads = settings.threads,
                       .handle_interrupt = false,
                       .precision = settings.networks.precision});
  const bf::TrainingSummary run =
      trainer.train_online({.epochs = settings.epochs, .iterations_per_epoch = settings.iterations, .batch_size = settings.batch_size});
  TruthResult r = compare(model, tests, trainer.trained<bf::AmortizedPosterior>(), settings.draws);
  r.seed = seed;
  r.completed = run.stop == bf::TrainingSummary::Stop::completed;
  r.loss = run.history.epochs.empty() ? std::nan("") : run.history.epochs.back().train.total();
  r.seconds = run.seconds;
  return r;
}

}  // namespace bench
