#include "diagnostics/ridge.hpp"

#include <algorithm>
#include <cmath>

#include "diagnostics/numbers.hpp"

namespace bayesflow::diagnostics {
namespace {

/// The inverse of a positive definite matrix (n, n), by Cholesky's decomposition.
std::vector<double> inverse(std::vector<double> a, std::int64_t n) {
  const auto at = [n](std::int64_t i, std::int64_t j) { return index(i * n + j); };
  for (std::int64_t j = 0; j < n; ++j) {
    for (std::int64_t k = 0; k < j; ++k) a[at(j, j)] -= a[at(j, k)] * a[at(j, k)];
    a[at(j, j)] = std::sqrt(a[at(j, j)]);
    for (std::int64_t i = j + 1; i < n; ++i) {
      double s = a[at(i, j)];
      for (std::int64_t k = 0; k < j; ++k) s -= a[at(i, k)] * a[at(j, k)];
      a[at(i, j)] = s / a[at(j, j)];
    }
  }
  // L^-1 by rows, then its square.
  std::vector<double> low(a.size()), out(a.size());
  for (std::int64_t i = 0; i < n; ++i) {
    double* to = low.data() + i * n;
    for (std::int64_t k = 0; k < i; ++k)
      for (std::int64_t j = 0; j <= k; ++j) to[j] -= a[at(i, k)] * low[at(k, j)];
    to[i] = 1;
    for (std::int64_t j = 0; j <= i; ++j) to[j] /= a[at(i, i)];
  }
  for (std::int64_t k = 0; k < n; ++k)
    for (std::int64_t i = 0; i <= k; ++i)
      for (std::int64_t j = 0; j <= k; ++j) out[at(i, j)] += low[at(k, i)] * low[at(k, j)];
  return out;
}

/// c (n, t) += a (n) times b (t), over rows.
void add_outer(const double* a, const double* b, std::int64_t n, std::int64_t t, double* c) {
  for (std::int64_t i = 0; i < n; ++i, c += t)
    for (std::int64_t k = 0; k < t; ++k) c[k] += a[i] * b[k];
}

}  // namespace

CrossRidge::CrossRidge(const Array& features, std::int64_t folds, std::vector<double> penalties, Rng rng)
    : rows_(features.dim(0)), width_(features.dim(1)), penalties_(std::move(penalties)), row_of_(rng.permutation(rows_)) {
  for (std::int64_t f = 0; f <= folds; ++f) first_.push_back(f * rows_ / folds);
  x_.reserve(index(rows_ * width_));
  for (const std::int64_t r : row_of_) {
    const auto row = features.row_values(r);
    x_.insert(x_.end(), row.begin(), row.end());
  }
  const auto size = index(width_ * width_);
  std::vector<std::vector<double>> gram(index(folds), std::vector<double>(size));
  std::vector<double> all(size), total(index(width_));
  sums_.assign(index(folds * width_), 0.0);
  for (std::int64_t f = 0; f < folds; ++f) {
    double* sum = sums_.data() + f * width_;
    for (std::int64_t i = first_[index(f)]; i < first_[index(f + 1)]; ++i) {
      const double* x = x_.data() + i * width_;
      add_outer(x, x, width_, width_, gram[index(f)].data());
      for (std::int64_t k = 0; k < width_; ++k) sum[k] += x[k];
    }
    for (std::size_t k = 0; k < size; ++k) all[k] += gram[index(f)][k];
    for (std::int64_t k = 0; k < width_; ++k) total[index(k)] += sum[k];
  }
  for (std::int64_t f = 0; f < folds; ++f) {
    for (std::int64_t k = 0; k < width_; ++k) sums_[index(f * width_ + k)] = total[index(k)] - sums_[index(f * width_ + k)];
    for (std::size_t k = 0; k < size; ++k) gram[index(f)][k] = all[k] - gram[index(f)][k];
    const double count = real(rows_ - (first_[index(f + 1)] - first_[index(f)]));
    for (const double penalty : penalties_) {
      std::vector<double> a = gram[index(f)];
      for (std::int64_t k = 0; k < width_; ++k) a[index(k * width_ + k)] += penalty * count;
      m_.push_back(inverse(std::move(a), width_));
    }
  }
}

/// Calls use(penalty, row of the features, target row, mean of the targets in other folds, prediction less that mean).
template <class Use>
void CrossRidge::solve(const Array& targets, std::span<const std::int64_t> order, Use&& use) const {
  const std::int64_t t_count = targets.dim(1), folds = static_cast<std::int64_t>(first_.size()) - 1, size = width_ * t_count;
  const auto target = [&](std::int64_t i) {
    const std::int64_t r = row_of_[index(i)];
    return targets.data() + (order.empty() ? r : order[index(r)]) * t_count;
  };
  std::vector<double> xy(index((folds + 1) * size)), y(index((folds + 1) * t_count));
  for (std::int64_t f = 0; f < folds; ++f)
    for (std::int64_t i = first_[index(f)]; i < first_[index(f + 1)]; ++i) {
      const double* row = target(i);
      add_outer(x_.data() + i * width_, row, width_, t_count, xy.data() + f * size);
      for (std::int64_t t = 0; t < t_count; ++t) y[index(f * t_count + t)] += row[t];
    }
  for (std::int64_t f = 0; f < folds; ++f) {
    for (std::int64_t k = 0; k < size; ++k) xy[index(folds * size + k)] += xy[index(f * size + k)];
    for (std::int64_t t = 0; t < t_count; ++t) y[index(folds * t_count + t)] += y[index(f * t_count + t)];
  }
  std::vector<double> right(index(size)), beta(index(size)), mean(index(t_count)), predicted(index(t_count));
  for (std::int64_t f = 0; f < folds; ++f) {
    const double count = real(rows_ - (first_[index(f + 1)] - first_[index(f)]));
    for (std::int64_t t = 0; t < t_count; ++t) mean[index(t)] = (y[index(folds * t_count + t)] - y[index(f * t_count + t)]) / count;
    for (std::int64_t k = 0; k < width_; ++k)
      for (std::int64_t t = 0; t < t_count; ++t) {
        const std::int64_t at = k * t_count + t;
        right[index(at)] = xy[index(folds * size + at)] - xy[index(f * size + at)] - sums_[index(f * width_ + k)] * mean[index(t)];
      }
    for (std::int64_t p = 0; p < penalties(); ++p) {
      const std::vector<double>& m = m_[index(f * penalties() + p)];
      std::fill(beta.begin(), beta.end(), 0.0);
      for (std::int64_t j = 0; j < width_; ++j) add_outer(m.data() + j * width_, right.data() + j * t_count, width_, t_count, beta.data());
      for (std::int64_t i = first_[index(f)]; i < first_[index(f + 1)]; ++i) {
        const double* x = x_.data() + i * width_;
        std::fill(predicted.begin(), predicted.end(), 0.0);
        for (std::int64_t k = 0; k < width_; ++k)
          for (std::int64_t t = 0; t < t_count; ++t) predicted[index(t)] += x[k] * beta[index(k * t_count + t)];
        use(p, row_of_[index(i)], target(i), mean.data(), predicted.data());
      }
    }
  }
}

std::vector<double> CrossRidge::predict(const Array& targets, std::span<const std::int64_t> order) const {
  const std::int64_t t_count = targets.dim(1);
  std::vector<double> out(index(penalties() * rows_ * t_count));
  solve(targets, order, [&](std::int64_t p, std::int64_t row, const double*, const double* mean, const double* predicted) {
    for (std::int64_t t = 0; t < t_count; ++t) out[index((p * rows_ + row) * t_count + t)] = mean[t] + predicted[t];
  });
  return out;
}

std::vector<double> CrossRidge::r2(const Array& targets, std::span<const std::int64_t> order) const {
  const std::int64_t t_count = targets.dim(1);
  std::vector<double> error(index(penalties() * t_count)), spread(error);
  solve(targets, order, [&](std::int64_t p, std::int64_t, const double* y, const double* mean, const double* predicted) {
    for (std::int64_t t = 0; t < t_count; ++t) {
      const double around = y[t] - mean[t], left = around - predicted[t];
      error[index(p * t_count + t)] += left * left;
      spread[index(p * t_count + t)] += around * around;
    }
  });
  for (std::size_t k = 0; k < error.size(); ++k) error[k] = spread[k] > 0 ? 1 - error[k] / spread[k] : 0;
  return error;
}

}  // namespace bayesflow::diagnostics
