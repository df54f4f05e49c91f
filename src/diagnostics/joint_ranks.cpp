#include "diagnostics/joint_ranks.hpp"

#include <cmath>

#include "bayesflow/core/rng.hpp"

namespace bayesflow::diagnostics {
namespace {

/// Rank of the last of n values among the others; values equal to it are put below or above at random.
std::int64_t rank_of_last(const double* v, std::int64_t n, Rng& ties) {
  std::int64_t below = 0, equal = 0;
  const double x = v[n - 1];
  for (std::int64_t i = 0; i + 1 < n; ++i) {
    below += v[i] < x;
    equal += v[i] == x;
  }
  return equal ? below + ties.integers(0, equal + 1) : below;
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

/// Squared lengths of L^-1 z for the Cholesky factor L of the correlation matrix, with a ridge so that it exists.
void mahalanobis(const std::vector<double>& columns, std::int64_t rows, std::int64_t p_count, std::vector<double>& distance) {
  std::vector<double> l(index(p_count * p_count)), z(columns);
  const double ridge = rows > 4 * p_count ? 1e-9 : 0.1;
  for (std::int64_t i = 0; i < p_count; ++i)
    for (std::int64_t j = 0; j <= i; ++j) {
      const double *a = columns.data() + i * rows, *b = columns.data() + j * rows;
      // Four partial sums: the compiler may not reorder one.
      double sum[4] = {0, 0, 0, 0};
      std::int64_t s = 0;
      for (; s + 4 <= rows; s += 4)
        for (int k = 0; k < 4; ++k) sum[k] += a[s + k] * b[s + k];
      for (; s < rows; ++s) sum[0] += a[s] * b[s];
      double v = (sum[0] + sum[1] + sum[2] + sum[3]) / real(rows) + (i == j ? ridge : 0.0);
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
    std::vector<double> columns, value(index(rows));
    standardized_columns(draws, truths, n, b, columns);
    std::int64_t pair = 0;
    for (std::int64_t i = 0; with_pairs && i < n.parameters; ++i)
      for (std::int64_t j = 0; j < i; ++j, ++pair) {
        const double *x = columns.data() + j * rows, *y = columns.data() + i * rows;
        double product = 0;
        for (std::int64_t s = 0; s < rows; ++s) {
          value[index(s)] = x[s] + y[s];
          product += x[s] * y[s];
        }
        out.sums.data()[b * pairs + pair] = real(rank_of_last(value.data(), rows, ties));
        for (std::int64_t s = 0; s < rows; ++s) value[index(s)] = y[s] - x[s];
        out.differences.data()[b * pairs + pair] = real(rank_of_last(value.data(), rows, ties));
        correlations.data()[b * pairs + pair] = product / real(rows);
      }
    mahalanobis(columns, rows, n.parameters, value);
    out.distance.data()[b] = real(rank_of_last(value.data(), rows, ties));
    for (std::int64_t k = 0; k < k_count; ++k) {
      value.assign(index(rows), 0.0);
      for (std::int64_t p = 0; p < n.parameters; ++p) {
        const double f = directions.data()[k * n.parameters + p];
        const double* c = columns.data() + p * rows;
        for (std::int64_t s = 0; s < rows; ++s) value[index(s)] += f * c[s];
      }
      out.projections.data()[b * k_count + k] = real(rank_of_last(value.data(), rows, ties));
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
