/// Reference posteriors: their files, and what a check finds of right and of wrong posteriors.
#include "bayesflow/benchmarks/posterior_check.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <fstream>

#include "bayesflow/core/errors.hpp"
#include "bayesflow/networks/invertible_network.hpp"
#include "io/support_files.hpp"
#include "measure/truth.hpp"
#include "support/expect.hpp"

namespace bayesflow::benchmarks {
namespace {

namespace fs = std::filesystem;
const fs::path kData = BAYESFLOW_BENCHMARK_DATA;

/// Exact draws: the noise is as if theta were 0, and x leaves |s| and d beside it; the sign of s is free.
Array exact_two_moons(const Array& x, std::int64_t n, std::uint64_t seed) {
  Array out({n, 2});
  Rng rng(seed, "exact");
  for (std::int64_t i = 0; i < n;) {
    const double a = rng.uniform(-M_PI / 2, M_PI / 2), r = rng.normal(0.1, 0.01);
    const double length = r * std::cos(a) + 0.25 - x[0], d = x[1] - r * std::sin(a), s = rng.bernoulli(0.5) ? length : -length;
    out(i, 0) = (s - d) * M_SQRT1_2;
    out(i, 1) = (s + d) * M_SQRT1_2;
    i += length > 0 && std::abs(out(i, 0)) <= 1 && std::abs(out(i, 1)) <= 1;
  }
  return out;
}

TEST(References, AreReadFromEveryFolderOfThePackage) {
  const Benchmark benchmark("two_moons");
  const Reference reference = read_reference(benchmark, kData, 1);
  EXPECT_EQ(reference.observation, Array::of({-0.365716, 0.542133}));
  EXPECT_EQ(reference.true_parameters.shape(), Shape{2});
  EXPECT_EQ(reference.posterior_samples.shape(), (Shape{500, 2}));
  EXPECT_EQ(read_reference(benchmark, kData / "two_moons", 1).posterior_samples, reference.posterior_samples);
  EXPECT_EQ(read_reference(benchmark, kData / "two_moons" / "files", 1).posterior_samples, reference.posterior_samples);
  const TemporaryFolder folder;
  fs::create_directories(folder / "sbibm" / "tasks");
  fs::create_directory_symlink(fs::absolute(kData / "two_moons"), folder / "sbibm" / "tasks" / "two_moons");
  EXPECT_EQ(read_reference(benchmark, folder / "sbibm", 1).posterior_samples, reference.posterior_samples);
  EXPECT_EQ(read_reference(benchmark, folder.path(), 1).posterior_samples, reference.posterior_samples);
}

TEST(References, WhatIsMissingOrOfAnotherModelIsSaid) {
  const Benchmark benchmark("two_moons");
  EXPECT_EQ(sentence<IoError>([&] { (void)read_reference(benchmark, "/nowhere", 3); }),
            "posterior_check: \"/nowhere\" holds no folder num_observation_3 of sbibm's problem two_moons; give the folder of the package "
            "sbibm (pip download "
            "sbibm, and unzip it), its folder tasks, or tasks/two_moons");
  EXPECT_EQ(sentence<ArgumentError>([&] { (void)read_reference(benchmark, kData, 0); }),
            "read_reference: observations are numbered from 1; got 0");
  EXPECT_EQ(sentence<ConfigurationError>([] { (void)read_reference(Benchmark("inverse_kinematics"), kData, 1); }),
            "Benchmark \"inverse_kinematics\": it is none of sbibm's problems, and has no reference posteriors");
  EXPECT_EQ(sentence<ConfigurationError>([] {
              (void)read_reference(Benchmark("two_moons", {.prior = {{"upper_bound", 2}}}), kData, 1);
            }),
            "Benchmark \"two_moons\": sbibm's reference posteriors are those of its own settings; got upper_bound = 2 instead of 1");
  const TemporaryFolder folder;
  fs::copy(kData / "two_moons", folder.path(), fs::copy_options::recursive);
  const fs::path files = folder / "files" / "num_observation_1";
  std::ofstream(files / "reference_posterior_samples.csv") << "a,b,c\n1,2,3\n";
  EXPECT_NE(sentence<ShapeError>([&] {
              (void)read_reference(benchmark, folder.path(), 1);
            }).find("must have 2 columns, one for each parameter; got 3"),
            std::string::npos);
  std::ofstream(files / "observation.csv") << "a\n1\n";
  EXPECT_EQ(sentence<ShapeError>([&] { (void)read_reference(benchmark, folder.path(), 1); }),
            "Benchmark \"two_moons\": an observation has 2 values; got 1");
}

TEST(References, ObservationsAreWrittenAsTheSimulatorGivesData) {
  const auto convert = [](const char* name, const char* setting, bool value, const Array& x) {
    return Benchmark(name, {.simulator = {{setting, value}}}).from_sbibm(x);
  };
  EXPECT_EQ(convert("sir", "scale_by_total", true, Array({1, 10}, 500.0)), Array({10}, 0.5));
  EXPECT_EQ(convert("bernoulli_glm", "scale_by_T", true, Array({1, 10}, 50.0)), Array({10}, 0.5));
  EXPECT_EQ(convert("slcp", "flatten", false, Array::arange(8)), Array::arange(8).reshape({4, 2}));
  EXPECT_EQ(convert("lotka_volterra", "flatten", false, Array::arange(20)), Array::arange(20).reshape({2, 10}).transpose());
}

PosteriorCheckOptions quick() { return {.observations = {1, 2}, .c2st = {.max_epochs = 30}}; }

TEST(PosteriorCheck, TellsARightPosteriorFromAWrongOne) {
  const Benchmark benchmark("two_moons");
  const PosteriorCheck right = posterior_check(benchmark, exact_two_moons, kData, quick());
  EXPECT_EQ(right.observations, (std::vector<std::int64_t>{1, 2}));
  EXPECT_NEAR(right.mean.value, 0.5, 0.05);  // 2,000 rows: standard error 0.011
  EXPECT_NEAR(right.mean.value, (right.c2st[0].accuracy.value + right.c2st[1].accuracy.value) / 2, 1e-12);
  const PosteriorSampler one_moon = [](const Array& x, std::int64_t n, std::uint64_t seed) {
    Array draws = exact_two_moons(x, n, seed);
    for (std::int64_t i = 0; i < n; ++i)
      if (draws(i, 0) + draws(i, 1) < 0) draws.set_row(i, Array::of({-draws(i, 1), -draws(i, 0)}));
    return draws;
  };
  const PosteriorCheck wrong = posterior_check(benchmark, one_moon, kData, quick());
  EXPECT_GT(wrong.mean.value, 0.7);  // a classifier that is right about one moon in two: 0.75
  EXPECT_EQ(wrong.tables()[0].column("c2st").size(), 2);
  const PosteriorSampler short_draws = [](const Array&, std::int64_t, std::uint64_t) { return Array({3, 2}); };
  EXPECT_EQ(sentence<ShapeError>([&] { (void)posterior_check(benchmark, short_draws, kData, quick()); }),
            "posterior_check: draws for an observation must have the shape (500, 2); got (3, 2)");
  EXPECT_EQ(sentence<ConfigurationError>([&] { (void)posterior_check(benchmark, exact_two_moons, kData, {.n_samples = -1}); }),
            "PosteriorCheckOptions::n_samples = -1; it must be positive, or 0 for as many as the reference has");
}

TEST(PosteriorCheck, DrawsFromAnAmortizer) {
  const Benchmark benchmark("two_moons");
  AmortizedPosterior amortizer(InvertibleNetwork({.num_params = 2, .num_coupling_layers = 2}));
  amortizer.build(benchmark.posterior_inputs(benchmark.generative_model()(2)), 1);
  PosteriorCheckOptions options = quick();
  options.n_samples = 100;
  const PosteriorCheck untrained = posterior_check(benchmark, amortizer, kData, options);
  EXPECT_GT(untrained.mean.value, 0.65);
  EXPECT_EQ(untrained.c2st[0].num_per_class, 100);
  EXPECT_EQ(posterior_check(benchmark, amortizer, kData, options).c2st[1].fold_accuracy, untrained.c2st[1].fold_accuracy);
}

/// The files of sbibm itself, if the environment says where they are.
class Sbibm : public testing::Test {
 protected:
  void SetUp() override {
    const char* path = std::getenv("BAYESFLOW_SBIBM");
    if (!path) GTEST_SKIP() << "BAYESFLOW_SBIBM does not say where the package sbibm is";
    path_ = path;
  }
  fs::path path_;
};

TEST_F(Sbibm, EveryReferenceIsRead) {
  for (const std::string& name : available_benchmarks()) {
    const Benchmark benchmark(name);
    if (benchmark.sbibm_task().empty()) continue;
    for (std::int64_t k = 1; k <= 10; ++k) {
      const Reference reference = read_reference(benchmark, path_, k);
      EXPECT_EQ(reference.observation.shape(), benchmark.data_shape()) << name;
      EXPECT_EQ(reference.posterior_samples.shape(), (Shape{10'000, benchmark.num_params()})) << name;
    }
  }
}

TEST_F(Sbibm, GaussianLinearIsConjugate) {
  // N(x / 2, 0.05), since prior and likelihood have the same variance 0.1.
  for (std::int64_t k = 1; k <= 10; ++k) {
    const Reference reference = read_reference(Benchmark("gaussian_linear"), path_, k);
    for (std::int64_t j = 0; j < 10; ++j) {
      const Array draws = reference.posterior_samples.columns(j, j + 1);
      EXPECT_NEAR(draws.mean(), reference.observation[j] / 2, 5 * std::sqrt(0.05 / 10'000));
      EXPECT_NEAR(draws.variance() / 0.05, 1, 5 * std::sqrt(2.0 / 10'000));
    }
  }
}

TEST_F(Sbibm, TwoMoonsHaveTheExactMoments) {
  const auto model = bench::truth_model("two_moons");
  for (std::int64_t k = 1; k <= 10; ++k) {
    const Reference reference = read_reference(Benchmark("two_moons"), path_, k);
    const bench::Moments exact = model->moments(reference.observation.values());
    for (std::int64_t j = 0; j < 2; ++j) {
      const Array draws = reference.posterior_samples.columns(j, j + 1);
      const double mean = exact.mean[static_cast<std::size_t>(j)], sd = exact.sd[static_cast<std::size_t>(j)];
      EXPECT_NEAR(draws.mean(), mean, 5 * sd / 100) << k;
      EXPECT_NEAR(draws.std() / sd, 1, 0.05) << k;
    }
  }
}

TEST_F(Sbibm, StatisticsOfTheRawObservationsAreTheObservations) {
  const Reference raw = read_reference(Benchmark("bernoulli_glm_raw"), path_, 1),
                  sums = read_reference(Benchmark("bernoulli_glm"), path_, 1);
  Simulations one;
  one.prior_draws = raw.true_parameters.expand_dims(0);
  one.sim_data = raw.observation.expand_dims(0);
  const Array set = Benchmark("bernoulli_glm_raw", {.as_summary_condition = true}).posterior_inputs(one).array(roles::summary_conditions);
  for (std::int64_t j = 0; j < 10; ++j) {
    double sum = 0;
    for (std::int64_t t = 0; t < 100; ++t) sum += set(0, t, 0) * (j ? set(0, t, j) : 1);
    EXPECT_NEAR(sums.observation[j], sum, 2e-5);
  }
}

}  // namespace
}  // namespace bayesflow::benchmarks
