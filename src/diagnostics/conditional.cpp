#include "bayesflow/diagnostics/conditional.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "bayesflow/core/thread_pool.hpp"
#include "bayesflow/diagnostics/sbc.hpp"
#include "diagnostics/conditional_data.hpp"
#include "diagnostics/features.hpp"
#include "diagnostics/joint_ranks.hpp"
#include "diagnostics/numbers.hpp"
#include "diagnostics/rank_tests.hpp"
#include "diagnostics/ridge.hpp"
#include "diagnostics/special.hpp"

namespace bayesflow::diagnostics {
namespace {

constexpr std::int64_t kMostFeatures = 100;   // of the test, with squares
constexpr std::int64_t kMostQuadratic = 150;  // of the regressions
constexpr std::int64_t kPairwise = 5;         // parameters up to which all pairs are looked at
constexpr std::int64_t kCalibrating = 50;     // permutations that give each aspect's mean and scale
constexpr std::int64_t kEnough = 8;           // permutations as large as what was found, after which nothing is left to find
const std::vector<double> kPenalties = {0.003, 0.2};
const std::vector<double> kSizePenalties = {1e-4, 1e-3, 1e-2, 0.1, 0.5};  // of effects and regressions, where the best one counts

/// Scores of ranks, of which none depends on the data if the posterior is exact: (B, T) and what each is about.
struct Scores {
  Array values;
  std::vector<Predictable> about;
};

Scores scores_of(const Array& draws, const Array& truths, const Sizes& n, const ConditionalOptions& options, ThreadPool& pool) {
  Scores out;
  const RankScores rank_scores(n.draws);
  std::vector<std::vector<double>> columns;
  const auto add = [&](Aspect aspect, std::int64_t i, std::int64_t j, int degree, const Array& ranks, std::int64_t column) {
    if (degree > rank_scores.degrees()) return;
    const std::int64_t width = ranks.rank() == 1 ? 1 : ranks.dim(1);
    std::vector<double> v(index(n.data_sets));
    for (std::int64_t b = 0; b < n.data_sets; ++b)
      v[index(b)] = rank_scores.h(degree, static_cast<std::int64_t>(ranks.data()[b * width + column]));
    columns.push_back(std::move(v));
    out.about.push_back({.aspect = aspect, .parameter = i, .other = j});
  };
  const Array ranks = sbc_ranks(draws, truths, {.seed = options.seed, .threads = options.threads}).ranks;
  for (std::int64_t i = 0; i < n.parameters; ++i) {
    add(Aspect::location, i, -1, 1, ranks, i);
    add(Aspect::width, i, -1, 2, ranks, i);
  }
  if (n.parameters > 1) {
    const bool pairwise = n.parameters <= kPairwise;
    const JointRanks joint = joint_ranks(draws, truths, n, random_directions(3, n.parameters, options.seed), pairwise, options.seed, pool);
    for (std::int64_t i = 1, pair = 0; pairwise && i < n.parameters; ++i)
      for (std::int64_t j = 0; j < i; ++j, ++pair) {
        add(Aspect::dependence, j, i, 2, joint.sums, pair);
        add(Aspect::dependence, j, i, 2, joint.differences, pair);
      }
    add(Aspect::joint, -1, -1, 1, joint.distance, 0);
    for (std::int64_t q = 0; q < 3; ++q) add(Aspect::joint, -1, -1, 2, joint.projections, q);
  }
  const auto count = static_cast<std::int64_t>(columns.size());
  out.values = uninitialized_array({n.data_sets, count});
  for (std::int64_t t = 0; t < count; ++t)
    for (std::int64_t b = 0; b < n.data_sets; ++b) out.values.data()[b * count + t] = columns[index(t)][index(b)];
  return out;
}

/// Draws [first, last) of every data set.
Array some_draws(const Array& draws, const Sizes& n, std::int64_t first, std::int64_t last) {
  Array out = uninitialized_array({n.data_sets, last - first, n.parameters});
  for (std::int64_t b = 0; b < n.data_sets; ++b)
    std::copy_n(draws.data() + (b * n.draws + first) * n.parameters, (last - first) * n.parameters,
                out.data() + b * (last - first) * n.parameters);
  return out;
}

/// The feature that goes with a column of targets most.
std::string nearest_feature(const Features& features, const Array& targets, std::int64_t t) {
  const std::int64_t sets = targets.dim(0), count = features.values.dim(1);
  double best = 0;
  std::string name;
  for (std::int64_t k = 0; k < count; ++k) {
    double sum = 0;
    for (std::int64_t b = 0; b < sets; ++b) sum += features.values.data()[b * count + k] * targets.data()[b * targets.dim(1) + t];
    if (std::fabs(sum) > best) {
      best = std::fabs(sum);
      name = features.names[index(k)];
    }
  }
  return name;
}

/// 1 - SSE / SST with the error that the scatter of the rows gives it.
Estimate r2_estimate(std::span<const double> error, std::span<const double> spread) {
  const auto n = static_cast<double>(error.size());
  double e = 0, s = 0;
  for (std::size_t b = 0; b < error.size(); ++b) {
    e += error[b] / n;
    s += spread[b] / n;
  }
  if (!(s > 0)) return {0, 0};
  double square = 0;
  for (std::size_t b = 0; b < error.size(); ++b) square += std::pow(error[b] - e / s * spread[b], 2) / n;
  return {1 - e / s, std::sqrt(square / n) / s};
}

class Search {
 public:
  Search(const Scores& scores, const CrossRidge& ridge, const ConditionalOptions& options, ThreadPool& pool)
      : scores_(scores), ridge_(ridge), options_(options), pool_(pool), count_(scores.values.dim(1)) {}

  /// Fills in r2 and p-values of the aspects; the p-value of all is returned.
  double run(std::vector<Predictable>& aspects, std::int64_t& made) {
    const std::vector<double> found = ridge_.r2(scores_.values);
    calibrate();
    std::vector<double> z(index(count_));
    for (std::int64_t t = 0; t < count_; ++t) z[index(t)] = largest_of(found, t);
    const double highest = *std::max_element(z.begin(), z.end());
    // Permutations are made in groups of one size, so that their number does not depend on the machine.
    constexpr std::int64_t kGroup = 25;
    std::vector<double> null;
    std::int64_t above = 0;
    while (static_cast<std::int64_t>(null.size()) < options_.permutations && above < kEnough) {
      const auto first = static_cast<std::int64_t>(null.size());
      const std::int64_t group = std::min(kGroup, options_.permutations - first);
      null.resize(index(first + group));
      pool_.for_each(group, [&](std::int64_t k) {
        const std::vector<double> r2 = permuted(kCalibrating + first + k);
        double most = -1e300;
        for (std::int64_t t = 0; t < count_; ++t) most = std::max(most, largest_of(r2, t));
        null[index(first + k)] = most;
      });
      for (std::int64_t k = first; k < first + group && above < kEnough; ++k) {
        above += null[index(k)] >= highest;
        if (above == kEnough) null.resize(index(k + 1));
      }
    }
    made = static_cast<std::int64_t>(null.size());
    // Stopped at the k-th value as large, k / number is an exact p-value (Besag and Clifford 1991).
    const double p = above == kEnough ? real(above) / real(made) : real(1 + above) / real(1 + made);
    for (std::int64_t t = 0; t < count_; ++t) {
      const auto larger = std::count_if(null.begin(), null.end(), [&](double v) { return v >= z[index(t)]; });
      aspects[index(t)].p_value = std::max(p, std::min(1.0, real(1 + larger) / real(1 + made)));
    }
    return p;
  }

 private:
  [[nodiscard]] std::vector<double> permuted(std::int64_t k) const {
    return ridge_.r2(scores_.values,
                     Rng(options_.seed, "conditional permutations", static_cast<std::uint64_t>(k)).permutation(ridge_.rows()));
  }
  /// Mean and scale of each R^2 if there is nothing to predict, from permutations that are used for nothing else.
  void calibrate() {
    std::vector<std::vector<double>> runs(index(kCalibrating));
    pool_.for_each(kCalibrating, [&](std::int64_t k) { runs[index(k)] = permuted(k); });
    const std::size_t size = runs[0].size();
    mean_.assign(size, 0);
    scale_.assign(size, 0);
    for (std::size_t s = 0; s < size; ++s) {
      for (const auto& r : runs) mean_[s] += r[s] / real(kCalibrating);
      for (const auto& r : runs) scale_[s] += std::pow(r[s] - mean_[s], 2) / real(kCalibrating - 1);
      scale_[s] = std::sqrt(scale_[s]);
    }
  }
  /// Of the penalties, in standard units.
  [[nodiscard]] double largest_of(const std::vector<double>& r2, std::int64_t t) const {
    double z = -1e300;
    for (std::int64_t p = 0; p < ridge_.penalties(); ++p) {
      const std::size_t at = index(p * count_ + t);
      if (scale_[at] > 0) z = std::max(z, (r2[at] - mean_[at]) / scale_[at]);
    }
    return z;
  }

  const Scores& scores_;
  const CrossRidge& ridge_;
  const ConditionalOptions& options_;
  ThreadPool& pool_;
  std::int64_t count_;
  std::vector<double> mean_, scale_;
};

/// R^2 of every target by the penalty that predicts it best, with its error: targets (B, T).
std::vector<Estimate> best_r2(const CrossRidge& ridge, const Array& targets) {
  const std::int64_t sets = targets.dim(0), count = targets.dim(1);
  const std::vector<double> r2 = ridge.r2(targets), predicted = ridge.predict(targets);
  std::vector<Estimate> out;
  for (std::int64_t t = 0; t < count; ++t) {
    std::int64_t best = 0;
    for (std::int64_t p = 1; p < ridge.penalties(); ++p)
      if (r2[index(p * count + t)] > r2[index(best * count + t)]) best = p;
    double mean = 0;
    for (std::int64_t b = 0; b < sets; ++b) mean += targets.data()[b * count + t] / real(sets);
    std::vector<double> error(index(sets)), spread(error);
    for (std::int64_t b = 0; b < sets; ++b) {
      const double y = targets.data()[b * count + t];
      error[index(b)] = std::pow(y - predicted[index((best * sets + b) * count + t)], 2);
      spread[index(b)] = std::pow(y - mean, 2);
    }
    out.push_back(r2_estimate(error, spread));
  }
  return out;
}

/// Root of 1 - r2, with its error.
Estimate rmse_of(Estimate r2) {
  const double rmse = std::sqrt(std::max(0.0, 1 - r2.value));
  return {rmse, rmse > 0 ? 0.5 * r2.standard_error / rmse : 0};
}

/// Truths and posterior means, both cut off five robust standard deviations from the truths' median: some priors have no variance.
void find_learnable(const Array& draws, const Array& truths, const Sizes& n, const Features& features, const ConditionalOptions& options,
                    ConditionalCalibration& out) {
  constexpr double kFar = 5;
  Array targets = truths;
  std::vector<Estimate> network, scattered;
  for (std::int64_t p = 0; p < n.parameters; ++p) {
    std::vector<double> sorted(index(n.data_sets)), draw(index(n.draws));
    for (std::int64_t b = 0; b < n.data_sets; ++b) sorted[index(b)] = truths.data()[b * n.parameters + p];
    std::sort(sorted.begin(), sorted.end());
    const double middle = sorted_quantile(sorted, 0.5), sd = (sorted_quantile(sorted, 0.75) - sorted_quantile(sorted, 0.25)) / 1.349;
    const double reach = sd > 0 ? kFar * sd : std::numeric_limits<double>::infinity();
    const auto cut = [&](double v) { return std::clamp(v, middle - reach, middle + reach); };
    double mean = 0;
    for (std::int64_t b = 0; b < n.data_sets; ++b) {
      double& t = targets.data()[b * n.parameters + p];
      t = cut(t);
      mean += t / real(n.data_sets);
    }
    std::vector<double> error(index(n.data_sets)), spread(error), scatter(error);
    double bias = 0;
    for (std::int64_t b = 0; b < n.data_sets; ++b) {
      gather(draws, n, b, p, draw);
      double centre = 0;
      for (const double v : draw) centre += cut(v) / real(n.draws);
      const double t = targets.data()[b * n.parameters + p];
      error[index(b)] = (t - centre) * (t - centre);
      scatter[index(b)] = t - centre;
      bias += (t - centre) / real(n.data_sets);
      spread[index(b)] = (t - mean) * (t - mean);
    }
    for (double& v : scatter) v = (v - bias) * (v - bias);
    network.push_back(r2_estimate(error, spread));
    scattered.push_back(r2_estimate(scatter, spread));
  }
  // Columns of one size, so that one penalty means the same for all.
  const auto room = std::min(kMostQuadratic, std::max<std::int64_t>(features.values.dim(1), n.data_sets / 3));
  std::vector<Estimate> best(index(n.parameters), Estimate{0, 0});
  std::vector<std::string> kind(index(n.parameters), "linear");
  for (const bool quadratic : {false, true}) {
    const Features used = quadratic ? with_squares(features, room, true) : features;
    if (used.values.dim(1) == 0) break;
    const CrossRidge ridge(used.values, options.n_folds, kSizePenalties, Rng(options.seed, "regression folds"));
    const std::vector<Estimate> r2 = best_r2(ridge, targets);
    for (std::size_t p = 0; p < r2.size(); ++p)
      if (r2[p].value > best[p].value) {
        best[p] = r2[p];
        kind[p] = quadratic ? "quadratic" : "linear";
      }
  }
  for (std::size_t p = 0; p < best.size(); ++p) {
    Learnable& l = out.parameters[p];
    l.rmse = rmse_of(network[p]);
    l.scatter = rmse_of(scattered[p]);
    l.regression_rmse = rmse_of(best[p]);
    l.regression = kind[p];
    l.regression_p_value = best[p].standard_error > 0 ? normal_cdf(-best[p].value / best[p].standard_error) : 1;
    constexpr double kLittle = 0.01;
    l.share = best[p].value > std::max(kLittle, 3 * best[p].standard_error) ? network[p].value / best[p].value : kNaN;
  }
}

}  // namespace

void ConditionalOptions::validate() const {
  require_option(n_folds >= 2, "ConditionalOptions", "n_folds", real(n_folds), "2 or more");
  require_option(permutations >= 20, "ConditionalOptions", "permutations", real(permutations), "20 or more");
  require_option(max_data_sets >= kFewestConditional, "ConditionalOptions", "max_data_sets", real(max_data_sets), "20 or more");
  require_option(threads >= 0, "ConditionalOptions", "threads", threads, "0 (all) or more");
}

namespace {
bool has_conditions(const Batch& data) {
  return std::ranges::any_of(data.entries(), [](const Batch::Entry& e) {
    return e.role == roles::direct_conditions || roles::source_in(e.role, roles::summary_conditions);
  });
}
}  // namespace

void check_data(const Batch& data, std::int64_t data_sets, const ConditionalOptions& options) {
  const auto check_rows = [&](const std::optional<Array>& x, const char* name) {
    if (!x) return;
    if (x->rank() < 2 || x->dim(0) != data_sets || x->empty())
      throw ShapeError(fmt::format("verdict: {} of the data must have shape ({}, ...), one entry for each data set of the draws; got {}",
                                   name, data_sets, x->shape().to_string()));
    require_finite(*x, "verdict", name, {"data set"});
  };
  for (const auto& [role, values] : data.entries()) check_rows(values.array(), role.c_str());
  check_rows(options.summaries, "summaries");
  if (!has_conditions(data) && !options.summaries)
    throw ArgumentError("verdict: data has neither summary_conditions nor direct_conditions; give what the networks got");
}

ConditionalCalibration conditional_calibration(const Array& draws, const Array& truths, const Batch& data,
                                               const ConditionalOptions& options) {
  options.validate();
  Sizes n = check_draws(draws, truths, "conditional_calibration");
  check_data(data, n.data_sets, options);
  if (n.data_sets < kFewestConditional)
    throw ArgumentError(fmt::format("conditional_calibration: at least {} data sets are needed; got {}", kFewestConditional, n.data_sets));
  if (n.data_sets > options.max_data_sets) {
    ConditionalOptions fewer = options;
    if (fewer.summaries) fewer.summaries = fewer.summaries->slice(0, options.max_data_sets);
    return conditional_calibration(draws.slice(0, options.max_data_sets), truths.slice(0, options.max_data_sets),
                                   data.rows(0, options.max_data_sets), fewer);
  }
  ThreadPool pool(options.threads);
  ConditionalCalibration out;
  out.num_data_sets = n.data_sets;
  const std::vector<std::string> names = checked_names(options.param_names, n.parameters, "conditional_calibration");
  out.parameters.resize(index(n.parameters));
  for (std::size_t p = 0; p < names.size(); ++p) out.parameters[p].name = names[p];
  const std::int64_t most = std::clamp<std::int64_t>(n.data_sets / 4, 10, kMostFeatures);
  Batch given = data;
  if (!has_conditions(given)) given.set(roles::direct_conditions, options.summaries);
  const Features features = data_features(given, options.summaries, std::max<std::int64_t>(10, most * 2 / 3));
  find_learnable(draws, truths, n, features, options, out);
  // What a posterior leaves unused shows beside what it uses: some draws tell where each posterior lies, and the truth is ranked among the
  // others. Given the data these are independent of the first, so that the test stays exact.
  const std::int64_t aside = n.draws / 4;
  const bool split = aside >= 5;
  const Array first = some_draws(draws, n, 0, split ? aside : 0), others = some_draws(draws, n, split ? aside : 0, n.draws);
  const std::int64_t base = std::max<std::int64_t>(10, most * 2 / 3);
  const Features placed = split ? data_features(given, options.summaries, base, first.mean(1), first.std_along(1, 1)) : features;
  const Scores scores = scores_of(others, truths, {n.data_sets, others.dim(1), n.parameters}, options, pool);
  out.aspects = scores.about;
  const Features tested = with_squares(placed, most, false);
  out.num_features = tested.values.dim(1);
  if (out.num_features == 0 || scores.about.empty()) return out;
  const CrossRidge ridge(tested.values, options.n_folds, kPenalties, Rng(options.seed, "conditional folds"));
  const std::vector<Estimate> r2 =
      best_r2(CrossRidge(tested.values, options.n_folds, kSizePenalties, Rng(options.seed, "conditional folds")), scores.values);
  for (std::size_t t = 0; t < r2.size(); ++t) {
    Predictable& a = out.aspects[t];
    a.r2 = r2[t];
    const double share = std::clamp(r2[t].value, 0.0, 1 - 1e-12);
    a.nats = a.aspect == Aspect::location ? -0.5 * std::log1p(-share) : 0.5 * share;
    if (a.aspect == Aspect::location) {  // a regression of the parameter itself may find more than one of what is left
      const Learnable& l = out.parameters[index(a.parameter)];
      if (std::isfinite(l.share) && l.regression_rmse.value > 0)
        a.nats = std::max(a.nats, std::log(l.scatter.value / l.regression_rmse.value));
    }
    a.feature = nearest_feature(tested, scores.values, static_cast<std::int64_t>(t));
  }
  out.p_value = Search(scores, ridge, options, pool).run(out.aspects, out.permutations);
  std::stable_sort(out.aspects.begin(), out.aspects.end(), [](const Predictable& a, const Predictable& b) {
    return a.p_value < b.p_value || (a.p_value == b.p_value && a.nats > b.nats);
  });
  return out;
}

std::vector<Table> ConditionalCalibration::tables() const {
  std::vector<std::string> aspect, first, second, feature, name, regression;
  std::vector<Estimate> r2, rmse, best;
  std::vector<double> p, nats, share;
  const auto name_of = [&](std::int64_t i) { return i < 0 ? std::string() : parameters[index(i)].name; };
  constexpr const char* kAspects[] = {"location", "width", "dependence", "joint"};
  for (const Predictable& a : aspects) {
    aspect.emplace_back(kAspects[static_cast<std::size_t>(a.aspect)]);
    first.push_back(name_of(a.parameter));
    second.push_back(name_of(a.other));
    r2.push_back(a.r2);
    p.push_back(a.p_value);
    nats.push_back(a.nats);
    feature.push_back(a.feature);
  }
  for (const Learnable& l : parameters) {
    name.push_back(l.name);
    rmse.push_back(l.rmse);
    best.push_back(l.regression_rmse);
    regression.push_back(l.regression);
    share.push_back(l.share);
  }
  return {TableBuilder("conditional_calibration")
              .add("aspect", aspect)
              .add("parameter", first)
              .add("other", second)
              .add("predictable", r2)
              .add("p_value", p)
              .add("nats", nats)
              .add("feature", feature),
          TableBuilder("learnable")
              .add("parameter", name)
              .add("rmse", rmse)
              .add("regression_rmse", best)
              .add("regression", regression)
              .add("share", share)};
}

}  // namespace bayesflow::diagnostics
