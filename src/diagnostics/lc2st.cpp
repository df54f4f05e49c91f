#include <fmt/format.h>

#include <algorithm>

#include "bayesflow/core/rng.hpp"
#include "bayesflow/core/thread_pool.hpp"
#include "bayesflow/diagnostics/conditional.hpp"
#include "diagnostics/classifier.hpp"
#include "diagnostics/conditional_data.hpp"
#include "diagnostics/features.hpp"
#include "diagnostics/numbers.hpp"

namespace bayesflow::diagnostics {
namespace {

constexpr std::int64_t kMostFeatures = 40, kLevels = 101;

std::optional<Array> joined(const std::optional<Array>& a, const std::optional<Array>& b, const char* name) {
  if (a.has_value() != b.has_value())
    throw ArgumentError(fmt::format("lc2st: {} is given for the {} data and not for the {}; give both or neither", name,
                                    a ? "simulated" : "observed", a ? "observed" : "simulated"));
  if (!a) return {};
  if (a->rank() != b->rank() || !std::equal(a->shape().begin() + 1, a->shape().end(), b->shape().begin() + 1))
    throw ShapeError(
        fmt::format("lc2st: {} of the simulated data {} and of the observed data {} must have the same shape but for the first axis", name,
                    a->shape().to_string(), b->shape().to_string()));
  return concatenate({*a, *b}, 0);
}

}  // namespace

void Lc2stOptions::validate() const {
  require_option(num_null >= 1, "Lc2stOptions", "num_null", real(num_null), "1 or more");
  require_option(hidden_units >= 1, "Lc2stOptions", "hidden_units", real(hidden_units), "1 or more");
  require_option(max_epochs >= 1, "Lc2stOptions", "max_epochs", real(max_epochs), "1 or more");
  require_option(confidence > 0 && confidence < 1, "Lc2stOptions", "confidence", confidence, "above 0 and below 1");
  require_option(threads >= 0, "Lc2stOptions", "threads", threads, "0 (all) or more");
}

Lc2st lc2st(const Array& draws, const Array& truths, const Batch& data, const Array& observed_draws, const Batch& observed,
            const Lc2stOptions& options) {
  options.validate();
  const Sizes n = check_draws(draws, truths, "lc2st");
  require_rank(observed_draws, 3, "lc2st", "observed_draws", "(data sets, draws, parameters)");
  require_finite(observed_draws, "lc2st", "observed_draws", {"data set", "draw", "parameter"});
  const std::int64_t seen = observed_draws.dim(0), count = observed_draws.dim(1);
  if (observed_draws.dim(2) != n.parameters)
    throw ShapeError(fmt::format("lc2st: observed_draws {} must have {} parameters, as draws {}", observed_draws.shape().to_string(),
                                 n.parameters, draws.shape().to_string()));
  check_data(data, n.data_sets, {.summaries = options.summaries});
  check_data(observed, seen, {.summaries = options.observed_summaries});
  Batch both;
  for (const Batch* batch : {&data, &observed})
    for (const auto& [role, values] : batch->entries()) {
      const auto of = [&r = role](const Batch& b) { return b.has(r) ? std::optional<Array>(b.array(r)) : std::nullopt; };
      if (!both.has(role)) both.set(role, joined(of(data), of(observed), role.c_str()));
    }
  const Features features = data_features(both, joined(options.summaries, options.observed_summaries, "summaries"), kMostFeatures);

  // Parameters in the standard units of the truths, beside the features.
  std::vector<double> mean(index(n.parameters)), scale(mean);
  for (std::int64_t p = 0; p < n.parameters; ++p) {
    std::vector<double> v(index(n.data_sets));
    for (std::int64_t b = 0; b < n.data_sets; ++b) v[index(b)] = truths.data()[b * n.parameters + p];
    const Estimate e = mean_estimate(v);
    mean[index(p)] = e.value;
    scale[index(p)] = e.standard_error > 0 ? e.standard_error * std::sqrt(real(n.data_sets)) : 1;
  }
  const std::int64_t width = n.parameters + features.values.dim(1);
  const auto put = [&](Array& to, std::int64_t row, const double* parameters, std::int64_t data_set) {
    double* x = to.data() + row * width;
    for (std::int64_t p = 0; p < n.parameters; ++p) x[p] = (parameters[p] - mean[index(p)]) / scale[index(p)];
    const auto described = features.values.row_values(data_set);
    std::copy(described.begin(), described.end(), x + n.parameters);
  };
  Array asked({seen * count, width});
  for (std::int64_t i = 0; i < seen * count; ++i) put(asked, i, observed_draws.data() + i * n.parameters, n.data_sets + i / count);

  // Run 0 tells the truth from one draw of each data set; the others exchange the two at random, which changes nothing if the
  // posterior is exact: given the data, truth and draw then have the same distribution.
  std::vector<std::vector<double>> statistics(index(options.num_null + 1));
  std::vector<Array> curves(index(options.num_null + 1));
  ThreadPool pool(options.threads);
  pool.for_each(options.num_null + 1, [&](std::int64_t run) {
    const auto number = static_cast<std::uint64_t>(run);
    Rng exchange(options.seed, "lc2st exchange", number);
    Simulations samples{.prior_draws = Array({2 * n.data_sets, 1}), .sim_data = Array({2 * n.data_sets, width})};
    for (std::int64_t b = 0; b < n.data_sets; ++b) {
      const double *truth = truths.data() + b * n.parameters, *draw = draws.data() + b * n.draws * n.parameters;
      if (run > 0 && exchange.bernoulli(0.5)) std::swap(truth, draw);
      put(samples.sim_data, 2 * b, truth, b);
      put(samples.sim_data, 2 * b + 1, draw, b);
      samples.prior_draws(2 * b, 0) = 1;
    }
    const std::vector<double> logits =
        classify(samples, asked, options.hidden_units, options.max_epochs, Rng(options.seed, "lc2st classifier", number).bits());
    std::vector<double> distance(index(seen));
    Array curve({seen, kLevels});
    for (std::size_t i = 0; i < logits.size(); ++i) {
      const double probability = 1 / (1 + std::exp(-logits[i]));
      const std::size_t set = i / index(count);
      distance[set] += std::pow(probability - 0.5, 2) / real(count);
      for (auto k = static_cast<std::int64_t>(std::ceil(probability * real(kLevels - 1))); k < kLevels; ++k)
        curve(static_cast<std::int64_t>(set), k) += 1;
    }
    statistics[index(run)] = std::move(distance);
    curves[index(run)] = curve / real(count);
  });
  Lc2st out;
  out.statistic = statistics[0];
  out.null = Array({options.num_null, seen});
  for (std::int64_t b = 0; b < seen; ++b) {
    std::int64_t larger = 0;
    for (std::int64_t run = 1; run <= options.num_null; ++run) {
      const double v = statistics[index(run)][index(b)];
      out.null.data()[(run - 1) * seen + b] = v;
      larger += v >= out.statistic[index(b)];
    }
    out.p_value.push_back(real(1 + larger) / real(1 + options.num_null));
  }
  for (std::int64_t k = 0; k < kLevels; ++k) out.levels.push_back(real(k) / real(kLevels - 1));
  out.ecdf = curves[0];
  out.band_lower = out.band_upper = Array({seen, kLevels});
  out.confidence = options.confidence;
  std::vector<double> null(index(options.num_null));
  for (std::int64_t i = 0; i < seen * kLevels; ++i) {
    for (std::int64_t run = 1; run <= options.num_null; ++run) null[index(run - 1)] = curves[index(run)].data()[i];
    std::sort(null.begin(), null.end());
    out.band_lower.data()[i] = sorted_quantile(null, (1 - options.confidence) / 2);
    out.band_upper.data()[i] = sorted_quantile(null, (1 + options.confidence) / 2);
  }
  return out;
}

std::vector<Table> Lc2st::tables() const {
  std::vector<double> set, level;
  for (std::int64_t b = 0; b < ecdf.dim(0); ++b)
    for (const double l : levels) {
      set.push_back(real(b));
      level.push_back(l);
    }
  return {TableBuilder("lc2st").add("statistic", statistic).add("p_value", p_value), TableBuilder("lc2st_ecdf")
                                                                                         .add("data_set", set)
                                                                                         .add("level", level)
                                                                                         .add("ecdf", ecdf)
                                                                                         .add("lower", band_lower)
                                                                                         .add("upper", band_upper)};
}

}  // namespace bayesflow::diagnostics
