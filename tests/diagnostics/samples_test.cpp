/// Two-sample tests, densities, pair grids, posterior predictive checks.
#include <algorithm>
#include <numbers>

#include "bayesflow/core/errors.hpp"
#include "bayesflow/core/thread_pool.hpp"
#include "bayesflow/diagnostics/density.hpp"
#include "bayesflow/diagnostics/posterior_predictive.hpp"
#include "bayesflow/diagnostics/two_sample.hpp"
#include "diagnostics/support_posterior.hpp"
#include "support/sanitized.hpp"

namespace bayesflow::diagnostics {
namespace {

TEST(Mmd, UnbiasedEstimateByItsDefinition) {
  const Array x = Rng(1).normal({5, 2}), y = Rng(2).normal({7, 2}, 0.5);
  const Array xx = kernel_matrix(x, x), yy = kernel_matrix(y, y), xy = kernel_matrix(x, y);
  double a = 0, b = 0;
  for (std::int64_t i = 0; i < 5; ++i)
    for (std::int64_t j = 0; j < 5; ++j) a += i == j ? 0 : xx(i, j) / 20;
  for (std::int64_t i = 0; i < 7; ++i)
    for (std::int64_t j = 0; j < 7; ++j) b += i == j ? 0 : yy(i, j) / 42;
  const Mmd m = mmd(x, y, {.kernel = Kernel::gaussian});
  EXPECT_NEAR(m.unbiased.value, a + b - 2 * xy.mean(), 1e-12);
  EXPECT_NEAR(m.biased, maximum_mean_discrepancy(x, y), 1e-12);
  EXPECT_EQ(xy.shape(), (Shape{5, 7}));
}

TEST(Mmd, UnbiasedIsUnbiasedAndItsPValueKeepsItsLevel) {
  double mean = 0, square = 0, reported = 0;
  int small = 0;
  const int n = 200;
  for (std::uint64_t seed = 0; seed < n; ++seed) {
    const Mmd m = mmd(Rng(seed, "x").normal({30, 2}), Rng(seed, "y").normal({40, 2}), {.permutations = 99, .threads = 1});
    mean += m.unbiased.value / n;
    square += m.unbiased.value * m.unbiased.value / n;
    reported += m.unbiased.standard_error / n;
    small += m.p_value <= 0.05;
  }
  const double sd = std::sqrt(square - mean * mean);
  EXPECT_NEAR(mean, 0, 4 * sd / std::sqrt(n));
  EXPECT_GT(reported, 0.5 * sd);
  EXPECT_NEAR(small / static_cast<double>(n), 0.05, 4 * std::sqrt(0.05 * 0.95 / n));
  EXPECT_LE(mmd(Rng(1).normal({100, 2}), Rng(2).normal({100, 2}, 1.0), {.permutations = 199}).p_value, 0.005);
  EXPECT_TRUE(std::isnan(mmd(Rng(1).normal({9, 2}), Rng(2).normal({9, 2}), {.permutations = 0}).p_value));
}

TEST(Mmd, HypothesisTest) {
  const Array reference = Rng(1).normal({400, 3}), good = Rng(2).normal({20, 3}), bad = Rng(3).normal({20, 3}, 0.8);
  EXPECT_TRUE(mmd_hypothesis_test(bad, reference).misspecified);
  int flagged = 0;
  for (std::uint64_t seed = 0; seed < static_cast<std::uint64_t>(support::repetitions(60)); ++seed)
    flagged +=
        mmd_hypothesis_test(Rng(seed, "observed").normal({10, 3}), Rng(seed, "reference").normal({150, 3}), {.seed = seed}).misspecified;
  EXPECT_LE(flagged, 10);  // of 60, with a level of 5 %; the null sets share a pool of 75 rows, so the level is approximate
  const MmdHypothesisTest t = mmd_hypothesis_test(good, reference, Rng(4).normal({2000, 3}), {.num_null_samples = 50});
  EXPECT_EQ(t.mmd_null.size(), 50u);
  EXPECT_GT(t.p_value, 0.05);
  EXPECT_GT(t.critical_value, t.mmd_observed);
  EXPECT_EQ(sentence<ArgumentError>([&] { (void)mmd_hypothesis_test(good, reference.slice(0, 30)); }),
            "mmd_hypothesis_test: the reference is split, and its second half must have at least as many rows as observed; got 30 and 20. "
            "Use more reference rows, or give a null pool");
}

TEST(C2st, TellsWhatIsDifferentAndNothingElse) {
  const std::int64_t n = support::kSanitized ? 50 : 300;
  const C2st same = c2st(Rng(1).normal({n, 2}), Rng(2).normal({n, 2}));
  EXPECT_NEAR(same.accuracy.value, 0.5, 4 * std::sqrt(0.25 / static_cast<double>(2 * n)));
  EXPECT_EQ(same.fold_accuracy.size(), 5u);
  // N(0, 1) against N(2, 1) in one dimension: the best accuracy is Phi(1).
  const C2st different = c2st(Rng(1).normal({n + 100, 1}), Rng(2).normal({n + 100, 1}, 2.0));
  EXPECT_NEAR(different.accuracy.value, 0.841, 5 * different.accuracy.standard_error);
  EXPECT_LT(different.p_value, 1e-10);
}

/// Of equal samples 5 % have p <= 0.05, and the error of the accuracy is what it scatters by. (With the binomial distribution of all
/// folds together it was 10 %, and the error a quarter too small.)
TEST(C2stSlow, KeepsItsLevelOnEqualSamples) {
  for (const std::int64_t width : support::cases({1, 3})) {
    constexpr std::int64_t kRuns = 300, kRows = 100;
    std::vector<double> accuracy(kRuns), error(kRuns), p(kRuns);
    ThreadPool pool;
    pool.for_each(kRuns, [&](std::int64_t r) {
      Rng rng(static_cast<std::uint64_t>(r), "equal samples");
      const Array a = rng.normal({kRows, width}), b = rng.normal({kRows, width});
      const C2st c = c2st(a, b, {.seed = static_cast<std::uint64_t>(r), .threads = 1});
      const auto k = static_cast<std::size_t>(r);
      accuracy[k] = c.accuracy.value;
      error[k] = c.accuracy.standard_error;
      p[k] = c.p_value;
    });
    const Array found({kRuns}, accuracy);
    EXPECT_NEAR(Array({kRuns}, error).mean() / found.std(1), 1, 0.15) << width;
    const auto below = std::count_if(p.begin(), p.end(), [](double v) { return v <= 0.05; });
    EXPECT_LE(below, 26) << width;  // 15 expected; more in one case of 300
    EXPECT_GE(below, 3) << width;
    EXPECT_NEAR(std::count_if(p.begin(), p.end(), [](double v) { return v <= 0.5; }), 150, 45) << width;
  }
}

TEST(C2st, BalancesAndDropsColumns) {
  Array x = Rng(1).normal({500, 2}), y = Rng(2).normal({100, 2});
  for (std::int64_t i = 0; i < 500; ++i) x(i, 1) = 7;
  for (std::int64_t i = 0; i < 100; ++i) y(i, 1) = 7;
  const C2st c = c2st(x, y);
  EXPECT_EQ(c.num_per_class, 100);
  EXPECT_EQ(c.dropped_columns, std::vector<std::int64_t>{1});
  EXPECT_NEAR(c.accuracy.value, 0.5, 4 * std::sqrt(0.25 / 200));  // unequal sizes do not move the baseline
  EXPECT_EQ(c2st(x.columns(1, 2), y.columns(1, 2)).accuracy.value, 0.5);
  // Constant in each sample, at different places: told at once.
  EXPECT_EQ(c2st(Array({50, 1}, 1.0), Array({50, 1}, 2.0)).accuracy.value, 1);
  EXPECT_EQ(c2st(x, y, {.threads = 1}).fold_accuracy, c2st(x, y, {.threads = 3}).fold_accuracy);
}

TEST(C2st, BadInput) {
  EXPECT_EQ(sentence<ShapeError>([] {
              (void)c2st(Array({9, 2}), Array({9, 3}));
            }),
            "c2st: source (9, 2) and target (9, 3) need the same number of columns");
  EXPECT_EQ(sentence<ArgumentError>([] {
              (void)c2st(Array({9, 2}), Array({4, 2}));
            }),
            "c2st: 5 folds need at least 5 rows of each sample; the smaller has 4");
}

double normal_density(double u) { return std::exp(-0.5 * u * u) / std::sqrt(2 * std::numbers::pi); }

TEST(Kde, IsTheSumOfKernels) {
  const Array v = Rng(1).normal({80});
  const Density1d d = kde_1d(v.values(), {.points = 37});
  EXPECT_NEAR(d.bandwidth, v.std(1) * std::pow(80, -0.2), 1e-14);
  for (std::size_t i = 0; i < d.x.size(); ++i) {
    double sum = 0;
    for (const double x : v.values()) sum += normal_density((d.x[i] - x) / d.bandwidth) / (80 * d.bandwidth);
    EXPECT_NEAR(d.density[i], sum, 1e-8);
  }
}

TEST(Kde, ReflectsAtItsBound) {
  Array v = Rng(4).normal({300});
  for (double& x : v.values()) x = std::fabs(x);
  const Density1d d = kde_1d(v.values(), {.points = 2001, .bound = 0.0}), free = kde_1d(v.values(), {.points = 2001});
  EXPECT_EQ(d.x.front(), 0);
  EXPECT_LT(free.x.front(), 0);
  double mass = 0;
  for (std::size_t i = 1; i < d.x.size(); ++i) mass += (d.x[i] - d.x[i - 1]) * 0.5 * (d.density[i] + d.density[i - 1]);
  EXPECT_NEAR(mass, 1, 1e-3);
  EXPECT_NEAR(d.density[0], 2 * normal_density(0), 0.15);  // of |N(0, 1)|; without reflection half of it
  EXPECT_EQ(sentence<ArgumentError>([&] { (void)kde_1d(v.values(), {.bound = 1.0}); }).rfind("kde_1d: KdeOptions::bound is 1.0", 0), 0U);
}

TEST(Kde, TwoDimensionalIsTheSumOfKernels) {
  const Array z = Rng(2).normal({60, 2});
  Array x({60}), y({60});
  for (std::int64_t i = 0; i < 60; ++i) {
    x(i) = 3 * z(i, 0);
    y(i) = 0.7 * z(i, 0) + 0.5 * z(i, 1);
  }
  const Density2d d = kde_2d(x.values(), y.values(), {.points = 23});
  const double f = std::pow(60, -1.0 / 3), n = 60;
  const Array cx = x - x.mean(), cy = y - y.mean();
  const double sxx = (cx * cx).sum() / (n - 1) * f, syy = (cy * cy).sum() / (n - 1) * f, sxy = (cx * cy).sum() / (n - 1) * f;
  const double det = sxx * syy - sxy * sxy;
  for (std::int64_t r = 0; r < 23; r += 3)
    for (std::int64_t c = 0; c < 23; c += 3) {
      double sum = 0;
      for (std::int64_t i = 0; i < 60; ++i) {
        const double u = d.x[static_cast<std::size_t>(c)] - x(i), v = d.y[static_cast<std::size_t>(r)] - y(i);
        sum += std::exp(-0.5 * (syy * u * u - 2 * sxy * u * v + sxx * v * v) / det) / (2 * std::numbers::pi * std::sqrt(det) * n);
      }
      EXPECT_NEAR(d.density(r, c), sum, 1e-8);
    }
}

TEST(Kde, MassAndLevels) {
  const Array v = Rng(3).normal({20000, 2});
  const Array t = v.transpose();
  const Density2d d = kde_2d(t.row_values(0), t.row_values(1));
  const double cell = (d.x[1] - d.x[0]) * (d.y[1] - d.y[0]);
  EXPECT_NEAR(d.density.sum() * cell, 1, 0.01);
  const double mass[] = {0.5, 0.9};
  const std::vector<double> levels = d.levels(mass);
  // Of a standard normal in two dimensions (slightly widened by the kernel): (1 - mass) / (2 pi).
  EXPECT_NEAR(levels[0], 0.5 / (2 * std::numbers::pi), 0.006);
  EXPECT_NEAR(levels[1], 0.1 / (2 * std::numbers::pi), 0.004);
}

TEST(Kde, OddSamples) {
  const std::vector<double> same(5, 2.0);
  const Density1d spike = kde_1d(same);
  EXPECT_EQ(spike.bandwidth, 0);
  double mass = 0;
  for (const double p : spike.density) mass += p * (spike.x[1] - spike.x[0]);
  EXPECT_NEAR(mass, 1, 1e-9);
  // An outlier does not stretch the grid until nothing is seen.
  Array v = Rng(1).normal({500});
  v(0) = 1e9;
  EXPECT_LT(kde_1d(v.values()).x.back(), 20);
  EXPECT_TRUE(kde_2d(same, same).density.all_finite());
  EXPECT_TRUE(kde_2d(v.values(), v.values()).density.all_finite());
  EXPECT_EQ(sentence<ArgumentError>([] { (void)kde_1d(std::vector<double>{}); }), "kde_1d: got no samples; at least 1 is needed");
  EXPECT_EQ(sentence<ArgumentError>([] {
              (void)kde_1d(std::vector<double>{1, NAN});
            }),
            "kde_1d: samples must be finite; drop those that are not");
}

TEST(Pairs, Layers) {
  const Array draws = Rng(1).normal({300, 3}), prior = Rng(2).normal({200, 3}, 0.0, 3.0);
  const Pairs p = posterior_2d(draws, prior, {.truth = Array::of({0, 0.5, 1}), .max_scatter = 50});
  EXPECT_EQ(p.main.draws.dim(0), 50);
  EXPECT_EQ(p.main.num_draws, 300);
  EXPECT_EQ(p.main.joints.size(), 3u);
  EXPECT_EQ(&p.main.joint(2, 1), &p.main.joints[2]);
  EXPECT_NEAR(p.main.sd[0].value, draws.std_along(0, 1)(0), 1e-12);
  EXPECT_NEAR(p.reference->sd[1].value, 3, 4 * p.reference->sd[1].standard_error);
  const Histogram& h = p.main.histograms[0];
  double area = 0;
  for (std::size_t k = 0; k < h.density.size(); ++k) area += h.density[k] * (h.edges[k + 1] - h.edges[k]);
  EXPECT_NEAR(area, 1, 1e-12);
  EXPECT_EQ(latent_space_2d(draws).param_names[0], "Latent Dim. 1");
  EXPECT_NO_THROW((void)pairs(Rng(1).normal({10, 1})));  // one parameter: no pairs
  EXPECT_EQ(sentence<ArgumentError>([&] { (void)p.main.joint(1, 1); }),
            "PairsLayer::joint: got row 1 and column 1; 0 <= column < row < 3 is required");
  EXPECT_EQ(sentence<ArgumentError>([&] { (void)pairs(draws.slice(0, 1)); }), "pairs: got 1 row of draws; densities need at least 2");
  EXPECT_EQ(sentence<ShapeError>([&] { (void)posterior_2d(draws, prior.columns(0, 2)); }),
            "pairs: reference (200, 2) must have 3 parameters, as the draws");
}

TEST(PosteriorPredictive, RightAndWrongModels) {
  const Simulator right([](const Array& theta, Rng& rng) { return rng.normal({50, 4}, theta); });
  const Simulator wide([](const Array& theta, Rng& rng) { return rng.normal({50, 4}, theta, 2.0); });
  const Posterior p = quickstart_posterior(10, 300);
  Array observed({10, 50, 4});
  for (std::int64_t b = 0; b < 10; ++b) observed.set_row(b, Rng(5).at(static_cast<std::uint64_t>(b)).normal({50, 4}, p.truths.row(b)));
  const std::vector<DataStatistic> statistics = {{"sd", [](const Array& x) { return x.std(1); }},
                                                 {"largest", [](const Array& x) { return x.max(); }}};
  const PosteriorPredictive good = posterior_predictive(p.draws, observed, right, statistics);
  EXPECT_EQ(good.simulated.shape(), (Shape{10, 200, 2}));
  EXPECT_GT(good.overall_p_value[1], 0.05);
  const PosteriorPredictive bad = posterior_predictive(p.draws, observed, wide, statistics);
  for (std::int64_t b = 0; b < 10; ++b) EXPECT_LT(bad.p_value(b, 0), 0.02);
  EXPECT_GT(bad.tail_probability(0, 0), 0.99);
  // About half of all values lie within the quartiles.
  double within = 0;
  for (std::int64_t b = 0; b < 10; ++b)
    for (std::int64_t v = 0; v < 200; ++v)
      within += good.bands.observed(b, v) >= good.bands.quantiles(b, 1, v) && good.bands.observed(b, v) <= good.bands.quantiles(b, 3, v);
  EXPECT_NEAR(within / 2000, 0.5, 0.07);
  EXPECT_EQ(to_json(posterior_predictive(p.draws, observed, right, statistics, {.threads = 1}).tables()), to_json(good.tables()));
}

TEST(PosteriorPredictive, PushforwardOfPriorDraws) {
  const Simulator simulator([](const Array& theta, Rng& rng) { return rng.normal({3}, theta(0)); });
  const Pushforward f = pushforward(Rng(1).normal({2000, 1}), simulator, {.max_draws = 2000, .probabilities = {0.025, 0.5, 0.975}});
  EXPECT_EQ(f.quantiles.shape(), (Shape{1, 3, 3}));
  EXPECT_EQ(f.data_shape, (Shape{3}));
  for (std::int64_t v = 0; v < 3; ++v) EXPECT_NEAR(f.quantiles(0, 2, v), 1.96 * std::sqrt(2.0), 0.35);
}

TEST(PosteriorPredictive, BadInput) {
  const Simulator simulator([](const Array&, Rng& rng) { return rng.normal({3}); });
  const Array draws = Rng(1).normal({2, 5, 1});
  EXPECT_EQ(sentence<ShapeError>([&] {
              (void)posterior_predictive(draws, Array({2, 4}), simulator, {});
            }),
            "posterior_predictive: simulated data sets have shape (3,), the observed ones (4,); they must be equal to be compared");
  EXPECT_EQ(sentence<ShapeError>([&] {
              (void)posterior_predictive(draws, Array({3, 3}), simulator, {});
            }),
            "posterior_predictive: observed data must have 2 data sets on axis 0, as the draws; got shape (3, 3)");
  EXPECT_EQ(sentence<ArgumentError>([&] {
              (void)posterior_predictive(draws, Array({2, 3}), simulator, {{"odd", [](const Array&) { return NAN; }}});
            }),
            "posterior_predictive: statistic odd gives nan; statistics must be finite for every data set");
}

}  // namespace
}  // namespace bayesflow::diagnostics
