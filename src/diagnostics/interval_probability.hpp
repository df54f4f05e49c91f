/// Exact probabilities that binomial counts stay within limits at all of several points: the ground of the simultaneous bands.
#pragma once

#include <cstdint>
#include <vector>

namespace bayesflow::diagnostics {

/// Limits, ends included, for cell k of a multinomial(n, cells): of its count and of the count of cells 0 ... k.
struct CountLimits {
  std::vector<std::int64_t> count_low, count_high;  ///< empty: none
  std::vector<std::int64_t> total_low, total_high;  ///< empty: none
};

/// Probability that the counts of n independent draws in cells (probabilities that sum to one) keep within all limits.
///
/// Counts that are Poisson(n p_k) independently, given that they add up to n, are multinomial. So the recursion over cells
///   f_k(total) = sum_m f_{k-1}(total - m) Poisson(m; n p_k),   only for m and total within the limits,
/// divided by Poisson(n; n) at the end, gives the probability exactly; a step is a convolution of two short vectors.
double probability_within(std::int64_t n, const std::vector<double>& cells, const CountLimits& limits);

/// Tail probabilities of Binomial(n, p) around its mean, summed from the far ends so that small ones are accurate.
class BinomialTails {
 public:
  BinomialTails(std::int64_t n, double p);
  [[nodiscard]] double below(std::int64_t k) const;  ///< P(X <= k)
  [[nodiscard]] double above(std::int64_t k) const;  ///< P(X >= k)
  /// The counts at which both tails exceed gamma / 2.
  [[nodiscard]] std::int64_t low(double gamma) const;
  [[nodiscard]] std::int64_t high(double gamma) const;

 private:
  std::int64_t n_, first_;
  std::vector<double> below_, above_;  // for first_, first_ + 1, ...
};

/// The largest gamma (up to rounding) for which `coverage(gamma)`, which falls with gamma in steps, is at least `confidence`.
/// `same(a, b)` says whether two gammas give the same limits. Returns gamma and its coverage.
template <class Coverage, class Same>
std::pair<double, double> largest_gamma(double confidence, double low, double high, Coverage&& coverage, Same&& same);

}  // namespace bayesflow::diagnostics

#include <algorithm>
#include <cmath>

namespace bayesflow::diagnostics {

template <class Coverage, class Same>
std::pair<double, double> largest_gamma(double confidence, double low, double high, Coverage&& coverage, Same&& same) {
  double at_high = coverage(high);
  if (at_high >= confidence) return {high, at_high};
  double at_low = coverage(low);
  while (at_low < confidence && low > 1e-14) {
    high = low;
    at_high = at_low;
    low /= 16;
    at_low = coverage(low);
  }
  // log(1 - coverage) is almost linear in log gamma: secant steps, kept inside, and halving where they hardly move.
  for (int i = 0; i < 60 && high > 1.0002 * low && !same(low, high); ++i) {
    const double x0 = std::log(low), x1 = std::log(high);
    const double y0 = std::log(std::max(1 - at_low, 1e-15)), y1 = std::log(std::max(1 - at_high, 1e-15)), y = std::log(1 - confidence);
    double t = (y - y0) / std::max(y1 - y0, 1e-15);
    t = i % 2 ? 0.5 : std::clamp(t, 0.02, 0.98);
    const double middle = std::exp(x0 + t * (x1 - x0)), at = coverage(middle);
    if (at >= confidence) {
      low = middle;
      at_low = at;
      if (at < confidence + 1e-4) break;  // finer than anyone can see
    } else {
      high = middle;
      at_high = at;
    }
  }
  return {low, at_low};
}

}  // namespace bayesflow::diagnostics
