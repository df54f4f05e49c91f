#include "bayesflow/diagnostics/posterior_predictive.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "bayesflow/core/thread_pool.hpp"
#include "diagnostics/numbers.hpp"

namespace bayesflow::diagnostics {
namespace {

/// Data sets simulated from the first draws of one data set.
Array simulate(const Array& draws, std::int64_t data_set, std::int64_t count, const Simulator& simulator, const Rng& streams,
               ThreadPool& pool) {
  const Array parameters = draws.row(data_set).slice(0, count);
  return simulator(parameters, streams, static_cast<std::uint64_t>(data_set * count), &pool).sim_data;
}

/// Quantiles of every value: data (S, values) -> out (Q, values).
void add_quantiles(const Array& data, const std::vector<double>& probabilities, double* out, ThreadPool& pool) {
  const std::int64_t n = data.dim(0), values = data.size() / n;
  pool.for_each(values, [&](std::int64_t v) {
    std::vector<double> column(index(n));
    for (std::int64_t s = 0; s < n; ++s) column[index(s)] = data.data()[s * values + v];
    std::sort(column.begin(), column.end());
    for (std::size_t q = 0; q < probabilities.size(); ++q)
      out[static_cast<std::int64_t>(q) * values + v] = sorted_quantile(column, probabilities[q]);
  });
}

Array checked_draws(const Array& draws, const char* what) {
  Array d = draws.rank() == 2 ? draws.expand_dims(0) : draws;
  require_rank(d, 3, what, "draws", "(data sets, draws, parameters)");
  require_finite(d, what, "draws", {"data set", "draw", "parameter"});
  return d;
}

double apply(const DataStatistic& statistic, const Array& data) {
  const double value = statistic.function(data);
  if (!std::isfinite(value))
    throw ArgumentError(
        fmt::format("posterior_predictive: statistic {} gives {}; statistics must be finite for every data set", statistic.name, value));
  return value;
}

}  // namespace

void PredictiveOptions::validate() const {
  require_option(max_draws >= 1, "PredictiveOptions", "max_draws", real(max_draws), "1 or more");
  for (const double p : probabilities) require_option(p >= 0 && p <= 1, "PredictiveOptions", "probabilities", p, "between 0 and 1");
  require_option(threads >= 0, "PredictiveOptions", "threads", threads, "0 (all) or more");
}

Pushforward pushforward(const Array& draws, const Simulator& simulator, const PredictiveOptions& options) {
  options.validate();
  const Array d = checked_draws(draws, "pushforward");
  Pushforward out;
  out.probabilities = options.probabilities;
  out.num_draws = std::min(d.dim(1), options.max_draws);
  const Rng streams(options.seed, "pushforward");
  ThreadPool pool(options.threads);
  const auto q_count = static_cast<std::int64_t>(out.probabilities.size());
  for (std::int64_t b = 0; b < d.dim(0); ++b) {
    const Array data = simulate(d, b, out.num_draws, simulator, streams, pool);
    const std::int64_t values = data.size() / data.dim(0);
    if (b == 0) {
      out.data_shape = data.shape().slice(1, data.rank());
      out.quantiles = Array({d.dim(0), q_count, values});
    } else if (data.shape().slice(1, data.rank()) != out.data_shape) {
      throw ShapeError(fmt::format("pushforward: simulated data sets must all have one shape; got {} after {}", data.shape().to_string(),
                                   out.data_shape.to_string()));
    }
    add_quantiles(data, out.probabilities, out.quantiles.data() + b * q_count * values, pool);
  }
  return out;
}

PosteriorPredictive posterior_predictive(const Array& draws, const Array& observed, const Simulator& simulator,
                                         const std::vector<DataStatistic>& statistics, const PredictiveOptions& options) {
  options.validate();
  const Array d = checked_draws(draws, "posterior_predictive");
  if (observed.rank() < 1 || observed.empty() || observed.dim(0) != d.dim(0))
    throw ShapeError(fmt::format("posterior_predictive: observed data must have {} data sets on axis 0, as the draws; got shape {}",
                                 d.dim(0), observed.shape().to_string()));
  require_finite(observed, "posterior_predictive", "observed data", {"data set"});
  for (const DataStatistic& s : statistics)
    if (!s.function) throw ConfigurationError(fmt::format("posterior_predictive: statistic \"{}\" has no function", s.name));
  const std::int64_t b_count = d.dim(0), s_count = std::min(d.dim(1), options.max_draws),
                     k_count = static_cast<std::int64_t>(statistics.size());
  const std::int64_t values = observed.size() / b_count, q_count = static_cast<std::int64_t>(options.probabilities.size());
  PosteriorPredictive out;
  for (const DataStatistic& s : statistics) out.statistics.push_back(s.name);
  out.observed = out.tail_probability = out.standard_error = out.p_value = Array({b_count, k_count});
  out.simulated = Array({b_count, s_count, k_count});
  out.bands.probabilities = options.probabilities;
  out.bands.data_shape = observed.shape().slice(1, observed.rank());
  out.bands.num_draws = s_count;
  out.bands.observed = observed.reshape({b_count, values});
  out.bands.quantiles = Array({b_count, q_count, values});
  const Rng streams(options.seed, "posterior predictive");
  ThreadPool pool(options.threads);
  for (std::int64_t b = 0; b < b_count; ++b) {
    const Array data = simulate(d, b, s_count, simulator, streams, pool);
    if (data.shape().slice(1, data.rank()) != out.bands.data_shape)
      throw ShapeError(
          fmt::format("posterior_predictive: simulated data sets have shape {}, the observed ones {}; they must be equal to be compared",
                      data.shape().slice(1, data.rank()).to_string(), out.bands.data_shape.to_string()));
    add_quantiles(data, options.probabilities, out.bands.quantiles.data() + b * q_count * values, pool);
    const Array seen = observed.row(b);
    for (std::int64_t k = 0; k < k_count; ++k) {
      const double t = out.observed(b, k) = apply(statistics[index(k)], seen);
      double above = 0.5;
      for (std::int64_t s = 0; s < s_count; ++s) {
        const double r = out.simulated(b, s, k) = apply(statistics[index(k)], data.row(s));
        above += r > t ? 1.0 : r == t ? 0.5 : 0.0;
      }
      const double p = above / real(s_count + 1);
      out.tail_probability(b, k) = p;
      out.standard_error(b, k) = std::sqrt(p * (1 - p) / real(s_count));
      // One simulation in S + 1 is the most extreme: no smaller p-value can be told.
      out.p_value(b, k) = std::min(1.0, 2 * std::max(std::min(p, 1 - p), 0.5 / real(s_count + 1)));
    }
  }
  for (std::int64_t k = 0; k < k_count; ++k) {
    double least = 1;
    for (std::int64_t b = 0; b < b_count; ++b) least = std::min(least, out.p_value(b, k));
    out.overall_p_value.push_back(std::min(1.0, least * real(b_count)));
  }
  return out;
}

PosteriorPredictive posterior_predictive(const Array& draws, const Array& observed, const GenerativeModel& model,
                                         const std::vector<DataStatistic>& statistics, const PredictiveOptions& options) {
  return posterior_predictive(draws, observed, model.simulator(), statistics, options);
}

std::vector<Table> Pushforward::tables() const {
  std::vector<double> set, value;
  const std::int64_t b_count = quantiles.dim(0), q_count = quantiles.dim(1), values = quantiles.dim(2);
  for (std::int64_t b = 0; b < b_count; ++b)
    for (std::int64_t v = 0; v < values; ++v) {
      set.push_back(real(b));
      value.push_back(real(v));
    }
  TableBuilder out("pushforward");
  out.add("data_set", set).add("value", value);
  for (std::int64_t q = 0; q < q_count; ++q) {
    std::vector<double> column;
    for (std::int64_t b = 0; b < b_count; ++b)
      for (std::int64_t v = 0; v < values; ++v) column.push_back(quantiles.data()[(b * q_count + q) * values + v]);
    out.add(fmt::format("quantile {}", probabilities[index(q)]), std::move(column));
  }
  if (!observed.empty()) out.add("observed", observed);
  return {out};
}

std::vector<Table> PosteriorPredictive::tables() const {
  std::vector<Table> out = bands.tables();
  TableBuilder checks("posterior_predictive"), overall("posterior_predictive_overall");
  checks.add_columns("observed ", statistics, observed)
      .add_columns("tail_probability ", statistics, tail_probability)
      .add_columns("tail_probability_se ", statistics, standard_error)
      .add_columns("p_value ", statistics, p_value);
  overall.add("statistic", statistics).add("p_value", overall_p_value);
  out.insert(out.begin(), {Table(checks), Table(overall)});
  return out;
}

}  // namespace bayesflow::diagnostics
