#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "bayesflow/core/rng.hpp"
#include "bayesflow/core/thread_pool.hpp"
#include "bayesflow/diagnostics/two_sample.hpp"
#include "diagnostics/numbers.hpp"

namespace bayesflow::diagnostics {
namespace {

/// v1's bandwidths (variances).
constexpr double kBandwidths[] = {1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1, 5, 10, 15, 20, 25, 30, 35, 100, 1e3, 1e4, 1e5, 1e6};

void check_samples(const Array& a, const Array& b, const char* what, const char* name_a, const char* name_b) {
  require_rank(a, 2, what, name_a, "(rows, columns)");
  require_rank(b, 2, what, name_b, "(rows, columns)");
  if (a.dim(1) != b.dim(1))
    throw ShapeError(fmt::format("{}: {} {} and {} {} need the same number of columns", what, name_a, a.shape().to_string(), name_b,
                                 b.shape().to_string()));
  require_finite(a, what, name_a, {"row", "column"});
  require_finite(b, what, name_b, {"row", "column"});
}

double squared_distance(const double* x, const double* y, std::int64_t d) {
  double sum = 0;
  for (std::int64_t i = 0; i < d; ++i) sum += (x[i] - y[i]) * (x[i] - y[i]);
  return sum;
}

struct KernelFunction {
  Kernel kernel;
  double bandwidth = 1;  // of gaussian_median
  double operator()(double r2) const {
    double sum = 0;
    switch (kernel) {
      case Kernel::gaussian_median:
        return std::exp(-r2 / (2 * bandwidth));
      case Kernel::gaussian:
        for (const double s : kBandwidths)
          if (r2 < 1480 * s) sum += std::exp(-r2 / (2 * s));  // beyond: below the smallest double
        return sum;
      case Kernel::inverse_multiquadratic:
        for (const double s : kBandwidths) sum += s / (s + r2);
        return sum;
    }
    return sum;
  }
};

KernelFunction kernel_function(Kernel kernel, const Array& x, const Array& y) {
  KernelFunction out{kernel};
  if (kernel != Kernel::gaussian_median) return out;
  // At most 1,000 rows, evenly taken: a median needs no more.
  const Array both = concatenate({x, y}, 0);
  const std::int64_t n = both.dim(0), used = std::min<std::int64_t>(n, 1000);
  std::vector<double> r2;
  for (std::int64_t i = 0; i < used; ++i)
    for (std::int64_t j = 0; j < i; ++j)
      r2.push_back(squared_distance(both.data() + i * n / used * both.dim(1), both.data() + j * n / used * both.dim(1), both.dim(1)));
  if (r2.empty()) return out;
  std::nth_element(r2.begin(), r2.begin() + static_cast<std::ptrdiff_t>(r2.size() / 2), r2.end());
  out.bandwidth = r2[r2.size() / 2] > 0 ? r2[r2.size() / 2] / 2 : 1.0;
  return out;
}

Array evaluate(const Array& x, const Array& y, const KernelFunction& k, ThreadPool& pool) {
  Array out = uninitialized_array({x.dim(0), y.dim(0)});
  const std::int64_t d = x.dim(1), m = y.dim(0);
  pool.for_each(x.dim(0), [&](std::int64_t i) {
    for (std::int64_t j = 0; j < m; ++j) out.data()[i * m + j] = k(squared_distance(x.data() + i * d, y.data() + j * d, d));
  });
  return out;
}

double biased_mmd(const Array& x, const Array& y, const KernelFunction& k, ThreadPool& pool) {
  return evaluate(x, x, k, pool).mean() + evaluate(y, y, k, pool).mean() - 2 * evaluate(x, y, k, pool).mean();
}

}  // namespace

Array kernel_matrix(const Array& x, const Array& y, Kernel kernel) {
  check_samples(x, y, "kernel_matrix", "x", "y");
  ThreadPool pool(1);
  return evaluate(x, y, kernel_function(kernel, x, y), pool);
}

double maximum_mean_discrepancy(const Array& source, const Array& target, Kernel kernel, double weight, double minimum) {
  check_samples(source, target, "maximum_mean_discrepancy", "source", "target");
  ThreadPool pool(1);
  return weight * std::max(minimum, biased_mmd(source, target, kernel_function(kernel, source, target), pool));
}

void MmdOptions::validate() const {
  require_option(permutations >= 0, "MmdOptions", "permutations", real(permutations), "0 (none) or more");
  require_option(threads >= 0, "MmdOptions", "threads", threads, "0 (all) or more");
}

Mmd mmd(const Array& source, const Array& target, const MmdOptions& options) {
  options.validate();
  check_samples(source, target, "mmd", "source", "target");
  const std::int64_t n = source.dim(0), m = target.dim(0), all = n + m;
  if (n < 2 || m < 2)
    throw ArgumentError(fmt::format("mmd: the unbiased estimate needs at least 2 rows of each sample; got {} and {}", n, m));
  ThreadPool pool(options.threads);
  const Array both = concatenate({source, target}, 0);
  const Array k = evaluate(both, both, kernel_function(options.kernel, source, target), pool);
  std::vector<double> row(index(all));  // sums without the diagonal
  double total = 0, diagonal_x = 0, diagonal_y = 0;
  for (std::int64_t i = 0; i < all; ++i) {
    double sum = 0;
    for (std::int64_t j = 0; j < all; ++j) sum += k.data()[i * all + j];
    row[index(i)] = sum - k.data()[i * all + i];
    total += row[index(i)];
    (i < n ? diagonal_x : diagonal_y) += k.data()[i * all + i];
  }
  /// Sums over pairs of different rows: within the first n of `order`, within the rest, and between.
  struct Sums {
    double xx, yy, xy;
  };
  const auto sums = [&](const std::vector<std::int64_t>& order) {
    Sums s{0, 0, 0};
    double rows = 0;
    for (std::int64_t a = 0; a < n; ++a) {
      const double* ki = k.data() + order[index(a)] * all;
      for (std::int64_t b = 0; b < a; ++b) s.xx += ki[order[index(b)]];
      rows += row[index(order[index(a)])];
    }
    s.xx *= 2;
    s.xy = rows - s.xx;
    s.yy = total - s.xx - 2 * s.xy;
    return s;
  };
  const auto unbiased = [](double xx, double yy, double xy, double a, double b) {
    return xx / (a * (a - 1)) + yy / (b * (b - 1)) - 2 * xy / (a * b);
  };
  std::vector<std::int64_t> order(index(all));
  for (std::int64_t i = 0; i < all; ++i) order[index(i)] = i;
  const Sums s = sums(order);
  const double a = real(n), b = real(m);
  Mmd out;
  out.unbiased.value = unbiased(s.xx, s.yy, s.xy, a, b);
  out.biased = (s.xx + diagonal_x) / (a * a) + (s.yy + diagonal_y) / (b * b) - 2 * s.xy / (a * b);
  if (n > 2 && m > 2) {
    std::vector<double> left_x, left_y;
    for (std::int64_t i = 0; i < all; ++i) {
      double own = 0;  // with rows of the same sample
      const std::int64_t first = i < n ? 0 : n, last = i < n ? n : all;
      for (std::int64_t j = first; j < last; ++j) own += j == i ? 0.0 : k.data()[i * all + j];
      const double other = row[index(i)] - own;
      if (i < n)
        left_x.push_back(unbiased(s.xx - 2 * own, s.yy, s.xy - other, a - 1, b));
      else
        left_y.push_back(unbiased(s.xx, s.yy - 2 * own, s.xy - other, a, b - 1));
    }
    out.unbiased.standard_error = std::hypot(jackknife(0, left_x).standard_error, jackknife(0, left_y).standard_error);
  } else {
    out.unbiased.standard_error = kNaN;
  }
  out.null.resize(index(options.permutations));
  const Rng rng(options.seed, "mmd permutations");
  pool.for_each(options.permutations, [&](std::int64_t i) {
    std::vector<std::int64_t> shuffled = rng.at(static_cast<std::uint64_t>(i)).permutation(all);
    std::sort(shuffled.begin(), shuffled.begin() + n);  // walks the matrix in order
    const Sums p = sums(shuffled);
    out.null[index(i)] = unbiased(p.xx, p.yy, p.xy, a, b);
  });
  const auto more = static_cast<double>(std::count_if(out.null.begin(), out.null.end(), [&](double v) { return v >= out.unbiased.value; }));
  out.p_value = options.permutations ? (1 + more) / (1 + real(options.permutations)) : kNaN;
  return out;
}

std::vector<Table> Mmd::tables() const {
  return {TableBuilder("mmd")
              .add("unbiased", std::vector<Estimate>{unbiased})
              .add("biased", std::vector<double>{biased})
              .add("p_value", std::vector<double>{p_value}),
          TableBuilder("mmd_null").add("null", null)};
}

void MmdTestOptions::validate() const {
  require_option(alpha_level > 0 && alpha_level < 1, "MmdTestOptions", "alpha_level", alpha_level, "above 0 and below 1");
  const auto least = std::max<std::int64_t>(1, static_cast<std::int64_t>(std::ceil(1 / alpha_level - 1 - 1e-9)));
  require_option(num_null_samples >= least, "MmdTestOptions", "num_null_samples", real(num_null_samples),
                 fmt::format("at least {}, because no p-value is below 1 / (1 + num_null_samples)", least).c_str());
  require_option(threads >= 0, "MmdTestOptions", "threads", threads, "0 (all) or more");
}

MmdHypothesisTest mmd_hypothesis_test(const Array& observed, const Array& reference, const Array& null_pool,
                                      const MmdTestOptions& options) {
  options.validate();
  check_samples(observed, reference, "mmd_hypothesis_test", "observed", "reference");
  check_samples(observed, null_pool, "mmd_hypothesis_test", "observed", "null_pool");
  const std::int64_t n = observed.dim(0), pool_size = null_pool.dim(0);
  if (pool_size < n && !options.bootstrap)
    throw ArgumentError(
        fmt::format("mmd_hypothesis_test: null sets need {} rows, as many as observed; the null pool has only {}", n, pool_size));
  ThreadPool pool(options.threads);
  // The bandwidth comes from the reference alone, so that observed and null sets are treated alike.
  const KernelFunction k = kernel_function(options.kernel, reference, reference);
  const double within = evaluate(reference, reference, k, pool).mean();
  const auto to_reference = [&](const Array& rows) { return evaluate(rows, reference, k, pool).mean(1); };
  const Array null_means = to_reference(null_pool);
  const std::int64_t d = observed.dim(1);
  const auto statistic = [&](const Array& from, const Array& means, const std::int64_t* rows) {
    double own = 0, cross = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      const double* x = from.data() + (rows ? rows[i] : i) * d;
      own += k(0);
      for (std::int64_t j = 0; j < i; ++j) own += 2 * k(squared_distance(x, from.data() + (rows ? rows[j] : j) * d, d));
      cross += means.data()[rows ? rows[i] : i];
    }
    return std::sqrt(std::max(0.0, within + own / real(n * n) - 2 * cross / real(n)));
  };
  MmdHypothesisTest out;
  out.alpha_level = options.alpha_level;
  out.mmd_observed = statistic(observed, to_reference(observed), nullptr);
  out.mmd_null.resize(index(options.num_null_samples));
  const Rng rng(options.seed, "mmd null sets");
  const bool disjoint = !options.bootstrap && pool_size / n >= options.num_null_samples;
  const std::vector<std::int64_t> blocks = Rng(options.seed, "mmd null blocks").permutation(pool_size);
  pool.for_each(options.num_null_samples, [&](std::int64_t i) {
    // Sets without common rows if there are enough rows, else sets without repeated rows.
    std::vector<std::int64_t> drawn;
    Rng of_set = rng.at(static_cast<std::uint64_t>(i));
    if (options.bootstrap)
      for (std::int64_t j = 0; j < n; ++j) drawn.push_back(of_set.integers(0, pool_size));
    else if (!disjoint)
      drawn = of_set.permutation(pool_size);
    out.mmd_null[index(i)] = statistic(null_pool, null_means, disjoint ? blocks.data() + i * n : drawn.data());
  });
  std::vector<double> sorted = out.mmd_null;
  std::sort(sorted.begin(), sorted.end());
  const auto more = static_cast<double>(sorted.end() - std::lower_bound(sorted.begin(), sorted.end(), out.mmd_observed));
  const double count = real(options.num_null_samples);
  // At most floor(level (count + 1)) - 1 null values may be as large as a value that is rejected.
  const auto allowed = static_cast<std::int64_t>(std::floor(options.alpha_level * (count + 1) * (1 + 1e-12)));
  out.critical_value = sorted[index(options.num_null_samples - allowed)];
  out.p_value = (1 + more) / (1 + count);
  out.p_value_standard_error = std::sqrt(out.p_value * (1 - out.p_value) / count);
  out.misspecified = out.mmd_observed > out.critical_value;
  return out;
}

MmdHypothesisTest mmd_hypothesis_test(const Array& observed, const Array& reference, const MmdTestOptions& options) {
  check_samples(observed, reference, "mmd_hypothesis_test", "observed", "reference");
  const std::int64_t r = reference.dim(0), half = r / 2;
  if (options.bootstrap && half < 2)
    throw ArgumentError(fmt::format("mmd_hypothesis_test: needs at least 4 reference rows, half of them for the null sets; got {}", r));
  if (!options.bootstrap && half < observed.dim(0))
    throw ArgumentError(
        fmt::format("mmd_hypothesis_test: the reference is split, and its second half must have at least as many rows as observed; got {} "
                    "and {}. Use more reference rows, or give a null pool",
                    r, observed.dim(0)));
  const std::vector<std::int64_t> order = Rng(options.seed, "mmd reference split").permutation(r);
  const std::span<const std::int64_t> rows(order);
  return mmd_hypothesis_test(observed, reference.take(rows.first(index(r - half))), reference.take(rows.last(index(half))), options);
}

std::vector<Table> MmdHypothesisTest::tables() const {
  return {TableBuilder("mmd_hypothesis_test")
              .add("observed", std::vector<double>{mmd_observed})
              .add("critical_value", std::vector<double>{critical_value})
              .add("alpha_level", std::vector<double>{alpha_level})
              .add("p_value", std::vector<Estimate>{{p_value, p_value_standard_error}})
              .add("misspecified", std::vector<bool>{misspecified}),
          TableBuilder("mmd_null").add("null", mmd_null)};
}

}  // namespace bayesflow::diagnostics
