#include "diagnostics/joint_ranks.hpp"

#include <algorithm>
#include <cmath>

#include "bayesflow/core/rng.hpp"

namespace bayesflow::diagnostics {
namespace {

/// The last of some values among the others: how many lie below it, and how many are equal to it, which are put below or above at random.
struct Place {
  std::int64_t below = 0, equal = 0;
  [[nodiscard]] std::int64_t rank(Rng& ties) const { return equal ? below + ties.integers(0, equal + 1) : below; }
};

Place place_of_last(const double* v, std::int64_t n) {
  Place out;
  const double x = v[n - 1];
  for (std::int64_t i = 0; i + 1 < n; ++i) {
    out.below += v[i] < x;
    out.equal += v[i] == x;
  }
  return out;
}

/// The same for a + b and a - b, in one pass and without storing them: with many parameters these pairs are most of the work.
void place_of_last(const double* a, const double* b, std::int64_t n, Place& of_sum, Place& of_difference) {
  const double sum = a[n - 1] + b[n - 1], difference = a[n - 1] - b[n - 1];
  Place s, d;
  for (std::int64_t i = 0; i + 1 < n; ++i) {
    const double plus = a[i] + b[i], minus = a[i] - b[i];
    s.below += plus < sum;
    s.equal += plus == sum;
    d.below += minus < difference;
    d.equal += minus == difference;
  }
  of_sum = s;
  of_difference = d;
}

/// Four partial sums: the compiler may not reorder one.
double mean_product(const double* a, const double* b, std::int64_t n) {
  double sum[4] = {0, 0, 0, 0};
  std::int64_t s = 0;
  for (; s + 4 <= n; s += 4)
    for (int k = 0; k < 4; ++k) sum[k] += a[s + k] * b[s + k];
  for (; s < n; ++s) sum[0] += a[s] * b[s];
  return (sum[0] + sum[1] + sum[2] + sum[3]) / real(n);
}

/// The S + 1 vectors of a data set, the truth last, by columns, each with mean 0 and standard deviation 1.
void standardized_columns(const Array& draws, const Array& truths, const Sizes& n, std::int64_t b, std::vector<double>& columns) {
  const std::int64_t rows = n.draws + 1;
  columns.resize(index(n.parameters * rows));
  for (std::int64_t p = 0; p < n.parameters; ++p) {
    double* c = columns.data() + p * rows;
    gather(draws, n, b, p, {c, index(n.draws)});
    c[n.draws] = truths.data()[b * n.parameters + p];
    double mean = 0, squares = 0;
    for (std::int64_t s = 0; s < rows; ++s) mean += c[s];
    mean /= real(rows);
    for (std::int64_t s = 0; s < rows; ++s) squares += (c[s] - mean) * (c[s] - mean);
    const double scale = squares > 0 && std::isfinite(squares) ? std::sqrt(real(rows) / squares) : 1.0;
    for (std::int64_t s = 0; s < rows; ++s) c[s] = (c[s] - mean) * scale;
  }
}

/// Squared lengths of L^-1 z for the Cholesky factor L of the correlation matrix (its lower triangle), with a ridge so that it exists.
void mahalanobis(const std::vector<double>& columns, const std::vector<double>& correlation, std::int64_t rows, std::int64_t p_count,
                 std::vector<double>& distance) {
  std::vector<double> l(index(p_count * p_count)), z(columns);
  const double ridge = rows > 4 * p_count ? 1e-9 : 0.1;
  for (std::int64_t i = 0; i < p_count; ++i)
    for (std::int64_t j = 0; j <= i; ++j) {
      double v = correlation[index(i * p_count + j)] + (i == j ? ridge : 0.0);
      for (std::int64_t k = 0; k < j; ++k) v -= l[index(i * p_count + k)] * l[index(j * p_count + k)];
      l[index(i * p_count + j)] = i == j ? std::sqrt(std::max(v, 1e-12)) : v / l[index(j * p_count + j)];
    }
  distance.assign(index(rows), 0.0);
  for (std::int64_t i = 0; i < p_count; ++i) {
    double* zi = z.data() + i * rows;
    for (std::int64_t k = 0; k < i; ++k) {
      const double f = l[index(i * p_count + k)];
      const double* zk = z.data() + k * rows;
      for (std::int64_t s = 0; s < rows; ++s) zi[s] -= f * zk[s];
    }
    const double f = 1 / l[index(i * p_count + i)];
    for (std::int64_t s = 0; s < rows; ++s) {
      zi[s] *= f;
      distance[index(s)] += zi[s] * zi[s];
    }
  }
}

}  // namespace

JointRanks joint_ranks(const Array& draws, const Array& truths, const Sizes& n, const Array& directions, bool with_pairs,
                       std::uint64_t seed, ThreadPool& pool) {
  const std::int64_t rows = n.draws + 1, pairs = with_pairs ? n.parameters * (n.parameters - 1) / 2 : 0;
  const std::int64_t k_count = directions.empty() ? 0 : directions.dim(0);
  JointRanks out;
  out.sums = Array({n.data_sets, pairs});
  out.differences = Array({n.data_sets, pairs});
  out.distance = Array({n.data_sets});
  out.projections = Array({n.data_sets, k_count});
  Array correlations({n.data_sets, pairs});
  const Rng rng(seed, "joint rank ties");
  pool.for_each(n.data_sets, [&](std::int64_t b) {
    Rng ties = rng.at(static_cast<std::uint64_t>(b));
    std::vector<double> columns, value(index(rows)), correlation(index(n.parameters * n.parameters));
    standardized_columns(draws, truths, n, b, columns);
    for (std::int64_t i = 0; i < n.parameters; ++i)
      for (std::int64_t j = 0; j <= i; ++j)
        correlation[index(i * n.parameters + j)] = mean_product(columns.data() + i * rows, columns.data() + j * rows, rows);
    std::int64_t pair = b * pairs;
    for (std::int64_t i = 0; with_pairs && i < n.parameters; ++i)
      for (std::int64_t j = 0; j < i; ++j, ++pair) {
        Place sum, difference;
        place_of_last(columns.data() + i * rows, columns.data() + j * rows, rows, sum, difference);
        out.sums.data()[pair] = real(sum.rank(ties));
        out.differences.data()[pair] = real(difference.rank(ties));
        correlations.data()[pair] = correlation[index(i * n.parameters + j)];
      }
    mahalanobis(columns, correlation, rows, n.parameters, value);
    out.distance.data()[b] = real(place_of_last(value.data(), rows).rank(ties));
    for (std::int64_t k = 0; k < k_count; ++k) {
      value.assign(index(rows), 0.0);
      for (std::int64_t p = 0; p < n.parameters; ++p) {
        const double f = directions.data()[k * n.parameters + p];
        const double* c = columns.data() + p * rows;
        for (std::int64_t s = 0; s < rows; ++s) value[index(s)] += f * c[s];
      }
      out.projections.data()[b * k_count + k] = real(place_of_last(value.data(), rows).rank(ties));
    }
  });
  out.correlation = pairs ? correlations.mean(0) : Array();
  return out;
}

Array random_directions(std::int64_t count, std::int64_t parameters, std::uint64_t seed) {
  Array out = Rng(seed, "joint test directions").normal({count, parameters});
  for (std::int64_t k = 0; k < count; ++k) {
    double length = 0;
    for (std::int64_t p = 0; p < parameters; ++p) length += out(k, p) * out(k, p);
    for (std::int64_t p = 0; p < parameters; ++p) out(k, p) /= std::sqrt(length);
  }
  return out;
}

}  // namespace bayesflow::diagnostics
