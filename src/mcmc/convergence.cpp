#include "bayesflow/mcmc/convergence.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "bayesflow/core/errors.hpp"

namespace bayesflow::mcmc {
namespace {

using Chains = std::vector<std::vector<double>>;

void check(const Array& draws, const char* what) {
  if (draws.rank() != 2 || draws.dim(0) < 2 || draws.dim(1) < 4)
    throw ShapeError(
        fmt::format("{}: needs draws (chains, n) with at least 2 chains of at least 4; got {}", what, draws.shape().to_string()));
}

/// Each chain as two; the middle one of an odd number is left out.
Chains halves(const Array& draws) {
  const std::int64_t n = draws.dim(1), half = n / 2;
  Chains out;
  for (std::int64_t c = 0; c < draws.dim(0); ++c)
    for (const std::int64_t first : {std::int64_t{0}, n - half}) {
      const double* from = draws.data() + c * n + first;
      out.emplace_back(from, from + half);
    }
  return out;
}

bool is_varied(const Chains& chains) {
  const double first = chains[0][0];
  bool varied = false;
  for (const auto& chain : chains)
    for (const double x : chain) {
      if (!std::isfinite(x)) return false;
      varied = varied || x != first;
    }
  return varied;
}

/// Quantile function of the standard normal: Acklam's rational approximation with one step of Halley's method, full double precision.
double normal_quantile(double p) {
  const double low = 0.02425;
  const auto tail = [](double q) {
    return (((((-7.784894002430293e-03 * q - 3.223964580411365e-01) * q - 2.400758277161838) * q - 2.549732539343734) * q +
             4.374664141464968) *
                q +
            2.938163982698783) /
           ((((7.784695709041462e-03 * q + 3.224671290700398e-01) * q + 2.445134137142996) * q + 3.754408661907416) * q + 1);
  };
  double x = 0;
  if (p < low) {
    x = tail(std::sqrt(-2 * std::log(p)));
  } else if (p > 1 - low) {
    x = -tail(std::sqrt(-2 * std::log(1 - p)));
  } else {
    const double q = p - 0.5, r = q * q;
    x = (((((-3.969683028665376e+01 * r + 2.209460984245205e+02) * r - 2.759285104469687e+02) * r + 1.383577518672690e+02) * r -
          3.066479806614716e+01) *
             r +
         2.506628277459239) *
        q /
        (((((-5.447609879822406e+01 * r + 1.615858368580409e+02) * r - 1.556989798598866e+02) * r + 6.680131188771972e+01) * r -
          1.328068155288572e+01) *
             r +
         1);
  }
  const double e = 0.5 * std::erfc(-x / std::sqrt(2.0)) - p, u = e * std::sqrt(2 * M_PI) * std::exp(0.5 * x * x);
  return x - u / (1 + 0.5 * x * u);
}

/// z = Phi^-1((rank - 3/8) / (S + 1/4)), with average ranks of equal draws.
Chains rank_normalized(const Chains& chains) {
  std::vector<std::pair<double, std::size_t>> all;
  for (const auto& chain : chains)
    for (const double x : chain) all.emplace_back(x, all.size());
  std::ranges::sort(all);
  std::vector<double> z(all.size());
  for (std::size_t i = 0; i < all.size();) {
    std::size_t j = i;
    while (j < all.size() && all[j].first == all[i].first) ++j;
    const double rank = 0.5 * static_cast<double>(i + 1 + j);
    for (std::size_t k = i; k < j; ++k) z[all[k].second] = normal_quantile((rank - 0.375) / (static_cast<double>(all.size()) + 0.25));
    i = j;
  }
  Chains out;
  auto at = z.begin();
  for (const auto& chain : chains) {
    const auto end = at + static_cast<std::ptrdiff_t>(chain.size());
    out.emplace_back(at, end);
    at = end;
  }
  return out;
}

double quantile(const Chains& chains, double p) {
  std::vector<double> all;
  for (const auto& chain : chains) all.insert(all.end(), chain.begin(), chain.end());
  const auto at = all.begin() + static_cast<std::ptrdiff_t>(p * static_cast<double>(all.size() - 1));
  std::ranges::nth_element(all, at);
  return *at;
}

/// f applied to every draw.
template <class F>
Chains mapped(Chains chains, F f) {
  for (auto& chain : chains)
    for (double& x : chain) x = f(x);
  return chains;
}

struct Moments {
  std::vector<double> means;
  double within = 0, total = 0;  ///< W, and (n - 1)/n W + B/n
};
Moments moments(const Chains& chains) {
  Moments out;
  const auto n = static_cast<double>(chains[0].size()), count = static_cast<double>(chains.size());
  for (const auto& chain : chains) {
    const double mean = std::accumulate(chain.begin(), chain.end(), 0.0) / n;
    double square = 0;
    for (const double x : chain) square += (x - mean) * (x - mean);
    out.means.push_back(mean);
    out.within += square / (n - 1) / count;
  }
  const double grand = std::accumulate(out.means.begin(), out.means.end(), 0.0) / count;
  double between = 0;
  for (const double m : out.means) between += (m - grand) * (m - grand) / (count - 1);
  out.total = (n - 1) / n * out.within + between;
  return out;
}

double rhat_of(const Chains& chains) {
  const Moments m = moments(chains);
  return m.within > 0 ? std::sqrt(m.total / m.within) : INFINITY;  // each half stands still, at another place
}

double ess_of(const Chains& chains) {
  const Moments m = moments(chains);
  if (!(m.total > 0)) return NAN;
  const std::size_t n = chains[0].size();
  const auto count = static_cast<double>(chains.size());
  const auto correlation = [&](std::size_t lag) {
    double covariance = 0;  // mean over chains, with the divisor n
    for (std::size_t c = 0; c < chains.size(); ++c) {
      double sum = 0;
      for (std::size_t i = 0; i + lag < n; ++i) sum += (chains[c][i] - m.means[c]) * (chains[c][i + lag] - m.means[c]);
      covariance += sum / static_cast<double>(n) / count;
    }
    return 1 - (m.within * static_cast<double>(n - 1) / static_cast<double>(n) - covariance) / m.total;
  };
  // Pairs of neighbours, as long as they are positive, and no larger than the one before.
  double sum = 0, before = INFINITY;
  for (std::size_t lag = 0; lag + 1 < n; lag += 2) {
    const double pair = (lag == 0 ? 1.0 : correlation(lag)) + correlation(lag + 1);
    if (!(pair > 0)) break;
    before = std::min(before, pair);
    sum += before;
  }
  const double draws = static_cast<double>(n) * count, tau = std::max(2 * sum - 1, 1 / std::log10(draws));
  return draws / tau;
}

}  // namespace

double rhat(const Array& draws) {
  check(draws, "rhat");
  const Chains chains = halves(draws);
  if (!is_varied(chains)) return NAN;
  const double median = quantile(chains, 0.5);
  const Chains folded = mapped(chains, [&](double x) { return std::fabs(x - median); });
  const double bulk = rhat_of(rank_normalized(chains));
  return is_varied(folded) ? std::max(bulk, rhat_of(rank_normalized(folded))) : bulk;
}

double ess_bulk(const Array& draws) {
  check(draws, "ess_bulk");
  const Chains chains = halves(draws);
  return is_varied(chains) ? ess_of(rank_normalized(chains)) : NAN;
}

double ess_tail(const Array& draws) {
  check(draws, "ess_tail");
  const Chains chains = halves(draws);
  if (!is_varied(chains)) return NAN;
  double least = INFINITY;
  for (const double p : {0.05, 0.95}) {
    const double level = quantile(chains, p);
    const double ess = ess_of(mapped(chains, [&](double x) { return x <= level ? 1.0 : 0.0; }));
    if (!std::isnan(ess)) least = std::min(least, ess);
  }
  return least;
}

Convergence convergence_of(const Array& draws) {
  if (draws.rank() != 3) throw ShapeError(fmt::format("convergence_of: needs draws (chains, n, P); got {}", draws.shape().to_string()));
  const std::int64_t chains = draws.dim(0), n = draws.dim(1), width = draws.dim(2);
  Convergence out{Array(Shape{width}), Array(Shape{width}), Array(Shape{width})};
  for (std::int64_t j = 0; j < width; ++j) {
    const Array one = draws.columns(j, j + 1).reshape({chains, n});
    out.rhat(j) = rhat(one);
    out.ess_bulk(j) = ess_bulk(one);
    out.ess_tail(j) = ess_tail(one);
  }
  return out;
}

}  // namespace bayesflow::mcmc
