#include <fmt/format.h>

#include <algorithm>
#include <numbers>

#include "bayesflow/core/rng.hpp"
#include "bayesflow/core/thread_pool.hpp"
#include "bayesflow/diagnostics/two_sample.hpp"
#include "diagnostics/classifier.hpp"
#include "diagnostics/numbers.hpp"
#include "diagnostics/special.hpp"

namespace bayesflow::diagnostics {
namespace {

struct Told {
  std::int64_t right = 0, as_target = 0;  // rows told rightly; rows said to be of the target
};
/// Trains on some rows and tells others. `fold` numbers the random streams. Label 1 is the target.
Told tell(const Simulations& all, const std::vector<std::int64_t>& train, const std::vector<std::int64_t>& test, const C2stOptions& options,
          std::int64_t fold) {
  const Simulations tested = all.take(test);
  const std::vector<double> logits = classify(all.take(train), tested.sim_data, options.hidden_units_per_dim * all.sim_data.dim(1),
                                              options.max_epochs, Rng(options.seed, "c2st fold", static_cast<std::uint64_t>(fold)).bits());
  Told out;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const bool target = logits[i] > 0;
    out.as_target += target;
    out.right += target == (tested.prior_draws.data()[i] > 0.5);
  }
  return out;
}

/// P(hits or more rows told rightly) if labels mean nothing. Of a fold with k rows of each sample and m said to be of the target, the
/// number of targets among these is hypergeometric(2 k, k, m), and k - m plus twice that number are told rightly; folds add up because
/// each classifier saw earlier folds only, so what it says is fixed before the labels of its fold are drawn.
double chance_of(std::int64_t hits, const std::vector<std::int64_t>& half, const std::vector<std::int64_t>& as_target) {
  std::vector<double> total{1.0};  // distribution of the sum of the targets among those said to be
  std::int64_t offset = 0;
  for (std::size_t f = 0; f < half.size(); ++f) {
    const std::int64_t k = half[f], m = as_target[f];
    offset += k - m;
    const auto choose = [](std::int64_t n, std::int64_t r) {
      return log_gamma(real(n + 1)) - log_gamma(real(r + 1)) - log_gamma(real(n - r + 1));
    };
    std::vector<double> next(total.size() + index(m));
    for (std::int64_t h = std::max<std::int64_t>(0, m - k); h <= std::min(k, m); ++h) {
      const double p = std::exp(choose(k, h) + choose(k, m - h) - choose(2 * k, m));
      if (p < 1e-30) continue;
      for (std::size_t i = 0; i < total.size(); ++i) next[i + index(h)] += p * total[i];
    }
    total = std::move(next);
  }
  double p = 0;
  for (std::size_t i = total.size(); i-- > 0 && 2 * static_cast<std::int64_t>(i) + offset >= hits;) p += total[i];
  return std::min(1.0, p);
}

}  // namespace

void C2stOptions::validate() const {
  require_option(n_folds >= 2, "C2stOptions", "n_folds", real(n_folds), "2 or more");
  require_option(hidden_units_per_dim >= 1, "C2stOptions", "hidden_units_per_dim", real(hidden_units_per_dim), "1 or more");
  require_option(max_epochs >= 1, "C2stOptions", "max_epochs", real(max_epochs), "1 or more");
  require_option(threads >= 0, "C2stOptions", "threads", threads, "0 (all) or more");
}

C2st c2st(const Array& source, const Array& target, const C2stOptions& options) {
  options.validate();
  require_rank(source, 2, "c2st", "source", "(rows, columns)");
  require_rank(target, 2, "c2st", "target", "(rows, columns)");
  if (source.dim(1) != target.dim(1))
    throw ShapeError(fmt::format("c2st: source {} and target {} need the same number of columns", source.shape().to_string(),
                                 target.shape().to_string()));
  require_finite(source, "c2st", "source", {"row", "column"});
  require_finite(target, "c2st", "target", {"row", "column"});
  C2st out;
  out.num_per_class = std::min(source.dim(0), target.dim(0));
  if (out.num_per_class < options.n_folds)
    throw ArgumentError(fmt::format("c2st: {} folds need at least {} rows of each sample; the smaller has {}", options.n_folds,
                                    options.n_folds, out.num_per_class));
  // Balanced: a random subset of the larger sample; its order is random as well, so blocks of it make random folds.
  const Rng rng(options.seed, "c2st rows");
  const std::vector<std::int64_t> from_source = rng.at(0).permutation(source.dim(0)), from_target = rng.at(1).permutation(target.dim(0));
  const std::int64_t n = out.num_per_class;
  std::vector<std::int64_t> kept;
  std::vector<double> means, scales;
  for (std::int64_t c = 0; c < source.dim(1); ++c) {
    double mean = 0, square = 0;
    for (std::int64_t i = 0; i < n; ++i) mean += (source(from_source[index(i)], c) + target(from_target[index(i)], c)) / real(2 * n);
    for (std::int64_t i = 0; i < n; ++i)
      square += (std::pow(source(from_source[index(i)], c) - mean, 2) + std::pow(target(from_target[index(i)], c) - mean, 2)) / real(2 * n);
    if (square > 1e-24 * mean * mean && square > 0) {
      kept.push_back(c);
      means.push_back(mean);
      scales.push_back(std::sqrt(square));
    } else {
      out.dropped_columns.push_back(c);
    }
  }
  const std::int64_t folds = options.n_folds;
  if (kept.empty()) {  // nothing to tell them by
    out.fold_accuracy.assign(index(folds), 0.5);
    out.accuracy = {0.5, std::sqrt(0.25 / real(2 * n))};
    return out;
  }
  Simulations all{.prior_draws = Array({2 * n, 1}), .sim_data = Array({2 * n, static_cast<std::int64_t>(kept.size())})};
  for (std::int64_t i = 0; i < 2 * n; ++i) {  // source and target in turn
    const bool is_target = i % 2 == 1;
    for (std::size_t c = 0; c < kept.size(); ++c) {
      const double v = is_target ? target(from_target[index(i / 2)], kept[c]) : source(from_source[index(i / 2)], kept[c]);
      all.sim_data(i, static_cast<std::int64_t>(c)) = (v - means[c]) / scales[c];
    }
    all.prior_draws(i, 0) = is_target ? 1 : 0;
  }
  // Each fold is told by a classifier of all others, for the accuracy, and by one of the folds before it, for the test; those of the
  // last fold are the same.
  std::vector<Told> by_others(index(folds)), by_earlier(index(folds));
  std::vector<std::int64_t> sizes(index(folds));
  ThreadPool pool(options.threads);
  pool.for_each(2 * folds - 2, [&](std::int64_t task) {
    const bool earlier_only = task >= folds;
    const std::int64_t f = earlier_only ? task - folds + 1 : task;
    std::vector<std::int64_t> train, test;
    for (std::int64_t pair = 0; pair < n; ++pair) {
      const std::int64_t fold = pair * folds / n;
      if (fold > f && earlier_only) break;
      for (const std::int64_t i : {2 * pair, 2 * pair + 1}) (fold == f ? test : train).push_back(i);
    }
    (earlier_only ? by_earlier : by_others)[index(f)] = tell(all, train, test, options, f);
    if (!earlier_only) sizes[index(f)] = static_cast<std::int64_t>(test.size());
  });
  by_earlier.back() = by_others.back();
  std::vector<std::int64_t> half, as_target;
  std::int64_t hits = 0, told = 0;
  double mean = 0;
  for (std::int64_t f = 0; f < folds; ++f) {
    out.fold_accuracy.push_back(real(by_others[index(f)].right) / real(sizes[index(f)]));
    mean += out.fold_accuracy.back() / real(folds);
    if (f == 0) continue;
    half.push_back(sizes[index(f)] / 2);
    as_target.push_back(by_earlier[index(f)].as_target);
    hits += by_earlier[index(f)].right;
    told += sizes[index(f)];
  }
  // Two rows of different folds, each in the other's training set, are told rightly or wrongly together: what one label adds to the
  // other's prediction correlates them. Summed over all rows this is 2 / pi of the binomial variance for linear votes.
  out.accuracy = {mean, std::sqrt((1 + 2 / std::numbers::pi) * mean * (1 - mean) / real(2 * n))};
  out.forward_accuracy = real(hits) / real(told);
  out.p_value = chance_of(hits, half, as_target);
  return out;
}

std::vector<Table> C2st::tables() const {
  return {TableBuilder("c2st")
              .add("accuracy", std::vector<Estimate>{accuracy})
              .add("forward_accuracy", std::vector<double>{forward_accuracy})
              .add("p_value", std::vector<double>{p_value})
              .add("num_per_class", std::vector<std::int64_t>{num_per_class}),
          TableBuilder("c2st_folds").add("accuracy", fold_accuracy)};
}

}  // namespace bayesflow::diagnostics
