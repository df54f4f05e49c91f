/// The rational-quadratic spline: golden numbers, extreme parameters, derivatives in double precision.
#include "autodiff/spline.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "bayesflow/autodiff/tape.hpp"
#include "bayesflow/core/rng.hpp"
#include "support/spline_twin.hpp"

namespace bayesflow {
namespace {

std::vector<double> doubles(const std::vector<float>& raw) { return {raw.begin(), raw.end()}; }

TEST(Spline, GoldenNumbersOfV1sParametrization) {
  ops::SplineOptions o = ops::v1_spline_options(2);
  o.log_offset = 0;
  const std::vector<float> raw = {0.5f, -0.25f, 0.3f, -0.2f, -0.1f, 0.4f, 0.7f};
  double work[15];
  const spline::Knots k = spline::make_knots(raw.data(), o, work);
  const double x[] = {-4.5, 0.7982521, 5.5997428}, y[] = {-5.25, -0.3492916, 5.0484845}, d[] = {1.0196779, 1.4951924, 1.0196779};
  for (int i = 0; i < 3; ++i) {
    EXPECT_NEAR(k.x[i], x[i], 2e-7);
    EXPECT_NEAR(k.y[i], y[i], 2e-7);
    EXPECT_NEAR(k.d[i], d[i], 2e-7);
  }
  const double at[] = {-6, -4.6, -1, 0, 2.5, 7};
  const double value[] = {-6.7795169, -5.3519678, -2.3650921, -1.3794851, 1.8519858, 6.4762959};
  const double slope[] = {0.0194868, 0.0194868, -0.1293681, 0.1155176, 0.1299728, 0.0194868};
  for (int i = 0; i < 6; ++i) {
    const spline::Value v = spline::forward(k, at[i]);
    EXPECT_NEAR(v.value, value[i], 2e-7) << at[i];
    EXPECT_NEAR(v.log_slope, slope[i], 1e-7) << at[i];
    EXPECT_NEAR(spline::inverse(k, v.value), at[i], 1e-13);
  }
}

TEST(Spline, ZeroParametersAreTheIdentityWhateverTheSmallestSizes) {
  for (const double least : {0.0, 1e-3, 0.5}) {
    for (const std::int64_t bins : {2, 3, 16}) {
      const ops::SplineOptions o{.bins = bins, .min_bin = least, .min_slope = least};
      const std::vector<float> raw(static_cast<std::size_t>(3 * bins + 1), 0.0f);
      std::vector<double> work(static_cast<std::size_t>(5 * (bins + 1)));
      const spline::Knots k = spline::make_knots(raw.data(), o, work.data());
      for (double u = -7; u <= 7; u += 0.37) {
        EXPECT_NEAR(spline::forward(k, u).value, u, 1e-12);
        EXPECT_NEAR(spline::forward(k, u).log_slope, 0, 1e-12);
      }
    }
  }
}

class ExtremeSpline : public testing::TestWithParam<double> {};
TEST_P(ExtremeSpline, IsFiniteIncreasingAndInvertible) {
  // Raw parameters of every size and sign, single outliers among zeros, and u on, next to and between the knots.
  const double size = GetParam();
  for (const std::int64_t bins : {2, 5, 16}) {
    const ops::SplineOptions o{.bins = bins};
    const auto width = static_cast<std::size_t>(3 * bins + 1);
    std::vector<double> work(5 * static_cast<std::size_t>(bins + 1)), scratch(work.size());
    for (int trial = 0; trial < 60; ++trial) {
      Rng rng(11, "extreme spline", static_cast<std::uint64_t>(trial));
      std::vector<float> raw(width, 0.0f);
      for (std::size_t i = 2; i < width; ++i)
        if (trial % 3 != 0 || rng.bernoulli(0.2))
          raw[i] = static_cast<float>(trial % 3 == 1 ? size * (rng.bernoulli(0.5) ? 1 : -1) : size * rng.normal());
      const spline::Knots k = spline::make_knots(raw.data(), o, work.data());
      std::vector<double> at;
      for (std::int64_t i = 0; i <= bins; ++i) {
        at.insert(at.end(), {std::nextafter(k.x[i], -INFINITY), k.x[i], std::nextafter(k.x[i], INFINITY)});
        if (i < bins)
          for (const double t : {1e-9, 0.01, 0.3, 0.5, 0.7, 0.99}) at.push_back(k.x[i] + t * k.w[i]);
      }
      at.insert(at.end(), {k.x[0] - 3, k.x[0] - 1e-3, k.x[bins] + 1e-3, k.x[bins] + 3});
      std::sort(at.begin(), at.end());
      double before = -INFINITY;
      const double scale_x = std::max({1.0, std::fabs(k.x[0]), std::fabs(k.x[bins])}),
                   scale_y = std::max({1.0, std::fabs(k.y[0]), std::fabs(k.y[bins])});
      for (const double u : at) {
        const spline::Value v = spline::forward(k, u);
        ASSERT_TRUE(std::isfinite(v.value) && std::isfinite(v.log_slope))
            << "size " << size << " bins " << bins << " trial " << trial << " u " << u;
        ASSERT_GE(v.value, before - 1e-14 * scale_y) << "size " << size << " bins " << bins << " trial " << trial << " u " << u;
        before = std::max(before, v.value);
        const double back = spline::inverse(k, v.value);
        ASSERT_TRUE(std::isfinite(back)) << "size " << size << " bins " << bins << " trial " << trial << " u " << u;
        const double slope = std::exp(std::max(v.log_slope, spline::forward(k, back).log_slope));
        // In y it is exact to what rounding leaves of slopes so different; in x as far as the slope lets it. Of slopes that differ by
        // eight orders nothing but order and finiteness can be asked.
        if (size <= 1e4) {
          ASSERT_NEAR(spline::forward(k, back).value, v.value, 1e-11 * scale_y + 1e-15 * slope * scale_x)
              << "size " << size << " bins " << bins << " trial " << trial << " u " << u;
        }
        if (size <= 10) {
          ASSERT_NEAR(back, u, 1e-6 * scale_x) << "size " << size << " bins " << bins << " trial " << trial;
        }
        std::vector<float> gradient(width, 0.0f);
        const double du = spline::backward(k, raw.data(), o, u, 0.7, -0.4, gradient.data(), scratch.data());
        ASSERT_TRUE(std::isfinite(du)) << "size " << size << " trial " << trial << " u " << u;
        for (const float g : gradient) ASSERT_TRUE(std::isfinite(g)) << "size " << size << " trial " << trial << " u " << u;
      }
    }
  }
}
INSTANTIATE_TEST_SUITE_P(Sizes, ExtremeSpline, testing::Values(1.0, 10.0, 100.0, 1e4, 1e8));

TEST(Spline, InverseNeverGivesNan) {
  // Also for values that no u maps to exactly, and parameters without smallest sizes.
  for (const ops::SplineOptions& o : {ops::SplineOptions{.bins = 8}, ops::v1_spline_options(8)}) {
    std::vector<double> work(45);
    for (int trial = 0; trial < 300; ++trial) {
      Rng rng(12, "inverse spline", static_cast<std::uint64_t>(trial));
      std::vector<float> raw(25);
      const double size = std::pow(10.0, rng.uniform(-1, o.min_bin > 0 ? 6 : 1.3));
      for (float& r : raw) r = static_cast<float>(size * rng.normal());
      const spline::Knots k = spline::make_knots(raw.data(), o, work.data());
      for (int i = 0; i < 50; ++i) {
        const double v = k.y[0] + rng.uniform(-0.1, 1.1) * (k.y[8] - k.y[0]);
        ASSERT_TRUE(std::isfinite(spline::inverse(k, v))) << trial;
      }
    }
  }
}

TEST(Spline, DerivativesInDoublePrecision) {
  // Against central differences of the twin, which knows nothing of float32: to 1e-6 where the op's own check sees 1e-3.
  double worst = 0;
  for (int trial = 0; trial < 40; ++trial) {
    for (ops::SplineOptions o : {ops::SplineOptions{.bins = 5}, ops::v1_spline_options(4)}) {
      Rng rng(13, "spline derivatives", static_cast<std::uint64_t>(trial));
      const auto width = static_cast<std::size_t>(3 * o.bins + 1);
      std::vector<float> raw(width);
      for (float& r : raw) r = static_cast<float>(rng.normal());
      const double u = rng.normal(0, 4), dv = rng.normal(), dl = rng.normal();
      std::vector<double> work(5 * static_cast<std::size_t>(o.bins + 1)), scratch(work.size());
      const spline::Knots k = spline::make_knots(raw.data(), o, work.data());
      std::vector<float> gradient(width, 0.0f);
      const double du = spline::backward(k, raw.data(), o, u, dv, dl, gradient.data(), scratch.data());
      const auto loss = [&](std::vector<double> r, double at) {
        const support::SplineTwin twin(r, o);
        return dv * twin.value(at) + dl * twin.log_slope(at);
      };
      const double h = 1e-5;
      const auto compare = [&](double got, double plus, double minus, double plus2, double minus2) {
        const double want = (8 * (plus - minus) - (plus2 - minus2)) / (12 * h);
        worst = std::max(worst, std::fabs(got - want) / std::max(1.0, std::fabs(want)));
      };
      const std::vector<double> r = doubles(raw);
      compare(du, loss(r, u + h), loss(r, u - h), loss(r, u + 2 * h), loss(r, u - 2 * h));
      for (std::size_t i = 0; i < width; ++i) {
        const auto moved = [&](double by) {
          std::vector<double> m = r;
          m[i] += by;
          return loss(m, u);
        };
        compare(static_cast<double>(gradient[i]), moved(h), moved(-h), moved(2 * h), moved(-2 * h));
      }
    }
  }
  EXPECT_LT(worst, 1e-6);
}

TEST(Spline, SmallestSizesHold) {
  const ops::SplineOptions o{.bins = 4, .min_bin = 0.1, .min_slope = 0.05};
  std::vector<float> raw(13, -1e6f);
  raw[0] = raw[1] = 0;
  double work[25];
  const spline::Knots k = spline::make_knots(raw.data(), o, work);
  for (int i = 0; i < 4; ++i) {
    EXPECT_DOUBLE_EQ(k.w[i], 0.25);  // a tenth of 10 / 4
    EXPECT_DOUBLE_EQ(k.h[i], 0.25);
    if (i > 0) {
      EXPECT_DOUBLE_EQ(k.d[i], 0.05);
    }
  }
}

}  // namespace
}  // namespace bayesflow
