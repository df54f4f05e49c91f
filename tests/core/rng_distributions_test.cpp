/// Every distribution against its exact cumulative distribution function, and at the ends of its domain.
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/math/distributions/beta.hpp>
#include <boost/math/distributions/binomial.hpp>
#include <boost/math/distributions/cauchy.hpp>
#include <boost/math/distributions/gamma.hpp>
#include <boost/math/distributions/lognormal.hpp>
#include <boost/math/distributions/poisson.hpp>
#include <boost/math/distributions/students_t.hpp>
#include <cmath>
#include <limits>
#include <numeric>

#include "bayesflow/core/rng.hpp"
#include "support/sanitized.hpp"
#include "support_statistics.hpp"

namespace bayesflow {
namespace {

constexpr std::int64_t kDraws = support::repetitions(100000);

template <class F>
auto draws(F draw, std::int64_t count = kDraws) {
  std::vector<decltype(draw())> out;
  for (std::int64_t i = 0; i < count; ++i) out.push_back(draw());
  return out;
}
template <class D>
auto cdf_of(D distribution) {
  return [distribution](double x) { return boost::math::cdf(distribution, x); };
}
std::vector<double> values(const Array& x) { return {x.values().begin(), x.values().end()}; }

TEST(Distributions, Uniform) {
  Rng rng(101);
  EXPECT_TRUE(follows(draws([&] { return rng.uniform(); }), [](double x) { return x; }));
  const auto x = draws([&] { return rng.uniform(-2, 5); });
  EXPECT_TRUE(follows(x, [](double v) { return (v + 2) / 7; }));
  EXPECT_GE(*std::min_element(x.begin(), x.end()), -2);
  EXPECT_LT(*std::max_element(x.begin(), x.end()), 5);
  EXPECT_TRUE(follows(values(rng.uniform({kDraws / 4, 4}, 1.0, 3.0)), [](double v) { return (v - 1) / 2; }));
  EXPECT_EQ(rng.uniform(3, 3), 3);
}

// low + (high - low) u rounds up to high now and then where low is large; high is not in the interval.
TEST(Distributions, UniformStaysBelowItsOpenEnd) {
  Rng rng(102);
  const double low = 1e15, high = 1e15 + 0.25;
  for (int i = 0; i < 1000; ++i) {
    const double x = rng.uniform(low, high);
    ASSERT_GE(x, low);
    ASSERT_LT(x, high);
  }
  const Array x = rng.uniform({1000}, low, high);
  EXPECT_LT(x.max(), high);
  EXPECT_LT(rng.uniform({1000}, Array::scalar(low), Array::scalar(high)).max(), high);
}

TEST(Distributions, Normal) {
  Rng rng(103);
  EXPECT_TRUE(follows(draws([&] { return rng.normal(); }), cdf_of(boost::math::normal())));
  EXPECT_TRUE(follows(draws([&] { return rng.normal(3, 0.5); }), cdf_of(boost::math::normal(3, 0.5))));
  EXPECT_TRUE(follows(values(rng.normal({kDraws / 2, 2}, -1.0, 2.0)), cdf_of(boost::math::normal(-1, 2))));
  EXPECT_EQ(rng.normal(7, 0), 7);
}

TEST(Distributions, NormalTails) {
  Rng rng(104);
  std::int64_t beyond = 0, n = 0;
  std::vector<double> x(1000);
  for (int i = 0; i < 2000; ++i) {
    rng.fill_normal(std::span<double>(x));
    for (const double v : x) beyond += std::fabs(v) > 3.5;
    n += 1000;
  }
  EXPECT_TRUE(is_fraction(beyond, n, 2 * boost::math::cdf(boost::math::normal(), -3.5)));
}

TEST(Distributions, Lognormal) {
  Rng rng(105);
  EXPECT_TRUE(follows(draws([&] { return rng.lognormal(); }), cdf_of(boost::math::lognormal())));
  EXPECT_TRUE(follows(draws([&] { return rng.lognormal(0.3, 0.8); }), cdf_of(boost::math::lognormal(0.3, 0.8))));
}

TEST(Distributions, Exponential) {
  Rng rng(106);
  EXPECT_TRUE(follows(draws([&] { return rng.exponential(); }), [](double x) { return -std::expm1(-x); }));
  EXPECT_TRUE(follows(draws([&] { return rng.exponential(2.5); }), [](double x) { return -std::expm1(-x / 2.5); }));
}

TEST(Distributions, Gamma) {
  Rng rng(107);
  for (const double shape : {0.05, 0.3, 0.999, 1.0, 2.5, 40.0, 1e4, 1e9}) {
    EXPECT_TRUE(follows(draws([&] { return rng.gamma(shape); }), cdf_of(boost::math::gamma_distribution<>(shape)))) << shape;
    EXPECT_TRUE(follows(draws([&] { return rng.gamma(shape, 3.0); }), cdf_of(boost::math::gamma_distribution<>(shape, 3.0)))) << shape;
  }
  EXPECT_TRUE(follows(values(rng.gamma({kDraws}, 0.7, 2.0)), cdf_of(boost::math::gamma_distribution<>(0.7, 2.0))));
}

// About half of the draws of shape 1e-3 are below the smallest number; those above have the right frequency.
TEST(Distributions, GammaOfATinyShape) {
  Rng rng(108);
  const auto x = draws([&] { return rng.gamma(1e-3); });
  for (const double v : x) ASSERT_TRUE(v >= 0 && std::isfinite(v));
  for (const double at : {1e-300, 1e-100, 1e-10, 0.1})
    EXPECT_TRUE(is_fraction(std::count_if(x.begin(), x.end(), [at](double v) { return v <= at; }), kDraws,
                            boost::math::cdf(boost::math::gamma_distribution<>(1e-3), at)))
        << at;
}

TEST(Distributions, GammaOfAHugeShapeIsNormal) {
  Rng rng(109);
  for (const double shape : {1e12, 1e15, 1e18, 1e22})  // the spacing of doubles is well below the standard deviation
    EXPECT_TRUE(follows(draws([&] { return (rng.gamma(shape) - shape) / std::sqrt(shape); }), cdf_of(boost::math::normal()))) << shape;
  for (const double shape : {1e100, 1e308}) EXPECT_NEAR(rng.gamma(shape) / shape, 1, 1e-14);
}

TEST(Distributions, Beta) {
  Rng rng(110);
  for (const auto& [a, b] : {std::pair{0.5, 0.5}, {1.0, 1.0}, {2.0, 3.0}, {0.1, 0.2}, {30.0, 1.0}, {1e3, 2e3}, {0.2, 50.0}}) {
    const auto x = draws([&, alpha = a, beta = b] { return rng.beta(alpha, beta); });
    EXPECT_TRUE(follows(x, cdf_of(boost::math::beta_distribution<>(a, b)))) << a << " " << b;
    for (const double v : x) ASSERT_TRUE(v >= 0 && v <= 1);
  }
}

TEST(Distributions, BetaOfTinyShapesIsABernoulliVariable) {
  Rng rng(111);
  for (const double scale : {1e-3, 1e-10, 1e-300, 1e-308, 1e-320}) {
    const auto x = draws([&] { return rng.beta(scale, 3 * scale); }, 20000);
    for (const double v : x) ASSERT_TRUE(v >= 0 && v <= 1) << scale;
    const auto above = std::count_if(x.begin(), x.end(), [](double v) { return v > 0.5; });
    const double p = scale > 1e-5 ? 1 - boost::math::cdf(boost::math::beta_distribution<>(scale, 3 * scale), 0.5) : 0.25;
    EXPECT_TRUE(is_fraction(above, 20000, p)) << scale;
  }
}

TEST(Distributions, StudentT) {
  Rng rng(112);
  for (const double df : {0.3, 1.0, 3.0, 30.0, 1e6})
    EXPECT_TRUE(follows(draws([&] { return rng.student_t(df); }), cdf_of(boost::math::students_t(df)))) << df;
}

// |t| exceeds x with probability near (x sqrt(1 / df))^-df: for df = 0.01 many draws beyond 1e100 are right, infinities are not.
TEST(Distributions, StudentTOfFewDegreesOfFreedom) {
  Rng rng(113);
  const auto x = draws([&] { return rng.student_t(0.01); });
  std::int64_t beyond = 0, infinite = 0;
  for (const double v : x) {
    ASSERT_FALSE(std::isnan(v));
    beyond += std::fabs(v) > 1e100;
    infinite += std::isinf(v);
  }
  const auto tail = [](double log10_x) {  // P(|t| > x) = I(df / (df + x^2); df/2, 1/2), for large x its leading term
    const double half = 0.005, log_y = std::log(0.01) - 2 * log10_x * std::log(10.0);
    return std::exp(half * log_y - std::log(half) - (std::lgamma(half) + std::lgamma(0.5) - std::lgamma(half + 0.5)));
  };
  EXPECT_TRUE(is_fraction(beyond, kDraws, tail(100)));
  EXPECT_TRUE(is_fraction(infinite, kDraws, tail(308.2547)));
  for (const double df : {1e-3, 1e-100, 5e-324})
    for (int i = 0; i < 1000; ++i) ASSERT_FALSE(std::isnan(rng.student_t(df))) << df;
}

TEST(Distributions, Cauchy) {
  Rng rng(114);
  EXPECT_TRUE(follows(draws([&] { return rng.cauchy(); }), cdf_of(boost::math::cauchy())));
  EXPECT_TRUE(follows(draws([&] { return rng.cauchy(-1, 4); }), cdf_of(boost::math::cauchy(-1, 4))));
}

TEST(Distributions, Integers) {
  Rng rng(115);
  const auto uniform = [](double low, double high) {
    return [=](double k) { return std::clamp((std::floor(k) - low + 1) / (high - low), 0.0, 1.0); };
  };
  EXPECT_TRUE(integers_follow(draws([&] { return rng.integers(0, 7); }), uniform(0, 7)));
  EXPECT_TRUE(integers_follow(draws([&] { return rng.integers(-3, 1000); }), uniform(-3, 1000)));
  const auto x = draws([&] { return rng.integers(-3, 4); });
  EXPECT_EQ(*std::min_element(x.begin(), x.end()), -3);
  EXPECT_EQ(*std::max_element(x.begin(), x.end()), 3);
  EXPECT_EQ(rng.integers(5, 6), 5);
}

// Of a range of 3 2^62 numbers, multiplying without rejection would give every third value twice as often as the others.
TEST(Distributions, IntegersOfAHugeRangeAreWithoutBias) {
  Rng rng(116);
  const std::int64_t low = std::numeric_limits<std::int64_t>::min(), high = low + (std::int64_t{3} << 61) + (std::int64_t{3} << 61);
  std::vector<std::int64_t> residues(3);
  for (std::int64_t i = 0; i < kDraws; ++i)
    ++residues[(static_cast<std::uint64_t>(rng.integers(low, high)) - static_cast<std::uint64_t>(low)) % 3];
  EXPECT_TRUE(counts_follow(residues, {1.0 / 3, 1.0 / 3, 1.0 / 3}));
  const std::int64_t top = std::numeric_limits<std::int64_t>::max();
  std::int64_t negative = 0;
  for (std::int64_t i = 0; i < kDraws; ++i) negative += rng.integers(low, top) < 0;
  EXPECT_TRUE(is_fraction(negative, kDraws, 0.5));
}

TEST(Distributions, Poisson) {
  Rng rng(117);
  for (const double mean : {0.1, 1.0, 4.0, 9.99, 10.0, 10.5, 25.0, 500.0, 1e5, 1e9})
    EXPECT_TRUE(integers_follow(draws([&] { return rng.poisson(mean); }), cdf_of(boost::math::poisson(mean)))) << mean;
  EXPECT_EQ(rng.poisson(0), 0);
  EXPECT_EQ(rng.poisson(1e-300), 0);
}

TEST(Distributions, PoissonOfAHugeMeanIsNormal) {
  Rng rng(118);
  for (const double mean : {1e12, 1e15, 1e18, 9.2e18})
    EXPECT_TRUE(
        follows(draws([&] { return (static_cast<double>(rng.poisson(mean)) - mean) / std::sqrt(mean); }), cdf_of(boost::math::normal())))
        << mean;
}

TEST(Distributions, Binomial) {
  Rng rng(119);
  struct Case {
    std::int64_t trials;
    double probability;
  };
  for (const Case& c : {Case{1, 0.3},
                        {5, 0.5},
                        {20, 0.1},
                        {19, 0.5},
                        {20, 0.5},
                        {21, 0.5},
                        {100, 0.0999},
                        {100, 0.1001},
                        {100, 0.3},
                        {100, 0.7},
                        {1000, 0.999},
                        {1000, 0.004},
                        {100000, 0.45},
                        {1000000, 0.00002}})
    EXPECT_TRUE(integers_follow(draws([&] { return rng.binomial(c.trials, c.probability); }),
                                cdf_of(boost::math::binomial(static_cast<double>(c.trials), c.probability))))
        << c.trials << " " << c.probability;
  EXPECT_EQ(rng.binomial(0, 0.5), 0);
  EXPECT_EQ(rng.binomial(10, 0), 0);
  EXPECT_EQ(rng.binomial(10, 1), 10);
}

// Many rare trials are Poisson to within their probability.
TEST(Distributions, BinomialOfManyRareTrials) {
  Rng rng(120);
  struct Case {
    double trials, mean;
  };
  for (const Case& c : {Case{1e12, 1000.0}, {1e12, 5.0}, {1e15, 2.0}, {1e18, 3.0}, {9e18, 8.0}, {1e18, 40.0}, {1e18, 1e6}}) {
    const auto trials = static_cast<std::int64_t>(c.trials);
    EXPECT_TRUE(integers_follow(draws([&] { return rng.binomial(trials, c.mean / c.trials); }), cdf_of(boost::math::poisson(c.mean))))
        << c.trials << " " << c.mean;
  }
}

TEST(Distributions, BinomialOfManyTrialsIsNormal) {
  Rng rng(121);
  for (const double trials : {1e12, 1e15, 9e18})
    for (const double p : {0.5, 0.01, 0.9}) {
      const double sd = std::sqrt(trials * p * (1 - p));
      EXPECT_TRUE(
          follows(draws([&] { return (static_cast<double>(rng.binomial(static_cast<std::int64_t>(trials), p)) - trials * p) / sd; }),
                  cdf_of(boost::math::normal())))
          << trials << " " << p;
    }
}

TEST(Distributions, Bernoulli) {
  Rng rng(122);
  for (const double p : {0.01, 0.5, 0.8}) {
    std::int64_t hits = 0;
    for (std::int64_t i = 0; i < kDraws; ++i) hits += rng.bernoulli(p);
    EXPECT_TRUE(is_fraction(hits, kDraws, p)) << p;
  }
  for (int i = 0; i < 1000; ++i) {
    EXPECT_TRUE(rng.bernoulli(1));
    EXPECT_FALSE(rng.bernoulli(0));
  }
}

TEST(Distributions, Categorical) {
  Rng rng(123);
  const double weights[] = {0.5, 0.0, 2.0, 1.5, 0.0};
  std::vector<std::int64_t> counts(5);
  for (std::int64_t i = 0; i < kDraws; ++i) ++counts[static_cast<std::size_t>(rng.categorical(weights))];
  EXPECT_EQ(counts[1], 0);
  EXPECT_EQ(counts[4], 0);
  EXPECT_TRUE(counts_follow({counts[0], counts[2], counts[3]}, {0.125, 0.5, 0.375}));
  const double tiny[] = {1e-320, 3e-320};
  std::int64_t second = 0;
  for (std::int64_t i = 0; i < kDraws; ++i) second += rng.categorical(tiny);
  EXPECT_TRUE(is_fraction(second, kDraws, 0.75));
}

TEST(Distributions, PermutationsAreAllEquallyLikely) {
  Rng rng(124);
  std::vector<std::int64_t> counts(120);
  for (std::int64_t i = 0; i < kDraws; ++i) {
    const auto p = rng.permutation(5);
    std::size_t code = 0;  // the permutation's number in the order of its inversions
    for (std::size_t a = 0; a < 5; ++a) {
      std::size_t smaller = 0;
      for (std::size_t b = a + 1; b < 5; ++b) smaller += p[b] < p[a];
      code = code * (5 - a) + smaller;
    }
    ++counts[code];
  }
  EXPECT_TRUE(counts_follow(counts, std::vector<double>(120, 1.0 / 120)));
  auto p = rng.permutation(1000);
  EXPECT_FALSE(std::is_sorted(p.begin(), p.end()));
  std::sort(p.begin(), p.end());
  for (std::int64_t i = 0; i < 1000; ++i) ASSERT_EQ(p[static_cast<std::size_t>(i)], i);
}

// Each component of a Dirichlet draw is a beta variable, and so is the sum of two.
TEST(Distributions, Dirichlet) {
  Rng rng(125);
  const double concentration[] = {0.4, 2.0, 3.6};
  std::vector<double> component[3], two;
  for (std::int64_t i = 0; i < kDraws; ++i) {
    const Array x = rng.dirichlet(concentration);
    ASSERT_EQ(x.shape(), (Shape{3}));
    ASSERT_NEAR(x.sum(), 1, 1e-14);
    for (std::int64_t k = 0; k < 3; ++k) component[k].push_back(x(k));
    two.push_back(x(0) + x(1));
  }
  for (int k = 0; k < 3; ++k)
    EXPECT_TRUE(follows(component[k], cdf_of(boost::math::beta_distribution<>(concentration[k], 6 - concentration[k])))) << k;
  EXPECT_TRUE(follows(two, cdf_of(boost::math::beta_distribution<>(2.4, 3.6))));
}

TEST(Distributions, DirichletOfTinyConcentrationsIsOneComponentAlone) {
  Rng rng(126);
  for (const double scale : {1e-10, 1e-300, 1e-308, 1e-320}) {
    const double concentration[] = {scale, 2 * scale, 5 * scale};
    std::vector<std::int64_t> counts(3);
    for (int i = 0; i < 20000; ++i) {
      const Array x = rng.dirichlet(concentration);
      ASSERT_TRUE(x.all_finite());
      ASSERT_NEAR(x.sum(), 1, 1e-14);
      ++counts[static_cast<std::size_t>(std::max_element(x.values().begin(), x.values().end()) - x.values().begin())];
    }
    EXPECT_TRUE(counts_follow(counts, {0.125, 0.25, 0.625})) << scale;
  }
}

TEST(Distributions, ExtremeArgumentsNeitherHangNorGiveNaN) {
  Rng rng(127);
  for (int i = 0; i < 2000; ++i) {
    for (const double scale : {5e-324, 1e-300, 1e300, 1.7e308}) {
      ASSERT_FALSE(std::isnan(rng.exponential(scale)));
      ASSERT_FALSE(std::isnan(rng.gamma(scale)));
      ASSERT_FALSE(std::isnan(rng.gamma(2.0, scale)));
      ASSERT_FALSE(std::isnan(rng.beta(scale, 1.0)));
      ASSERT_FALSE(std::isnan(rng.beta(1.0, scale)));
      ASSERT_FALSE(std::isnan(rng.beta(scale, scale)));
      ASSERT_FALSE(std::isnan(rng.student_t(scale)));
      ASSERT_FALSE(std::isnan(rng.cauchy(0, scale)));
      ASSERT_FALSE(std::isnan(rng.normal(0, scale)));
      ASSERT_FALSE(std::isnan(rng.lognormal(0, scale)));
    }
    ASSERT_EQ(rng.binomial(std::numeric_limits<std::int64_t>::max(), 5e-324), 0);
    ASSERT_GT(rng.binomial(std::numeric_limits<std::int64_t>::max(), 0.5), 0);
    ASSERT_GE(rng.poisson(5e-324), 0);
  }
}

}  // namespace
}  // namespace bayesflow
