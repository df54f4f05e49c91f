#include "diagnostics/rank_tests.hpp"

#include <algorithm>
#include <cmath>

#include "diagnostics/numbers.hpp"
#include "diagnostics/special.hpp"

namespace bayesflow::diagnostics {

RankScores::RankScores(std::int64_t num_draws) {
  const std::int64_t cells = num_draws + 1;
  for (std::int64_t r = 0; r < cells; ++r) w_.push_back(normal_quantile((real(r) + 0.5) / real(cells)));
  for (std::int64_t r = 0; r <= cells; ++r) edges_.push_back(normal_quantile(real(r) / real(cells)));
  // Gram-Schmidt, twice for rounding; w's symmetry leaves even and odd degrees orthogonal by themselves.
  std::vector<std::vector<double>> basis{std::vector<double>(index(cells), 1.0)};
  const auto dot = [&](const std::vector<double>& a, const std::vector<double>& b) {
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
    return sum / real(cells);
  };
  for (std::int64_t k = 1; k <= std::min<std::int64_t>(4, num_draws); ++k) {
    std::vector<double> v(index(cells));
    for (std::size_t i = 0; i < v.size(); ++i) v[i] = std::pow(w_[i], static_cast<double>(k));
    for (int pass = 0; pass < 2; ++pass)
      for (const auto& e : basis) {
        const double c = dot(v, e);
        for (std::size_t i = 0; i < v.size(); ++i) v[i] -= c * e[i];
      }
    const double norm = std::sqrt(dot(v, v));
    for (double& x : v) x /= norm;
    basis.push_back(v);
    h_.push_back(std::move(v));
  }
}

double RankScores::statistic(int degree, std::span<const std::int64_t> ranks) const {
  double sum = 0;
  for (const std::int64_t r : ranks) sum += h(degree, r);
  return sum / std::sqrt(static_cast<double>(ranks.size()));
}

namespace {

/// P(mean of n scores >= x), x > 0.
double upper_tail(const std::vector<double>& h, double x, double n) {
  const double largest = *std::max_element(h.begin(), h.end());
  if (x >= largest * (1 - 1e-12)) {  // all n of them at the largest score
    double count = 0;
    for (const double v : h) count += v >= largest * (1 - 1e-12) ? 1 : 0;
    return std::pow(count / static_cast<double>(h.size()), n);
  }
  // Solve K'(t) = x for the cumulant generating function K; K' is increasing, so a bracket with Newton steps cannot fail.
  double low = 0, high = 0, t = x, k = 0, k2 = 1;
  for (int i = 0; i < 200; ++i) {
    double top = 0;
    for (const double v : h) top = std::max(top, t * v);
    double m0 = 0, m1 = 0, m2 = 0;
    for (const double v : h) {
      const double e = std::exp(t * v - top);
      m0 += e;
      m1 += e * v;
      m2 += e * v * v;
    }
    k = std::log(m0 / static_cast<double>(h.size())) + top;
    const double k1 = m1 / m0;
    k2 = m2 / m0 - k1 * k1;
    if (std::fabs(k1 - x) < 1e-11 * std::max(1.0, x)) break;
    (k1 < x ? low : high) = t;
    double next = t + (x - k1) / std::max(k2, 1e-300);
    if (next <= low || (high > 0 && next >= high)) next = high > 0 ? 0.5 * (low + high) : 2 * t;
    if (next == t) break;
    t = next;
  }
  const double w = std::sqrt(std::max(0.0, 2 * n * (t * x - k))), v = t * std::sqrt(n * k2);
  if (w < 1e-4 || v < 1e-4) return 0.5;
  // Barndorff-Nielsen's form of the same approximation: never negative.
  return normal_cdf(-(w + std::log(v / w) / w));
}

}  // namespace

double RankScores::p_value(int degree, double statistic, std::int64_t count) const {
  const auto n = static_cast<double>(count);
  const double mean = statistic / std::sqrt(n);
  if (std::fabs(mean) < 1e-12) return 1;
  std::vector<double> h = h_[static_cast<std::size_t>(degree - 1)];
  if (mean < 0)
    for (double& v : h) v = -v;
  return std::min(1.0, 2 * upper_tail(h, std::fabs(mean), n));
}

namespace {

/// Probability of a cell of standard normals, also far out in the upper tail.
double cell(double low, double high) { return low > 0 ? normal_cdf(-low) - normal_cdf(-high) : normal_cdf(high) - normal_cdf(low); }

}  // namespace

ProbitFit fit_probit(const RankScores& scores, std::span<const std::int64_t> ranks) {
  const auto n = static_cast<double>(ranks.size());
  std::vector<double> counts(index(scores.num_draws() + 1));
  for (const std::int64_t r : ranks) counts[index(r)] += 1;
  // In a = 1 / scale and c = location / scale the likelihood of an ordered probit model is log-concave; a little prior weight on
  // (1, 0) keeps it so where all ranks are alike.
  constexpr double kPrior = 1.0;
  const auto objective = [&](double a, double c) {
    double sum = -0.5 * kPrior * ((std::log(a)) * (std::log(a)) + c * c);
    for (std::size_t r = 0; r < counts.size(); ++r)
      if (counts[r] > 0)
        sum += counts[r] * std::log(std::max(1e-300, cell(a * scores.edge(static_cast<std::int64_t>(r)) - c,
                                                          a * scores.edge(static_cast<std::int64_t>(r) + 1) - c)));
    return sum;
  };
  double a = 1, c = 0, best = objective(a, c);
  double iaa = 0, iac = 0, icc = 0;  // expected information, which is positive definite everywhere
  for (int step = 0; step < 50; ++step) {
    double ga = -kPrior * std::log(a) / a, gc = -kPrior * c;
    iaa = kPrior / (a * a), iac = 0, icc = kPrior;
    for (std::size_t r = 0; r < counts.size(); ++r) {
      const double e0 = scores.edge(static_cast<std::int64_t>(r)), e1 = scores.edge(static_cast<std::int64_t>(r) + 1);
      const double x0 = a * e0 - c, x1 = a * e1 - c, p = std::max(cell(x0, x1), 1e-300);
      const double f0 = std::isfinite(e0) ? normal_pdf(x0) : 0, f1 = std::isfinite(e1) ? normal_pdf(x1) : 0;
      const double da = (f1 * (std::isfinite(e1) ? e1 : 0) - f0 * (std::isfinite(e0) ? e0 : 0)), dc = f0 - f1;
      ga += counts[r] * da / p;
      gc += counts[r] * dc / p;
      iaa += n * da * da / p;
      iac += n * da * dc / p;
      icc += n * dc * dc / p;
    }
    const double det = iaa * icc - iac * iac;
    const double sa = (icc * ga - iac * gc) / det, sc = (iaa * gc - iac * ga) / det;
    double size = 1;
    double next = best;
    for (; size > 1e-8; size /= 2) {
      if (a + size * sa <= 1e-3) continue;
      next = objective(a + size * sa, c + size * sc);
      if (next >= best) break;
    }
    if (size <= 1e-8) break;
    a += size * sa;
    c += size * sc;
    const bool done = next - best < 1e-10;
    best = next;
    if (done) break;
  }
  // Errors of location = c / a and log scale = -log a by the delta method.
  const double det = iaa * icc - iac * iac, vaa = icc / det, vcc = iaa / det, vac = -iac / det;
  ProbitFit out;
  const double location = c / a;
  out.location = {location, std::sqrt(std::max(0.0, vcc / (a * a) + location * location * vaa / (a * a) - 2 * location * vac / (a * a)))};
  out.log_scale = {-std::log(a), std::sqrt(vaa) / a};
  double mean[2] = {0, 0}, square[2] = {0, 0};
  for (std::int64_t r = 0; r <= scores.num_draws(); ++r) {
    const double p = cell(a * scores.edge(r) - c, a * scores.edge(r + 1) - c);
    for (int d = 3; d <= scores.degrees(); ++d) {
      mean[d - 3] += p * scores.h(d, r);
      square[d - 3] += p * scores.h(d, r) * scores.h(d, r);
    }
  }
  out.h3 = mean[0];
  out.h4 = mean[1];
  out.h3_sd = std::sqrt(std::max(1e-12, square[0] - mean[0] * mean[0]));
  out.h4_sd = std::sqrt(std::max(1e-12, square[1] - mean[1] * mean[1]));
  return out;
}

namespace {

/// Mean and standard deviation of a score when truths are Normal(location, scale^2) in posterior units.
std::pair<double, double> expected_score(const RankScores& scores, int degree, double location, double scale) {
  double mean = 0, square = 0;
  for (std::int64_t r = 0; r <= scores.num_draws(); ++r) {
    const double p = cell((scores.edge(r) - location) / scale, (scores.edge(r + 1) - location) / scale);
    mean += p * scores.h(degree, r);
    square += p * scores.h(degree, r) * scores.h(degree, r);
  }
  return {mean, std::sqrt(std::max(0.0, square - mean * mean))};
}

}  // namespace

double detectable_shift(const RankScores& scores, std::int64_t data_sets, double alpha, double power) {
  const double critical = -normal_quantile(alpha / 2), extra = normal_quantile(power), root = std::sqrt(real(data_sets));
  // S draws know where the posterior lies to within sd / sqrt(S).
  const double blur = std::sqrt(1 + 1 / real(scores.num_draws()));
  double low = 0, high = 20;
  for (int i = 0; i < 50; ++i) {
    const double middle = 0.5 * (low + high);
    const auto [mean, sd] = expected_score(scores, 1, middle / blur, 1);
    (root * mean - extra * sd >= critical ? high : low) = middle;
  }
  return high < 19.9 ? high : std::numeric_limits<double>::infinity();
}

double detectable_width_ratio(const RankScores& scores, std::int64_t data_sets, double alpha, double power) {
  if (scores.degrees() < 2) return 0;
  const double critical = -normal_quantile(alpha / 2), extra = normal_quantile(power), root = std::sqrt(real(data_sets));
  double low = 0.01, high = 1;
  for (int i = 0; i < 50; ++i) {
    const double middle = 0.5 * (low + high);
    const auto [mean, sd] = expected_score(scores, 2, 0, 1 / middle);
    (root * mean - extra * sd >= critical ? low : high) = middle;
  }
  return low > 0.0101 ? low : 0;
}

}  // namespace bayesflow::diagnostics
