/// Distribution functions, exact interval probabilities, tests of ranks.
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "bayesflow/core/rng.hpp"
#include "diagnostics/interval_probability.hpp"
#include "diagnostics/rank_tests.hpp"
#include "diagnostics/special.hpp"

namespace bayesflow::diagnostics {
namespace {

TEST(Special, KnownValues) {
  // Values to 15 digits from closed forms and standard tables.
  EXPECT_NEAR(log_gamma(0.5), 0.5 * std::log(M_PI), 1e-14);
  EXPECT_NEAR(log_gamma(11), std::log(3628800.0), 1e-13);
  EXPECT_NEAR(log_gamma(1e6), std::lgamma(1e6), 1e-6 * 1e-2);
  EXPECT_NEAR(normal_quantile(0.975), 1.959963984540054, 1e-14);
  EXPECT_NEAR(normal_quantile(1e-10), -6.361340902404056, 1e-12);
  EXPECT_EQ(normal_quantile(0), -INFINITY);
  EXPECT_EQ(normal_quantile(1), INFINITY);
  EXPECT_NEAR(two_sided_normal(1.959963984540054), 0.05, 1e-15);
  EXPECT_NEAR(incomplete_beta(3, 5, 0.3), 0.3529305, 1e-12);  // P(Binomial(7, 0.3) >= 3), a finite sum
  EXPECT_NEAR(chi_squared_cdf(3.2, 4), 1 - std::exp(-1.6) * 2.6, 1e-14);
  EXPECT_NEAR(chi_squared_cdf(40, 2), 1 - std::exp(-20.0), 1e-14);
  EXPECT_NEAR(f_cdf(1, 7, 7), 0.5, 1e-13);
  EXPECT_NEAR(f_cdf(3, 2, 2), 0.75, 1e-13);
}

TEST(Special, BinomialIsTheSumOfItsTerms) {
  for (const double p : {0.003, 0.3, 0.5, 0.98}) {
    const BinomialTails tails(60, p);
    double sum = 0;
    for (std::int64_t k = 0; k <= 60; ++k) {
      EXPECT_NEAR(tails.above(k), 1 - sum, 1e-13);
      sum += binomial_pmf(k, 60, p);
      EXPECT_NEAR(binomial_cdf(k, 60, p), sum, 1e-12);
      EXPECT_NEAR(tails.below(k), sum, 1e-13);
    }
    for (const double q : {0.005, 0.4, 0.995}) {
      const std::int64_t k = binomial_quantile(q, 60, p);
      EXPECT_GE(binomial_cdf(k, 60, p), q);
      EXPECT_LT(binomial_cdf(k - 1, 60, p), q);
    }
  }
}

TEST(Special, HolmStepsDown) {
  const std::vector<double> a = holm({0.01, 0.04, 0.03});
  EXPECT_NEAR(a[0], 0.03, 1e-15);
  EXPECT_NEAR(a[2], 0.06, 1e-15);
  EXPECT_NEAR(a[1], 0.06, 1e-15);  // not below the one before
  // A hypothesis with all the weight is tested at the full level.
  const std::vector<double> w = holm({0.04, 0.5}, {1.0, 1e-9});
  EXPECT_NEAR(w[0], 0.04, 1e-8);
}

TEST(Special, AndersonDarlingKeepsItsLevel) {
  // Published critical values of the fully specified case.
  EXPECT_NEAR(anderson_darling_p_value(2.492, 100000), 0.05, 5e-4);
  EXPECT_NEAR(anderson_darling_p_value(3.857, 100000), 0.01, 3e-4);
  EXPECT_NEAR(anderson_darling_p_value(1.933, 100000), 0.10, 1e-3);
  EXPECT_LT(anderson_darling_p_value(12, 100), 2e-5);
  EXPECT_GT(anderson_darling_p_value(12, 100), 1e-6);
  EXPECT_LE(anderson_darling_p_value(10.5, 100), anderson_darling_p_value(9.5, 100));
}

/// Every way to put n draws into three cells.
TEST(IntervalProbability, IsTheSumOverAllOutcomes) {
  const std::int64_t n = 7;
  const std::vector<double> cells = {0.2, 0.35, 0.45};
  const CountLimits totals{{}, {}, {1, 3, 7}, {4, 5, 7}}, counts{{0, 1, 2}, {3, 4, 5}, {}, {}};
  double by_total = 0, by_count = 0;
  for (std::int64_t a = 0; a <= n; ++a)
    for (std::int64_t b = 0; a + b <= n; ++b) {
      const std::int64_t c = n - a - b;
      const double p = std::exp(log_gamma(8) - log_gamma(static_cast<double>(a) + 1) - log_gamma(static_cast<double>(b) + 1) -
                                log_gamma(static_cast<double>(c) + 1)) *
                       std::pow(0.2, a) * std::pow(0.35, b) * std::pow(0.45, c);
      if (a >= 1 && a <= 4 && a + b >= 3 && a + b <= 5) by_total += p;
      if (a <= 3 && b >= 1 && b <= 4 && c >= 2 && c <= 5) by_count += p;
    }
  EXPECT_NEAR(probability_within(n, cells, totals), by_total, 1e-13);
  EXPECT_NEAR(probability_within(n, cells, counts), by_count, 1e-13);
  EXPECT_NEAR(probability_within(n, cells, {}), 1, 1e-13);
}

TEST(IntervalProbability, LosesNothingWithManyDraws) {
  const std::vector<double> cells(50, 0.02);
  EXPECT_NEAR(probability_within(20000, cells, {}), 1, 1e-10);
}

TEST(RankScores, AreOrthonormal) {
  for (const std::int64_t s : {1, 3, 20, 1000}) {
    const RankScores scores(s);
    EXPECT_EQ(scores.degrees(), std::min<std::int64_t>(4, s));
    for (int a = 1; a <= scores.degrees(); ++a)
      for (int b = 1; b <= a; ++b) {
        double mean = 0, dot = 0;
        for (std::int64_t r = 0; r <= s; ++r) {
          mean += scores.h(a, r) / static_cast<double>(s + 1);
          dot += scores.h(a, r) * scores.h(b, r) / static_cast<double>(s + 1);
        }
        EXPECT_NEAR(mean, 0, 1e-12);
        EXPECT_NEAR(dot, a == b ? 1 : 0, 1e-10);
      }
  }
}

/// P-values of uniform ranks are below x in x of the cases. 20,000 of them: four standard errors at 1 % are 0.28 %.
TEST(RankScores, PValuesKeepTheirLevel) {
  for (const std::int64_t s : {20, 200}) {
    const RankScores scores(s);
    Rng rng(11, "rank scores");
    const int repetitions = 20000;
    std::vector<std::int64_t> ranks(60);
    int below[5] = {};
    for (int i = 0; i < repetitions; ++i) {
      for (auto& r : ranks) r = rng.integers(0, s + 1);
      for (int d = 1; d <= 4; ++d) {
        const double t = scores.statistic(d, ranks);
        if (std::fabs(t) > 1.8) below[d] += scores.p_value(d, t, 60) <= 0.01;
      }
    }
    for (int d = 1; d <= 4; ++d)
      EXPECT_NEAR(below[d] / static_cast<double>(repetitions), 0.01, 0.0028) << "degree " << d << ", " << s << " draws";
  }
}

TEST(RankScores, ExtremeRanksHaveTheirExactProbability) {
  const RankScores scores(9);
  const std::vector<std::int64_t> ranks(5, 9);  // all draws below all five truths: (1 / 10)^5, two-sided
  EXPECT_NEAR(scores.p_value(1, scores.statistic(1, ranks), 5), 2e-5, 1e-12);
}

TEST(ProbitFit, FindsShiftAndWidth) {
  const RankScores scores(100);
  Rng rng(5);
  for (const double location : {0.0, 0.4})
    for (const double scale : {0.8, 1.3}) {
      std::vector<std::int64_t> ranks;
      for (int i = 0; i < 4000; ++i)
        ranks.push_back(std::min<std::int64_t>(100, static_cast<std::int64_t>(normal_cdf(location + scale * rng.normal()) * 101)));
      const ProbitFit fit = fit_probit(scores, ranks);
      EXPECT_NEAR(fit.location.value, location, 4 * fit.location.standard_error);
      EXPECT_NEAR(fit.log_scale.value, std::log(scale), 4 * fit.log_scale.standard_error);
      EXPECT_NEAR(fit.log_scale.standard_error, 1 / std::sqrt(8000.0), 0.003);
    }
  // Ranks that are all alike have no finite maximum of the likelihood; the fit stays finite.
  const ProbitFit fit = fit_probit(scores, std::vector<std::int64_t>(50, 100));
  EXPECT_TRUE(std::isfinite(fit.location.value) && std::isfinite(fit.log_scale.value));
  EXPECT_GT(fit.location.value, 1);
}

TEST(Detectable, ShrinksWithTheRootOfTheDataSets) {
  const RankScores scores(1000);
  // Normal theory: (1.96 + 0.8416) / sqrt(B).
  EXPECT_NEAR(detectable_shift(scores, 400, 0.05), 2.8016 / 20, 0.002);
  EXPECT_EQ(detectable_shift(RankScores(1), 3, 0.001), INFINITY);
  EXPECT_GT(detectable_width_ratio(scores, 1000, 0.05), detectable_width_ratio(scores, 100, 0.05));
}

}  // namespace
}  // namespace bayesflow::diagnostics
