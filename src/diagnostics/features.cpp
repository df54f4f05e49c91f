#include "diagnostics/features.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "diagnostics/numbers.hpp"
#include "diagnostics/special.hpp"

namespace bayesflow::diagnostics {
namespace {

constexpr std::int64_t kMostColumns = 12;  // of observations, that are described one by one
constexpr std::int64_t kMostGiven = 24;    // conditions or summaries taken as they are
constexpr double kHeavy = 9;               // kurtosis from which a feature is replaced by its normal scores

/// Features as columns of length B.
class Columns {
 public:
  Columns(std::int64_t rows, std::int64_t most) : rows_(rows), most_(most), now_(most) {}
  [[nodiscard]] bool full() const { return static_cast<std::int64_t>(names_.size()) >= now_; }
  /// From now on, room is left for `others` more groups of features as large as the next one.
  void leave(std::int64_t others) {
    const auto used = static_cast<std::int64_t>(names_.size());
    now_ = used + (most_ - used) / (others + 1);
  }

  /// Standardizes and keeps a column unless it is constant.
  void add(std::vector<double> v, std::string name) {
    if (full()) return;
    for (double& x : v)
      if (!std::isfinite(x)) x = 0;
    if (!standardize(v)) return;
    double fourth = 0;
    for (const double x : v) fourth += x * x * x * x / real(rows_);
    if (fourth > kHeavy && !(normal_scores(v) && standardize(v))) return;
    values_.insert(values_.end(), v.begin(), v.end());
    names_.push_back(std::move(name));
  }

  [[nodiscard]] Features finish() && {
    const auto count = static_cast<std::int64_t>(names_.size());
    if (count == 0) return {Array({rows_, 0}), {}};
    return {Array({count, rows_}, std::move(values_)).transpose(), std::move(names_)};
  }

 private:
  [[nodiscard]] bool standardize(std::vector<double>& v) const {
    const double n = real(rows_), mean = std::accumulate(v.begin(), v.end(), 0.0) / n;
    double square = 0, largest = 0;
    for (const double x : v) {
      square += (x - mean) * (x - mean) / n;
      largest = std::max(largest, std::fabs(x));
    }
    if (!std::isfinite(square) || square <= 1e-20 * largest * largest) return false;
    for (double& x : v) x = (x - mean) / std::sqrt(square);
    return true;
  }

  [[nodiscard]] bool normal_scores(std::vector<double>& v) const {
    std::vector<std::size_t> order(v.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return v[a] < v[b]; });
    std::vector<double> score(v.size());
    for (std::size_t i = 0; i < order.size();) {
      std::size_t end = i + 1;
      while (end < order.size() && v[order[end]] == v[order[i]]) ++end;
      for (std::size_t k = i; k < end; ++k) score[order[k]] = normal_quantile(0.5 * static_cast<double>(i + end) / real(rows_));
      i = end;
    }
    v = std::move(score);
    return true;
  }

  std::int64_t rows_, most_, now_;
  std::vector<double> values_;
  std::vector<std::string> names_;
};

/// x (B, n, d): what is said of each column, in the order of `kStatistics`.
struct Described {
  std::vector<std::string> names;
  std::vector<std::vector<double>> values;  // [statistic][data set]
};

constexpr std::int64_t kParts = 4;

/// The value that occurs most often in a column, if a twentieth of all values are it.
std::optional<double> frequent_value(const std::vector<double>& all) {
  std::vector<double> some;
  const std::size_t step = std::max<std::size_t>(1, all.size() / 4000);
  for (std::size_t i = 0; i < all.size(); i += step) some.push_back(all[i]);
  std::map<double, std::size_t> counts;
  for (const double v : some) ++counts[v];
  const auto best = std::max_element(counts.begin(), counts.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  return 20 * best->second >= some.size() && best->second > 2 ? std::optional(best->first) : std::nullopt;
}

/// One column of every data set: values (B, n).
Described describe(const std::vector<double>& values, std::int64_t sets, std::int64_t n) {
  Described out;
  out.names = {"mean",
               "standard deviation",
               "smallest value",
               "median",
               "largest value",
               "10 % quantile",
               "90 % quantile",
               "25 % quantile",
               "75 % quantile",
               "product with the next observation",
               "share of the most frequent value"};
  const bool parts = n >= 2 * kParts;
  for (std::int64_t k = 0; parts && k < kParts; ++k) out.names.push_back(fmt::format("mean of part {} of {}", k + 1, kParts));
  out.values.assign(out.names.size(), std::vector<double>(index(sets)));
  const std::optional<double> frequent = frequent_value(values);
  std::vector<double> sorted(index(n));
  for (std::int64_t b = 0; b < sets; ++b) {
    const double* v = values.data() + b * n;
    double mean = 0, square = 0, lag = 0;
    for (std::int64_t i = 0; i < n; ++i) mean += v[i] / real(n);
    for (std::int64_t i = 0; i < n; ++i) square += (v[i] - mean) * (v[i] - mean) / real(n);
    for (std::int64_t i = 1; i < n; ++i) lag += (v[i] - mean) * (v[i - 1] - mean) / real(n);
    sorted.assign(v, v + n);
    std::sort(sorted.begin(), sorted.end());
    const double numbers[] = {mean,
                              std::sqrt(square),
                              sorted.front(),
                              sorted_quantile(sorted, 0.5),
                              sorted.back(),
                              sorted_quantile(sorted, 0.1),
                              sorted_quantile(sorted, 0.9),
                              sorted_quantile(sorted, 0.25),
                              sorted_quantile(sorted, 0.75),
                              square > 0 ? lag / square : 0.0,
                              frequent ? real(std::count(v, v + n, *frequent)) / real(n) : 0.0};
    for (std::size_t k = 0; k < std::size(numbers); ++k) out.values[k][index(b)] = numbers[k];
    for (std::int64_t k = 0; parts && k < kParts; ++k) {
      const std::int64_t first = k * n / kParts, last = (k + 1) * n / kParts;
      out.values[std::size(numbers) + index(k)][index(b)] = std::accumulate(v + first, v + last, 0.0) / real(last - first);
    }
  }
  return out;
}

std::vector<double> column_of(const Array& x, std::int64_t column) {
  const std::int64_t width = x.size() / x.dim(0);
  std::vector<double> out(index(x.dim(0)));
  for (std::int64_t b = 0; b < x.dim(0); ++b) out[index(b)] = x.data()[b * width + column];
  return out;
}

/// Values as they are: the first of them, or parts' means if there are many.
void add_given(const Array& x, const char* name, Columns& to) {
  const std::int64_t width = x.size() / x.dim(0), shown = std::min(width, kMostGiven);
  for (std::int64_t k = 0; k < shown; ++k) {
    const std::int64_t first = k * width / shown, last = (k + 1) * width / shown;
    std::vector<double> mean(index(x.dim(0)));
    for (std::int64_t c = first; c < last; ++c) {
      const std::vector<double> v = column_of(x, c);
      for (std::size_t b = 0; b < v.size(); ++b) mean[b] += v[b] / real(last - first);
    }
    to.add(std::move(mean),
           last - first == 1 ? fmt::format("{} {}", name, first + 1) : fmt::format("mean of {}s {} to {}", name, first + 1, last));
  }
}

/// `of`: " of the series" of a source, or nothing.
void add_observations(const Array& x, const std::string& of, Columns& to) {
  const std::int64_t sets = x.dim(0), d = x.dim(x.rank() - 1), n = d ? x.size() / (sets * d) : 0;
  const std::int64_t described = std::min(d, kMostColumns);
  std::vector<std::vector<double>> columns;
  for (std::int64_t c = 0; c < described; ++c) {
    std::vector<double> v(index(sets * n));
    for (std::int64_t i = 0; i < sets * n; ++i) v[index(i)] = x.data()[i * d + c];
    columns.push_back(std::move(v));
  }
  std::vector<Described> each;
  for (const auto& v : columns) each.push_back(describe(v, sets, n));
  if (d > described) each.push_back(describe({x.data(), x.data() + x.size()}, sets, n * d));
  const auto name = [&](std::size_t c) {
    return static_cast<std::int64_t>(c) < described ? (d == 1 ? std::string("the data") : fmt::format("column {}", c + 1)) : "all columns";
  };
  // Means and spreads of all columns first, then how columns go together, then the rest.
  const auto statistic = [&](std::size_t s) {
    for (std::size_t c = 0; c < each.size(); ++c)
      if (s < each[c].names.size()) to.add(each[c].values[s], each[c].names[s] + " of " + name(c) + of);
  };
  for (std::size_t s = 0; s < 3; ++s) statistic(s);
  for (std::size_t i = 1; i < std::min<std::size_t>(columns.size(), 5); ++i)
    for (std::size_t j = 0; j < i; ++j) {
      std::vector<double> product(index(sets));
      for (std::int64_t b = 0; b < sets; ++b) {
        const double *u = columns[i].data() + b * n, *v = columns[j].data() + b * n;
        const double mu = each[i].values[0][index(b)], mv = each[j].values[0][index(b)];
        for (std::int64_t k = 0; k < n; ++k) product[index(b)] += (u[k] - mu) * (v[k] - mv) / real(n);
      }
      to.add(std::move(product), fmt::format("covariance of columns {} and {}{}", j + 1, i + 1, of));
    }
  std::size_t most = 0;
  for (const Described& e : each) most = std::max(most, e.names.size());
  for (std::size_t s = 3; s < most && !to.full(); ++s) statistic(s);
}

/// The data; where a mask says that an observation is padding, the observations that are there come once more. How many there are becomes
/// a feature.
Array without_padding(const Batch& data, std::string_view source, const std::string& of, Columns& to) {
  Array x = data.array(roles::of_source(roles::summary_conditions, source));
  const Block* mask = data.find(roles::of_source(roles::summary_mask, source));
  if (!mask) return x;
  const std::int64_t n = mask->size() / mask->dim(0), width = x.size() / (x.dim(0) * n);
  std::vector<double> counts;
  for (std::int64_t b = 0; b < x.dim(0); ++b) {
    std::vector<std::int64_t> there;
    for (std::int64_t i = 0; i < n; ++i)
      if (mask->data()[b * n + i] != 0) there.push_back(i);
    counts.push_back(real(static_cast<std::int64_t>(there.size())));
    double* rows = x.data() + b * n * width;
    std::size_t next = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      if (mask->data()[b * n + i] != 0) continue;
      if (there.empty())
        std::fill_n(rows + i * width, width, 0.0);
      else
        std::copy_n(rows + there[next++ % there.size()] * width, width, rows + i * width);
    }
  }
  to.add(std::move(counts), "number of observations" + of);
  return x;
}

}  // namespace

Features data_features(const Batch& data, const std::optional<Array>& summaries, std::int64_t most, const std::optional<Array>& means,
                       const std::optional<Array>& sds) {
  Columns out(data.batch_size(), most);
  if (means) add_given(*means, "posterior mean of parameter", out);
  if (sds) add_given(*sds, "posterior sd of parameter", out);
  if (data.has(roles::direct_conditions)) add_given(data.array(roles::direct_conditions), "direct condition", out);
  std::vector<std::string_view> sources;
  for (const auto& [role, values] : data.entries())
    if (const auto source = roles::source_in(role, roles::summary_conditions)) sources.push_back(*source);
  // Each source has its share of the features.
  for (std::size_t s = 0; s < sources.size(); ++s) {
    out.leave(static_cast<std::int64_t>(sources.size() - s - 1));
    const std::string of = sources[s].empty() ? "" : fmt::format(" of {}", sources[s]);
    const Array x = without_padding(data, sources[s], of, out);
    const bool one_by_one = x.rank() == 2;
    if (one_by_one) add_given(x, ("value" + of).c_str(), out);
    if (one_by_one && x.dim(1) >= 8)
      add_observations(x.expand_dims(2), of, out);
    else if (!one_by_one && x.rank() > 2)
      add_observations(x, of, out);
  }
  if (summaries) add_given(*summaries, "learned summary", out);
  return std::move(out).finish();
}

Features with_squares(const Features& features, std::int64_t most, bool products) {
  const std::int64_t sets = features.values.dim(0), count = features.values.dim(1);
  Columns out(sets, most);
  std::vector<std::vector<double>> columns;
  for (std::int64_t k = 0; k < count; ++k) {
    columns.push_back(column_of(features.values, k));
    out.add(columns.back(), features.names[index(k)]);
  }
  const auto product = [&](std::size_t i, std::size_t j, std::string name) {
    std::vector<double> v(index(sets));
    for (std::size_t b = 0; b < v.size(); ++b) v[b] = columns[i][b] * columns[j][b];
    out.add(std::move(v), std::move(name));
  };
  for (std::size_t i = 0; i < columns.size() && !out.full(); ++i) product(i, i, "square of the " + features.names[i]);
  for (std::size_t i = 1; products && i < columns.size() && !out.full(); ++i)
    for (std::size_t j = 0; j < i; ++j) product(i, j, fmt::format("product of the {} and the {}", features.names[j], features.names[i]));
  return std::move(out).finish();
}

}  // namespace bayesflow::diagnostics
