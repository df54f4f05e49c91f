/// Tests of samples against exact distributions, each with a false-alarm rate of at most one in a million per call. Seeds are
/// fixed, so an alarm is either always there or never.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <boost/math/distributions/chi_squared.hpp>
#include <boost/math/distributions/normal.hpp>
#include <cmath>
#include <cstdint>
#include <functional>
#include <vector>

namespace bayesflow {

inline constexpr double kFalseAlarm = 1e-6;

/// sup |F_n - F| over every 40th number of the sample (exact distribution functions are slow), times sqrt(n).
inline double kolmogorov_distance(std::vector<double> sample, const std::function<double(double)>& cdf) {
  std::sort(sample.begin(), sample.end());
  const auto n = static_cast<double>(sample.size());
  double distance = 0;
  for (std::size_t i = 0; i < sample.size(); i += 40) {
    const double f = cdf(sample[i]), at = static_cast<double>(i);
    distance = std::max({distance, f - at / n, (at + 1) / n - f});
  }
  return distance * std::sqrt(n);
}

/// Kolmogorov's test of a continuous distribution. P(sqrt(n) sup |F_n - F| > c) <= 2 exp(-2 c^2) for every n (Massart 1990, "The
/// tight constant in the Dvoretzky-Kiefer-Wolfowitz inequality").
inline bool follows(const std::vector<double>& sample, const std::function<double(double)>& cdf) {
  return kolmogorov_distance(sample, cdf) <= std::sqrt(0.5 * std::log(2 / kFalseAlarm));
}

/// Pearson's test of counts against probabilities. Cells with fewer than 50 expected counts are put together with their
/// neighbours, so that the chi-square law holds far out.
inline bool counts_follow(const std::vector<std::int64_t>& counts, const std::vector<double>& probabilities) {
  double total = 0, statistic = 0, count = 0, expected = 0, sum = 0;
  for (const std::int64_t c : counts) total += static_cast<double>(c);
  for (const double p : probabilities) sum += p;
  if (std::fabs(sum - 1) > 1e-9) ADD_FAILURE() << "probabilities sum to " << sum;
  int cells = 0;
  double last_count = 0, last_expected = 0;  // of the latest cell, which takes what is left over at the end
  for (std::size_t i = 0; i < counts.size(); ++i) {
    count += static_cast<double>(counts[i]);
    expected += total * probabilities[i];
    if (expected < 50) continue;
    if (cells++) statistic += (last_count - last_expected) * (last_count - last_expected) / last_expected;
    last_count = count, last_expected = expected;
    count = expected = 0;
  }
  last_count += count, last_expected += expected;
  statistic += (last_count - last_expected) * (last_count - last_expected) / last_expected;
  if (cells < 2) {
    ADD_FAILURE() << "too few counts for a test";
    return false;
  }
  return boost::math::cdf(boost::math::complement(boost::math::chi_squared(cells - 1), statistic)) > kFalseAlarm;
}

/// Pearson's test of integers against an exact cumulative distribution function, in about `cells` cells of equal probability.
inline bool integers_follow(const std::vector<std::int64_t>& sample, const std::function<double(double)>& cdf, int cells = 60) {
  // Edges from the sample's own quantiles would bias the test; they come from the cdf, by bisection between the extremes.
  const auto [low, high] = std::minmax_element(sample.begin(), sample.end());
  std::vector<double> edges;
  for (int i = 1; i < cells; ++i) {
    const double p = static_cast<double>(i) / cells;
    std::int64_t a = *low - 1, b = *high;  // smallest k in (a, b] with cdf(k) >= p, or the largest integer drawn
    while (b - a > 1) {
      const std::int64_t middle = a + (b - a) / 2;
      (cdf(static_cast<double>(middle)) >= p ? b : a) = middle;
    }
    const auto edge = static_cast<double>(b);
    if (edges.empty() || edge > edges.back()) edges.push_back(edge);
  }
  std::vector<std::int64_t> counts(edges.size() + 1);
  std::vector<double> probabilities;
  double below = 0;
  for (const double edge : edges) {
    const double f = cdf(edge);
    probabilities.push_back(f - below);
    below = f;
  }
  probabilities.push_back(1 - below);
  for (const std::int64_t k : sample)
    ++counts[static_cast<std::size_t>(std::lower_bound(edges.begin(), edges.end(), static_cast<double>(k)) - edges.begin())];
  return counts_follow(counts, probabilities);
}

/// True if a standard normal statistic is not further out than once in a million.
inline bool is_standard_normal(double z) { return std::fabs(z) < boost::math::quantile(boost::math::normal(), 1 - kFalseAlarm / 2); }

/// True if `hits` of n events fit a probability (normal approximation: n p (1 - p) should be large).
inline bool is_fraction(std::int64_t hits, std::int64_t n, double p) {
  return is_standard_normal((static_cast<double>(hits) - static_cast<double>(n) * p) / std::sqrt(static_cast<double>(n) * p * (1 - p)));
}

}  // namespace bayesflow
