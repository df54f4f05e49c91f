/// Every prior and simulator of the benchmark problems against closed forms.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <numeric>

#include "bayesflow/benchmarks/benchmark.hpp"
#include "bayesflow/core/errors.hpp"
#include "benchmarks/legacy_numpy.hpp"
#include "benchmarks/runge_kutta.hpp"
#include "support/expect.hpp"

namespace bayesflow::benchmarks {
namespace {

constexpr std::int64_t kDraws = 20'000;

/// `count` data sets of one parameter vector.
Array repeat_simulation(const Benchmark& benchmark, const Array& theta, std::int64_t count = kDraws, std::uint64_t seed = 1) {
  ThreadPool pool;
  return benchmark.simulator()(theta.expand_dims(0).repeat(count, 0), Rng(seed, "test"), 0, &pool).sim_data;
}
Array prior_draws(const Benchmark& benchmark, std::int64_t count = kDraws) { return benchmark.prior()(count, 3).prior_draws; }

Array column(const Array& rows, std::int64_t j) { return rows.columns(j, j + 1).flatten(); }

/// Mean of f within five standard errors: a false alarm for one in two million figures, and seeds are fixed.
void expect_mean(const Array& values, double expected, const std::string& what = "") {
  EXPECT_NEAR(values.mean(), expected, 5 * values.std() / std::sqrt(static_cast<double>(values.size())) + 1e-12) << what;
}
/// Mean and standard deviation of a normal sample.
void expect_normal(const Array& values, double mean, double sd) {
  const Array z = (values - mean) / sd;
  expect_mean(z, 0, "mean");
  expect_mean(z * z, 1, "variance");
  expect_mean(z * z * z * z, 3, "fourth moment");
}
/// Kolmogorov and Smirnov: P(sqrt(n) D > 2.7) = 1e-6.
template <class Cdf>
void expect_distribution(const Array& values, const Cdf& cdf, const std::string& what = "") {
  std::vector<double> sorted(values.data(), values.data() + values.size());
  std::ranges::sort(sorted);
  const double n = static_cast<double>(sorted.size());
  double distance = 0;
  for (std::size_t i = 0; i < sorted.size(); ++i) {
    const double p = cdf(sorted[i]);
    distance = std::max({distance, std::abs(p - static_cast<double>(i) / n), std::abs(p - static_cast<double>(i + 1) / n)});
  }
  EXPECT_LT(distance * std::sqrt(n), 2.7) << what;
}

struct Expected {
  std::int64_t num_params;
  Shape data_shape;
  double scale;
};

TEST(Benchmarks, AreV1sElevenWithTheirShapes) {
  const std::map<std::string, Expected> expected = {{"gaussian_linear", {10, {10}, 1}},
                                                    {"gaussian_linear_uniform", {10, {10}, 1}},
                                                    {"slcp", {5, {8}, 30}},
                                                    {"slcp_distractors", {5, {100}, 50}},
                                                    {"bernoulli_glm", {10, {10}, 100}},
                                                    {"bernoulli_glm_raw", {10, {100}, 1}},
                                                    {"gaussian_mixture", {2, {2}, 12}},
                                                    {"two_moons", {2, {2}, 1}},
                                                    {"sir", {2, {10}, 1000}},
                                                    {"lotka_volterra", {4, {20}, 1000}},
                                                    {"inverse_kinematics", {4, {2}, 1}}};
  EXPECT_EQ(available_benchmarks().size(), expected.size());
  for (const std::string& name : available_benchmarks()) {
    const Benchmark benchmark(name);
    const Expected& e = expected.at(name);
    EXPECT_EQ(benchmark.num_params(), e.num_params) << name;
    EXPECT_EQ(static_cast<std::int64_t>(benchmark.param_names().size()), e.num_params) << name;
    EXPECT_EQ(benchmark.data_shape(), e.data_shape) << name;
    EXPECT_EQ(benchmark.scale_data(), e.scale) << name;
    const Simulations sims = benchmark.generative_model()(3);
    EXPECT_EQ(sims.prior_draws.shape(), (Shape{3, e.num_params})) << name;
    const Batch inputs = benchmark.configurator()(sims);
    EXPECT_EQ(inputs[roles::parameters], sims.prior_draws) << name;
    EXPECT_FALSE(inputs.has(roles::summary_conditions)) << name;
    EXPECT_EQ(inputs[roles::direct_conditions], sims.sim_data / e.scale) << name;
    const LikelihoodInputs likelihood = benchmark.likelihood_inputs(sims);
    if (name == "bernoulli_glm_raw") continue;
    EXPECT_EQ(likelihood.observables, sims.sim_data / e.scale) << name;
    EXPECT_EQ(likelihood.conditions, sims.prior_draws) << name;
  }
}

TEST(Benchmarks, NumbersDoNotDependOnThreads) {
  for (const std::string& name : available_benchmarks()) {
    const GenerativeModel model = Benchmark(name).generative_model();
    const Simulations serial = model.simulate(67, 5, "test", 11);
    for (const int threads : {1, 2, 4}) {
      ThreadPool pool(threads);
      const Simulations parallel = model.simulate(67, 5, "test", 11, &pool);
      EXPECT_EQ(parallel.prior_draws, serial.prior_draws) << name;
      EXPECT_EQ(parallel.sim_data, serial.sim_data) << name << " with " << threads;
    }
    EXPECT_NE(model.simulate(67, 6, "test", 11).prior_draws, serial.prior_draws) << name;
  }
}

TEST(Benchmarks, NormalPriorAndLikelihood) {
  const Benchmark benchmark("gaussian_linear");
  const Array theta = prior_draws(benchmark);
  for (std::int64_t j = 0; j < 10; ++j) expect_normal(column(theta, j), 0, std::sqrt(0.1));
  expect_mean(column(theta, 0) * column(theta, 9), 0);
  const Array at = Rng(1).normal({10});
  const Array x = repeat_simulation(benchmark, at);
  for (std::int64_t j = 0; j < 10; ++j) expect_normal(column(x, j), at[j], std::sqrt(0.1));
  expect_mean((column(x, 0) - at[0]) * (column(x, 9) - at[9]), 0);
  // v1's standard deviations, and several observations.
  const Benchmark v1("gaussian_linear", {.prior = {{"scale", 0.1}, {"D", 3}}, .simulator = {{"scale", 0.2}, {"n_obs", 5}}});
  EXPECT_EQ(v1.data_shape(), (Shape{5, 3}));
  expect_normal(column(prior_draws(v1), 1), 0, 0.1);
  const Array rows = repeat_simulation(v1, Array::of({1, 2, 3}));
  expect_normal(column(rows.reshape({5 * kDraws, 3}), 2), 3, 0.2);
  const Batch inputs = v1.posterior_inputs(v1.generative_model()(2));
  EXPECT_EQ(inputs[roles::summary_conditions].shape(), (Shape{2, 5, 3}));
  EXPECT_FALSE(inputs.has(roles::direct_conditions));
}

TEST(Benchmarks, UniformPriors) {
  const std::map<std::string, double> bound = {
      {"gaussian_linear_uniform", 1}, {"slcp", 3}, {"slcp_distractors", 3}, {"gaussian_mixture", 10}, {"two_moons", 1}};
  for (const auto& [name, b] : bound) {
    const Benchmark benchmark(name);
    const Array theta = prior_draws(benchmark);
    for (std::int64_t j = 0; j < theta.dim(1); ++j)
      expect_distribution(
          column(theta, j), [b = b](double t) { return std::clamp((t + b) / (2 * b), 0.0, 1.0); }, name);
    expect_mean(column(theta, 0) * column(theta, 1), 0, name);
    const Array other = prior_draws(Benchmark(name, {.prior = {{"lower_bound", 2}, {"upper_bound", 2.5}}}), 1000);
    EXPECT_GE(other.min(), 2) << name;
    EXPECT_LT(other.max(), 2.5) << name;
  }
}

TEST(Benchmarks, MixtureOfTwoWidths) {
  const Array at = Array::of({-3, 4});
  const auto check = [&](const Benchmark& benchmark, double p, double wide, double narrow) {
    const Array x = repeat_simulation(benchmark, at) - at;
    const Array square = x * x;
    expect_mean(column(x, 0), 0);
    const double variance = (1 - p) * wide * wide + p * narrow * narrow;
    const double fourth = (1 - p) * std::pow(wide, 4) + p * std::pow(narrow, 4);
    expect_mean(column(square, 0), variance);
    expect_mean(column(square, 1), variance);
    expect_mean(column(square, 0) * column(square, 1), fourth);  // both have the same width
    expect_mean(column(square, 0) * column(square, 0), 3 * fourth);
  };
  check(Benchmark("gaussian_mixture"), 0.5, 1, 0.1);
  check(Benchmark("gaussian_mixture", {.simulator = {{"prob", 0.2}, {"scale_c1", 2}, {"scale_c2", 0.5}}}), 0.2, 2, 0.5);
}

/// Mean, covariance and normality of the two columns of (n, 2), and independence of consecutive rows.
void expect_slcp_points(const Array& points, const Array& t) {
  const double s1 = t[2] * t[2], s2 = t[3] * t[3], rho = std::tanh(t[4]);
  expect_normal(column(points, 0), t[0], std::sqrt(s1 * s1 + 1e-6));
  expect_normal(column(points, 1), t[1], std::sqrt(s2 * s2 + 1e-6));
  const Array x = column(points, 0) - t[0], y = column(points, 1) - t[1];
  expect_mean(x * y, rho * s1 * s2);
  const std::int64_t n = points.dim(0);
  expect_mean(x.slice(1, n) * x.slice(0, n - 1), 0);
}

TEST(Benchmarks, SimpleLikelihoodComplexPosterior) {
  const Benchmark benchmark("slcp");
  const Array t = Array::of({0.7, -2.9, -1.2, 0.8, 0.9});
  expect_slcp_points(repeat_simulation(benchmark, t).reshape({4 * kDraws, 2}), t);
  // A width of zero is sbibm's epsilon.
  expect_normal(column(repeat_simulation(benchmark, Array::of({1, 2, 0, 1, 3})), 0), 1, 1e-3);
  const Benchmark rows("slcp", {.simulator = {{"flatten", false}}});
  EXPECT_EQ(repeat_simulation(rows, t, 5), repeat_simulation(benchmark, t, 5).reshape({5, 4, 2}));
  const Benchmark set("slcp", {.simulator = {{"n_obs", 7}}, .as_summary_condition = true});
  const Simulations sims = set.generative_model()(3);
  EXPECT_EQ(set.posterior_inputs(sims)[roles::summary_conditions], sims.sim_data.reshape({3, 7, 2}) / 30.0);
}

TEST(Benchmarks, DistractorsAreSbibmsMixture) {
  // The numbers of NumPy's RandomState(42) and of sbibm's files gmm.torch and permutation_idx.torch.
  RandomState random(42);
  EXPECT_NEAR(random.normal(), 0.4967141530112327, 1e-15);
  EXPECT_NEAR(random.normal(), -0.13826430117118466, 1e-15);
  EXPECT_EQ(RandomState(0).permutation(10), (std::vector<std::int64_t>{2, 8, 4, 9, 1, 6, 7, 3, 0, 5}));
  const Benchmark rows("slcp_distractors", {.simulator = {{"flatten", false}}});
  const Array places = rows.from_sbibm(Array::arange(100)).flatten();  // of column i of (informative, distractors)
  const std::vector<std::int64_t> first = {87, 47, 39, 9, 25, 21, 26, 94, 41, 30};
  for (std::size_t j = 0; j < first.size(); ++j) EXPECT_EQ(places[first[j]], static_cast<double>(j));

  const Benchmark benchmark("slcp_distractors");
  const Array t = Array::of({0.7, -2.9, -1.2, 0.8, 0.9});
  const Array x = repeat_simulation(benchmark, t, 5000), ordered = repeat_simulation(rows, t, 5000).reshape({5000, 100});
  for (const std::int64_t i : {0, 1, 7, 8, 55, 99}) EXPECT_EQ(column(x, static_cast<std::int64_t>(places[i])), column(ordered, i));
  expect_slcp_points(ordered.columns(0, 8).reshape({20'000, 2}), t);
  // Column j of the distractors: an equal mixture of Student-t (2 degrees of freedom), whose distribution function has a closed form.
  random = RandomState(42);
  constexpr std::int64_t kWidth = 92;
  std::vector<double> mean(20 * kWidth), scale(20 * kWidth);
  for (double& m : mean) m = 15 * random.normal();
  for (std::size_t k = 0; k < 20; ++k) {
    std::vector<double> z(kWidth * kWidth);
    for (double& value : z) value = random.normal();
    for (std::size_t i = 0; i < kWidth; ++i) {
      z[i * kWidth + i] += std::exp(random.normal());
      double square = 0;
      for (std::size_t j = 0; j <= i; ++j) square += z[i * kWidth + j] * z[i * kWidth + j];
      scale[k * kWidth + i] = 3 * std::sqrt(square);
    }
  }
  EXPECT_NEAR(mean[0], 7.4507123, 1e-7);
  EXPECT_NEAR(scale[0], 3.42332472, 1e-8);
  for (const std::size_t j : {0u, 1u, 40u, 91u})
    expect_distribution(column(ordered, 8 + static_cast<std::int64_t>(j)), [&](double value) {
      double p = 0;
      for (std::size_t k = 0; k < 20; ++k) {
        const double s = (value - mean[k * kWidth + j]) / scale[k * kWidth + j];
        p += (0.5 + s / (2 * std::sqrt(2 + s * s))) / 20;
      }
      return p;
    });
}

/// sbibm's design, of NumPy's numbers: a column of ones, and the stimulus of the last nine steps.
Array design() {
  RandomState random(42);
  std::array<float, 100> stimulus{};
  for (float& s : stimulus) s = static_cast<float>(random.normal());
  Array out({100, 10}, 1.0);
  for (std::int64_t t = 0; t < 100; ++t)
    for (std::int64_t j = 1; j < 10; ++j) out(t, j) = t - j + 1 >= 0 ? stimulus[static_cast<std::size_t>(t - j + 1)] : 0.0;
  return out;
}

TEST(Benchmarks, SpikesOfANeuron) {
  const Benchmark raw("bernoulli_glm_raw"), benchmark("bernoulli_glm");
  for (const Benchmark* b : {&raw, &benchmark}) {
    const Array theta = prior_draws(*b);
    expect_normal(column(theta, 0), 0, std::sqrt(2.0));
    // F f is standard normal, for every row of F.
    std::vector<Array> z;
    for (int i = 0; i < 9; ++i) {
      Array row = column(theta, 1 + i) * (1 + std::sqrt(i / 9.0));
      if (i >= 1) row -= column(theta, i) * 2.0;
      if (i >= 2) row += column(theta, i - 1);
      expect_normal(row, 0, 1);
      for (const Array& other : z) expect_mean(row * other, 0);
      z.push_back(std::move(row));
    }
  }
  const Array theta = prior_draws(raw, 3).row(2), x = design(), outcomes = repeat_simulation(raw, theta);
  for (std::int64_t t = 0; t < 100; ++t) {
    double psi = 0;
    for (std::int64_t j = 0; j < 10; ++j) psi += x(t, j) * theta[j];
    const double p = 1 / (1 + std::exp(-psi));
    EXPECT_NEAR(column(outcomes, t).mean(), p, 5 * std::sqrt(p * (1 - p) / kDraws) + 10.0 / kDraws) << "step " << t;
  }
  expect_mean((column(outcomes, 3) - column(outcomes, 3).mean()) * column(outcomes, 4), 0);
  // The statistics are sums over the same outcomes, and in sbibm's first observation they are these.
  const Array sums = repeat_simulation(benchmark, theta, 10);
  for (std::int64_t b = 0; b < 10; ++b)
    for (std::int64_t j = 0; j < 10; ++j) {
      double sum = 0;
      for (std::int64_t t = 0; t < 100; ++t) sum += outcomes(b, t) * x(t, j);
      EXPECT_NEAR(sums(b, j), sum, 1e-12);
    }
  const Benchmark by_step("bernoulli_glm", {.simulator = {{"scale_by_T", true}}});
  EXPECT_EQ(repeat_simulation(by_step, theta, 10), sums / 100.0);
  EXPECT_EQ(by_step.scale_data(), 1);
}

TEST(Benchmarks, OutcomesGoToNetworksWithTheirDesign) {
  const Benchmark raw("bernoulli_glm_raw", {.as_summary_condition = true});
  const Simulations sims = raw.generative_model()(4);
  const Array x = design();
  const Array set = raw.posterior_inputs(sims).array(roles::summary_conditions);
  ASSERT_EQ(set.shape(), (Shape{4, 100, 10}));
  const LikelihoodInputs likelihood = raw.likelihood_inputs(sims);
  ASSERT_EQ(likelihood.observables.shape(), (Shape{4, 100, 2}));
  ASSERT_EQ(likelihood.conditions.shape(), (Shape{4, 100, 19}));
  for (std::int64_t b = 0; b < 4; ++b)
    for (std::int64_t t = 0; t < 100; ++t) {
      EXPECT_EQ(set(b, t, 0), sims.sim_data(b, t));
      EXPECT_EQ(likelihood.observables(b, t, 0), sims.sim_data(b, t));
      for (std::int64_t j = 1; j < 10; ++j) EXPECT_EQ(set(b, t, j), x(t, j));
      for (std::int64_t j = 0; j < 9; ++j) EXPECT_EQ(likelihood.conditions(b, t, j), x(t, j + 1));
      for (std::int64_t j = 0; j < 10; ++j) EXPECT_EQ(likelihood.conditions(b, t, 9 + j), sims.prior_draws(b, j));
    }
  const Array dummy = column(raw.likelihood_inputs(raw.generative_model()(200)).observables.reshape({20'000, 2}), 1);
  expect_normal(dummy, 0, 1);
  // Functions of a simulation alone, wherever it is in a batch.
  EXPECT_EQ(raw.likelihood_inputs(sims.take({2})).observables.row(0), likelihood.observables.row(2));
  EXPECT_NE(likelihood.observables.row(1).columns(1, 2), likelihood.observables.row(2).columns(1, 2));
}

TEST(Benchmarks, TwoMoons) {
  const Array t = Array::of({-0.3, 0.5});
  const Array x = repeat_simulation(Benchmark("two_moons"), t);
  const Array u = column(x, 0) - 0.25 + 0.2 / std::sqrt(2.0), v = column(x, 1) - 0.8 / std::sqrt(2.0);
  Array radius({kDraws}), angle({kDraws});
  for (std::int64_t i = 0; i < kDraws; ++i) {
    radius[i] = std::hypot(u[i], v[i]);
    angle[i] = std::atan2(v[i], u[i]);
  }
  expect_normal(radius, 0.1, 0.01);
  expect_distribution(angle, [](double a) { return a / M_PI + 0.5; });
  expect_mean((radius - 0.1) * angle, 0);
}

TEST(Benchmarks, Epidemic) {
  const Array theta = prior_draws(Benchmark("sir")).map([](double x) { return std::log(x); });
  expect_normal(column(theta, 0), std::log(0.4), 0.5);
  expect_normal(column(theta, 1), std::log(0.125), 0.2);
  expect_mean((column(theta, 0) - std::log(0.4)) * column(theta, 1), 0);
  // I / N on days 0, 17, ..., 153 for beta = 0.6, gamma = 0.15, by SciPy's DOP853 with a tolerance of 1e-13.
  const std::vector<double> share = {1e-6,
                                     2.092838939548e-03,
                                     4.014234204199e-01,
                                     6.270791607791e-02,
                                     6.135577605016e-03,
                                     5.876868956632e-04,
                                     5.618403700711e-05,
                                     5.370338647637e-06,
                                     5.133137925431e-07,
                                     4.906405977853e-08};
  const Array at = Array::of({0.6, 0.15});
  const Array counts = repeat_simulation(Benchmark("sir"), at),
              fine = repeat_simulation(Benchmark("sir", {.simulator = {{"total_count", 1'000'000}}}), at);
  for (std::int64_t i = 0; i < 10; ++i) {
    const double p = share[static_cast<std::size_t>(i)];
    EXPECT_NEAR(column(fine, i).mean(), 1e6 * p, 5 * std::sqrt(1e6 * p / kDraws)) << i;
    EXPECT_NEAR(column(counts, i).mean(), 1000 * p, 5 * std::sqrt(1000 * p / kDraws)) << i;
  }
  const double p = share[2];
  const Array z = (column(counts, 2) - 1000 * p) / std::sqrt(1000 * p * (1 - p));
  expect_mean(z * z, 1);
  EXPECT_EQ(counts, counts.map([](double c) { return std::round(c); }));
  // Units, and more or fewer points of the same days.
  const Benchmark scaled("sir", {.simulator = {{"scale_by_total", true}}});
  EXPECT_EQ(repeat_simulation(scaled, at, 5), repeat_simulation(Benchmark("sir"), at, 5) / 1000.0);
  EXPECT_EQ(scaled.scale_data(), 1);
  EXPECT_EQ(Benchmark("sir", {.simulator = {{"subsample", Setting()}}}).data_shape(), (Shape{161}));
  EXPECT_EQ(Benchmark("sir", {.simulator = {{"subsample", 160}}}).data_shape(), (Shape{160}));
  const Benchmark series("sir", {.as_summary_condition = true});
  EXPECT_EQ(series.posterior_inputs(series.generative_model()(2))[roles::summary_conditions].shape(), (Shape{2, 10, 1}));
}

TEST(Benchmarks, PredatorsAndPrey) {
  const Array theta = prior_draws(Benchmark("lotka_volterra")).map([](double x) { return std::log(x); });
  for (std::int64_t j = 0; j < 4; ++j) expect_normal(column(theta, j), j % 2 ? -3 : -0.125, 0.5);
  expect_mean((column(theta, 0) + 0.125) * (column(theta, 2) + 0.125), 0);
  // X and Y at times 0, 2.1, ..., 18.9 for (0.7, 0.1, 0.9, 0.12), by SciPy's DOP853 with a tolerance of 1e-13.
  const std::vector<double> exact = {30.,
                                     1.060827012021,
                                     0.255109766748,
                                     0.691588889594,
                                     2.763299292353,
                                     11.700013533869,
                                     37.66146756967,
                                     0.36699077975,
                                     0.320783581476,
                                     1.07183886679,
                                     1.,
                                     29.287888983134,
                                     4.869549451472,
                                     0.815860391142,
                                     0.179012954912,
                                     0.128607897316,
                                     9.903218640517,
                                     16.587696256898,
                                     2.684905977982,
                                     0.472002564208};
  const Array at = Array::of({0.7, 0.1, 0.9, 0.12});
  const Array path = repeat_simulation(Benchmark("lotka_volterra", {.simulator = {{"obs_noise", 0}}}), at, 1);
  const Array noisy = repeat_simulation(Benchmark("lotka_volterra"), at).map([](double x) { return std::log(x); });
  for (std::int64_t i = 0; i < 20; ++i) {
    const double x = exact[static_cast<std::size_t>(i)];
    EXPECT_NEAR(path[i] / x, 1, 1e-6) << i;
    expect_normal(column(noisy, i), std::log(x), 0.1);
  }
  expect_mean((column(noisy, 1) - std::log(exact[1])) * (column(noisy, 11) - std::log(exact[11])), 0);
  const Benchmark rows("lotka_volterra", {.simulator = {{"flatten", false}}});
  const Array pairs = repeat_simulation(rows, at, 3), flat = repeat_simulation(Benchmark("lotka_volterra"), at, 3);
  ASSERT_EQ(pairs.shape(), (Shape{3, 10, 2}));
  for (std::int64_t i = 0; i < 10; ++i) {
    EXPECT_EQ(pairs(1, i, 0), flat(1, i));
    EXPECT_EQ(pairs(1, i, 1), flat(1, 10 + i));
  }
  const Benchmark series("lotka_volterra", {.as_summary_condition = true});
  const Simulations sims = series.generative_model()(2);
  const Array set = series.posterior_inputs(sims).array(roles::summary_conditions);
  EXPECT_FLOAT_EQ(static_cast<float>(set(1, 4, 1)), static_cast<float>(sims.sim_data(1, 14) / 1000));
  EXPECT_EQ(Benchmark("lotka_volterra", {.simulator = {{"subsample", Setting()}, {"flatten", false}}}).data_shape(), (Shape{201, 2}));
}

TEST(Benchmarks, ExtremeParametersAreSolved) {
  // 1,000 draws of priors of three times the width: everything is finite.
  const Array wide = Rng(9).normal({1000, 4}) * 1.5;
  Array lv = wide, rates = wide.columns(0, 2);
  for (std::int64_t i = 0; i < 1000; ++i)
    for (std::int64_t j = 0; j < 4; ++j) lv(i, j) = std::exp(wide(i, j) - (j % 2 ? 3 : 0.125));
  rates = rates.map([](double x) { return std::exp(x - 1.5); });
  EXPECT_TRUE(Benchmark("lotka_volterra").simulator()(lv, 1).sim_data.all_finite());
  EXPECT_TRUE(Benchmark("sir").simulator()(rates, 1).sim_data.all_finite());
  EXPECT_NE(sentence<SimulationError>([] {
              (void)Benchmark("lotka_volterra").simulator()(Array::of({{1, -1, 1, 1}}), 1);
            }).find("the differential equation has no finite solution for these parameters"),
            std::string::npos);
}

TEST(Benchmarks, InverseKinematics) {
  const Array theta = prior_draws(Benchmark("inverse_kinematics"));
  for (std::int64_t j = 0; j < 4; ++j) expect_normal(column(theta, j), 0, j == 0 ? 0.25 : 0.5);
  const Benchmark benchmark("inverse_kinematics");
  const auto at = [&](std::initializer_list<double> t) { return benchmark.simulator()(Array::of(t).expand_dims(0), 1).sim_data; };
  const auto expect_point = [](const Array& x, double x1, double x2) {
    EXPECT_NEAR(x[0], x1, 1e-15);
    EXPECT_NEAR(x[1], x2, 1e-15);
  };
  expect_point(at({0.1, 0, 0, 0}), 0.1, 2);
  expect_point(at({0.1, M_PI / 2, 0, 0}), 2.1, 0);
  expect_point(at({0, 0, M_PI / 2, 0}), 1.5, 0.5);
  expect_point(at({0, 0, 0, -M_PI / 2}), -1, 1);
  const Array noisy =
      repeat_simulation(Benchmark("inverse_kinematics", {.simulator = {{"noise", 0.3}, {"l3", 2}}}), Array::of({0.5, 0, 0, 0}));
  expect_normal(column(noisy, 0), 0.5, 0.3);
  expect_normal(column(noisy, 1), 3, 0.3);
  expect_normal(column(prior_draws(Benchmark("inverse_kinematics", {.prior = {{"scales", std::vector<double>{1, 2, 3, 4}}}})), 3), 0, 4);
}

std::string refusal(const std::string& name, BenchmarkOptions options = {}) {
  return sentence<ConfigurationError>([&] { (void)Benchmark(name, std::move(options)); });
}

TEST(Benchmarks, WrongOptionsAreRefused) {
  EXPECT_EQ(refusal("two_suns"),
            "Benchmark: there is no problem \"two_suns\"; there are gaussian_linear, gaussian_linear_uniform, slcp, slcp_distractors, "
            "bernoulli_glm, "
            "bernoulli_glm_raw, gaussian_mixture, two_moons, sir, lotka_volterra, inverse_kinematics");
  EXPECT_EQ(refusal("slcp", {.simulator = {{"n_ob", 4}}}),
            "Benchmark \"slcp\": its simulator has no setting \"n_ob\"; it has n_obs, flatten");
  EXPECT_EQ(refusal("two_moons", {.simulator = {{"r", 4}}}), "Benchmark \"two_moons\": its simulator has no setting \"r\"; it has none");
  EXPECT_EQ(refusal("slcp", {.prior = {{"n_obs", 4}}}),
            "Benchmark \"slcp\": its prior has no setting \"n_obs\"; it has lower_bound, upper_bound");
  EXPECT_EQ(refusal("slcp", {.simulator = {{"n_obs", 0}}}), "Benchmark \"slcp\": n_obs must be a whole number from 1 to 1000000; got 0");
  EXPECT_EQ(refusal("slcp", {.simulator = {{"n_obs", 2.5}}}),
            "Benchmark \"slcp\": n_obs must be a whole number from 1 to 1000000; got 2.5");
  EXPECT_EQ(refusal("slcp", {.simulator = {{"n_obs", true}}}),
            "Benchmark \"slcp\": n_obs must be a whole number from 1 to 1000000; got true");
  EXPECT_EQ(refusal("slcp", {.simulator = {{"flatten", 1}}}), "Benchmark \"slcp\": flatten must be true or false; got 1");
  EXPECT_EQ(refusal("slcp", {.prior = {{"lower_bound", NAN}}}), "Benchmark \"slcp\": lower_bound must be a finite number; got nan");
  EXPECT_EQ(refusal("slcp", {.prior = {{"lower_bound", 4}}}),
            "Benchmark: the prior's lower_bound must be below its upper_bound; got 4 and 3");
  EXPECT_EQ(refusal("gaussian_linear", {.prior = {{"scale", 0}}}), "Benchmark \"gaussian_linear\": scale must be a number above 0; got 0");
  EXPECT_EQ(refusal("gaussian_mixture", {.simulator = {{"prob", 1.5}}}),
            "Benchmark \"gaussian_mixture\": prob must be a number in [0, 1]; got 1.5");
  EXPECT_EQ(refusal("inverse_kinematics", {.prior = {{"scales", std::vector<double>{1, 2}}}}),
            "Benchmark \"inverse_kinematics\": scales must be four numbers above 0, or None; got (1, 2)");
  EXPECT_EQ(refusal("sir", {.simulator = {{"subsample", 162}}}),
            "Benchmark \"sir\": subsample must be at most the number of points in time, 161; got 162");
  EXPECT_EQ(refusal("sir", {.simulator = {{"I0", 2e6}}}),
            "Benchmark \"sir\": I0 + R0 must be below N; got I0 = 2000000, R0 = 0, N = 1000000");
  EXPECT_EQ(refusal("slcp_distractors", {.simulator = {{"flatten", false}, {"dim", 3}}}),
            "Benchmark \"slcp_distractors\": with flatten = false each row is a point of the plane, so dim must be 2; got 3");
  EXPECT_EQ(refusal("slcp_distractors", {.simulator = {{"n_dist", 1001}}}),
            "Benchmark \"slcp_distractors\": n_dist * dim must be at most 2000; got 2002");
  EXPECT_EQ(
      refusal("two_moons", {.as_summary_condition = true}),
      "Benchmark \"two_moons\": its data, vectors of 2 values, are neither a set nor a series, so as_summary_condition must be false");
  EXPECT_EQ(
      refusal("slcp_distractors", {.as_summary_condition = true}),
      "Benchmark \"slcp_distractors\": its data, vectors of 100 values, are neither a set nor a series, so as_summary_condition must be "
      "false; settings of the "
      "simulator (n_obs, flatten = false) make a set of them");
  EXPECT_EQ(refusal("slcp", {.scale_data = 0.0}), "Benchmark \"slcp\": scale_data must be a number above 0; got 0");
  EXPECT_NE(sentence<SimulationError>([] {
              (void)Benchmark("slcp").simulator()(Array({1, 4}), 1);
            }).find("it has 5 parameters; got 4"),
            std::string::npos);
  Simulations sims = Benchmark("slcp").generative_model()(2);
  EXPECT_EQ(sentence<ShapeError>([&] { (void)Benchmark("two_moons").posterior_inputs(sims); }),
            "Benchmark \"two_moons\": sim_data must have the shape (batch, ...) of this benchmark's simulations, (2,) each; got (2, 8)");
}

TEST(RungeKutta, ErrorsFollowTheTolerance) {
  // y' = (y_2, -y_1): a circle.
  const auto circle = [](const std::array<double, 2>& y) -> std::array<double, 2> { return {y[1], -y[0]}; };
  for (const double tolerance : {1e-5, 1e-8, 1e-11}) {
    RungeKutta<2, decltype(circle)> solver(circle, {0, 1}, tolerance);
    for (int i = 0; i < 10; ++i) solver.advance(1);
    EXPECT_NEAR(solver.state()[0], std::sin(10.0), 50 * tolerance);
    EXPECT_NEAR(solver.state()[1], std::cos(10.0), 50 * tolerance);
  }
  const auto square = [](const std::array<double, 1>& y) -> std::array<double, 1> { return {y[0] * y[0]}; };
  RungeKutta<1, decltype(square)> solver(square, {1}, 1e-8);  // 1 / (1 - t)
  solver.advance(0.5);
  EXPECT_NEAR(solver.state()[0], 2, 1e-6);
  EXPECT_THROW(solver.advance(1), SimulationError);
}

}  // namespace
}  // namespace bayesflow::benchmarks
