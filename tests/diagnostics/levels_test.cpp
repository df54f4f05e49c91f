/// Tests of whole posteriors on conjugate models: of exact posteriors as many are found wrong as promised, and wrong ones are found.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "bayesflow/core/errors.hpp"
#include "bayesflow/diagnostics/conditional.hpp"
#include "bayesflow/diagnostics/tarp.hpp"
#include "bayesflow/diagnostics/test_quantities.hpp"
#include "bayesflow/diagnostics/two_level.hpp"
#include "diagnostics/support_posterior.hpp"
#include "support/sanitized.hpp"

namespace bayesflow::diagnostics {
namespace {

constexpr std::int64_t kRepetitions = support::repetitions(200);

/// Of `kRepetitions` tests of level 0.05 at most as many reject as in 999 of 1000 such series, and some do.
void expect_level(std::int64_t alarms, const char* what) {
  testing::Test::RecordProperty(what, std::to_string(alarms));
  EXPECT_LE(alarms, support::kSanitized ? 6 : 20) << what;
  EXPECT_GE(alarms, support::kSanitized ? 0 : 2) << what;
}

/// theta ~ N(0, I_2), n observations N(theta, I): draws are N(n mean / (n + 1), I / (n + 1)), or what `wrong` makes of standard ones.
struct Conjugate {
  Array draws, truths, data;
};
Conjugate conjugate(std::int64_t data_sets, std::int64_t num_draws, std::uint64_t seed, const std::function<void(double*)>& wrong = {},
                    bool from_prior = false) {
  constexpr std::int64_t n = 4;
  Rng rng(seed, "conjugate");
  Conjugate out{Array({data_sets, num_draws, 2}), rng.normal({data_sets, 2}), Array({data_sets, n, 2})};
  for (std::int64_t b = 0; b < data_sets; ++b) {
    double mean[2] = {0, 0};
    for (std::int64_t i = 0; i < n; ++i)
      for (std::int64_t p = 0; p < 2; ++p) mean[p] += (out.data(b, i, p) = rng.normal(out.truths(b, p), 1.0)) / (n + 1);
    for (std::int64_t s = 0; s < num_draws; ++s) {
      double z[2] = {rng.normal(), rng.normal()};
      if (wrong) wrong(z);
      for (std::int64_t p = 0; p < 2; ++p) out.draws(b, s, p) = from_prior ? z[p] : mean[p] + z[p] / std::sqrt(n + 1.0);
    }
  }
  return out;
}
const auto narrow = [](double* z) {
  z[0] *= 0.6;
  z[1] *= 0.6;
};
const auto tied = [](double* z) { z[1] = 0.9 * z[0] + std::sqrt(1 - 0.81) * z[1]; };

TEST(Tarp, HasItsLevelAndExactRanks) {
  std::int64_t alarms = 0;
  for (std::int64_t r = 0; r < kRepetitions; ++r) {
    const Conjugate c = conjugate(100, 49, static_cast<std::uint64_t>(r));
    const Tarp t = tarp(c.draws, c.truths, {.seed = static_cast<std::uint64_t>(r)});
    alarms += !t.inside;
    if (r == 0) {
      EXPECT_GE(t.band_coverage, 0.95);
      EXPECT_EQ(t.expected_coverage.front(), 0);
      EXPECT_EQ(t.expected_coverage.back(), 1);
      EXPECT_EQ(t.inside, t.p_value > 1 - t.band_coverage);
      EXPECT_EQ(t.ranks, tarp(c.draws, c.truths, {.threads = 1}).ranks);
    }
  }
  expect_level(alarms, "alarms");
}

TEST(Tarp, CountsDrawsNearerThanTheTruth) {
  // Range 4 in the first parameter and 1 in the second; references at the origin.
  const Array truths({2, 2}, std::vector<double>{4, 0, 0, 1});
  const Array draws({2, 2, 2}, std::vector<double>{2, 0, 0, 2, 8, 0, 0, 0.5}), references({2, 2});
  const Tarp t = tarp(draws, truths, {.references = references});
  // Distances in ranges: truth 1, draws 0.5 and 2; truth 1, draws 2 and 0.5.
  EXPECT_EQ(t.ranks, Array({2}, std::vector<double>{1, 1}));
  EXPECT_EQ(t.references, references);
}

TEST(Tarp, DiscreteParametersDoNotBendIt) {
  std::int64_t alarms = 0;
  for (std::int64_t r = 0; r < kRepetitions; ++r) {
    Rng rng(static_cast<std::uint64_t>(r), "discrete");
    const Array draws = rng.integers({100, 49, 2}, 0, 3), truths = rng.integers({100, 2}, 0, 3);
    alarms += !tarp(draws, truths).inside;
  }
  expect_level(alarms, "alarms");
}

TEST(Tarp, FindsWhatIsWrong) {
  const Conjugate thin = conjugate(300, 99, 1, narrow), pair = conjugate(1000, 99, 2, tied);
  const Tarp t = tarp(thin.draws, thin.truths);
  EXPECT_LT(t.p_value, 1e-4);
  EXPECT_LT(t.upper_excess.value, -3 * t.upper_excess.standard_error);
  EXPECT_LT(tarp(pair.draws, pair.truths).p_value, 0.01) << "a dependence that no single parameter shows";
  const Conjugate wide = conjugate(300, 99, 3, [](double* z) {
    z[0] *= 1.6;
    z[1] *= 1.6;
  });
  EXPECT_GT(tarp(wide.draws, wide.truths).upper_excess.value, 0.02);
  // The prior as posterior: not by points that know nothing of the data, but by such that do.
  const Conjugate prior = conjugate(300, 99, 4, {}, true);
  EXPECT_GT(tarp(prior.draws, prior.truths).p_value, 0.01);
  const Array means = prior.data.mean(1);
  EXPECT_LT(tarp(prior.draws, prior.truths, {.references = means}).p_value, 1e-4);
}

TEST(Tarp, BadInput) {
  const Conjugate c = conjugate(20, 9, 1);
  EXPECT_EQ(sentence<ShapeError>([&] {
              (void)tarp(c.draws, c.truths, {.references = Array({3, 2})});
            }),
            "tarp: references must have shape (20, 2), a point for each data set; got (3, 2)");
  EXPECT_EQ(sentence<ConfigurationError>([&] { (void)tarp(c.draws, c.truths, {.confidence = 1}); }),
            "TarpOptions: confidence is 1; it must be above 0 and below 1");
}

/// sum over observations of log N(x; theta, I), without constants.
const TestQuantity log_likelihood{"log-likelihood", [](const Array& theta, const Array& x) {
                                    Array out({theta.dim(0)});
                                    for (std::int64_t s = 0; s < theta.dim(0); ++s)
                                      for (std::int64_t i = 0; i < x.dim(0); ++i)
                                        for (std::int64_t p = 0; p < 2; ++p) out[s] -= 0.5 * std::pow(x(i, p) - theta(s, p), 2);
                                    return out;
                                  }};
const TestQuantity sign{"positive", [](const Array& theta, const Array&) {
                          Array out({theta.dim(0)});
                          for (std::int64_t s = 0; s < theta.dim(0); ++s)
                            out[s] = theta(s, 0) > 0 ? 1 : -std::numeric_limits<double>::infinity();
                          return out;
                        }};
const TestQuantity product{"product", [](const Array& theta, const Array&) {
                             Array out({theta.dim(0)});
                             for (std::int64_t s = 0; s < theta.dim(0); ++s) out[s] = theta(s, 0) * theta(s, 1);
                             return out;
                           }};

TEST(TestQuantities, HaveTheirLevelWithTiesAndInfinities) {
  std::array<std::int64_t, 3> alarms{};
  for (std::int64_t r = 0; r < kRepetitions; ++r) {
    const Conjugate c = conjugate(100, 49, static_cast<std::uint64_t>(r));
    const SbcEcdf e =
        sbc_ecdf(sbc_ranks(c.draws, c.truths, c.data, {log_likelihood, sign, product}, {.seed = static_cast<std::uint64_t>(r)}));
    for (std::size_t q = 0; q < 3; ++q) alarms[q] += !e.inside[q];
    ASSERT_EQ(e.param_names, (std::vector<std::string>{"log-likelihood", "positive", "product"}));
  }
  expect_level(alarms[0], "log_likelihood");
  expect_level(alarms[1], "sign");
  expect_level(alarms[2], "product");
}

TEST(TestQuantities, FindWhatParametersDoNotShow) {
  const Conjugate prior = conjugate(300, 99, 1, {}, true), pair = conjugate(300, 99, 2, tied);
  EXPECT_GT(sbc_ecdf(prior.draws, prior.truths).p_value[0], 0.01);
  EXPECT_LT(sbc_ecdf(sbc_ranks(prior.draws, prior.truths, prior.data, {log_likelihood})).p_value[0], 1e-6);
  EXPECT_GT(sbc_ecdf(pair.draws, pair.truths).p_value[1], 0.01);
  const TestQuantity difference{"distance from the data's mean along (1, -1)", [](const Array& theta, const Array& x) {
                                  const Array mean = x.mean(0);
                                  Array out({theta.dim(0)});
                                  for (std::int64_t s = 0; s < theta.dim(0); ++s)
                                    out[s] = std::fabs(theta(s, 0) - theta(s, 1) - 0.8 * (mean[0] - mean[1]));
                                  return out;
                                }};
  EXPECT_LT(sbc_ecdf(sbc_ranks(pair.draws, pair.truths, pair.data, {difference})).p_value[0], 1e-6);
}

TEST(TestQuantities, BadInput) {
  const Conjugate c = conjugate(20, 9, 1);
  const auto with = [&](const TestQuantity& q) { return [&c, q] { (void)sbc_ranks(c.draws, c.truths, c.data, {q}); }; };
  EXPECT_EQ(sentence<ShapeError>(with({"mean", [](const Array&, const Array&) { return Array::scalar(1); }})),
            "sbc_ranks: test quantity \"mean\" must return 10 numbers for parameters of shape (10, 2); got shape ()");
  EXPECT_EQ(sentence<ArgumentError>(with({"log", [](const Array& t, const Array&) { return Array({t.dim(0)}, std::nan("")); }})),
            "sbc_ranks: test quantity \"log\" is NaN for draw 0 of data set 0; it must be a number, or infinite");
  EXPECT_EQ(sentence<ConfigurationError>(with({"none", {}})), "sbc_ranks: test quantity \"none\" has no function");
  EXPECT_EQ(sentence<ShapeError>([&] {
              (void)sbc_ranks(c.draws, c.truths, Array({3, 1}), {product});
            }),
            "sbc_ranks: data must have 20 data sets on axis 0, as the draws, or be empty; got shape (3, 1)");
}

/// mu ~ N(0, 1), theta_g ~ N(mu, 1), n observations N(theta_g, 1) of 3 or 5 groups: exact draws, or local ones that are `width` times as
/// wide, or global ones that are shifted.
struct Groups {
  TwoLevelAmortizedPosterior::Draws draws;
  Batch truths;
};
Groups groups(std::int64_t data_sets, std::int64_t num_draws, std::uint64_t seed, double width = 1, double shift = 0) {
  constexpr std::int64_t kGroups = 5;
  constexpr double n = 2;
  Rng rng(seed, "groups");
  Groups out{{Array({data_sets, num_draws, 1}), Array({data_sets, kGroups, num_draws, 1})}, {}};
  Array hyper({data_sets, 1}), local({data_sets, kGroups, 1});
  for (std::int64_t b = 0; b < data_sets; ++b) {
    const std::int64_t count = b % 2 ? kGroups : 3;
    hyper[b] = rng.normal();
    double mean[kGroups] = {}, precision = 1, sum = 0;
    for (std::int64_t g = 0; g < count; ++g) {
      local(b, g, 0) = rng.normal(hyper[b], 1.0);
      mean[g] = rng.normal(local(b, g, 0), 1 / std::sqrt(n));
      precision += 1 / (1 + 1 / n);
      sum += mean[g] / (1 + 1 / n);
    }
    for (std::int64_t s = 0; s < num_draws; ++s) {
      const double mu = rng.normal(sum / precision, 1 / std::sqrt(precision));
      out.draws.global(b, s, 0) = mu + shift;
      for (std::int64_t g = 0; g < kGroups; ++g)
        out.draws.local(b, g, s, 0) = g < count ? (mu + n * mean[g]) / (1 + n) + width * rng.normal() / std::sqrt(1 + n) : std::nan("");
    }
  }
  out.truths.set(roles::hyper_parameters, hyper);
  out.truths.set(roles::local_parameters, local);
  return out;
}

TEST(TwoLevelDiagnostics, HaveTheirLevelAndRightErrors) {
  std::int64_t global = 0, local = 0;
  double z2 = 0;
  for (std::int64_t r = 0; r < kRepetitions; ++r) {
    const Groups c = groups(100, 49, static_cast<std::uint64_t>(r));
    const TwoLevelSbc sbc = two_level_sbc(c.draws, c.truths, {.seed = static_cast<std::uint64_t>(r)});
    global += !sbc.global.inside[0];
    local += !sbc.local.inside[0];
    const Estimate bias = two_level_recovery(c.draws, c.truths).local.bias[0];
    z2 += std::pow(bias.value / bias.standard_error, 2) / static_cast<double>(kRepetitions);
  }
  expect_level(global, "global");
  expect_level(local, "local");
  EXPECT_NEAR(z2, 1, support::kSanitized ? 1 : 0.35) << "errors that take groups for independent would be too small";
}

TEST(TwoLevelDiagnostics, FindTheLevelThatIsWrong) {
  const Groups right = groups(300, 99, 1), thin = groups(300, 99, 2, 0.5), shifted = groups(300, 99, 3, 1, 0.5);
  EXPECT_TRUE(two_level_sbc(right.draws, right.truths).local.inside[0]);
  const TwoLevelSbc local = two_level_sbc(thin.draws, thin.truths), global = two_level_sbc(shifted.draws, shifted.truths);
  EXPECT_LT(local.local.p_value[0], 1e-4);
  EXPECT_TRUE(local.global.inside[0]);
  EXPECT_LT(global.global.p_value[0], 1e-4);
  EXPECT_TRUE(global.local.inside[0]);
  const TwoLevelRecovery r = two_level_recovery(right.draws, right.truths, {.global_names = {"mu"}, .local_names = {"theta"}});
  EXPECT_EQ(r.local.truths.dim(0), 150 * 8);  // 3 and 5 groups by turns
  EXPECT_EQ(r.group[3], 0);
  EXPECT_EQ(r.data_set[3], 1);
  EXPECT_EQ(r.local.param_names, std::vector<std::string>{"theta"});
  EXPECT_GT(r.local.r2[0].value, 0.6);
  EXPECT_GT(r.global.r2[0].value, 0.5);
  EXPECT_EQ(r.tables().front().name, "global_recovery");
  EXPECT_EQ(r.tables().back().name, "local_groups");
  EXPECT_EQ(local.local_ranks.ranks.dim(0), 300);
  for (std::size_t i = 0; i < 300; ++i) EXPECT_LT(local.group[i], local.data_set[i] % 2 ? 5 : 3);
}

TEST(TwoLevelDiagnostics, BadInput) {
  const Groups c = groups(10, 9, 1);
  Batch without = c.truths;
  without.set(roles::local_parameters, {});
  EXPECT_EQ(sentence<ConfigurationError>([&] { (void)two_level_sbc(c.draws, without); }),
            "two_level_sbc: the truths lack local_parameters; give the batch that the trainer's configurator makes");
  auto draws = c.draws;
  draws.local = Array({10, 4, 9, 1});
  EXPECT_EQ(sentence<ShapeError>([&] { (void)two_level_recovery(draws, c.truths); }),
            "two_level_recovery: local draws must have shape (10, 5, 9, 1) (data sets, groups, draws, parameters) for global draws (10, 9, "
            "1) and "
            "local_parameters (10, 5, 1); got (10, 4, 9, 1)");
  EXPECT_EQ(sentence<ConfigurationError>([&] {
              (void)recovery(c.draws.global, c.truths.array(roles::hyper_parameters), {.clusters = {1, 2}});
            }),
            "RecoveryOptions: clusters has 2 numbers for 10 data sets; give one each, or none");
}

TEST(Lc2stSlow, HasItsLevelAndFindsWhatIsWrong) {
  const auto p_value = [](std::int64_t data_sets, const std::function<void(double*)>& wrong, std::int64_t epochs, std::int64_t r) {
    const Conjugate c = conjugate(data_sets + 1, 50, static_cast<std::uint64_t>(r), wrong);
    const auto first = [&](const Array& x) { return x.slice(0, data_sets); };
    const auto last = [&](const Array& x) { return x.slice(data_sets, data_sets + 1); };
    const Lc2st l = lc2st(first(c.draws), first(c.truths), {{roles::summary_conditions, first(c.data)}}, last(c.draws),
                          {{roles::summary_conditions, last(c.data)}},
                          {.num_null = 19, .hidden_units = 8, .max_epochs = epochs, .seed = static_cast<std::uint64_t>(r)});
    EXPECT_EQ(l.ecdf(0, 100), 1);
    EXPECT_LE(l.band_lower.max(), 1);
    return l.p_value[0];
  };
  // The smallest of 20 equally likely places is 0.05.
  std::int64_t alarms = 0, found = 0;
  for (std::int64_t r = 0; r < kRepetitions; ++r) alarms += p_value(100, {}, 20, r) <= 0.05;
  expect_level(alarms, "alarms");
  const auto shifted = [](double* z) { z[0] += 3; };
  for (std::int64_t r = 0; r < support::repetitions(10); ++r) found += p_value(400, shifted, 100, r) <= 0.05;
  EXPECT_GE(found, support::repetitions(10) - 1);
}

}  // namespace
}  // namespace bayesflow::diagnostics
