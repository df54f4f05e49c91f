#include "figures/geometry.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "bayesflow/core/errors.hpp"
#include "figures/contour.hpp"
#include "figures/ticks.hpp"

namespace bayesflow::figures {
namespace {

constexpr Rect kUnit{0, 0, 1, 1};

double area(const Path& ring) {
  double sum = 0;
  for (std::size_t i = 0; i < ring.size(); ++i) {
    const Position a = ring[i], b = ring[(i + 1) % ring.size()];
    sum += a.x * b.y - b.x * a.y;
  }
  return sum / 2;
}

TEST(Clip, PolylineKeepsWhatIsInside) {
  const auto parts = clip_polyline({{-1, 0.5}, {0.5, 0.5}, {0.5, 2}, {0.8, 2}, {0.8, 0.2}}, kUnit);
  ASSERT_EQ(parts.size(), 2U);
  EXPECT_EQ(parts[0], (Path{{0, 0.5}, {0.5, 0.5}, {0.5, 1}}));
  EXPECT_EQ(parts[1], (Path{{0.8, 1}, {0.8, 0.2}}));
  EXPECT_TRUE(clip_polyline({{-1, -1}, {-1, 2}}, kUnit).empty());
}

TEST(Clip, PolylineBreaksAtNaN) {
  EXPECT_EQ(clip_polyline({{0.1, 0.1}, {0.2, 0.2}, {NAN, 0.3}, {0.4, 0.4}, {0.5, 0.5}}, kUnit).size(), 2U);
}

TEST(Clip, RingKeepsTheCommonArea) {
  EXPECT_NEAR(std::abs(area(clip_ring({{0.5, 0.5}, {2, 0.5}, {2, 2}, {0.5, 2}}, kUnit))), 0.25, 1e-12);
  EXPECT_NEAR(std::abs(area(clip_ring({{-5, -5}, {5, -5}, {5, 5}, {-5, 5}}, kUnit))), 1, 1e-12);
  EXPECT_TRUE(clip_ring({{2, 2}, {3, 2}, {3, 3}}, kUnit).empty());
}

TEST(Thin, KeepsSpikesAndEnds) {
  Path path;
  for (int i = 0; i < 100000; ++i) path.push_back({i * 1e-3, i == 77777 ? 50.0 : i == 12345 ? -40.0 : 0.0});
  const Path thin = thin_polyline(path);
  EXPECT_LT(thin.size(), 2000U);
  EXPECT_EQ(thin.front(), path.front());
  EXPECT_EQ(thin.back(), path.back());
  const auto [low, high] = std::minmax_element(thin.begin(), thin.end(), [](Position a, Position b) { return a.y < b.y; });
  EXPECT_EQ(low->y, -40);
  EXPECT_EQ(high->y, 50);
}

TEST(Thin, LeavesCurvesThatTurnBackAlone) {
  Path circle;
  for (int i = 0; i < 100; ++i) circle.push_back({std::cos(0.0628 * i), std::sin(0.0628 * i)});
  EXPECT_EQ(thin_polyline(circle), circle);
}

Density density_of(double (*f)(double, double), std::int64_t n = 101) {
  Density d{.x_low = -2, .x_high = 2, .y_low = -2, .y_high = 2, .columns = n, .rows = n, .values = {}, .levels = {}};
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = 0; j < n; ++j)
      d.values.push_back(f(-2 + 4.0 * static_cast<double>(j) / 100, -2 + 4.0 * static_cast<double>(i) / 100));
  return d;
}

TEST(Contour, DiscHasTheAreaOfACircleAndRunsAnticlockwise) {
  const auto rings = contour_rings(density_of([](double x, double y) { return 4 - x * x - y * y; }), 3);
  ASSERT_EQ(rings.size(), 1U);
  EXPECT_NEAR(area(rings[0]) * 0.04 * 0.04, std::numbers::pi, 2e-3);
}

TEST(Contour, HoleRunsTheOtherWayRound) {
  const auto rings = contour_rings(density_of([](double x, double y) { return 10 - std::abs(std::hypot(x, y) - 1); }), 9.5);
  ASSERT_EQ(rings.size(), 2U);
  EXPECT_LT(area(rings[0]) * area(rings[1]), 0);
  EXPECT_NEAR((area(rings[0]) + area(rings[1])) * 0.04 * 0.04, std::numbers::pi * (1.5 * 1.5 - 0.5 * 0.5), 5e-3);
}

TEST(Contour, ClosesAtTheRim) {
  const auto rings = contour_rings(density_of([](double, double) { return 1.0; }), 0.5);
  ASSERT_EQ(rings.size(), 1U);
  EXPECT_NEAR(area(rings[0]), 101 * 101 - 0.5, 1e-9);  // half a cell beyond each side, corners cut
}

TEST(Contour, SaddleFollowsTheMiddle) {
  // Two peaks at opposite corners of a cell: joined if the middle is high, apart if it is low.
  Density d{.columns = 2, .rows = 2, .values = {1, 0.2, 0.2, 1}, .levels = {}};
  EXPECT_EQ(contour_rings(d, 0.5).size(), 1U);
  EXPECT_EQ(contour_rings(d, 0.7).size(), 2U);
  d.values = {0.2, 1, 1, 0.2};
  EXPECT_EQ(contour_rings(d, 0.5).size(), 1U);
  EXPECT_EQ(contour_rings(d, 0.7).size(), 2U);
}

TEST(Ticks, AreRoundFewAndInside) {
  for (const double low : {-1e7, -3.3, 0.0, 0.123, 97.0, 1e-9})
    for (const double range : {1e-7, 0.01, 0.37, 1.0, 9.9, 12345.0, 1e8})
      for (const int most : {2, 4, 7}) {
        const Ticks ticks = choose_ticks(low, low + range, most);
        EXPECT_LE(ticks.at.size(), static_cast<std::size_t>(most)) << low << " " << range;
        EXPECT_GE(ticks.at.size(), 2U) << low << " " << range << " " << most;  // one alone would tell no scale
        for (std::size_t i = 0; i < ticks.at.size(); ++i) {
          EXPECT_GE(ticks.at[i].position, low - 1e-6 * range);
          EXPECT_LE(ticks.at[i].position, low + range * (1 + 1e-6));
          if (i > 0) {
            EXPECT_NE(ticks.at[i].label, ticks.at[i - 1].label);
          }
        }
      }
}

TEST(Ticks, LabelsSayTheirPositions) {
  const Ticks plain = choose_ticks(-1, 1, 5);
  ASSERT_EQ(plain.at.size(), 5U);
  EXPECT_EQ(plain.at[0].label, "−1.0");
  EXPECT_EQ(plain.at[2].label, "0.0");
  EXPECT_EQ(plain.at[3].label, "0.5");
  EXPECT_EQ(plain.factor, "");
  const Ticks large = choose_ticks(0, 2.1e6, 5);
  EXPECT_EQ(large.factor, "$\\times 10^{6}$");
  EXPECT_EQ(large.at.back().label, "2.0");
  EXPECT_EQ(large.at.back().position, 2e6);
  EXPECT_EQ(choose_ticks(3, 3, 5).at.size(), 0U);
  const Ticks two = choose_ticks(-3.2, 3.4, 2);  // of steps of 5 there would be one tick, of steps of 2.5 three
  ASSERT_EQ(two.at.size(), 2U);
  EXPECT_EQ(two.at[0].label, "−2.5");
  EXPECT_EQ(two.at[1].label, "2.5");
  EXPECT_EQ(choose_ticks(-3.2, 3.4, 1).at.size(), 1U);
}

TEST(Color, MixesWithWhite) {
  EXPECT_EQ(mix_with_white("#8f2727", 1), "#8f2727");
  EXPECT_EQ(mix_with_white("#8f2727", 0), "#ffffff");
  EXPECT_EQ(mix_with_white("#000000", 0.5), "#808080");
}

TEST(Color, AnythingElseIsAnError) {
  for (const char* wrong : {"red", "#fff", "#12345g", "8f2727", "", "#8f2727\"/><script>"}) {
    try {
      require_color(wrong);
      FAIL() << wrong;
    } catch (const ArgumentError& e) {
      EXPECT_EQ(std::string(e.what()), "\"" + std::string(wrong) + "\" is not a colour; give \"#rrggbb\", for example \"#8f2727\"");
    }
  }
}

}  // namespace
}  // namespace bayesflow::figures
