#include "bayesflow/diagnostics/joint_test.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "bayesflow/core/rng.hpp"
#include "bayesflow/diagnostics/sbc.hpp"
#include "diagnostics/joint_ranks.hpp"
#include "diagnostics/numbers.hpp"
#include "diagnostics/rank_tests.hpp"
#include "diagnostics/special.hpp"

namespace bayesflow::diagnostics {

void JointTestOptions::validate() const {
  require_option(num_projections >= 0, "JointTestOptions", "num_projections", real(num_projections), "0 or more");
  require_option(error_rate > 0 && error_rate < 1, "JointTestOptions", "error_rate", error_rate, "above 0 and below 1");
  require_option(threads >= 0, "JointTestOptions", "threads", threads, "0 (all) or more");
  if (log_posterior_draws.has_value() != log_posterior_truths.has_value())
    throw ConfigurationError("JointTestOptions: log_posterior_draws and log_posterior_truths belong together; give both or neither");
}

JointTest joint_test(const Array& draws, const Array& truths, const JointTestOptions& options) {
  options.validate();
  const Sizes n = check_draws(draws, truths, "joint_test");
  std::vector<std::vector<std::int64_t>> ranks;
  JointTest out;
  out.num_draws = n.draws;
  out.error_rate = options.error_rate;
  const auto add = [&](std::string name, const double* from, std::int64_t stride) {
    std::vector<std::int64_t> r(index(n.data_sets));
    for (std::int64_t b = 0; b < n.data_sets; ++b) r[index(b)] = static_cast<std::int64_t>(from[b * stride]);
    ranks.push_back(std::move(r));
    out.quantities.push_back(std::move(name));
  };
  if (options.log_posterior_draws) {
    const Array &d = *options.log_posterior_draws, &t = *options.log_posterior_truths;
    if (d.shape() != Shape{n.data_sets, n.draws} || t.size() != n.data_sets)
      throw ShapeError(fmt::format("joint_test: log_posterior_draws must have shape ({}, {}) and log_posterior_truths ({}); got {} and {}",
                                   n.data_sets, n.draws, n.data_sets, d.shape().to_string(), t.shape().to_string()));
    const SbcRanks r =
        sbc_ranks(d.reshape({n.data_sets, n.draws, 1}), t.reshape({n.data_sets, 1}), {.seed = options.seed, .threads = options.threads});
    add("log posterior", r.ranks.data(), 1);
  }
  ThreadPool pool(options.threads);
  // One parameter has no directions but its own.
  const std::int64_t k_count = n.parameters > 1 ? options.num_projections : std::min<std::int64_t>(1, options.num_projections);
  const Array directions = k_count ? random_directions(k_count, n.parameters, options.seed) : Array();
  const JointRanks joint = joint_ranks(draws, truths, n, directions, false, options.seed, pool);
  add("Mahalanobis distance", joint.distance.data(), 1);
  for (std::int64_t k = 0; k < k_count; ++k) add(fmt::format("projection {}", k + 1), joint.projections.data() + k, k_count);

  const RankScores scores(n.draws);
  out.ranks = Array({n.data_sets, static_cast<std::int64_t>(ranks.size())});
  for (std::size_t q = 0; q < ranks.size(); ++q)
    for (std::int64_t b = 0; b < n.data_sets; ++b) out.ranks(b, static_cast<std::int64_t>(q)) = real(ranks[q][index(b)]);
  const SbcEcdf ecdf = sbc_ecdf(SbcRanks{out.quantities, out.ranks, n.draws}, {});
  for (std::size_t q = 0; q < ranks.size(); ++q) {
    double least = ecdf.p_value[q];
    const int tests = std::min(2, scores.degrees());
    for (int d = 1; d <= tests; ++d) least = std::min(least, scores.p_value(d, scores.statistic(d, ranks[q]), n.data_sets));
    out.p_value.push_back(std::min(1.0, least * (tests + 1)));
  }
  out.adjusted_p_value = holm(out.p_value);
  out.overall_p_value = *std::min_element(out.adjusted_p_value.begin(), out.adjusted_p_value.end());
  out.passed = out.overall_p_value > out.error_rate;
  return out;
}

std::vector<Table> JointTest::tables() const {
  return {TableBuilder("joint_test").add("quantity", quantities).add("p_value", p_value).add("adjusted_p_value", adjusted_p_value)};
}

}  // namespace bayesflow::diagnostics
