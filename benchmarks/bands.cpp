/// Are the bands and tests what they promise? For exact posteriors: the share of ECDFs, histograms and coverage curves inside
/// their bands, and the share of joint tests and verdicts that pass.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <bayesflow/diagnostics/coverage.hpp>
#include <bayesflow/diagnostics/joint_test.hpp>
#include <bayesflow/diagnostics/sbc.hpp>
#include <bayesflow/diagnostics/verdict.hpp>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "bayesflow/core/rng.hpp"
#include "bayesflow/core/thread_pool.hpp"

using namespace bayesflow;
using namespace bayesflow::diagnostics;

namespace {

double percent(const std::vector<bool>& v) {
  return 100.0 * static_cast<double>(std::count(v.begin(), v.end(), true)) / static_cast<double>(v.size());
}

void bands(std::int64_t repetitions) {
  fmt::print(
      "Exact posteriors inside their bands, {} repetitions (standard error {:.2f} %). Promised: 95 %, or the exact coverage in brackets\n",
      repetitions, 100 * std::sqrt(0.95 * 0.05 / static_cast<double>(repetitions)));
  fmt::print("where counts are so coarse that 95 % cannot be met; single bars: 99 % or more. Milliseconds are for the ECDF band.\n\n");
  fmt::print(
      "| data sets | draws | ECDF | histogram, all bars | single bars | coverage curve | band, ms |\n|---|---|---|---|---|---|---|\n");
  for (const std::int64_t data_sets : {100, 200, 500})
    for (const std::int64_t draws : {20, 100, 250, 1000}) {
      const SbcRanks ranks{
          {},
          Rng(1, "bands", static_cast<std::uint64_t>(data_sets * 10000 + draws)).integers({data_sets, repetitions}, 0, draws + 1),
          draws};
      const SbcEcdf e = sbc_ecdf(ranks);
      const SbcHistograms h = sbc_histograms(ranks);
      const Coverage c = coverage(ranks);
      double bars = 0;
      for (std::int64_t p = 0; p < repetitions; ++p)
        for (std::int64_t k = 0; k < h.num_bins; ++k)
          bars += h.counts(p, k) >= h.lower[static_cast<std::size_t>(k)] && h.counts(p, k) <= h.upper[static_cast<std::size_t>(k)] ? 1 : 0;
      std::vector<double> points;
      for (const std::int64_t cut : rank_cuts(draws))
        points.push_back(cut > draws ? 1.0 : static_cast<double>(cut) / static_cast<double>(draws + 1));
      const auto start = std::chrono::steady_clock::now();
      (void)ecdf_band(data_sets, points);
      const double ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
      fmt::print("| {} | {} | {:.1f} % ({:.1f}) | {:.1f} % ({:.1f}) | {:.2f} % | {:.1f} % ({:.1f}) | {:.1f} |\n", data_sets, draws,
                 percent(e.inside), 100 * e.coverage, percent(h.inside), 100 * h.simultaneous_interval,
                 100 * bars / static_cast<double>(repetitions * h.num_bins), percent(c.inside), 100 * c.band_coverage, ms);
    }
}

/// Exact posteriors of any location: truth and draws from one normal distribution, whose centre is known exactly from the data.
void exact(std::int64_t data_sets, std::int64_t num_draws, std::int64_t parameters, Rng rng, Array& draws, Array& truths) {
  draws = rng.normal({data_sets, num_draws, parameters});
  truths = rng.normal({data_sets, parameters});
  for (std::int64_t b = 0; b < data_sets; ++b)
    for (std::int64_t p = 0; p < parameters; ++p) {
      const double centre = 7 * rng.normal();
      truths.data()[b * parameters + p] += centre;
      for (std::int64_t s = 0; s < num_draws; ++s) draws.data()[(b * num_draws + s) * parameters + p] += centre;
    }
}

void tests(std::int64_t repetitions) {
  fmt::print("\nExact posteriors that pass at an error rate of 5 %, {} repetitions (standard error {:.2f} %). Promised: 95 % or more\n\n",
             repetitions, 100 * std::sqrt(0.95 * 0.05 / static_cast<double>(repetitions)));
  fmt::print("| data sets | draws | parameters | joint test | verdict | all ECDFs inside their common band |\n|---|---|---|---|---|---|\n");
  ThreadPool pool;
  struct Size {
    std::int64_t data_sets, draws, parameters;
  };
  for (const Size n : {Size{100, 20, 4}, Size{100, 200, 4}, Size{500, 100, 4}, Size{100, 100, 1}, Size{100, 100, 20}, Size{200, 50, 40}}) {
    std::vector<int> joint(static_cast<std::size_t>(repetitions)), verdicts(joint), ecdfs(joint);
    pool.for_each(repetitions, [&](std::int64_t r) {
      const auto k = static_cast<std::size_t>(r);
      Array draws, truths;
      exact(n.data_sets, n.draws, n.parameters, Rng(2, "exact posteriors", k), draws, truths);
      joint[k] = joint_test(draws, truths, {.seed = k, .threads = 1}).passed;
      verdicts[k] = verdict(draws, truths, {.seed = k, .threads = 1}).calibrated;
      const SbcEcdf e = sbc_ecdf(draws, truths, {.over_all_parameters = true}, {.threads = 1});
      ecdfs[k] = std::all_of(e.inside.begin(), e.inside.end(), [](bool b) { return b; });
    });
    const auto passed = [&](const std::vector<int>& v) {
      return 100.0 * static_cast<double>(std::count(v.begin(), v.end(), 1)) / static_cast<double>(repetitions);
    };
    fmt::print("| {} | {} | {} | {:.1f} % | {:.1f} % | {:.1f} % |\n", n.data_sets, n.draws, n.parameters, passed(joint), passed(verdicts),
               passed(ecdfs));
    std::fflush(stdout);
  }
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Are the bands and tests what they promise?");
  std::int64_t repetitions = 10000, of_tests = 2000;
  app.add_option("repetitions", repetitions, "of the bands")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("tests", of_tests, "repetitions of the tests")->check(CLI::PositiveNumber)->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  bands(repetitions);
  tests(of_tests);
  return 0;
}
