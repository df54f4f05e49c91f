#include "bayesflow/adapter/adapter.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "adapter/scalar_map.hpp"
#include "bayesflow/core/errors.hpp"
#include "bayesflow/core/rng.hpp"
#include "support/expect.hpp"

namespace bayesflow {
namespace {

using adapter::ScalarMap;
using adapter::Step;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// Parameters (a, b, c) within (0, 2), (1, infinity) and (-infinity, infinity), and data of two columns.
Simulations simulate(std::int64_t n, std::uint64_t seed = 1) {
  Rng rng(seed, "adapter test");
  Simulations s;
  s.prior_draws = Array({n, 3});
  s.sim_data = Array({n, 4, 2});
  for (std::int64_t i = 0; i < n; ++i) {
    s.prior_draws(i, 0) = 2 * rng.uniform();
    s.prior_draws(i, 1) = 1 + std::exp(rng.normal());
    s.prior_draws(i, 2) = 10 + 5 * rng.normal();
    for (std::int64_t k = 0; k < 4; ++k) {
      s.sim_data(i, k, 0) = 100 + 10 * rng.normal();
      s.sim_data(i, k, 1) = std::exp(rng.normal());
    }
  }
  return s;
}

TEST(ScalarMap, InverseAndDerivativeAreExactUpToTheEdges) {
  struct Case {
    ScalarMap map;
    std::vector<double> at;
  };
  using Kind = ScalarMap::Kind;
  const std::vector<double> inside{0.1 + 1e-12, 0.1 + 1e-7, 0.100001, 0.2, 1, 2.9, 3 - 1e-7, 3 - 1e-12};
  const std::vector<double> above{0.1 + 1e-12, 0.1001, 1, 30, 1e6}, below{3 - 1e-12, 2.999, 1, -30, -1e6},
      positive{1e-12, 1e-3, 0.5, 1, 7, 1e4};
  const std::vector<Case> cases{{{Kind::affine, 3, 0.5}, {-1e6, 0, 3, 1e6}},
                                {{Kind::interval_probit, 0.1, 3}, inside},
                                {{Kind::interval_logit, 0.1, 3}, inside},
                                {{Kind::interval_barrier, 0.1, 3}, inside},
                                {{Kind::lower_log, 0.1}, above},
                                {{Kind::lower_softplus, 0.1}, above},
                                {{Kind::upper_log, -kInfinity, 3}, below},
                                {{Kind::upper_softplus, -kInfinity, 3}, below},
                                {{Kind::sqrt}, positive},
                                {{Kind::sqrt_softplus}, positive},
                                {{Kind::box_cox, 0.3}, positive},
                                {{Kind::box_cox, 0}, positive},
                                {{Kind::box_cox, -0.7}, positive},
                                {{Kind::box_cox_softplus, 0.3}, positive},
                                {{Kind::box_cox_softplus, 0}, positive},
                                {{Kind::box_cox_softplus, -0.3}, positive}};
  for (const Case& c : cases) {
    double before = -kInfinity;
    std::vector<double> at = c.at;
    std::ranges::sort(at);
    for (const double x : at) {
      ASSERT_TRUE(c.map.contains(x));
      const double y = c.map.forward(x);
      EXPECT_GT(y, before) << "kind " << static_cast<int>(c.map.kind) << " at " << x;  // increasing
      before = y;
      EXPECT_NEAR(c.map.inverse(y), x, 1e-6 * std::abs(x)) << "kind " << static_cast<int>(c.map.kind);
      // The step of the difference is a small share of the distance from the nearest edge.
      const bool both = c.map.kind == Kind::interval_probit || c.map.kind == Kind::interval_logit || c.map.kind == Kind::interval_barrier;
      const double edge = both                                                                  ? std::min(x - c.map.a, c.map.b - x)
                          : c.map.kind == Kind::lower_log || c.map.kind == Kind::lower_softplus ? x - c.map.a
                          : c.map.kind == Kind::upper_log || c.map.kind == Kind::upper_softplus ? c.map.b - x
                          : c.map.kind == Kind::affine                                          ? 1.0
                                                                                                : x;
      if (edge < 1e-8 * std::max(1.0, std::abs(x)) && edge != x) continue;  // no room for a difference in double precision
      const double h = 1e-4 * edge, slope = (c.map.forward(x + h) - c.map.forward(x - h)) / (2 * h);
      EXPECT_NEAR(c.map.log_slope(x), std::log(slope), 1e-5) << "kind " << static_cast<int>(c.map.kind) << " at " << x;
    }
  }
}

TEST(ScalarMap, TakesBoundsThemselvesAndReturnsNumbersInside) {
  for (const auto kind : {ScalarMap::Kind::interval_probit, ScalarMap::Kind::interval_logit, ScalarMap::Kind::interval_barrier}) {
    const ScalarMap map{kind, -1, 1};
    for (const double x : {-1.0, 1.0}) {
      EXPECT_TRUE(std::isfinite(map.forward(x)));
      EXPECT_TRUE(std::isfinite(map.log_slope(x)));
      EXPECT_NEAR(map.inverse(map.forward(x)), x, 1e-12);
    }
    for (const double y : {-1e30, -800.0, -40.0, 40.0, 800.0, 1e30}) {
      EXPECT_GT(map.inverse(y), -1);
      EXPECT_LT(map.inverse(y), 1);
    }
  }
  EXPECT_EQ(adapter::normal_quantile(0.5), 0);
  EXPECT_NEAR(adapter::normal_quantile(0.975), 1.959963984540054, 1e-15);
  EXPECT_NEAR(adapter::normal_quantile(1e-300), -37.0470962993612, 1e-12);
}

/// A random list of steps that fit to each other.
Adapter random_adapter(Rng& rng) {
  const auto either = [&](const Step& a, const Step& b) { return rng.uniform() < 0.5 ? a : b; };
  Adapter out;
  if (rng.uniform() < 0.5)
    out.add(adapter::Log1p{.columns = {0}});
  else
    out.add(adapter::Bounds{.columns = {0},
                            .lower = {0.0},
                            .upper = {2.0},
                            .interval = rng.uniform() < 0.5 ? adapter::Interval::probit : adapter::Interval::logit});
  const double which = rng.uniform();
  if (which < 0.3)
    out.add(adapter::Bounds{
        .names = {"b"}, .lower = {1.0}, .half_line = rng.uniform() < 0.5 ? adapter::HalfLine::log : adapter::HalfLine::softplus});
  else if (which < 0.5)
    out.add(adapter::Sqrt{.columns = {1}});
  else if (which < 0.7)
    out.add(adapter::BoxCox{.columns = {1}});
  else
    out.add(adapter::Log{.columns = {-2}});
  if (rng.uniform() < 0.5)
    out.add(either(adapter::Standardize{}, adapter::Standardize{.columns = {2}, .spread = adapter::Spread::median_mad}));
  if (rng.uniform() < 0.3) out.add(adapter::Bounds{.columns = {2}, .lower_from = adapter::Column{"prior_draws", 0}});
  if (rng.uniform() < 0.7) out.add(adapter::Standardize{.field = "sim_data", .spread = adapter::Spread::quantiles});
  return out;
}

/// Where a bound comes from another column, draws must lie above it.
bool fits(const Adapter& of, const Simulations& s) {
  try {
    Adapter copy = of;
    copy.fit(s, {"a", "b", "c"});
    return true;
  } catch (const ArgumentError&) {
    return false;
  }
}

TEST(Adapter, RandomPipelinesInvertAndHaveTheDeterminantsOfFiniteDifferences) {
  const Simulations first = simulate(500), s = simulate(20, 2);
  int tried = 0;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    Rng rng(seed, "pipelines");
    Adapter a = random_adapter(rng);
    if (!fits(a, first)) continue;
    a.fit(first, {"a", "b", "c"});
    Adapted y;
    try {
      y = a.forward(s);
    } catch (const ArgumentError&) {
      continue;  // a bound from another column
    }
    ++tried;
    const Array back = a.inverse(y.simulations.prior_draws, y);
    for (std::int64_t i = 0; i < back.size(); ++i) EXPECT_NEAR(back[i], s.prior_draws[i], 1e-6 * std::abs(s.prior_draws[i]));
    for (std::int64_t row = 0; row < 20; row += 7) {
      double jacobian[3][3];
      for (std::int64_t j = 0; j < 3; ++j) {
        Simulations up = s, down = s;
        const double h = 1e-6 * std::min(std::abs(s.prior_draws(row, j)), 2 - std::min(1.999, s.prior_draws(row, 0)));
        up.prior_draws(row, j) += h;
        down.prior_draws(row, j) -= h;
        const Array above = a.forward(up).simulations.prior_draws, under = a.forward(down).simulations.prior_draws;
        for (std::int64_t k = 0; k < 3; ++k) jacobian[k][j] = (above(row, k) - under(row, k)) / (2 * h);
      }
      const auto& m = jacobian;
      const double det = m[0][0] * (m[1][1] * m[2][2] - m[1][2] * m[2][1]) - m[0][1] * (m[1][0] * m[2][2] - m[1][2] * m[2][0]) +
                         m[0][2] * (m[1][0] * m[2][1] - m[1][1] * m[2][0]);
      EXPECT_NEAR(y.log_det[0](row), std::log(std::abs(det)), 1e-3) << a.to_string();
    }
  }
  EXPECT_GT(tried, 100);
}

TEST(Adapter, DensityOfNormalNumbersBehindStepsIntegratesToOne) {
  Adapter a{adapter::Bounds{.columns = {0}, .lower = {0.0}, .upper = {2.0}}, adapter::Bounds{.columns = {1}, .lower = {1.0}}};
  a.fit(simulate(100));
  // Columns one at a time: a grid over the support, edges included.
  const auto integral = [&](std::int64_t column, double low, double high) {
    constexpr std::int64_t kPoints = 20001;
    Simulations s;
    s.prior_draws = Array({kPoints, 3});
    for (std::int64_t i = 0; i < kPoints; ++i) {
      for (std::int64_t j = 0; j < 3; ++j) s.prior_draws(i, j) = j == 0 ? 1 : 2;
      s.prior_draws(i, column) = low + (high - low) * static_cast<double>(i) / (kPoints - 1);
    }
    const Adapted y = a.forward(s, Outside::allow);
    Simulations at;
    at.prior_draws = Array({1, 3});
    double sum = 0;
    for (std::int64_t i = 0; i < kPoints; ++i) {
      const double z = y.simulations.prior_draws(i, column);
      // The other columns add the same to every determinant; they are taken away by the determinant where z is that of the first point.
      const double other = column == 0 ? -std::log(2.0 - 1.0) : std::log(std::sqrt(2 * 3.141592653589793) / 2);
      sum +=
          std::exp(-0.5 * z * z - 0.5 * std::log(2 * 3.141592653589793) + y.log_det[0](i) - other) * (i == 0 || i == kPoints - 1 ? 0.5 : 1);
    }
    return sum * (high - low) / (kPoints - 1);
  };
  EXPECT_NEAR(integral(0, 0, 2), 1, 0.01);
  EXPECT_NEAR(integral(0, -1, 3), 1, 0.01);  // nothing outside
  EXPECT_NEAR(integral(1, 0, 60), 1, 0.01);
}

TEST(Adapter, OutsideOfBoundsIsRefusedInTrainingAndHasNoDensity) {
  Adapter a{adapter::Bounds{.columns = {0}, .lower = {0.0}, .upper = {2.0}}};
  a.fit(simulate(10), {"alpha", "b", "c"});
  Simulations s = simulate(4);
  s.prior_draws(2, 0) = 2.5;
  EXPECT_EQ(
      sentence<Error>([&] { (void)a.forward(s); }),
      "Adapter: step 1 (bounds of prior_draws): column 0 (alpha) = 2.5 in data set 2; it must be between 0 and 2: give the bounds of the "
      "prior, or check the prior");
  const Adapted y = a.forward(s, Outside::allow);
  EXPECT_EQ(y.log_det[0](2), -kInfinity);
  EXPECT_TRUE(std::isfinite(y.log_det[0](1)));
  EXPECT_TRUE(y.simulations.prior_draws.all_finite());
}

TEST(Adapter, StandardizeCountsNeitherPaddingNorMissingValuesAndNamesConstantColumns) {
  Simulations s = simulate(50);
  Array mask({50, 4}, 1.0);
  for (std::int64_t i = 0; i < 50; ++i) {
    mask(i, 3) = 0;
    s.sim_data(i, 3, 0) = 1e9;
    s.sim_data(i, 3, 1) = -1e9;
    s.sim_data(i, 1, 1) = 7;
    s.sim_data(i, 0, 1) = s.sim_data(i, 2, 1) = 7;
  }
  s.sim_data(0, 0, 0) = std::numeric_limits<double>::quiet_NaN();
  s.set(fields::sim_data_mask, mask);
  Adapter a{adapter::Standardize{.field = "sim_data"}};
  a.fit(s);
  const auto& step = std::get<adapter::Standardize>(a.steps()[0]);
  EXPECT_NEAR(step.location[0], 100, 5);
  EXPECT_NEAR(step.scale[0], 10, 3);
  EXPECT_EQ(step.scale[1], 1);
  ASSERT_EQ(a.notes().size(), 1U);
  EXPECT_EQ(
      a.notes()[0],
      "Adapter: step 1 (standardize of sim_data): column 1 is always 7 in the first simulations, so that it is shifted and not divided by "
      "anything: it tells nothing if it stays so.");
  const Adapted y = a.forward(s);
  EXPECT_EQ(y.simulations.sim_data(5, 3, 0), 1e9);  // padding stays as it is
  EXPECT_EQ(y.simulations.sim_data(5, 1, 1), 0);
}

TEST(Adapter, RobustSpreadsAreNotMovedByOutliers) {
  Simulations s = simulate(400);
  for (std::int64_t i = 0; i < 8; ++i) s.prior_draws(i, 2) = 1e6;
  for (const auto spread : {adapter::Spread::median_mad, adapter::Spread::quantiles}) {
    Adapter a{adapter::Standardize{.columns = {2}, .spread = spread}};
    a.fit(s);
    const auto& step = std::get<adapter::Standardize>(a.steps()[0]);
    EXPECT_NEAR(step.location[0], 10, 1);
    EXPECT_NEAR(step.scale[0], 5, 1);
  }
}

TEST(Adapter, WithoutStepsIsTheDefaultConfigurator) {
  Adapter a;
  const Simulations s = simulate(5);
  a.fit(s);
  const Batch got = a(s), want = default_configurator(s);
  for (const auto& [role, values] : want.entries()) EXPECT_EQ(got[role], values);
  EXPECT_EQ(got.entries().size(), want.entries().size());
}

TEST(Adapter, IsTheSameBehindItsText) {
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    Rng rng(seed, "pipelines");
    Adapter a = random_adapter(rng);
    EXPECT_EQ(Adapter::from_json(a.to_json()).to_json(), a.to_json());
    if (!fits(a, simulate(100))) continue;
    a.fit(simulate(100), {"a", "b", "c"});
    const Adapter b = Adapter::from_json(a.to_json());
    EXPECT_EQ(b.to_json(), a.to_json());
    EXPECT_EQ(b.forward(simulate(100)).simulations.prior_draws, a.forward(simulate(100)).simulations.prior_draws);  // bit for bit
    EXPECT_EQ(b.to_string(), a.to_string());
  }
}

TEST(Adapter, RefusesTextsThatAreNoAdapters) {
  Adapter a{adapter::Bounds{.columns = {0}, .lower = {0.0}, .upper = {2.0}}, adapter::Standardize{}};
  a.fit(simulate(10));
  const std::string good = a.to_json();
  const auto refused = [&](const std::string& from, const std::string& to) {
    std::string bad = good;
    const auto at = bad.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    bad.replace(at, from.size(), to);
    EXPECT_NE(sentence<Error>([&] { (void)Adapter::from_json(bad); }).find("the text is no adapter"), std::string::npos)
        << from << " -> " << to;
  };
  refused("\"bounds\"", "\"bound\"");
  refused("\"columns\":[0]", "\"columns\":[7]");
  refused("\"columns\":[0]", "\"columns\":[0,0]");
  refused("\"columns\":[0]", "\"columns\":[1e300]");
  refused("\"columns\":[0]", "\"columns\":0");
  refused("\"lower\":[0.0]", "\"lower\":[2.0]");
  refused("\"lower\":[0.0]", "\"lower\":[0,1,2,3]");
  refused("\"scale\":[", "\"scale\":[-1,");
  refused("\"scale\":[", "\"scale\":[0,");
  refused("\"location\":[", "\"location\":[1,");
  refused("\"widths\":[3,3]", "\"widths\":[3]");
  refused("\"widths\":[3,3]", "\"widths\":[3,-3]");
  refused("\"widths\":[3,3]", "\"widths\":[3,9000000000]");
  refused("\"pilot\":1024", "\"pilot\":-1");
  refused("\"spread\":\"mean_sd\"", "\"spread\":\"mean\"");
  refused("\"widths\"", "\"width\"");
  refused("\"given\"", "\"taken\"");
}

TEST(Adapter, ErrorsAreSentences) {
  const auto fit = [](Adapter a) { return sentence<Error>([&] { a.fit(simulate(10), {"a", "b", "c"}); }); };
  EXPECT_EQ(fit({adapter::Log{.names = {"d"}}}), "Adapter: step 1 (log of prior_draws): there is no column \"d\"; there are a, b, c");
  EXPECT_EQ(fit({adapter::Log{.field = "sim_data", .names = {"d"}}}),
            "Adapter: step 1 (log of sim_data): the columns of sim_data have no names, so that \"d\" cannot be found; give numbers of "
            "columns, or "
            "param_names to the prior");
  EXPECT_EQ(fit({adapter::Log{.columns = {3}}}), "Adapter: step 1 (log of prior_draws): there is no column 3; prior_draws has 3");
  EXPECT_EQ(fit({adapter::Log{.columns = {0, -3}}}),
            "Adapter: step 1 (log of prior_draws): column 0 (a) is named twice; name each column once");
  EXPECT_EQ(fit({adapter::Log{.field = "times"}}),
            "Adapter: step 1 (log of times): there is no times; there are prior_draws, sim_data. Give it, or name another field");
  EXPECT_NE(fit({adapter::Log{.columns = {2}}, adapter::Log{.columns = {2}}, adapter::Log{.columns = {2}}, adapter::Log{.columns = {2}}})
                .find("it must be above 0: take another step, or other columns"),
            std::string::npos);
  EXPECT_EQ(sentence<Error>([] { (void)Adapter{adapter::Bounds{}}; }),
            "Adapter: step 1 (bounds of prior_draws): it has no bounds; give lower, upper, or both");
  EXPECT_EQ(sentence<Error>([] { (void)Adapter{adapter::Bounds{.lower = {1.0}, .upper = {0.0}}}; }),
            "Adapter: step 1 (bounds of prior_draws): the lower bound 1 of the 1th column is not below the upper bound 0; exchange or "
            "correct them");
  EXPECT_EQ(
      fit({adapter::Bounds{.lower = {0.0, 1.0}}}),
      "Adapter: step 1 (bounds of prior_draws): lower holds 2 numbers, and the step acts on 3 columns; give one, or one for each column");
  Adapter a;
  EXPECT_NE(sentence<Error>([&] { (void)a.forward(simulate(3)); }).find("it is not fitted yet"), std::string::npos);
  a.fit(simulate(3));
  EXPECT_NE(sentence<Error>([&] { a.fit(simulate(3)); }).find("it is fitted already"), std::string::npos);
  EXPECT_NE(sentence<Error>([&] { a.add(adapter::Log{}); }).find("make another one"), std::string::npos);
  Adapter wide{adapter::Standardize{.field = "sim_data"}};
  wide.fit(simulate(5));
  Simulations other = simulate(5);
  other.sim_data = Array({5, 4, 3});
  EXPECT_EQ(sentence<Error>([&] { (void)wide.forward(other); }),
            "Adapter: step 1 (standardize of sim_data): sim_data of shape (5, 4, 3) has 3 columns; the adapter was fitted to 2");
}

TEST(Adapter, BoundsMayComeFromDataAndFromOtherParameters) {
  Simulations s = simulate(30);
  s.sim_batchable_context = Array({30});
  for (std::int64_t i = 0; i < 30; ++i) {
    (*s.sim_batchable_context)[i] = 3 + static_cast<double>(i);
    s.prior_draws(i, 2) = 1 + s.prior_draws(i, 0);  // above the first, below the context
  }
  Adapter a{
      adapter::Bounds{
          .columns = {2}, .lower_from = adapter::Column{"prior_draws", 0, "a"}, .upper_from = adapter::Column{"sim_batchable_context", 0}},
      adapter::Standardize{}};
  a.fit(s, {"a", "b", "c"});
  const Adapted y = a.forward(s);
  // Twelve draws of each data set, from anywhere.
  Rng rng(5, "draws");
  const Array draws = a.inverse(rng.normal({30, 12, 3}) * 4.0, y);
  for (std::int64_t i = 0; i < 30; ++i)
    for (std::int64_t k = 0; k < 12; ++k) {
      const bool possible = draws(i, k, 0) < (*s.sim_batchable_context)[i];
      if (!possible) continue;
      EXPECT_GT(draws(i, k, 2), draws(i, k, 0));
      EXPECT_LT(draws(i, k, 2), (*s.sim_batchable_context)[i]);
    }
}

/// Rows of numbers as a step takes them, behind it, and back; and the determinant by differences of the entries `free` of x, all others
/// being functions of these (`complete`).
void expect_exact(const Step& step, const Array& x, const std::vector<std::int64_t>& free,
                  const std::function<void(std::span<double> row)>& complete) {
  Simulations s;
  s.prior_draws = x;
  Adapter a{step};
  a.fit(s);
  const Adapted y = a.forward(s);
  ASSERT_EQ(y.simulations.prior_draws.dim(-1), static_cast<std::int64_t>(free.size()));
  const Array back = a.inverse(y.simulations.prior_draws, y);
  ASSERT_EQ(back.shape(), x.shape());
  for (std::int64_t i = 0; i < x.size(); ++i) EXPECT_NEAR(back[i], x[i], 1e-6 * std::max(1e-3, std::abs(x[i])));
  const auto n = free.size();
  for (std::int64_t row = 0; row < x.dim(0); ++row) {
    std::vector<double> m(n * n);
    for (std::size_t j = 0; j < n; ++j) {
      const double h = 1e-6 * std::max(0.1, std::abs(x(row, free[j])));
      Simulations up = s, down = s;
      for (auto [of, sign] : {std::pair{&up, 1.0}, std::pair{&down, -1.0}}) {
        of->prior_draws(row, free[j]) += sign * h;
        complete({of->prior_draws.data() + row * x.dim(1), static_cast<std::size_t>(x.dim(1))});
      }
      const Array above = a.forward(up).simulations.prior_draws, under = a.forward(down).simulations.prior_draws;
      for (std::size_t k = 0; k < n; ++k) m[k * n + j] = (above(row, k) - under(row, k)) / (2 * h);
    }
    double log_det = 0;  // by elimination with the largest pivots
    for (std::size_t c = 0; c < n; ++c) {
      std::size_t best = c;
      for (std::size_t r = c; r < n; ++r)
        if (std::abs(m[r * n + c]) > std::abs(m[best * n + c])) best = r;
      for (std::size_t k = 0; k < n; ++k) std::swap(m[best * n + k], m[c * n + k]);
      log_det += std::log(std::abs(m[c * n + c]));
      for (std::size_t r = c + 1; r < n; ++r)
        for (std::size_t k = n; k-- > c;) m[r * n + k] -= m[r * n + c] / m[c * n + c] * m[c * n + k];
    }
    EXPECT_NEAR(y.log_det[0](row), log_det, 1e-4);
  }
}

TEST(AdapterOfVectors, SimplexesAndOrderedNumbersAreExact) {
  Rng rng(1, "vectors");
  Array simplex({20, 4}), ordered({20, 3});
  for (std::int64_t i = 0; i < 20; ++i) {
    double sum = 0;
    for (std::int64_t k = 0; k < 4; ++k) sum += simplex(i, k) = std::exp(2 * rng.normal());
    for (std::int64_t k = 0; k < 4; ++k) simplex(i, k) /= sum;
    ordered(i, 0) = rng.normal();
    for (std::int64_t k = 1; k < 3; ++k) ordered(i, k) = ordered(i, k - 1) + std::exp(rng.normal());
  }
  expect_exact(adapter::Simplex{}, simplex, {0, 1, 2}, [](std::span<double> x) { x[3] = 1 - x[0] - x[1] - x[2]; });
  expect_exact(adapter::Ordered{}, ordered, {0, 1, 2}, [](std::span<double>) {});
}

TEST(AdapterOfVectors, MatricesAreExact) {
  Rng rng(2, "matrices");
  for (const std::int64_t d : {2, 3, 4}) {
    Array positive({10, d * d}), correlation({10, d * d});
    for (std::int64_t i = 0; i < 10; ++i) {
      Array l = rng.normal({d, d});
      for (std::int64_t k = 0; k < d; ++k) l(k, k) = 0.5 + std::abs(l(k, k));
      for (std::int64_t r = 0; r < d; ++r)
        for (std::int64_t c = 0; c < d; ++c) {
          double sum = 0;
          for (std::int64_t k = 0; k <= std::min(r, c); ++k) sum += l(r, k) * l(c, k);
          positive(i, r * d + c) = sum;
        }
      for (std::int64_t r = 0; r < d; ++r)
        for (std::int64_t c = 0; c < d; ++c)
          correlation(i, r * d + c) = positive(i, r * d + c) / std::sqrt(positive(i, r * d + r) * positive(i, c * d + c));
    }
    std::vector<std::int64_t> lower, strictly;
    for (std::int64_t r = 0; r < d; ++r)
      for (std::int64_t c = 0; c <= r; ++c) {
        lower.push_back(r * d + c);
        if (c < r) strictly.push_back(r * d + c);
      }
    const auto mirror = [d](std::span<double> x) {
      for (std::int64_t r = 0; r < d; ++r)
        for (std::int64_t c = 0; c < r; ++c) x[static_cast<std::size_t>(c * d + r)] = x[static_cast<std::size_t>(r * d + c)];
    };
    expect_exact(adapter::PositiveDefinite{}, positive, lower, mirror);
    expect_exact(adapter::Correlation{}, correlation, strictly, mirror);
  }
}

TEST(AdapterOfVectors, StandsAmongOtherColumnsAndRefusesWhatIsNoneOfItsKind) {
  Simulations s;
  s.prior_draws = Array::of({{7, 0.2, 0.3, 0.5, 9}, {8, 0.1, 0.1, 0.8, 9}});
  Adapter a{adapter::Simplex{.columns = {1, 2, 3}}, adapter::Standardize{.columns = {0}, .location = {1.0}, .scale = {2.0}}};
  a.fit(s, {"a", "p", "q", "r", "b"});
  const Adapted y = a.forward(s);
  EXPECT_EQ(y.simulations.prior_draws.dim(1), 4);
  EXPECT_EQ(y.simulations.prior_draws(0, 0), 3);
  EXPECT_EQ(y.simulations.prior_draws(0, 3), 9);
  const Array back = a.inverse(y.simulations.prior_draws, y);
  for (std::int64_t i = 0; i < back.size(); ++i) EXPECT_NEAR(back[i], s.prior_draws[i], 1e-12);
  EXPECT_EQ(a.to_string(),
            "1. simplex of prior_draws, column 1 (p), column 2 (q), column 3 (r)\n2. standardize of prior_draws, column 0 (a)\n");
  Rng rng(3, "draws");
  const Array draws = a.inverse(rng.normal({2, 100, 4}) * 20.0, y);
  for (std::int64_t i = 0; i < 200; ++i) {
    EXPECT_NEAR(draws[5 * i + 1] + draws[5 * i + 2] + draws[5 * i + 3], 1, 1e-12);
    for (std::int64_t k = 1; k < 4; ++k) EXPECT_GT(draws[5 * i + k], 0);
  }
  s.prior_draws(1, 1) = 0.2;
  EXPECT_EQ(sentence<Error>([&] { (void)a.forward(s); }),
            "Adapter: step 1 (simplex of prior_draws): the numbers 0.2, 0.1, 0.8 of data set 1 must not be negative, and sum to 1: check "
            "the prior, or "
            "name other columns");
  EXPECT_EQ(a.forward(s, Outside::allow).log_det[0](1), -kInfinity);
}

TEST(AdapterOfFields, ShapesWhatItIsTold) {
  Simulations s = simulate(6);
  s.sim_data = Array::arange(18).reshape({6, 3});
  s.set("group", Array::of({0, 2, 1, 2, 0, 1}));
  s.set("trial", Array::arange(6));
  Adapter a{adapter::AsSeries{}, adapter::OneHot{.field = "group"}, adapter::Broadcast{.field = "trial"},
            adapter::Join{.field = "sim_data", .fields = {"sim_data", "trial"}},
            adapter::Rename{.field = "group", .to = "direct_conditions"}};
  a.fit(s);
  const Batch batch = a(s);
  ASSERT_EQ(batch[roles::summary_conditions].shape(), (Shape{6, 3, 3}));
  EXPECT_EQ(batch[roles::summary_conditions](4, 1, 0), 13.0F);
  EXPECT_EQ(batch[roles::summary_conditions](4, 1, 1), 0.5F);  // the time
  EXPECT_EQ(batch[roles::summary_conditions](4, 1, 2), 4.0F);  // the trial
  ASSERT_EQ(batch[roles::direct_conditions].shape(), (Shape{6, 3}));
  EXPECT_EQ(batch[roles::direct_conditions](1, 2), 1.0F);
  EXPECT_EQ(batch[roles::direct_conditions](1, 0), 0.0F);

  for (Simulations::Further& f : s.further)
    if (f.name == "group") f.values[3] = 5;
  EXPECT_EQ(sentence<Error>([&] { (void)a(s); }),
            "Adapter: step 2 (one_hot of group): column 0 = 5 in row 3, which is none of the categories 0, 1, 2; name all of them, or "
            "leave such data "
            "out");
}

TEST(AdapterOfFields, FillsMissingValuesAndSaysWhereTheyWere) {
  Simulations s = simulate(50);
  s.sim_data(3, 1, 0) = std::numeric_limits<double>::quiet_NaN();
  Adapter a{adapter::Standardize{.field = "sim_data"}, adapter::FillMissing{.columns = {0}}};
  a.fit(s);
  const Array made = a.forward(s).simulations.sim_data;
  ASSERT_EQ(made.shape(), (Shape{50, 4, 3}));
  EXPECT_EQ(made(3, 1, 0), 0);
  EXPECT_EQ(made(3, 1, 2), 1);
  EXPECT_EQ(made(3, 2, 2), 0);
}

TEST(AdapterOfFields, JoinsAndDropsParametersBothWays) {
  Rng rng(4, "joined");
  Simulations s;
  s.sim_data = rng.normal({30, 2, 1});
  s.set("scale", Array::linspace(0.5, 3, 30));
  s.set("mean", rng.normal({30, 2}));
  Adapter a{adapter::Log{.field = "scale"}, adapter::Join{.fields = {"scale", "mean"}},
            adapter::Drop{.field = "prior_draws", .columns = {1}}, adapter::Standardize{}};
  a.fit(s);
  const Adapted y = a.forward(s);
  ASSERT_EQ(y.simulations.prior_draws.shape(), (Shape{30, 2}));
  const Array back = a.inverse(y.simulations.prior_draws, y);
  ASSERT_EQ(back.shape(), (Shape{30, 2}));
  for (std::int64_t i = 0; i < 30; ++i) {
    EXPECT_NEAR(back(i, 0), (*s.find("scale"))[i], 1e-12);
    EXPECT_NEAR(back(i, 1), (*s.find("mean"))(i, 1), 1e-12);
    const auto& step = std::get<adapter::Standardize>(a.steps()[3]);
    EXPECT_NEAR(y.log_det[0](i), -std::log((*s.find("scale"))[i]) - std::log(step.scale[0]) - std::log(step.scale[1]), 1e-12);
  }
  Simulations observed;
  observed.sim_data = s.sim_data;
  EXPECT_EQ(a.inverse(Array({30, 7, 2}), a.forward(observed)).shape(), (Shape{30, 7, 2}));
}

TEST(AdapterOfFields, AreTheSameBehindTheirText) {
  Simulations s = simulate(6);
  s.set("group", Array::of({0, 2, 1, 2, 0, 1}));
  Adapter a{adapter::OneHot{.field = "group"}, adapter::Rename{.field = "group", .to = "direct_conditions"}, adapter::FillMissing{},
            adapter::Split{.columns = {1}, .to = "other"}, adapter::Drop{.field = "other"}};
  a.fit(s);
  const Adapter b = Adapter::from_json(a.to_json());
  EXPECT_EQ(b.to_json(), a.to_json());
  const Batch want = a(s), got = b(s);
  for (const auto& [role, values] : want.entries()) EXPECT_TRUE(got[role] == values);
}

TEST(AdapterRegress, LeavesResidualsOfUnitCovariance) {
  Rng rng(7, "regress");
  Simulations s;
  const std::int64_t n = 4000;
  s.sim_data = rng.normal({n, 3}) * 2.0 + 1.0;
  s.prior_draws = Array({n, 2});
  for (std::int64_t i = 0; i < n; ++i) {
    const double e = rng.normal(), f = rng.normal();
    s.prior_draws(i, 0) = 5 + 3 * s.sim_data(i, 0) - s.sim_data(i, 2) + 0.1 * e;
    s.prior_draws(i, 1) = s.sim_data(i, 1) + 0.2 * (0.6 * e + 0.8 * f);
  }
  Adapter a{adapter::Regress{}, adapter::Rename{.field = "sim_data", .to = roles::direct_conditions}};
  a.fit(s);
  const Adapted y = a.forward(s);
  const Array& r = y.simulations.prior_draws;
  for (std::int64_t c = 0; c < 2; ++c) {
    EXPECT_NEAR(r.mean(0)[c], 0, 0.02);
    EXPECT_NEAR(r.std_along(0)[c], 1, 0.02);
  }
  EXPECT_NEAR((r.columns(0, 1) * r.columns(1, 2)).mean(), 0, 0.02);
  // log |det L^-1| of the true covariance: -log(0.1) - log(0.2 0.8)
  EXPECT_NEAR(y.log_det[0][0], -std::log(0.1) - std::log(0.16), 0.06);
  const Array back = a.inverse(r, y);
  for (std::int64_t i = 0; i < back.size(); ++i) ASSERT_NEAR(back[i], s.prior_draws[i], 1e-9);
  EXPECT_EQ(a.inverse(Array({n, 5, 2}), y).shape(), (Shape{n, 5, 2}));
  const Adapter b = Adapter::from_json(a.to_json());
  EXPECT_EQ(b.forward(s).simulations.prior_draws, r);
}

TEST(AdapterRegress, FollowsNoNoise) {
  // Forty columns that tell nothing, and sixty simulations: generalized cross-validation leaves next to nothing of the line.
  Rng rng(8, "regress");
  Simulations s;
  s.sim_data = rng.normal({60, 40});
  s.prior_draws = rng.normal({60, 1});
  Adapter a{adapter::Regress{}};
  a.fit(s);
  Simulations fresh;
  fresh.sim_data = rng.normal({2000, 40});
  fresh.prior_draws = rng.normal({2000, 1});
  EXPECT_LT(a.forward(fresh).simulations.prior_draws.std(), 1.35);
}

TEST(AdapterRegress, NeedsRowsOfData) {
  Simulations s = simulate(20);  // (batch, 4, 2)
  Adapter a{adapter::Regress{}};
  EXPECT_NE(sentence<ConfigurationError>([&] { a.fit(s); }).find("with one row of numbers for each data set"), std::string::npos);
  Adapter b{adapter::Regress{.on = "other"}};
  EXPECT_NE(sentence<ConfigurationError>([&] { b.fit(s); }).find("regresses on other"), std::string::npos);
}

}  // namespace
}  // namespace bayesflow
