#include "bayesflow/diagnostics/tarp.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "bayesflow/core/rng.hpp"
#include "bayesflow/core/thread_pool.hpp"
#include "bayesflow/diagnostics/sbc.hpp"
#include "diagnostics/numbers.hpp"

namespace bayesflow::diagnostics {

void TarpOptions::validate() const {
  require_option(confidence > 0 && confidence < 1, "TarpOptions", "confidence", confidence, "above 0 and below 1");
  require_option(max_points >= 1, "TarpOptions", "max_points", real(max_points), "1 or more");
  require_option(threads >= 0, "TarpOptions", "threads", threads, "0 (all) or more");
}

Tarp tarp(const Array& draws, const Array& truths, const TarpOptions& options) {
  options.validate();
  const Sizes n = check_draws(draws, truths, "tarp");
  std::vector<double> low(index(n.parameters)), range(low);
  for (std::int64_t p = 0; p < n.parameters; ++p) {
    double high = low[index(p)] = truths(0, p);
    for (std::int64_t b = 0; b < n.data_sets; ++b) {
      low[index(p)] = std::min(low[index(p)], truths(b, p));
      high = std::max(high, truths(b, p));
    }
    range[index(p)] = high > low[index(p)] ? high - low[index(p)] : 1;
  }
  Tarp out;
  if (options.references) {
    out.references = *options.references;
    if (out.references.shape() != Shape{n.data_sets, n.parameters})
      throw ShapeError(fmt::format("tarp: references must have shape ({}, {}), a point for each data set; got {}", n.data_sets,
                                   n.parameters, out.references.shape().to_string()));
    require_finite(out.references, "tarp", "references", {"data set", "parameter"});
  } else {
    out.references = Rng(options.seed, "tarp references").uniform({n.data_sets, n.parameters});
    for (std::int64_t b = 0; b < n.data_sets; ++b)
      for (std::int64_t p = 0; p < n.parameters; ++p) out.references(b, p) = low[index(p)] + range[index(p)] * out.references(b, p);
  }
  const auto distance = [&](const double* x, std::int64_t b) {
    double sum = 0;
    for (std::int64_t p = 0; p < n.parameters; ++p) {
      const double d = (x[p] - out.references(b, p)) / range[index(p)];
      sum += d * d;
    }
    return sum;
  };
  Array of_draws({n.data_sets, n.draws, 1}), of_truths({n.data_sets, 1});
  ThreadPool pool(options.threads);
  pool.for_each(n.data_sets, [&](std::int64_t b) {
    of_truths.data()[b] = distance(truths.data() + b * n.parameters, b);
    for (std::int64_t s = 0; s < n.draws; ++s)
      of_draws.data()[b * n.draws + s] = distance(draws.data() + (b * n.draws + s) * n.parameters, b);
  });
  const SbcRanks ranks = sbc_ranks(of_draws, of_truths, {.param_names = {"distance"}, .seed = options.seed, .threads = options.threads});
  const SbcEcdf ecdf = sbc_ecdf(ranks, {.confidence = options.confidence, .max_points = options.max_points});
  out.ranks = ranks.ranks.flatten();
  out.num_draws = n.draws;
  out.credibility = ecdf.points;
  out.expected_coverage = {ecdf.ecdf.values().begin(), ecdf.ecdf.values().end()};
  out.band_lower = ecdf.band_lower;
  out.band_upper = ecdf.band_upper;
  out.confidence = options.confidence;
  out.band_coverage = ecdf.coverage;
  out.inside = ecdf.inside[0];
  out.p_value = ecdf.p_value[0];
  std::vector<double> excess(index(n.data_sets));
  for (std::int64_t b = 0; b < n.data_sets; ++b) {
    double sum = 0, count = 0;
    for (const double c : out.credibility) {
      if (c <= 0.5 || c >= 1) continue;
      sum += (out.ranks[b] < c * real(n.draws + 1) - 0.5 ? 1.0 : 0.0) - c;
      ++count;
    }
    excess[index(b)] = count > 0 ? sum / count : 0;
  }
  out.upper_excess = mean_estimate(excess);
  return out;
}

std::vector<Table> Tarp::tables() const {
  return {TableBuilder("tarp")
              .add("credibility", credibility)
              .add("expected_coverage", expected_coverage)
              .add("lower", band_lower)
              .add("upper", band_upper),
          TableBuilder("tarp_verdict")
              .add("inside", std::vector<bool>{inside})
              .add("p_value", std::vector<double>{p_value})
              .add("upper_excess", std::vector<Estimate>{upper_excess})};
}

}  // namespace bayesflow::diagnostics
