/// What regularizing the summaries (summary_mmd_weight) does for telling foreign data, on the tutorial's model.
/// A few observed data sets come from a model that is wrong in one way; how often does a test at level 0.05 say so? Three references for
/// their summaries: simulations without end, 20 simulations in all (what is left of a costly simulator), and the standard normal that the
/// regularization aims at, which needs none. Beside them, what can be reached at all where only the prior's mean is in question: the
/// chi-square test of the observations' means by someone who knows the model.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <bayesflow/bayesflow.hpp>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace bf = bayesflow;

namespace {

constexpr std::int64_t kObserved = 5, kReference = 200, kFew = 20, kSummaries = 10;

struct Truth {
  const char* name;
  double location = 0, width = 1, noise = 1, outliers = 0;  // outliers: the share of observations five times as far from their mean
};

bf::GenerativeModel model(const Truth& t = {"as trained"}) {
  return bf::GenerativeModel(bf::Prior([=](bf::Rng& rng) { return rng.normal({4}, t.location, t.width); }),
                             bf::Simulator([=](const bf::Array& theta, bf::Rng& rng) {
                               bf::Array x = rng.normal({50, 4}, theta, t.noise);
                               for (std::int64_t i = 0; i < 50 && t.outliers > 0; ++i)
                                 if (rng.bernoulli(t.outliers))
                                   for (std::int64_t j = 0; j < 4; ++j) x(i, j) = theta[j] + 5 * (x(i, j) - theta[j]);
                               return x;
                             }));
}

/// n |mean of all observations|^2 / (1 + 1/50): chi-square with 4 degrees of freedom under the model that was trained. Of all tests that
/// prefer no direction none finds a moved mean more often.
bool chi_square_rejects(const bf::Array& data) {
  constexpr double kCritical = 9.487729;  // exceeded with probability 0.05
  const std::int64_t n = data.dim(0), observations = data.dim(1), width = data.dim(2);
  double square = 0;
  for (std::int64_t j = 0; j < width; ++j) {
    double sum = 0;
    for (std::int64_t i = 0; i < n; ++i)
      for (std::int64_t k = 0; k < observations; ++k) sum += data(i, k, j);
    const double mean = sum / static_cast<double>(n * observations);
    square += mean * mean;
  }
  return static_cast<double>(n) * square / (1 + 1 / static_cast<double>(observations)) > kCritical;
}

/// The unbiased estimate of MMD^2 with v1's kernels.
double mmd(const bf::Array& x, const bf::Array& y) {
  return bf::diagnostics::mmd(x, y, {.kernel = bf::diagnostics::Kernel::gaussian, .permutations = 0}).unbiased.value;
}

/// The distance that is exceeded by a twentieth of samples like these.
template <class Sample>
double critical(const bf::Array& reference, std::uint64_t samples, const Sample& sample) {
  std::vector<double> null;
  for (std::uint64_t i = 0; i < samples; ++i) null.push_back(mmd(reference, sample(i)));
  const auto place = null.begin() + static_cast<std::ptrdiff_t>(0.95 * static_cast<double>(samples));
  std::nth_element(null.begin(), place, null.end());
  return *place;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("What regularizing the summaries does for telling foreign data.");
  std::int64_t steps = 5000;
  std::uint64_t repetitions = 200, null_samples = 1000;
  app.add_option("steps", steps, "of training")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("repetitions", repetitions)->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("null-samples", null_samples, "for critical values")->check(CLI::PositiveNumber)->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  const Truth truths[] = {{"as trained"},
                          {"prior moved by 0.25", 0.25},
                          {"prior moved by 0.5", 0.5},
                          {"prior moved by 1", 1},
                          {"prior half as wide", 0, 0.5},
                          {"prior twice as wide", 0, 2},
                          {"noise twice as large", 0, 1, 2},
                          {"noise three times as large", 0, 1, 3},
                          {"a fifth are outliers", 0, 1, 1, 0.2}};
  for (const double weight : {0.0, 1.0, 10.0}) {
    bf::AmortizedPosterior a(bf::InvertibleNetwork({.num_params = 4, .num_coupling_layers = 4, .coupling = bf::unregularized_affine()}),
                             bf::DeepSet({.summary_dim = kSummaries}), {.summary_mmd_weight = weight});
    bf::Trainer trainer(a, model());
    (void)trainer.train_online({.iterations_per_epoch = steps});
    const auto inputs = [](const Truth& t, std::int64_t n, std::uint64_t seed) {
      return bf::default_configurator(model(t).simulate(n, seed, "data", 0));
    };
    const auto summaries = [&](const Truth& t, std::int64_t n, std::uint64_t seed) { return a.summary(inputs(t, n, seed)); };
    const auto normals = [](std::int64_t n, std::uint64_t index) { return bf::Rng(5, "normals", index).normal({n, kSummaries}); };
    const bf::Array simulated = summaries(truths[0], kReference, 1), normal = normals(kReference, 0);
    const double critical_simulated =
        critical(simulated, null_samples, [&](std::uint64_t i) { return summaries(truths[0], kObserved, 10000 + i); });
    const double critical_normal = critical(normal, null_samples, [&](std::uint64_t i) { return normals(kObserved, 1 + i); });
    std::printf("summary_mmd_weight %g: loss on fresh data %.3f, MMD^2 of 2000 summaries to a standard normal %.3f\n", weight,
                a.compute_loss(inputs(truths[0], 2000, 2))["loss"], mmd(summaries(truths[0], 2000, 3), normals(2000, 9999)));
    std::printf("  %-28s %12s %15s %15s %15s\n", "share of rejections", "simulations", "20 simulations", "standard normal", "chi-square");
    for (const Truth& t : truths) {
      int by_simulations = 0, by_few = 0, by_normal = 0, by_means = 0;
      for (std::uint64_t i = 0; i < repetitions; ++i) {
        const bf::Batch observed = inputs(t, kObserved, 20000 + i);
        const bf::Array s = a.summary(observed);
        by_simulations += mmd(simulated, s) > critical_simulated;
        by_means += chi_square_rejects(observed.array(bf::roles::summary_conditions));
        by_normal += mmd(normal, s) > critical_normal;
        by_few += bf::mmd_hypothesis_test(a, observed, inputs(truths[0], kFew, 40000 + i),
                                          {.test = {.num_null_samples = 99, .seed = i, .bootstrap = true}})
                      .misspecified;
      }
      const auto share = [&](int count) { return count / static_cast<double>(repetitions); };
      std::printf("  %-28s %12.2f %15.2f %15.2f %15.2f\n", t.name, share(by_simulations), share(by_few), share(by_normal), share(by_means));
      std::fflush(stdout);
    }
  }
}
