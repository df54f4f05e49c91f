/// Distribution functions for p-values and bands, by Boost.Math, in double precision and without global state (std::lgamma writes one).
#pragma once

#include <cstdint>
#include <vector>

namespace bayesflow::diagnostics {

double log_gamma(double x);  ///< x > 0; relative error about 1e-15
double normal_pdf(double x);
double normal_cdf(double x);                           ///< accurate in the lower tail
double normal_quantile(double p);                      ///< -inf at 0, inf at 1
double two_sided_normal(double z);                     ///< P(|Z| >= |z|)
double incomplete_beta(double a, double b, double x);  ///< regularized I_x(a, b)
double incomplete_gamma(double a, double x);           ///< regularized P(a, x)
double chi_squared_cdf(double x, double df);
double f_cdf(double x, double df1, double df2);
double binomial_cdf(std::int64_t k, std::int64_t n, double p);  ///< P(X <= k)
double binomial_pmf(std::int64_t k, std::int64_t n, double p);
/// Smallest k with P(X <= k) >= q.
std::int64_t binomial_quantile(double q, std::int64_t n, double p);
/// Anderson-Darling statistic A^2 of increasing uniforms, and the probability of a larger one for a fully specified distribution
/// (Marsaglia and Marsaglia 2004).
double anderson_darling(const std::vector<double>& sorted_uniforms);
double anderson_darling_p_value(double statistic, std::int64_t n);
/// Adjusted p-values of Holm's step-down procedure. With weights (positive, any sum) the weighted procedure.
std::vector<double> holm(const std::vector<double>& p, const std::vector<double>& weights = {});

}  // namespace bayesflow::diagnostics
