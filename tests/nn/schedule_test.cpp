/// Learning rates as functions of the step.
#include "bayesflow/nn/schedule.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "bayesflow/core/errors.hpp"
#include "support/expect.hpp"

namespace bayesflow::nn {
namespace {

TEST(Schedule, Constant) {
  const Schedule s = constant(3e-4);
  for (const std::int64_t t : {0, 1, 1000000}) EXPECT_EQ(s(t), 3e-4);
}

TEST(Schedule, CosineFallsToZeroAndStaysThere) {
  const Schedule s = cosine(5e-4, 10000);
  EXPECT_EQ(s(0), 5e-4);
  EXPECT_NEAR(s(1000), 4.878e-4, 5e-8);  // 2.5e-4 (1 + cos(0.1 pi))
  EXPECT_NEAR(s(5000), 2.5e-4, 1e-18);
  EXPECT_EQ(s(10000), 0);
  EXPECT_EQ(s(20000), 0);
  for (std::int64_t t = 1; t <= 10000; t += 7) EXPECT_LT(s(t), s(t - 1));
}

TEST(Schedule, ExponentialMultipliesOncePerPeriod) {
  const Schedule s = exponential(1e-2, 0.5, 10);
  EXPECT_EQ(s(0), 1e-2);
  EXPECT_NEAR(s(5), 1e-2 * std::sqrt(0.5), 1e-16);
  EXPECT_NEAR(s(10), 5e-3, 1e-17);
  EXPECT_NEAR(s(40), 1e-2 / 16, 1e-17);
}

TEST(Schedule, PiecewiseChangesAtItsBoundaries) {
  const Schedule s = piecewise({3, 10}, {1e-2, 1e-3, 1e-4});
  for (std::int64_t t = 0; t < 20; ++t) EXPECT_EQ(s(t), t < 3 ? 1e-2 : t < 10 ? 1e-3 : 1e-4) << t;
  EXPECT_EQ(piecewise({}, {0.5})(7), 0.5);
}

TEST(Schedule, Errors) {
  const double inf = std::numeric_limits<double>::infinity();
  for (const auto& [rate, text] : {std::pair{0.0, "0"}, {-1.0, "-1"}, {inf, "inf"}, {std::nan(""), "nan"}}) {
    const std::string want = std::string("learning rate must be positive and finite; got ") + text;
    const double r = rate;
    EXPECT_EQ(sentence<ConfigurationError>([&] { (void)constant(r); }), want);
    EXPECT_EQ(sentence<ConfigurationError>([&] { (void)cosine(r, 5); }), want);
    EXPECT_EQ(sentence<ConfigurationError>([&] { (void)exponential(r, 0.5, 5); }), want);
    EXPECT_EQ(sentence<ConfigurationError>([&] { (void)piecewise({1}, {1e-3, r}); }), want);
  }
  EXPECT_EQ(sentence<ConfigurationError>([] { (void)cosine(1, 0); }), "a schedule needs at least one step; got 0");
  EXPECT_EQ(sentence<ConfigurationError>([] { (void)exponential(1, 0.5, -3); }), "a schedule needs at least one step; got -3");
  EXPECT_EQ(sentence<ConfigurationError>([] { (void)exponential(1, 0, 3); }), "exponential schedule: factor must be positive; got 0");
  const char* piecewise_needs = "piecewise schedule: needs ascending boundaries and one more rate than boundaries; got ";
  EXPECT_EQ(sentence<ConfigurationError>([] { (void)piecewise({1}, {1}); }), std::string(piecewise_needs) + "1 boundaries and 1 rates");
  EXPECT_EQ(sentence<ConfigurationError>([] {
              (void)piecewise({5, 2}, {1, 1, 1});
            }),
            std::string(piecewise_needs) + "2 boundaries and 3 rates");
}

}  // namespace
}  // namespace bayesflow::nn
