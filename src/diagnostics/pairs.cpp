#include <fmt/format.h>

#include <algorithm>

#include "bayesflow/core/thread_pool.hpp"
#include "bayesflow/diagnostics/density.hpp"
#include "diagnostics/numbers.hpp"

namespace bayesflow::diagnostics {
namespace {

Histogram histogram(std::span<const double> v, std::int64_t bins) {
  std::vector<double> sorted(v.begin(), v.end());
  std::sort(sorted.begin(), sorted.end());
  const auto n = static_cast<double>(sorted.size());
  double low = sorted.front(), high = sorted.back();
  if (low == high) {
    low -= 0.5;
    high += 0.5;
  }
  if (bins == 0) {
    const double width = 2 * (sorted_quantile(sorted, 0.75) - sorted_quantile(sorted, 0.25)) / std::cbrt(n);
    bins = width > 0 ? static_cast<std::int64_t>(std::clamp(std::ceil((high - low) / width), 1.0, 100.0)) : 1;
  }
  Histogram out;
  for (std::int64_t k = 0; k <= bins; ++k) out.edges.push_back(low + (high - low) * real(k) / real(bins));
  out.density.assign(index(bins), 0.0);
  const double width = (high - low) / real(bins);
  for (const double x : sorted) {
    const auto k = std::min(bins - 1, static_cast<std::int64_t>((x - low) / width));
    out.density[index(k)] += 1 / (n * width);
  }
  return out;
}

PairsLayer layer(const Array& draws, const PairsOptions& options) {
  const std::int64_t n = draws.dim(0), p_count = draws.dim(1);
  PairsLayer out;
  out.num_draws = n;
  out.draws = draws.slice(0, std::min(n, options.max_scatter));
  const Array columns = draws.transpose();
  const auto column = [&](std::int64_t p) { return columns.row_values(p); };
  out.histograms.resize(index(p_count));
  out.marginals.resize(index(p_count));
  out.mean.resize(index(p_count));
  out.sd.resize(index(p_count));
  out.joints.resize(index(p_count * (p_count - 1) / 2));
  out.correlation = Array({p_count, p_count}, 1.0);
  ThreadPool pool(options.threads);
  pool.for_each(p_count, [&](std::int64_t p) {
    out.histograms[index(p)] = histogram(column(p), options.num_bins);
    out.marginals[index(p)] = kde_1d(column(p), options.kde);
    const Estimate m = mean_estimate(column(p));
    double fourth = 0;
    const double sd = m.standard_error * std::sqrt(real(n));
    for (const double x : column(p)) fourth += std::pow(x - m.value, 4) / real(n);
    out.mean[index(p)] = m;
    out.sd[index(p)] = {sd, sd > 0 ? 0.5 * sd * std::sqrt(std::max(0.0, fourth / std::pow(sd, 4) - 1) / real(n)) : 0};
  });
  pool.for_each(p_count * p_count, [&](std::int64_t k) {
    const std::int64_t i = k / p_count, j = k % p_count;
    if (j >= i) return;
    out.joints[index(i * (i - 1) / 2 + j)] = kde_2d(column(j), column(i), options.kde);
    double r = 0;
    for (std::int64_t s = 0; s < n; ++s) r += (columns(i, s) - out.mean[index(i)].value) * (columns(j, s) - out.mean[index(j)].value);
    r /= real(n - 1) * out.sd[index(i)].value * out.sd[index(j)].value;
    out.correlation.data()[i * p_count + j] = out.correlation.data()[j * p_count + i] = std::isfinite(r) ? std::clamp(r, -1.0, 1.0) : kNaN;
  });
  return out;
}

}  // namespace

const Density2d& PairsLayer::joint(std::int64_t row, std::int64_t column) const {
  const std::int64_t p_count = draws.dim(1);
  if (!(column >= 0 && column < row && row < p_count))
    throw ArgumentError(
        fmt::format("PairsLayer::joint: got row {} and column {}; 0 <= column < row < {} is required", row, column, p_count));
  return joints[index(row * (row - 1) / 2 + column)];
}

void PairsOptions::validate() const {
  require_option(num_bins >= 0, "PairsOptions", "num_bins", real(num_bins), "0 (automatic) or more");
  require_option(max_scatter >= 1, "PairsOptions", "max_scatter", real(max_scatter), "1 or more");
  require_option(threads >= 0, "PairsOptions", "threads", threads, "0 (all) or more");
  kde.validate();
}

Pairs pairs(const Array& draws, const PairsOptions& options) {
  options.validate();
  require_rank(draws, 2, "pairs", "draws", "(draws, parameters)");
  const std::int64_t p_count = draws.dim(1);
  const auto check = [&](const Array& x, const char* name) {
    require_rank(x, 2, "pairs", name, "(draws, parameters)");
    if (x.dim(1) != p_count)
      throw ShapeError(fmt::format("pairs: {} {} must have {} parameters, as the draws", name, x.shape().to_string(), p_count));
    require_finite(x, "pairs", name, {"draw", "parameter"});
    if (x.dim(0) < 2) throw ArgumentError(fmt::format("pairs: got 1 row of {}; densities need at least 2", name));
  };
  check(draws, "draws");
  Pairs out;
  out.param_names = checked_names(options.param_names, p_count, "pairs");
  out.main = layer(draws, options);
  if (options.reference) {
    check(*options.reference, "reference");
    out.reference = layer(*options.reference, options);
  }
  if (options.truth) {
    if (options.truth->shape() != Shape{p_count})
      throw ShapeError(fmt::format("pairs: truth must have shape ({}), a value for each parameter; got {}", p_count,
                                   options.truth->shape().to_string()));
    out.truth = options.truth;
  }
  return out;
}

Pairs posterior_2d(const Array& posterior_draws, const std::optional<Array>& prior_draws, PairsOptions options) {
  if (prior_draws) options.reference = prior_draws;
  return pairs(posterior_draws, options);
}

Pairs latent_space_2d(const Array& z, PairsOptions options) {
  if (options.param_names.empty() && z.rank() == 2) options.param_names = checked_names({}, z.dim(1), "latent_space_2d", "Latent Dim. ");
  return pairs(z, options);
}

std::vector<Table> Pairs::tables() const {
  TableBuilder moments("pairs"), marginals("pair_marginals");
  moments.add("parameter", param_names).add("mean", main.mean).add("sd", main.sd);
  if (reference) moments.add("reference_mean", reference->mean).add("reference_sd", reference->sd);
  if (truth) moments.add("truth", *truth);
  for (std::size_t p = 0; p < param_names.size(); ++p)
    marginals.add("x " + param_names[p], main.marginals[p].x).add("density " + param_names[p], main.marginals[p].density);
  return {moments, TableBuilder("pair_correlation").add("parameter", param_names).add_rows("", param_names, main.correlation), marginals};
}

}  // namespace bayesflow::diagnostics
