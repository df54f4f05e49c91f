/// How large is it, in one number? Which number depends on what an error costs: the mean, the median, a quantile of the posterior.
///
/// Serial numbers of five captured tanks, of theta that were built: x_i ~ U(0, theta), and theta ~ Pareto(4, 1) (in thousands). The exact
/// posterior is Pareto(9, m) with m the largest of 1 and the five numbers: its mean is 9/8 m and its quantile at t m (1 - t)^(-1/9).
#include <algorithm>
#include <bayesflow/bayesflow.hpp>
#include <cmath>
#include <cstdio>
#include <cstring>

namespace bf = bayesflow;

constexpr std::int64_t kNumbers = 5;

int main(int argc, char** argv) {
  const bool small = argc > 1 && std::strcmp(argv[1], "--small") == 0;  // a few seconds, for tests

  const bf::GenerativeModel model(bf::Prior([](bf::Rng& rng) { return bf::Array::of({std::pow(1 - rng.uniform(0, 1), -0.25)}); }),
                                  bf::Simulator([](const bf::Array& theta, bf::Rng& rng) {
                                    return rng.uniform({kNumbers, 1}, 0, theta[0]);
                                  }));

  // Each loss has the estimate that minimizes it: squares the mean, pinball losses the quantiles.
  const bf::DeepSet summary({.summary_dim = 6, .pooling = bf::Pooling::max, .linear_path = true});
  const auto trained = [&](bf::PointEstimate what) {
    const bf::PointNetwork net({.num_params = 1, .estimate = what, .levels = {0.1, 0.5, 0.9}});
    bf::AmortizedPointEstimator estimator(net, summary);
    bf::Trainer trainer(estimator, model, {.default_lr = 1e-3, .progress = bf::console_progress()});
    std::printf("%s\n", trainer.train_online({.epochs = 1, .iterations_per_epoch = small ? 600 : 5000, .batch_size = 64}).brief().c_str());
    return estimator;
  };
  const bf::AmortizedPointEstimator means = trained(bf::PointEstimate::mean), quantiles = trained(bf::PointEstimate::quantiles);

  const std::int64_t count = small ? 200 : 1000;
  const bf::Batch test = bf::default_configurator(model(count));
  const bf::Array data = test.array(bf::roles::summary_conditions), mean = means.mean(test), quantile = quantiles.quantiles(test);
  std::printf("largest number    mean: learnt   exact    10 %%: learnt   exact    90 %%: learnt   exact\n");
  double error = 0;
  for (std::int64_t b = 0; b < count; ++b) {
    const double m = std::max(1.0, data.row(b).max()), exact_mean = 9.0 / 8 * m;
    const auto exact = [m](double level) { return m * std::pow(1 - level, -1.0 / 9); };
    error += (std::fabs(mean(b, 0) / exact_mean - 1) + std::fabs(quantile(b, 1, 0) / exact(0.5) - 1)) / static_cast<double>(2 * count);
    if (b < 5)
      std::printf("%14.3f %15.3f %7.3f %15.3f %7.3f %15.3f %7.3f\n", data.row(b).max(), mean(b, 0), exact_mean, quantile(b, 0, 0),
                  exact(0.1), quantile(b, 2, 0), exact(0.9));
  }
  std::printf("mean relative error of means and medians: %.1f %%\n", 100 * error);
  return error < (small ? 0.1 : 0.03) ? 0 : 1;
}
