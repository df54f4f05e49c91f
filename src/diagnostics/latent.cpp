#include "bayesflow/diagnostics/latent.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "diagnostics/numbers.hpp"
#include "diagnostics/special.hpp"

namespace bayesflow::diagnostics {
namespace {

double uniformity_p_value(std::vector<double> u, double* statistic) {
  std::sort(u.begin(), u.end());
  *statistic = anderson_darling(u);
  return anderson_darling_p_value(*statistic, static_cast<std::int64_t>(u.size()));
}

}  // namespace

void LatentNormalityOptions::validate() const {
  require_option(error_rate > 0 && error_rate < 1, "LatentNormalityOptions", "error_rate", error_rate, "above 0 and below 1");
}

LatentNormality latent_normality(const Array& z, const LatentNormalityOptions& options) {
  options.validate();
  require_rank(z, 2, "latent_normality", "z", "(data sets, latent dimensions)");
  require_finite(z, "latent_normality", "z", {"data set", "dimension"});
  const std::int64_t n = z.dim(0), p_count = z.dim(1);
  if (n < 3) throw ArgumentError(fmt::format("latent_normality: got {} latents; skewness and correlations need at least 3", n));
  LatentNormality out;
  out.names = checked_names(options.names, p_count, "latent_normality", "Latent Dim. ");
  const double b = real(n), root = std::sqrt(b);
  std::vector<double> tests;
  std::vector<std::vector<double>> scaled(index(p_count), std::vector<double>(index(n)));
  for (std::int64_t p = 0; p < p_count; ++p) {
    std::vector<double> u(index(n));
    double mean = 0, m2 = 0, m3 = 0, m4 = 0;
    for (std::int64_t i = 0; i < n; ++i) mean += z(i, p) / b;
    for (std::int64_t i = 0; i < n; ++i) {
      const double d = z(i, p) - mean;
      m2 += d * d / b;
      m3 += d * d * d / b;
      m4 += d * d * d * d / b;
      u[index(i)] = normal_cdf(z(i, p));
    }
    for (std::int64_t i = 0; i < n; ++i) scaled[index(p)][index(i)] = m2 > 0 ? (z(i, p) - mean) / std::sqrt(m2) : 0;
    out.mean.push_back({mean, 1 / root});
    out.sd.push_back({std::sqrt(m2 * b / (b - 1)), 1 / std::sqrt(2 * b)});
    out.skewness.push_back({m2 > 0 ? m3 / std::pow(m2, 1.5) : kNaN, std::sqrt(6 / b)});
    out.excess_kurtosis.push_back({m2 > 0 ? m4 / (m2 * m2) - 3 : kNaN, std::sqrt(24 / b)});
    double statistic = 0;
    out.p_value.push_back(uniformity_p_value(std::move(u), &statistic));
    out.anderson_darling.push_back(statistic);
    tests.push_back(out.p_value.back());
  }
  out.correlation = Array({p_count, p_count}, 1.0);
  out.correlation_p_value = Array({p_count, p_count}, 1.0);
  for (std::int64_t i = 0; i < p_count; ++i)
    for (std::int64_t j = 0; j < i; ++j) {
      double r = 0;
      for (std::int64_t k = 0; k < n; ++k) r += scaled[index(i)][index(k)] * scaled[index(j)][index(k)] / b;
      // r sqrt((n - 2) / (1 - r^2)) is Student-t: its tail is an incomplete beta function of 1 - r^2.
      const double p = incomplete_beta((b - 2) / 2, 0.5, std::max(0.0, 1 - r * r));
      out.correlation(i, j) = out.correlation(j, i) = r;
      out.correlation_p_value(i, j) = out.correlation_p_value(j, i) = p;
      tests.push_back(p);
    }
  std::vector<double> u(index(n)), length(index(n));
  for (std::int64_t i = 0; i < n; ++i) {
    double squared = 0;
    for (const double v : z.row_values(i)) squared += v * v;
    length[index(i)] = squared / real(p_count);
    u[index(i)] = chi_squared_cdf(squared, real(p_count));
  }
  out.mean_squared_length = {mean_estimate(length).value, std::sqrt(2 / (b * real(p_count)))};
  double statistic = 0;
  out.squared_length_p_value = uniformity_p_value(std::move(u), &statistic);
  tests.push_back(out.squared_length_p_value);
  const std::vector<double> adjusted = holm(tests);
  out.overall_p_value = *std::min_element(adjusted.begin(), adjusted.end());
  out.normal = out.overall_p_value > options.error_rate;
  return out;
}

std::vector<Table> LatentNormality::tables() const {
  return {TableBuilder("latent_normality")
              .add("latent", names)
              .add("mean", mean)
              .add("sd", sd)
              .add("skewness", skewness)
              .add("excess_kurtosis", excess_kurtosis)
              .add("anderson_darling", anderson_darling)
              .add("p_value", p_value),
          TableBuilder("latent_correlation")
              .add("latent", names)
              .add_rows("", names, correlation)
              .add_rows("p_value ", names, correlation_p_value),
          TableBuilder("latent_summary")
              .add("mean_squared_length", std::vector<Estimate>{mean_squared_length})
              .add("squared_length_p_value", std::vector<double>{squared_length_p_value})
              .add("overall_p_value", std::vector<double>{overall_p_value})
              .add("normal", std::vector<bool>{normal})};
}

}  // namespace bayesflow::diagnostics
