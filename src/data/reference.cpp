#include "bayesflow/data/reference.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

#include "bayesflow/core/errors.hpp"
#include "data/padding.hpp"

namespace bayesflow {
namespace {

std::size_t index(std::int64_t i) { return static_cast<std::size_t>(i); }

// --- features ---

constexpr std::int64_t kAllOf = 8, kSomeOf = 20, kMostChannels = 64, kPieces = 16;

/// Which features a field of so many columns has.
struct Layout {
  std::int64_t columns = 0, channels = 0;
  bool tails = false, all = false, pairs = false;
  explicit Layout(std::int64_t width)
      : columns(width),
        channels(std::min(width, kMostChannels)),
        tails(width <= kSomeOf),
        all(width <= kAllOf),
        pairs(width > 1 && width <= kSomeOf) {}
  [[nodiscard]] std::int64_t first(std::int64_t channel) const { return channel * columns / channels; }
  [[nodiscard]] std::string name(std::int64_t channel, std::string_view field) const {
    if (columns == 1) return std::string(field);
    const std::int64_t from = first(channel), to = first(channel + 1);
    return to == from + 1 ? fmt::format("column {} of {}", from + 1, field) : fmt::format("columns {} to {} of {}", from + 1, to, field);
  }
};

void name_rows(std::vector<std::string>& names, const Layout& layout, std::string_view field) {
  for (std::int64_t k = 0; k < layout.channels; ++k) {
    const std::string of = layout.name(k, field);
    names.push_back("mean of " + of);
    names.push_back("log standard deviation of " + of);
    if (layout.tails) {
      names.push_back("log kurtosis of " + of);
      names.push_back("correlation of neighbours in " + of);
    }
    if (!layout.all) continue;
    names.push_back("skewness of " + of);
    names.push_back("log of the largest distance from the mean, in standard deviations, of " + of);
  }
  for (std::int64_t k = 1; layout.pairs && k < layout.channels; ++k)
    names.push_back(fmt::format("correlation of columns {} and {} of {}", k, k + 1, field));
}

/// The same of `rows` rows of one data set.
void describe_rows(std::vector<float>& out, const Layout& layout, const float* values, std::int64_t rows) {
  constexpr double kLeast = 1e-30;
  const std::int64_t width = layout.columns;
  std::array<double, kMostChannels> means{}, deviations{};
  for (std::int64_t k = 0; k < layout.channels; ++k) {
    const std::int64_t from = layout.first(k), to = layout.first(k + 1);
    const double n = static_cast<double>(std::max<std::int64_t>(1, rows * (to - from)));
    double mean = 0;
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t j = from; j < to; ++j) mean += static_cast<double>(values[r * width + j]);
    mean /= n;
    double m2 = 0, m3 = 0, m4 = 0, neighbours = 0, most = 0;
    for (std::int64_t j = from; j < to; ++j) {
      double before = 0;
      for (std::int64_t r = 0; r < rows; ++r) {
        const double c = static_cast<double>(values[r * width + j]) - mean, square = c * c;
        m2 += square;
        m3 += square * c;
        m4 += square * square;
        neighbours += c * before;
        most = std::max(most, square);
        before = c;
      }
    }
    const double variance = m2 / n, sd = std::sqrt(variance);
    const bool varies = sd > kLeast;
    means[index(k)] = mean;
    deviations[index(k)] = varies ? sd : 0;
    const auto put = [&](double x) { out.push_back(static_cast<float>(x)); };
    put(mean);
    put(std::log(std::max(sd, kLeast)));
    if (layout.tails) {
      put(varies ? std::log(m4 / n / (variance * variance)) : 0);
      put(varies ? neighbours / m2 : 0);
    }
    if (!layout.all) continue;
    put(varies ? m3 / n / (variance * sd) : 0);
    put(varies ? std::log(std::sqrt(most) / sd) : 0);
  }
  for (std::int64_t k = 1; layout.pairs && k < layout.channels; ++k) {
    double together = 0;
    for (std::int64_t r = 0; r < rows; ++r)
      together += (static_cast<double>(values[r * width + k - 1]) - means[index(k - 1)]) *
                  (static_cast<double>(values[r * width + k]) - means[index(k)]);
    const double scale = deviations[index(k - 1)] * deviations[index(k)] * static_cast<double>(std::max<std::int64_t>(1, rows));
    out.push_back(static_cast<float>(scale > 0 ? together / scale : 0));
  }
}

/// A field of a batch as features see it.
struct Field {
  std::string name;
  const Block* values;
  std::optional<std::string> source;  ///< of summary conditions
};

std::vector<Field> fields_of(const Batch& batch) {
  std::vector<Field> out;
  for (const auto& [role, values] : batch.entries()) {
    if (values.rank() < 2 || values.dim(-1) < 1) continue;
    const std::optional<std::string_view> source = roles::source_in(role, roles::summary_conditions);
    if (source)
      out.push_back({role.str(), &values, std::string(*source)});
    else if ((role == roles::direct_conditions || role == roles::direct_global_conditions) && values.rank() == 2)
      out.push_back({roles::direct_conditions, &values, {}});  // a two-level model's are those of its global posterior
  }
  std::ranges::sort(out, {}, &Field::name);
  return out;
}

// --- distances ---

constexpr std::int64_t kMostFitted = 500, kNeighbours = 5, kMostNear = 16;

double quantile(std::vector<double> values, double p) {
  const auto at = values.begin() + static_cast<std::ptrdiff_t>(p * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

/// Where simulations lie, in the columns of features or summaries that vary.
class Space {
 public:
  /// `fitted` rows of `rows` (count, width); the others have the distances that ranks are taken among.
  Space(std::span<const float> rows, std::int64_t count, std::int64_t width, std::int64_t fitted) : width_(width), fitted_(fitted) {
    for (std::int64_t j = 0; j < width; ++j) add_column(rows, count, j);
    d_ = static_cast<std::int64_t>(columns_.size());
    if (d_ == 0) return;
    std::vector<double> z(index(fitted * d_));
    for (std::int64_t i = 0; i < fitted; ++i) scale(rows.data() + i * width, z.data() + i * d_);
    whiten(z);
    if (d_ <= kMostNear) {
      points_.resize(z.size());
      for (std::int64_t i = 0; i < fitted; ++i) {
        solve(z.data() + i * d_);
        for (std::int64_t j = 0; j < d_; ++j) points_[index(j * fitted + i)] = static_cast<float>(z[index(i * d_ + j)]);
      }
    }
    for (std::int64_t i = fitted; i < count; ++i) distances_.push_back(distance(rows.data() + i * width));
    sorted_ = distances_;
    std::ranges::sort(sorted_);
  }

  [[nodiscard]] bool varies() const { return d_ > 0; }
  [[nodiscard]] const std::vector<double>& distances() const { return distances_; }
  /// Reference sets as far away as this, or further.
  [[nodiscard]] std::int64_t beyond(double distance) const { return sorted_.end() - std::ranges::lower_bound(sorted_, distance); }

  [[nodiscard]] double distance(const float* row) const {
    std::vector<double> w(index(d_));
    scale(row, w.data());
    for (std::int64_t j = 0; j < d_; ++j) w[index(j)] -= columns_[index(j)].mean;
    solve(w.data());
    if (points_.empty()) {
      double out = 0;
      for (const double x : w) out += x * x;
      return out;
    }
    std::array<float, kMostFitted> square{};
    for (std::int64_t j = 0; j < d_; ++j) {
      const auto x = static_cast<float>(w[index(j)]);
      const float* const at = points_.data() + j * fitted_;
      for (std::int64_t i = 0; i < fitted_; ++i) square[index(i)] += (at[i] - x) * (at[i] - x);
    }
    const auto end = square.begin() + fitted_;
    std::array<float, kNeighbours> nearest{};
    std::partial_sort_copy(square.begin(), end, nearest.begin(), nearest.end());
    double out = 0;
    for (const float x : nearest) out += static_cast<double>(x) / kNeighbours;
    return out;
  }

  struct Column {
    std::int64_t column = 0;
    double median = 0, scale = 1;
    bool heavy = false;
    double mean = 0, sd = 1;  ///< of scaled values
    double low = 0, high = 0;
  };
  /// The column that is furthest off, by itself if one is beyond three standard deviations, else given the others.
  [[nodiscard]] std::pair<const Column*, bool> strangest(const float* row) const {
    std::vector<double> z(index(d_));
    scale(row, z.data());
    const auto largest = [&](auto&& size) {
      std::int64_t at = 0;
      for (std::int64_t j = 1; j < d_; ++j)
        if (size(j) > size(at)) at = j;
      return at;
    };
    for (std::int64_t j = 0; j < d_; ++j) z[index(j)] -= columns_[index(j)].mean;
    const auto alone = [&](std::int64_t j) { return std::abs(z[index(j)]) / columns_[index(j)].sd; };
    const std::int64_t first = largest(alone);
    if (alone(first) > 3) return {&columns_[index(first)], true};
    // (P z)_j^2 / P_jj with the precision P: the squared standardized residual of column j given the others.
    const std::int64_t beside = largest([&](std::int64_t j) {
      double product = 0;
      for (std::int64_t k = 0; k < d_; ++k) product += precision_[index(j * d_ + k)] * z[index(k)];
      return product * product / precision_[index(j * d_ + j)];
    });
    return {&columns_[index(beside)], false};
  }

 private:
  void add_column(std::span<const float> rows, std::int64_t count, std::int64_t j) {
    std::vector<double> values(index(fitted_));
    for (std::int64_t i = 0; i < fitted_; ++i) values[index(i)] = static_cast<double>(rows[index(i * width_ + j)]);
    const auto [least, most] = std::ranges::minmax(values);
    if (!(least < most)) return;
    Column c{.column = j, .median = quantile(values, 0.5)};
    c.scale = (quantile(values, 0.75) - quantile(values, 0.25)) / 1.349;
    if (!(c.scale > 1e-6 * (most - least))) c.scale = most - least;
    c.heavy = std::max(most - c.median, c.median - least) > 10 * c.scale;
    for (std::int64_t i = fitted_; i < count; ++i) values.push_back(static_cast<double>(rows[index(i * width_ + j)]));
    c.low = quantile(values, 0.025);
    c.high = quantile(values, 0.975);
    columns_.push_back(c);
  }

  void scale(const float* row, double* z) const {
    for (std::size_t j = 0; j < columns_.size(); ++j) {
      const Column& c = columns_[j];
      const double x = std::clamp((static_cast<double>(row[c.column]) - c.median) / c.scale, -1e12, 1e12);
      z[j] = c.heavy ? 4 * std::asinh(x / 4) : x;
    }
  }

  /// Centres the scaled values of the fitted rows, and takes the triangular root G of their covariance, G G^T.
  void whiten(std::vector<double>& z) {
    const double n = static_cast<double>(fitted_);
    for (std::int64_t j = 0; j < d_; ++j) {
      double sum = 0;
      for (std::int64_t i = 0; i < fitted_; ++i) sum += z[index(i * d_ + j)];
      columns_[index(j)].mean = sum / n;
      for (std::int64_t i = 0; i < fitted_; ++i) z[index(i * d_ + j)] -= sum / n;
    }
    const double share = std::min(1.0, static_cast<double>(d_ + 1) / n);
    root_.assign(index(d_ * d_), 0);
    for (std::int64_t a = 0; a < d_; ++a)
      for (std::int64_t b = 0; b <= a; ++b) {
        double sum = 0;
        for (std::int64_t i = 0; i < fitted_; ++i) sum += z[index(i * d_ + a)] * z[index(i * d_ + b)];
        root_[index(a * d_ + b)] = sum / (n - 1) * (a == b ? 1 : 1 - share);
        if (a == b) columns_[index(a)].sd = std::sqrt(sum / (n - 1));
      }
    for (std::int64_t a = 0; a < d_; ++a)
      for (std::int64_t b = 0; b <= a; ++b) {
        double sum = root_[index(a * d_ + b)];
        for (std::int64_t k = 0; k < b; ++k) sum -= root_[index(a * d_ + k)] * root_[index(b * d_ + k)];
        root_[index(a * d_ + b)] = a == b ? std::sqrt(std::max(sum, 1e-12)) : sum / root_[index(b * d_ + b)];
      }
    // The precision, column by column of G^-1.
    std::vector<double> inverse(index(d_ * d_), 0);  // row k: G^-1 e_k
    for (std::int64_t k = 0; k < d_; ++k) {
      inverse[index(k * d_ + k)] = 1;
      solve(inverse.data() + k * d_);
    }
    precision_.assign(index(d_ * d_), 0);
    for (std::int64_t a = 0; a < d_; ++a)
      for (std::int64_t b = 0; b < d_; ++b)
        for (std::int64_t k = 0; k < d_; ++k) precision_[index(a * d_ + b)] += inverse[index(a * d_ + k)] * inverse[index(b * d_ + k)];
  }

  /// x := G^-1 x
  void solve(double* x) const {
    for (std::int64_t a = 0; a < d_; ++a) {
      double sum = x[a];
      for (std::int64_t k = 0; k < a; ++k) sum -= root_[index(a * d_ + k)] * x[k];
      x[a] = sum / root_[index(a * d_ + a)];
    }
  }

  std::int64_t width_, fitted_, d_ = 0;
  std::vector<Column> columns_;
  std::vector<double> root_, precision_, distances_, sorted_;
  std::vector<float> points_;  // (d, fitted)
};

double simes(std::vector<double> p) {
  std::ranges::sort(p);
  double out = 1;
  for (std::size_t i = 0; i < p.size(); ++i) out = std::min(out, p[i] * static_cast<double>(p.size()) / static_cast<double>(i + 1));
  return out;
}

/// P(X > x) of a chi-square variable with 2 k degrees of freedom.
double chi_square_beyond(double x, std::size_t k) {
  if (!(x > 0)) return 1;
  double log_term = -x / 2, most = log_term, sum = 0;
  std::vector<double> terms;
  for (std::size_t i = 0; i < k; ++i) {
    if (i) log_term += std::log(x / 2 / static_cast<double>(i));
    terms.push_back(log_term);
    most = std::max(most, log_term);
  }
  for (const double t : terms) sum += std::exp(t - most);
  return std::min(1.0, sum * std::exp(most));
}

double fisher(const std::vector<double>& p, std::int64_t reference) {
  if (p.size() == 1) return p[0];
  double sum = 0;
  for (const double x : p) sum -= 2 * std::log(x);
  const double inflation = std::sqrt(1 + static_cast<double>(p.size()) / static_cast<double>(reference));
  return chi_square_beyond((sum + 2 * static_cast<double>(p.size()) * (inflation - 1)) / inflation, p.size());
}

}  // namespace

DataFeatures data_features(const Batch& batch) {
  DataFeatures out;
  std::vector<std::vector<float>> parts;
  std::vector<std::size_t> widths;
  for (const Field& field : fields_of(batch)) {
    const Block& values = *field.values;
    const std::int64_t sets = values.dim(0), width = values.dim(-1), each = sets > 0 ? values.size() / sets : 0;
    std::vector<float> part;
    const std::size_t before = out.names.size();
    if (values.rank() == 2 && width <= kMostChannels) {
      const Layout layout(width);
      for (std::int64_t k = 0; k < width; ++k) out.names.push_back(layout.name(k, field.name));
      part.assign(values.values().begin(), values.values().end());
    } else if (values.rank() == 2) {  // many columns: a series of them, and pieces of it
      const Layout layout(1);
      name_rows(out.names, layout, field.name);
      for (std::int64_t k = 0; k < kPieces; ++k)
        out.names.push_back(fmt::format("mean of columns {} to {} of {}", k * width / kPieces + 1, (k + 1) * width / kPieces, field.name));
      for (std::int64_t b = 0; b < sets; ++b) {
        describe_rows(part, layout, values.data() + b * width, width);
        for (std::int64_t k = 0; k < kPieces; ++k) {
          const std::int64_t from = k * width / kPieces, to = (k + 1) * width / kPieces;
          double sum = 0;
          for (std::int64_t j = from; j < to; ++j) sum += static_cast<double>(values.data()[b * width + j]);
          part.push_back(static_cast<float>(sum / static_cast<double>(to - from)));
        }
      }
    } else {
      const Layout layout(std::max<std::int64_t>(1, width));
      name_rows(out.names, layout, field.name);
      const Padding padding(batch, *field.source);
      std::vector<float> kept;
      for (std::int64_t b = 0; b < sets; ++b) {
        const float* rows = values.data() + b * each;
        std::int64_t count = each / layout.columns;
        if (padding.any()) {
          kept.clear();
          const std::int64_t of_place = each / padding.places();
          for (std::int64_t i = 0; i < padding.places(); ++i)
            if (!padding.hides(b, i)) kept.insert(kept.end(), rows + i * of_place, rows + (i + 1) * of_place);
          rows = kept.data();
          count = static_cast<std::int64_t>(kept.size()) / layout.columns;
        }
        describe_rows(part, layout, rows, count);
      }
    }
    parts.push_back(std::move(part));
    widths.push_back(out.names.size() - before);
  }
  if (parts.empty()) return out;
  const std::size_t sets = parts[0].size() / widths[0];
  out.values.reserve(sets * out.names.size());
  for (std::size_t b = 0; b < sets; ++b)
    for (std::size_t i = 0; i < parts.size(); ++i) {
      const auto at = parts[i].begin() + static_cast<std::ptrdiff_t>(b * widths[i]);
      out.values.insert(out.values.end(), at, at + static_cast<std::ptrdiff_t>(widths[i]));
    }
  return out;
}

void ReferenceSample::add(const Batch& batch, const Array& summary_outputs) {
  DataFeatures more = data_features(batch);
  if (more.names.empty()) return;
  const std::int64_t width = summary_outputs.rank() == 2 ? summary_outputs.dim(1) : 0;
  if (more.names != names || width != summary_width) {
    *this = {};
    names = more.names;
    summary_width = width;
  }
  const std::int64_t sets = std::min(kMost - count, static_cast<std::int64_t>(more.values.size() / names.size()));
  count += sets;
  features.insert(features.end(), more.values.begin(), more.values.begin() + static_cast<std::ptrdiff_t>(index(sets) * names.size()));
  for (std::int64_t i = 0; i < sets * width; ++i) summaries.push_back(static_cast<float>(summary_outputs.data()[i]));
}

void ReferenceSample::join(const ReferenceSample& other) {
  const bool same = count > 0 && other.names == names && other.features == features;
  const std::int64_t width = other.summary_width;
  std::vector<float> together;
  for (std::int64_t i = 0; i < count; ++i) {
    together.insert(together.end(), summaries.begin() + i * summary_width, summaries.begin() + (i + 1) * summary_width);
    if (same)
      together.insert(together.end(), other.summaries.begin() + i * width, other.summaries.begin() + (i + 1) * width);
    else
      together.insert(together.end(), index(width), std::numeric_limits<float>::quiet_NaN());
  }
  summaries = std::move(together);
  summary_width += width;
}

ReferenceSample ReferenceSample::share(std::int64_t first, std::int64_t last) const {
  if (count == 0 || last > summary_width) return {};
  ReferenceSample out{count, names, features, last - first, {}};
  for (std::int64_t i = 0; i < count; ++i)
    out.summaries.insert(out.summaries.end(), summaries.begin() + i * summary_width + first, summaries.begin() + i * summary_width + last);
  if (std::ranges::any_of(out.summaries, [](float x) { return std::isnan(x); })) return {};
  return out;
}

struct Typicality::State {
  std::vector<std::string> names;
  std::int64_t summary_width = 0, size = 0;
  std::vector<Space> spaces;  // features, summaries
  /// Of the reference sets, the smaller of their two ranks, in ascending order, and which sets they are.
  std::vector<std::pair<std::int64_t, std::int64_t>> order;
};

Typicality::Typicality(const ReferenceSample& sample) {
  if (sample.count < kFewest)
    throw ArgumentError(fmt::format("Typicality: at least {} data sets are needed to compare with; got {}", kFewest, sample.count));
  auto state = std::make_shared<State>();
  state->names = sample.names;
  state->summary_width = sample.summary_width;
  const std::int64_t fitted = std::min(kMostFitted, sample.count / 3);
  state->size = sample.count - fitted;
  state->spaces.emplace_back(sample.features, sample.count, static_cast<std::int64_t>(sample.names.size()), fitted);
  if (sample.summary_width > 0) state->spaces.emplace_back(sample.summaries, sample.count, sample.summary_width, fitted);
  for (std::int64_t i = 0; i < state->size; ++i) {
    std::int64_t least = state->size + 1;
    for (const Space& space : state->spaces)
      if (space.varies()) least = std::min(least, space.beyond(space.distances()[index(i)]));
    state->order.emplace_back(least, i);
  }
  std::ranges::sort(state->order);
  state_ = std::move(state);
}

std::int64_t Typicality::size() const { return state_->size; }

Typical Typicality::compare(const Batch& batch, const float* summaries) const {
  const State& s = *state_;
  Typical out;
  out.p_value = out.p_together = std::numeric_limits<double>::quiet_NaN();
  const DataFeatures features = data_features(batch);
  if (features.names != s.names || (s.summary_width > 0 && !summaries) || std::ranges::none_of(s.spaces, &Space::varies)) return out;
  const std::size_t width = s.names.size(), sets = features.values.size() / width;
  const double all = static_cast<double>(s.size + 1);
  for (std::size_t b = 0; b < sets; ++b) {
    const std::array<const float*, 2> rows = {features.values.data() + b * width,
                                              s.summary_width > 0 ? summaries + b * index(s.summary_width) : nullptr};
    std::array<double, 2> distance{};
    std::array<std::int64_t, 2> rank{s.size + 1, s.size + 1};
    for (std::size_t k = 0; k < s.spaces.size(); ++k) {
      if (!s.spaces[k].varies()) continue;
      distance[k] = s.spaces[k].distance(rows[k]);
      rank[k] = s.spaces[k].beyond(distance[k]) + 1;
    }
    out.p_data.push_back(static_cast<double>(rank[0]) / all);
    if (s.spaces.size() > 1) out.p_summaries.push_back(static_cast<double>(rank[1]) / all);
    // Among the reference sets and this one, a set's rank grows by one where this one is at least as far away.
    const std::int64_t least = std::min(rank[0], rank[1]);
    const auto at = std::ranges::lower_bound(s.order, std::pair<std::int64_t, std::int64_t>(least, -1));
    std::int64_t as_strange = 1 + (at - s.order.begin());
    for (auto tie = at; tie != s.order.end() && tie->first == least; ++tie)
      for (std::size_t k = 0; k < s.spaces.size(); ++k) {
        if (!s.spaces[k].varies()) continue;
        const double theirs = s.spaces[k].distances()[index(tie->second)];
        if (s.spaces[k].beyond(theirs) > least || distance[k] >= theirs) continue;
        ++as_strange;
        break;
      }
    out.p_values.push_back(static_cast<double>(as_strange) / all);
    const std::size_t which = s.spaces.size() > 1 && s.spaces[1].varies() && (rank[1] < rank[0] || !s.spaces[0].varies()) ? 1 : 0;
    const auto [column, alone] = s.spaces[which].strangest(rows[which]);
    out.strangest.push_back(
        {which == 0 ? s.names[index(column->column)] : fmt::format("output {} of the summary network", column->column + 1),
         static_cast<double>(rows[which][column->column]), column->low, column->high, alone});
  }
  out.p_value = simes(out.p_values);
  out.p_together = fisher(out.p_values, s.size);
  return out;
}

}  // namespace bayesflow
