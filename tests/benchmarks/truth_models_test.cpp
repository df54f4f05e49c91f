/// The exact posteriors by which trained networks are judged, against their simulators and against themselves.
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "measure/truth.hpp"

namespace bench {
namespace {

namespace bf = bayesflow;

class ExactPosterior : public testing::TestWithParam<std::string> {};

// If mean and sd are those of p(theta | x), then (theta - mean) / sd has mean 0 and variance 1 over simulations, whatever the model; and
// the product with any function of the data alone has mean 0. This ties the posterior to the simulator. Four standard errors for each of 30
// figures: a false alarm for one in 500 seeds; the seed is fixed.
TEST_P(ExactPosterior, MomentsFitTheSimulator) {
  const auto model = truth_model(GetParam());
  constexpr std::int64_t kSets = 10'000;
  const bf::Simulations sims = model->generative_model().simulate(kSets, 3, "test", 0);
  for (std::int64_t j = 0; j < model->num_params(); ++j) {
    double sum = 0, square = 0, fourth = 0, with_mean = 0, with_mean_square = 0;
    for (std::int64_t i = 0; i < kSets; ++i) {
      const Moments m = model->moments(sims.sim_data.row_values(i));
      const auto p = static_cast<std::size_t>(j);
      const double z = (sims.prior_draws(i, j) - m.mean[p]) / m.sd[p];
      const double f = z * (m.mean[p] - model->shift()[p]) / model->scale()[p];
      sum += z;
      square += z * z;
      fourth += z * z * z * z;
      with_mean += f;
      with_mean_square += f * f;
    }
    const double n = kSets;
    EXPECT_NEAR(sum / n, 0, 4 / std::sqrt(n)) << "parameter " << j;
    EXPECT_NEAR(square / n, 1, 4 * std::sqrt((fourth / n - 1) / n)) << "parameter " << j;
    EXPECT_NEAR(with_mean / n, 0, 4 * std::sqrt(with_mean_square) / n) << "parameter " << j;
  }
}

INSTANTIATE_TEST_SUITE_P(All, ExactPosterior, testing::ValuesIn(truth_model_names()));

/// Mean and variance of a weight, and of weighted parameters.
struct Weighted {
  double mass = 0, error = 0;
  std::vector<double> mean, sd;
};

/// Importance sampling from Student-t distributions (3 degrees of freedom) around the stated moments.
Weighted importance_sample(const TruthModel& model, std::span<const double> data) {
  constexpr int kDraws = 100'000;
  constexpr double kDf = 3;
  const Moments m = model.moments(data);
  const auto width = static_cast<std::size_t>(model.num_params());
  bf::Rng rng(11);
  std::vector<double> theta(width), sum(width, 0.0), square(width, 0.0);
  double mass = 0, mass_square = 0;
  for (int k = 0; k < kDraws; ++k) {
    double log_proposal = 0;
    for (std::size_t j = 0; j < width; ++j) {
      const double t = rng.student_t(kDf);
      theta[j] = m.mean[j] + m.sd[j] * t;
      log_proposal += std::lgamma((kDf + 1) / 2) - std::lgamma(kDf / 2) - 0.5 * std::log(kDf * M_PI) -
                      (kDf + 1) / 2 * std::log1p(t * t / kDf) - std::log(m.sd[j]);
    }
    const double w = std::exp(model.log_posterior(theta, data) - log_proposal);
    mass += w / kDraws;
    mass_square += w * w / kDraws;
    for (std::size_t j = 0; j < width; ++j) {
      const double z = (theta[j] - m.mean[j]) / m.sd[j];
      sum[j] += w * z / kDraws;
      square[j] += w * z * z / kDraws;
    }
  }
  return {mass, std::sqrt((mass_square - mass * mass) / kDraws), sum, square};
}

TEST(ExactPosterior, DensityIsNormalizedAndHasTheStatedMoments) {
  for (const char* name : {"gaussian", "skewed"}) {
    const auto model = truth_model(name);
    const bf::Simulations sims = model->generative_model().simulate(3, 5, "test", 0);
    for (std::int64_t i = 0; i < 3; ++i) {
      const Weighted w = importance_sample(*model, sims.sim_data.row_values(i));
      EXPECT_LT(w.error, 0.01);
      EXPECT_NEAR(w.mass, 1, 5 * w.error) << name;
      for (const double mean : w.mean) EXPECT_NEAR(mean, 0, 0.03) << name;
      for (const double square : w.sd) EXPECT_NEAR(square, 1, 0.05) << name;
    }
  }
}

TEST(ExactPosterior, TwoMoonsIntegrateToOneOnAGrid) {
  const auto model = truth_model("two_moons");
  // Whole crescents; crescents cut by the border of the prior's square, by its corner, and by each other.
  for (const std::vector<double>& x : {std::vector{0.0, 0.0}, std::vector{-0.7, 0.45}, std::vector{-1.05, 0.0}, std::vector{0.3, 0.1}}) {
    constexpr int kCells = 800;
    constexpr double kStep = 2.0 / kCells;
    const Moments m = model->moments(x);
    bf::Rng rng(7);
    double mass = 0, mean = 0, square = 0, theta[2];
    for (int a = 0; a < kCells; ++a)
      for (int b = 0; b < kCells; ++b) {
        // The density is almost nothing off the crescents, and the integrals behind log_posterior take their time.
        theta[0] = -1 + (a + 0.5) * kStep;
        theta[1] = -1 + (b + 0.5) * kStep;
        const double s = (theta[0] + theta[1]) * M_SQRT1_2, d = (theta[1] - theta[0]) * M_SQRT1_2;
        if (std::abs(std::hypot(std::abs(s) + x[0] - 0.25, x[1] - d) - 0.1) > 0.05) continue;
        // A random point of the cell, so that cells at the sharp ends of the crescents are right on average.
        theta[0] += (rng.uniform() - 0.5) * kStep;
        theta[1] += (rng.uniform() - 0.5) * kStep;
        const double p = std::exp(model->log_posterior(theta, x)) * kStep * kStep;
        mass += p;
        mean += p * theta[0];
        square += p * theta[0] * theta[0];
      }
    EXPECT_NEAR(mass, 1, 0.01) << x[0] << ", " << x[1];
    EXPECT_NEAR(mean, m.mean[0], 0.01);
    EXPECT_NEAR(std::sqrt(square - mean * mean), m.sd[0], 0.01);
  }
}

/// A network that is right by construction: an untrained flow is the identity, so that q is the standard normal.
class Prior final : public TruthModel {
 public:
  Prior() {
    shift_ = {10.0, 0.0};
    scale_ = {2.0, 0.5};
  }
  std::string name() const override { return "prior"; }
  std::int64_t num_params() const override { return 2; }
  bf::GenerativeModel generative_model() const override {
    return bf::GenerativeModel(bf::Prior([](bf::Rng& rng) {
                                 return bf::Array::of({10 + 2 * rng.normal(), 0.5 * rng.normal()});
                               }),
                               bf::Simulator([](const bf::Array&, bf::Rng& rng) {
                                 return rng.normal({3, 1});
                               }));
  }
  double log_posterior(std::span<const double> theta, std::span<const double>) const override {
    const double a = (theta[0] - 10) / 2, b = theta[1] / 0.5;
    return -0.5 * (a * a + b * b) - std::log(2 * M_PI);  // log 2 + log 0.5 = 0
  }
  Moments moments(std::span<const double>) const override { return {{10, 0}, {2, 0.5}}; }
  bf::AmortizedPosterior amortizer(const NetworkChoice&) const override {
    return bf::AmortizedPosterior(
        bf::InvertibleNetwork({.num_params = 2, .num_coupling_layers = 1, .coupling = bf::unregularized_affine()}),
        bf::DeepSet({.summary_dim = 2}));
  }
};

/// What is found of an untrained network.
TruthResult judge(const TruthModel& model, const TestSets& tests, std::int64_t draws) {
  bf::AmortizedPosterior amortizer = model.amortizer({});
  amortizer.build(model.configure(tests.simulations), 0);
  return compare(model, tests, amortizer, draws);
}

TEST(Compare, ARightPosteriorHasNoDivergence) {
  const Prior model;
  const TestSets tests = make_test_sets(model, 1200);
  const TruthResult r = judge(model, tests, 100);
  EXPECT_NEAR(r.divergence, 0, 1e-5);
  EXPECT_NEAR(r.sd_ratio, 1, 0.005);                         // 2400 ratios with a spread of 0.07 each: standard error 0.0015
  EXPECT_LT(r.mean_error, 0.03);                             // without taking off the noise of the draws it were 0.1
  EXPECT_NEAR(tests.optimum, 1 + std::log(2 * M_PI), 0.15);  // entropy of the standardized prior; standard error 0.03
}

/// The same with a posterior that is said to be narrower and elsewhere.
class Shifted final : public TruthModel {
 public:
  Shifted() {
    shift_ = inner_.shift();
    scale_ = inner_.scale();
  }
  std::string name() const override { return "shifted"; }
  std::int64_t num_params() const override { return 2; }
  bf::GenerativeModel generative_model() const override { return inner_.generative_model(); }
  double log_posterior(std::span<const double> theta, std::span<const double> x) const override {
    return inner_.log_posterior(theta, x) + 0.25;
  }
  Moments moments(std::span<const double>) const override { return {{11, 0.25}, {1, 0.25}}; }
  bf::AmortizedPosterior amortizer(const NetworkChoice& choice) const override { return inner_.amortizer(choice); }

 private:
  Prior inner_;
};

TEST(Compare, AWrongPosteriorIsSeen) {
  const Shifted model;
  const TestSets tests = make_test_sets(model, 600);
  const TruthResult r = judge(model, tests, 400);
  EXPECT_NEAR(r.divergence, 0.25, 1e-5);
  EXPECT_NEAR(r.mean_error, 1, 0.02);  // both means are one exact sd away
  EXPECT_NEAR(r.sd_ratio, 2, 0.02);
}

}  // namespace
}  // namespace bench
