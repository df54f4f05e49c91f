#include "diagnostics/interval_probability.hpp"

#include <cmath>

#include "diagnostics/numbers.hpp"
#include "diagnostics/special.hpp"

namespace bayesflow::diagnostics {
namespace {

struct Weights {
  std::int64_t first = 0;
  std::vector<double> w;  // Poisson(first), Poisson(first + 1), ...
};

/// Poisson probabilities above 1e-17 times the largest.
Weights poisson(double mean) {
  if (mean <= 0) return {0, {1.0}};
  const auto mode = static_cast<std::int64_t>(std::floor(mean));
  const double top = std::exp(real(mode) * std::log(mean) - mean - log_gamma(real(mode) + 1)), floor = 1e-17 * top;
  std::vector<double> down, up{top};
  double v = top;
  for (std::int64_t m = mode; m > 0 && (v *= real(m) / mean) > floor; --m) down.push_back(v);
  v = top;
  for (std::int64_t m = mode + 1; (v *= mean / real(m)) > floor; ++m) up.push_back(v);
  Weights out{mode - static_cast<std::int64_t>(down.size()), {down.rbegin(), down.rend()}};
  out.w.insert(out.w.end(), up.begin(), up.end());
  return out;
}

}  // namespace

double probability_within(std::int64_t n, const std::vector<double>& cells, const CountLimits& limits) {
  std::vector<double> f{1.0}, next;
  std::int64_t first = 0;  // f[i] belongs to the total first + i
  double previous = -1;
  Weights weights;
  double below = 0;  // probability of the cells so far
  for (std::size_t k = 0; k < cells.size(); ++k) {
    if (cells[k] != previous) weights = poisson(real(n) * cells[k]);
    previous = cells[k];
    std::int64_t m_low = weights.first, m_high = weights.first + static_cast<std::int64_t>(weights.w.size()) - 1;
    if (!limits.count_low.empty()) {
      m_low = std::max(m_low, limits.count_low[k]);
      m_high = std::min(m_high, limits.count_high[k]);
    }
    const std::int64_t last = first + static_cast<std::int64_t>(f.size()) - 1;
    std::int64_t low = first + m_low, high = std::min(n, last + m_high);
    if (!limits.total_low.empty()) {
      low = std::max(low, limits.total_low[k]);
      high = std::min(high, limits.total_high[k]);
    }
    // Totals that a binomial count takes with less than about 1e-18 are left out.
    below += cells[k];
    const double centre = real(n) * below, reach = 9 * std::sqrt(std::max(0.0, centre * (1 - below))) + 20;
    low = std::max(low, static_cast<std::int64_t>(centre - reach));
    high = std::min(high, static_cast<std::int64_t>(centre + reach));
    if (m_low > m_high || low > high) return 0;
    next.assign(index(high - low + 1), 0.0);
    // One vector addition per old total.
    for (std::int64_t t = first; t <= last; ++t) {
      const std::int64_t a = std::max(low, t + m_low), b = std::min(high, t + m_high);
      const double factor = f[index(t - first)];
      const double* w = weights.w.data() - weights.first - t;
      double* to = next.data() - low;
      for (std::int64_t u = a; u <= b; ++u) to[u] += factor * w[u];
    }
    f.swap(next);
    first = low;
  }
  if (n < first || n > first + static_cast<std::int64_t>(f.size()) - 1) return 0;
  const double given = std::exp(real(n) * std::log(real(n)) - real(n) - log_gamma(real(n) + 1));
  return std::min(1.0, f[index(n - first)] / given);
}

BinomialTails::BinomialTails(std::int64_t n, double p) : n_(n), first_(0) {
  if (p >= 1) {
    first_ = n;
    below_ = above_ = {1.0};
    return;
  }
  const std::int64_t mode = std::min(n, static_cast<std::int64_t>(std::floor(real(n + 1) * p)));
  const double top = binomial_pmf(mode, n, p), odds = p / (1 - p), floor = 1e-25 * top;
  std::vector<double> down, up{top};
  double v = top;
  for (std::int64_t k = mode; k > 0 && (v *= real(k) / (real(n - k + 1) * odds)) > floor; --k) down.push_back(v);
  v = top;
  for (std::int64_t k = mode + 1; k <= n && (v *= odds * real(n - k + 1) / real(k)) > floor; ++k) up.push_back(v);
  first_ = mode - static_cast<std::int64_t>(down.size());
  below_.assign(down.rbegin(), down.rend());
  below_.insert(below_.end(), up.begin(), up.end());
  above_ = below_;
  for (std::size_t i = 1; i < below_.size(); ++i) below_[i] += below_[i - 1];
  for (std::size_t i = above_.size() - 1; i-- > 0;) above_[i] += above_[i + 1];
}

double BinomialTails::below(std::int64_t k) const {
  if (k < first_) return 0;
  return below_[std::min(index(k - first_), below_.size() - 1)];
}
double BinomialTails::above(std::int64_t k) const {
  if (k > n_ || k - first_ >= static_cast<std::int64_t>(above_.size())) return 0;
  return above_[index(std::max<std::int64_t>(0, k - first_))];
}
std::int64_t BinomialTails::low(double gamma) const {
  return first_ + (std::upper_bound(below_.begin(), below_.end(), gamma / 2) - below_.begin());
}
std::int64_t BinomialTails::high(double gamma) const {
  // above_ falls: the last count whose upper tail is still larger.
  const auto after = std::lower_bound(above_.begin(), above_.end(), gamma / 2, [](double tail, double g) { return tail > g; });
  return first_ + (after - above_.begin()) - 1;
}

}  // namespace bayesflow::diagnostics
