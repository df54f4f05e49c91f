#include "diagnostics/learning.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "diagnostics/special.hpp"

namespace bayesflow::diagnostics {
namespace {

/// Analysis of variance of b_count groups of k values each.
Learning between_groups(const std::vector<double>& v, std::int64_t b_count, std::int64_t k, double least) {
  double grand = 0;
  for (const double x : v) grand += x;
  grand /= static_cast<double>(v.size());
  double between = 0, within = 0;
  for (std::int64_t b = 0; b < b_count; ++b) {
    const double* x = v.data() + b * k;
    double mean = 0;
    for (std::int64_t s = 0; s < k; ++s) mean += x[s] / real(k);
    between += real(k) * (mean - grand) * (mean - grand);
    for (std::int64_t s = 0; s < k; ++s) within += (x[s] - mean) * (x[s] - mean);
  }
  const double df1 = real(b_count - 1), df2 = real(b_count * (k - 1));
  if (within <= 1e-12 * (between + within)) return {{between > 0 ? 1.0 : kNaN, 0.0}, 1.0};
  const double f = (between / df1) / (within / df2), scale = f - 1 + real(k);
  const double error = real(k) / (scale * scale) * f * std::sqrt(2 / df1 + 2 / df2);
  // With a true share of `least`, F is 1 + k least / (1 - least) times as large as without any.
  return {{(f - 1) / scale, error}, f_cdf(f / (1 + real(k) * least / (1 - least)), df1, df2)};
}

}  // namespace

Learning learning(const Array& draws, const Sizes& n, std::int64_t parameter, double least) {
  const std::int64_t k = std::min(n.draws, std::clamp<std::int64_t>(200000 / n.data_sets, 16, 256));
  if (k < 2 || n.data_sets < 2) return {{kNaN, kNaN}, 1.0};
  const std::int64_t count = n.data_sets * k;
  std::vector<double> value(index(count)), rank(index(count));
  for (std::int64_t b = 0; b < n.data_sets; ++b)
    for (std::int64_t s = 0; s < k; ++s) value[index(b * k + s)] = draws.data()[(b * n.draws + s) * n.parameters + parameter];
  std::vector<std::pair<double, std::int32_t>> order(index(count));
  for (std::int64_t i = 0; i < count; ++i) order[index(i)] = {value[index(i)], static_cast<std::int32_t>(i)};
  std::sort(order.begin(), order.end());
  for (std::size_t i = 0; i < order.size();) {  // equal values share their mean rank
    std::size_t end = i + 1;
    while (end < order.size() && order[end].first == order[i].first) ++end;
    for (std::size_t m = i; m < end; ++m) rank[static_cast<std::size_t>(order[m].second)] = 0.5 * static_cast<double>(i + end - 1);
    i = end;
  }
  const Learning location = between_groups(rank, n.data_sets, k, least);
  const double middle = 0.5 * real(count - 1);
  for (double& r : rank) r = std::fabs(r - middle);
  const Learning width = between_groups(rank, n.data_sets, k, least);
  Learning out = location.share.value >= width.share.value || std::isnan(width.share.value) ? location : width;
  out.p_value = std::max(location.p_value, width.p_value);
  return out;
}

}  // namespace bayesflow::diagnostics
