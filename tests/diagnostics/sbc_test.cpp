/// Ranks, histograms, ECDF bands, coverage.
#include "bayesflow/diagnostics/sbc.hpp"

#include <algorithm>
#include <set>

#include "bayesflow/core/errors.hpp"
#include "bayesflow/diagnostics/coverage.hpp"
#include "diagnostics/support_posterior.hpp"
#include "support/sanitized.hpp"

namespace bayesflow::diagnostics {
namespace {

SbcRanks uniform_ranks(std::int64_t data_sets, std::int64_t num_draws, std::int64_t parameters, std::uint64_t seed) {
  return {{}, Rng(seed, "uniform ranks").integers({data_sets, parameters}, 0, num_draws + 1), num_draws};
}

TEST(SbcRanks, CountDrawsBelowTheTruth) {
  const Array draws({2, 3, 1}, std::vector<double>{1, 2, 3, 4, 5, 6}), truths({2, 1}, std::vector<double>{2.5, 0});
  const SbcRanks r = sbc_ranks(draws, truths);
  EXPECT_EQ(r.ranks, Array({2, 1}, std::vector<double>{2, 0}));
  EXPECT_EQ(r.num_draws, 3);
  EXPECT_EQ(r.param_names[0], "theta_1");
}

TEST(SbcRanks, TiesAreBrokenAtRandomAndReproducibly) {
  // A parameter that is 0 or 1: most draws equal the truth. Ranks must be uniform on 0 ... 4 all the same.
  Rng rng(3);
  const std::int64_t n = 20000;
  Array draws({n, 4, 1}), truths({n, 1});
  for (double& v : draws.values()) v = rng.bernoulli(0.3) ? 1 : 0;
  for (double& v : truths.values()) v = rng.bernoulli(0.3) ? 1 : 0;
  const SbcRanks r = sbc_ranks(draws, truths, {.threads = 1});
  std::vector<double> counts(5);
  for (const double v : r.ranks.values()) counts[static_cast<std::size_t>(v)] += 1;
  for (const double c : counts) EXPECT_NEAR(c, n / 5.0, 5 * std::sqrt(n * 0.16));
  EXPECT_EQ(sbc_ranks(draws, truths, {.threads = 3}).ranks, r.ranks);
  EXPECT_NE(sbc_ranks(draws, truths, {.seed = 1}).ranks, r.ranks);
}

TEST(SbcHistograms, BinsDivideTheRanksOrCountsAreExact) {
  const SbcHistograms h = sbc_histograms(uniform_ranks(200, 99, 2, 1));
  EXPECT_EQ(100 % h.num_bins, 0);
  EXPECT_DOUBLE_EQ(h.expected.front(), 200.0 / static_cast<double>(h.num_bins));
  // 101 is prime: bins of 14 and 15 ranks, with the counts that they deserve.
  const SbcHistograms odd = sbc_histograms(uniform_ranks(200, 100, 2, 1), {.num_bins = 7});
  for (std::size_t k = 0; k < 7; ++k)
    EXPECT_DOUBLE_EQ(odd.expected[k], 200.0 * static_cast<double>(odd.first_rank[k + 1] - odd.first_rank[k]) / 101);
  EXPECT_EQ(odd.first_rank.front(), 0);
  EXPECT_EQ(odd.first_rank.back(), 101);
  EXPECT_EQ(odd.counts.sum(), 400);
  // Few data sets, many draws (where v1 divides by zero), and one of each.
  EXPECT_GE(sbc_histograms(uniform_ranks(30, 1000, 1, 1)).num_bins, 1);
  EXPECT_EQ(sbc_histograms(uniform_ranks(1, 1, 1, 1)).num_bins, 1);
}

TEST(SbcHistograms, TooManyBinsAreAnError) {
  EXPECT_EQ(sentence<ConfigurationError>([] { (void)sbc_histograms(uniform_ranks(10, 4, 1, 1), {.num_bins = 6}); }),
            "SbcHistogramOptions: num_bins is 6; 4 draws have 5 ranks, so there can be no more bins");
}

/// Share of perfect posteriors inside, with bands made for 95 % and 3,000 repetitions: four standard errors are 1.6 %.
TEST(Bands, HoldForDiscreteRanks) {
  const std::int64_t repetitions = 3000;
  for (const std::int64_t data_sets : support::cases({100, 500}))
    for (const std::int64_t num_draws : support::cases({20, 100, 1000})) {
      const SbcRanks ranks = uniform_ranks(data_sets, num_draws, repetitions, static_cast<std::uint64_t>(data_sets + num_draws));
      const auto inside = [](const std::vector<bool>& v) {
        return static_cast<double>(std::count(v.begin(), v.end(), true)) / static_cast<double>(v.size());
      };
      const SbcEcdf e = sbc_ecdf(ranks);
      EXPECT_NEAR(inside(e.inside), e.coverage, 0.016) << data_sets << " x " << num_draws;
      EXPECT_NEAR(e.coverage, 0.9525, 0.0026) << data_sets << " x " << num_draws;
      const SbcHistograms h = sbc_histograms(ranks);
      EXPECT_NEAR(inside(h.inside), h.simultaneous_interval, 0.016) << data_sets << " x " << num_draws;
      EXPECT_NEAR(h.simultaneous_interval, 0.96, 0.0101) << data_sets << " x " << num_draws;
      const Coverage c = coverage(ranks);
      EXPECT_NEAR(inside(c.inside), c.band_coverage, 0.016) << data_sets << " x " << num_draws;
      // The p-value is exact: at most 5 % are at most 0.05, and hardly fewer.
      const auto small = std::count_if(e.p_value.begin(), e.p_value.end(), [](double p) { return p <= 0.05; });
      EXPECT_NEAR(static_cast<double>(small) / static_cast<double>(repetitions), 1 - e.coverage, 0.016);
      for (std::size_t p = 0; p < e.inside.size(); ++p) EXPECT_TRUE(e.inside[p] || e.p_value[p] <= 0.05);
      // Bars by themselves: the binomial interval holds at least its share.
      double bars = 0;
      for (std::int64_t p = 0; p < repetitions; ++p)
        for (std::int64_t k = 0; k < h.num_bins; ++k)
          bars += h.counts(p, k) >= h.lower[static_cast<std::size_t>(k)] && h.counts(p, k) <= h.upper[static_cast<std::size_t>(k)];
      EXPECT_GE(bars / static_cast<double>(repetitions * h.num_bins), 0.988);
    }
}

TEST(Bands, HoldForAllParametersTogether) {
  // 500 posteriors of 20 parameters each.
  const std::int64_t n = support::repetitions(500);
  int all_inside = 0;
  const SbcRanks all = uniform_ranks(100, 100, 20 * n, 9);
  for (std::int64_t i = 0; i < n; ++i) {
    const SbcEcdf e = sbc_ecdf({{}, all.ranks.columns(20 * i, 20 * i + 20), 100}, {.over_all_parameters = true});
    all_inside += std::count(e.inside.begin(), e.inside.end(), true) == 20;
  }
  EXPECT_GE(all_inside / static_cast<double>(n), 0.95 - 4 * std::sqrt(0.95 * 0.05 / static_cast<double>(n)));
}

TEST(SbcEcdf, DifferenceSubtractsTheDiagonal) {
  const SbcRanks r = uniform_ranks(50, 30, 2, 4);
  const SbcEcdf plain = sbc_ecdf(r), difference = sbc_ecdf(r, {.difference = true});
  ASSERT_EQ(plain.points.size(), 32u);
  EXPECT_EQ(plain.points.front(), 0);
  EXPECT_EQ(plain.points.back(), 1);
  for (std::size_t k = 0; k < plain.points.size(); ++k) {
    EXPECT_NEAR(difference.band_lower[k], plain.band_lower[k] - plain.points[k], 1e-15);
    EXPECT_NEAR(difference.ecdf(1, k), plain.ecdf(1, k) - plain.points[k], 1e-15);
  }
  EXPECT_EQ(plain.inside, difference.inside);
  EXPECT_EQ(plain.ecdf(0, 31), 1);
}

TEST(SbcEcdf, FindsAShift) {
  const Posterior wrong = quickstart_posterior(200, 100, 4, 2, [](double* z) { z[2] += 0.6; });
  const SbcEcdf e = sbc_ecdf(wrong.draws, wrong.truths);
  EXPECT_EQ(e.inside, (std::vector<bool>{true, true, false, true}));
  EXPECT_LT(e.p_value[2], 1e-4);
  EXPECT_GT(e.p_value[0], 0.05);
}

TEST(SbcEcdf, SmallestCases) {
  EXPECT_TRUE(sbc_ecdf(uniform_ranks(1, 10, 1, 1)).inside[0]);  // one data set can hardly be outside
  EXPECT_TRUE(sbc_ecdf(uniform_ranks(10, 1, 1, 1)).inside[0]);  // one draw: a band at one point
  EXPECT_EQ(rank_cuts(1000).size(), 100u);
  EXPECT_EQ(rank_cuts(20).size(), 21u);
  EXPECT_EQ(rank_cuts(1000).back(), 1001);
  const auto cuts = rank_cuts(250);
  EXPECT_EQ(std::set<std::int64_t>(cuts.begin(), cuts.end()).size(), cuts.size());
}

TEST(EcdfBand, WidensWithConfidenceAndChecksItsArguments) {
  const std::vector<double> points = {0.25, 0.5, 0.75, 1};
  const EcdfBand wide = ecdf_band(100, points, 0.99), narrow = ecdf_band(100, points, 0.8);
  EXPECT_LT(wide.lower[1], narrow.lower[1]);
  EXPECT_GT(wide.upper[1], narrow.upper[1]);
  EXPECT_GE(wide.coverage, 0.99);
  EXPECT_NEAR(ecdf_exit_probability(100, points, wide.gamma), 1 - wide.coverage, 1e-12);
  EXPECT_EQ(sentence<ArgumentError>([&] {
              (void)ecdf_band(100, {0.5, 0.4, 1});
            }),
            "ecdf_band: points must increase within (0, 1]; got 0.4 after 0.5");
  EXPECT_EQ(sentence<ArgumentError>([&] { (void)ecdf_band(100, {0.5}); }), "ecdf_band: the last point must be 1");
  EXPECT_EQ(sentence<ArgumentError>([&] { (void)ecdf_band(0, points); }), "ecdf_band: got 0 data sets; at least 1 is needed");
}

TEST(Coverage, IntervalsHaveTheirExactLevel) {
  // Four draws: the interval between the outermost holds (5 - 2) / 5 of the truths.
  const SbcRanks r = uniform_ranks(40000, 4, 1, 2);
  const Coverage c = coverage(r, {.num_levels = 10});
  ASSERT_EQ(c.levels, (std::vector<double>{0.2, 0.6}));
  for (std::int64_t l = 0; l < 2; ++l) EXPECT_NEAR(c.coverage(0, l), c.levels[static_cast<std::size_t>(l)], 4 * c.standard_error(0, l));
}

TEST(Coverage, ExcessTellsTheDirection) {
  const Posterior narrow = quickstart_posterior(300, 100, 2, 1, [](double* z) { z[0] *= 0.6, z[1] *= 1.6; });
  const Coverage c = coverage(narrow.draws, narrow.truths);
  EXPECT_LT(c.excess[0].value, -4 * c.excess[0].standard_error);
  EXPECT_GT(c.excess[1].value, 4 * c.excess[1].standard_error);
  EXPECT_EQ(c.inside, (std::vector<bool>{false, false}));
  EXPECT_GT(c.calibration_error[0].value, c.expected_calibration_error + 4 * c.calibration_error[0].standard_error);
}

TEST(Coverage, TheNoiseFloorIsWhatExactPosteriorsShow) {
  const Coverage c = coverage(uniform_ranks(80, 200, 4000, 3));
  double mean = 0;
  for (const Estimate& e : c.calibration_error) mean += e.value / 4000;
  EXPECT_NEAR(mean, c.expected_calibration_error, 0.001);
}

TEST(CalibrationError, StandardErrorIsThatOfRepetition) {
  double sum = 0, squares = 0, reported = 0;
  const int n = 60;
  for (int i = 0; i < n; ++i) {
    const Posterior p = quickstart_posterior(100, 50, 1, static_cast<std::uint64_t>(i), [](double* z) { z[0] *= 0.5; });
    const Estimate e = posterior_calibration_error(p.draws, p.truths, {.bootstrap = 60})[0];
    sum += e.value / n;
    squares += e.value * e.value / n;
    reported += e.standard_error / n;
  }
  EXPECT_NEAR(reported / std::sqrt(squares - sum * sum), 1, 0.35);
}

TEST(CalibrationError, LevelsBeforeTheMedian) {
  const Posterior p = quickstart_posterior(50, 40, 3);
  const Array errors = posterior_calibration_errors(p.draws, p.truths, {.alpha_resolution = 5});
  EXPECT_EQ(errors.shape(), (Shape{5, 3}));
  EXPECT_NEAR(posterior_calibration_error(p.draws, p.truths, {.alpha_resolution = 5})[1].value, errors.median(0)(1), 1e-15);
}

}  // namespace
}  // namespace bayesflow::diagnostics
