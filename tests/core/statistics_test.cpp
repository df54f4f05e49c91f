/// The harness itself: it lets the right distribution pass and stops wrong ones.
#include <random>

#include "support_statistics.hpp"

namespace bayesflow {
namespace {

std::vector<double> normals(double mean, double scale) {
  std::mt19937_64 engine(1);
  std::normal_distribution<double> normal(mean, scale);
  std::vector<double> x(100000);
  for (double& v : x) v = normal(engine);
  return x;
}
double standard_cdf(double x) { return boost::math::cdf(boost::math::normal(), x); }

std::vector<std::int64_t> dice(double bias) {
  std::mt19937_64 engine(2);
  std::discrete_distribution<std::int64_t> die({1 + bias, 1, 1, 1, 1, 1 - bias});
  std::vector<std::int64_t> x(100000);
  for (std::int64_t& v : x) v = die(engine);
  return x;
}
double die_cdf(double k) { return std::clamp((std::floor(k) + 1) / 6, 0.0, 1.0); }

TEST(Statistics, TheRightDistributionPasses) {
  EXPECT_TRUE(follows(normals(0, 1), standard_cdf));
  EXPECT_TRUE(integers_follow(dice(0), die_cdf));
  EXPECT_TRUE(is_fraction(50200, 100000, 0.5));
}

TEST(Statistics, WrongDistributionsAreStopped) {
  EXPECT_FALSE(follows(normals(0.03, 1), standard_cdf));
  EXPECT_FALSE(follows(normals(0, 1.05), standard_cdf));
  EXPECT_FALSE(integers_follow(dice(0.07), die_cdf));
  EXPECT_FALSE(is_fraction(51000, 100000, 0.5));
}

}  // namespace
}  // namespace bayesflow
