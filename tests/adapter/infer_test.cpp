/// What Adapter::infer sees in pilot draws.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "bayesflow/adapter/adapter.hpp"
#include "bayesflow/core/errors.hpp"
#include "bayesflow/core/rng.hpp"
#include "support/expect.hpp"

namespace bayesflow {
namespace {

using Draw = std::function<void(Rng& rng, std::vector<double>& row)>;

Simulations pilot_of(const Draw& draw, std::int64_t n = 1000, std::uint64_t seed = 1) {
  Rng rng(seed, "pilot");
  std::vector<double> all, row;
  for (std::int64_t i = 0; i < n; ++i) {
    row.clear();
    draw(rng, row);
    all.insert(all.end(), row.begin(), row.end());
  }
  Simulations s;
  s.prior_draws = Array({n, static_cast<std::int64_t>(row.size())});
  std::copy(all.begin(), all.end(), s.prior_draws.data());
  s.sim_data = Rng(seed, "data").normal({n, 3, 1});
  return s;
}

/// Draws of any network lie within the limits of each column.
void expect_draws_within(const Adapter& inferred, const Simulations& s, const std::vector<std::pair<double, double>>& limits) {
  Adapter a = inferred;
  a.fit(s);
  const Adapted y = a.forward(s);
  EXPECT_TRUE(y.simulations.prior_draws.all_finite());
  const std::int64_t rows = y.simulations.prior_draws.dim(0), width = y.simulations.prior_draws.dim(1);
  const Array back = a.inverse(y.simulations.prior_draws, y);
  for (std::int64_t i = 0; i < back.size(); ++i) ASSERT_NEAR(back[i], s.prior_draws[i], 1e-6 * std::max(1e-3, std::abs(s.prior_draws[i])));
  const Array draws = a.inverse(Rng(2, "draws").normal({rows, 20, width}) * 5.0, y);
  for (std::int64_t row = 0; row < rows * 20; ++row)
    for (std::size_t c = 0; c < limits.size(); ++c) {
      const double x = draws[row * draws.dim(2) + static_cast<std::int64_t>(c)];
      ASSERT_TRUE(x >= limits[c].first && x <= limits[c].second) << "column " << c << ": " << x;
    }
}

constexpr double kInfinity = std::numeric_limits<double>::infinity();

TEST(AdapterInfer, TellsEdgesFromTailsAndLeavesRoom) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const Simulations s = pilot_of(
        [](Rng& rng, std::vector<double>& row) {
          row = {2 + 3 * rng.uniform(), rng.normal(), std::exp(1.5 * rng.normal()), std::abs(rng.normal()), rng.normal() / rng.normal()};
        },
        1000, seed);
    const Adapter a = Adapter::infer(s, {.param_names = {"u", "n", "l", "h", "c"}});
    std::vector<const adapter::Bounds*> of(5, nullptr);
    for (const adapter::Step& step : a.steps())
      if (const auto* bounds = std::get_if<adapter::Bounds>(&step)) of[static_cast<std::size_t>(bounds->columns.at(0))] = bounds;
    ASSERT_TRUE(of[0] && of[2] && of[3]) << "seed " << seed;
    EXPECT_FALSE(of[1] || of[4]) << "seed " << seed;
    EXPECT_LT(of[0]->lower.at(0), 2.0);
    EXPECT_GT(of[0]->lower.at(0), 1.7);
    EXPECT_GT(of[0]->upper.at(0), 5.0);
    EXPECT_LT(of[0]->upper.at(0), 5.3);
    EXPECT_EQ(of[2]->lower.at(0), 0.0);
    EXPECT_LT(of[3]->lower.at(0), 0.0);
    EXPECT_TRUE(of[3]->upper.empty());
    expect_draws_within(a, s, {{1.7, 5.3}, {-kInfinity, kInfinity}, {0, kInfinity}});
  }
}

TEST(AdapterInfer, TakesTheStatedSupportAsItIs) {
  const Simulations s = pilot_of([](Rng& rng, std::vector<double>& row) { row = {rng.uniform(), std::abs(rng.normal()), rng.normal()}; });
  const std::vector<std::optional<Support>> stated = {Support{0.0, 1.0}, Support{0.0, std::nullopt}, Support{}};
  const Adapter a = Adapter::infer(s, {.param_names = {"p", "s", "m"}, .support = stated});
  expect_draws_within(a, s, {{0, 1}, {0, kInfinity}});
  EXPECT_EQ(a.inferred().at(0), "prior_draws, column 0 (p): between 0 and 1, as stated");
  EXPECT_EQ(a.inferred().at(2), "prior_draws, column 2 (m): any number, as stated");
  EXPECT_EQ(Adapter::from_json(a.to_json()).inferred(), a.inferred());
  const std::vector<std::optional<Support>> narrow = {Support{0.5, 1.0}, {}, {}};
  EXPECT_NE(sentence<Error>([&] {
              (void)Adapter::infer(s, {.support = narrow});
            }).find("is stated to be between 0.5 and 1, and its draws are from"),
            std::string::npos);
  EXPECT_EQ(sentence<Error>([&] { (void)Adapter::infer(s, {.support = {std::optional(Support{})}}); }),
            "Adapter::infer: the support is stated of 1 columns, and prior_draws has 3; state one for each, or none");
}

TEST(AdapterInfer, FindsSimplexesOrderConstantsAndCopies) {
  const Simulations s = pilot_of([](Rng& rng, std::vector<double>& row) {
    const double a = -std::log(rng.uniform()), b = -std::log(rng.uniform()), c = -std::log(rng.uniform());
    const double x = rng.normal(), y = rng.normal();
    row = {a / (a + b + c), b / (a + b + c), c / (a + b + c), 7.0, std::min(x, y), std::max(x, y), std::min(x, y), 100 + x};
  });
  Adapter a = Adapter::infer(s);
  a.fit(s);
  const Adapted y = a.forward(s);
  EXPECT_EQ(y.simulations.prior_draws.dim(1), 2 + 2 + 1);  // not the constant, and not the copy
  const Array draws = a.inverse(Rng(2, "draws").normal({1000, 5}) * 4.0, y);
  ASSERT_EQ(draws.shape(), (Shape{1000, 6}));
  for (std::int64_t i = 0; i < 1000; ++i) {
    EXPECT_NEAR(draws(i, 0) + draws(i, 1) + draws(i, 2), 1, 1e-12);
    EXPECT_GE(draws(i, 4), draws(i, 3));
  }
  std::string all;
  for (const std::string& sentence : a.inferred()) all += sentence + "\n";
  for (const char* part : {"column 0, prior_draws, column 1, prior_draws, column 2: not negative, and 3 columns sum to 1: a simplex",
                           "column 3: always 7: not learnt", "column 6: a copy of column 4", "column 5: above column 4"})
    EXPECT_NE(all.find(part), std::string::npos) << part << "\n" << all;
}

TEST(AdapterInfer, ScalesDataAsTheyAre) {
  Simulations s = pilot_of([](Rng& rng, std::vector<double>& row) { row = {rng.normal()}; });
  Rng rng(7, "columns");
  s.sim_data = Array({1000, 3, 5});
  for (std::int64_t i = 0; i < 3000; ++i) {
    double* row = s.sim_data.data() + 5 * i;
    row[0] = std::floor(std::exp(3 + rng.normal()));
    row[1] = std::exp(rng.normal());
    row[2] = rng.normal() / rng.normal();
    row[3] = rng.uniform() < 0.1 ? std::numeric_limits<double>::quiet_NaN() : 50 + rng.normal();
    row[4] = 1;
  }
  Adapter a = Adapter::infer(s);
  a.fit(s);
  const Array made = a.forward(s).simulations.sim_data;
  EXPECT_EQ(made.dim(2), 6);  // an indicator of the column that misses some
  EXPECT_TRUE(made.all_finite());
  std::string all;
  for (const std::string& sentence : a.inferred()) all += sentence + "\n";
  for (const char* part : {"column 0: counts, skewed: log(1 + x)", "column 1: positive and skewed", "column 2: heavy tails",
                           "column 3: missing values", "column 4: always 1"})
    EXPECT_NE(all.find(part), std::string::npos) << part << "\n" << all;
}

TEST(AdapterInfer, RefusesWhatCannotBeLearnt) {
  const auto refusal = [](const Draw& draw) { return sentence<Error>([&] { (void)Adapter::infer(pilot_of(draw, 300)); }); };
  EXPECT_NE(refusal([](Rng&, std::vector<double>& row) { row = {1.0}; }).find("every column of prior_draws is constant"),
            std::string::npos);
  EXPECT_NE(refusal([](Rng& rng, std::vector<double>& row) {
              row = {rng.uniform() < 0.5 ? kInfinity : rng.normal()};
            }).find("column 0 of prior_draws holds infinities"),
            std::string::npos);
  Simulations none;
  none.sim_data = Array({5, 2, 1});
  EXPECT_NE(sentence<Error>([&] { (void)Adapter::infer(none); }).find("there is no prior_draws"), std::string::npos);
}

}  // namespace
}  // namespace bayesflow
