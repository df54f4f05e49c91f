/// Time of every diagnostic and of the report at 500 data sets x 1,000 draws x 4 parameters, of bands of every size, and of a large case
/// with the memory it takes.
#include <fmt/format.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <bayesflow/diagnostics/coverage.hpp>
#include <bayesflow/diagnostics/density.hpp>
#include <bayesflow/diagnostics/joint_test.hpp>
#include <bayesflow/diagnostics/latent.hpp>
#include <bayesflow/diagnostics/recovery.hpp>
#include <bayesflow/diagnostics/sbc.hpp>
#include <bayesflow/diagnostics/verdict.hpp>
#include <bayesflow/report/report.hpp>
#include <chrono>
#include <cmath>
#include <cstring>
#include <filesystem>

#include "bayesflow/core/rng.hpp"

using namespace bayesflow;
using namespace bayesflow::diagnostics;

namespace {

double megabytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

template <class F>
double timed(const char* name, F&& f) {
  const auto start = std::chrono::steady_clock::now();
  f();
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  fmt::print("  {:<28} {:8.1f} ms   peak memory {:.0f} MB\n", name, 1e3 * seconds, megabytes());
  return seconds;
}

/// Bands of ranks: nothing is kept between calls, so every size is paid for.
void bands() {
  double slowest = 0;
  std::int64_t sets = 0, draws = 0;
  for (const std::int64_t data_sets : {20, 100, 500, 5000, 50000})
    for (const std::int64_t num_draws : {1, 20, 100, 1000, 10000}) {
      std::vector<double> points;
      for (const std::int64_t cut : rank_cuts(num_draws))
        points.push_back(std::min(1.0, static_cast<double>(cut) / (static_cast<double>(num_draws) + 1)));
      const auto start = std::chrono::steady_clock::now();
      (void)ecdf_band(data_sets, points);
      const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      if (seconds > slowest) slowest = seconds, sets = data_sets, draws = num_draws;
    }
  fmt::print("ECDF bands of 20 to 50,000 data sets and 1 to 10,000 draws: the slowest takes {:.1f} ms ({} data sets, {} draws)\n",
             1e3 * slowest, sets, draws);
}

void run(std::int64_t data_sets, std::int64_t num_draws, std::int64_t parameters, bool with_report) {
  Rng rng(1);
  Array draws = uninitialized_array({data_sets, num_draws, parameters}), truths = rng.normal({data_sets, parameters});
  rng.fill_normal(draws.values());
  for (std::int64_t b = 0; b < data_sets; ++b)
    for (std::int64_t p = 0; p < parameters; ++p) {
      const double centre = 7 * rng.normal();
      truths.data()[b * parameters + p] += centre;
      for (std::int64_t s = 0; s < num_draws; ++s) draws.data()[(b * num_draws + s) * parameters + p] += centre;
    }
  fmt::print("{} data sets x {} draws x {} parameters: {:.0f} MB of draws, peak memory so far {:.0f} MB\n", data_sets, num_draws,
             parameters, static_cast<double>(draws.size()) * 8e-6, megabytes());
  double total = 0;
  SbcRanks ranks;
  total += timed("recovery", [&] { (void)recovery(draws, truths); });
  total += timed("z-score and contraction", [&] { (void)z_score_contraction(draws, truths); });
  total += timed("ranks", [&] { ranks = sbc_ranks(draws, truths); });
  total += timed("histograms", [&] { (void)sbc_histograms(ranks); });
  total += timed("ECDFs with band", [&] { (void)sbc_ecdf(ranks); });
  total += timed("coverage", [&] { (void)coverage(ranks); });
  total += timed("calibration error", [&] { (void)posterior_calibration_error(draws, truths); });
  total += timed("joint test", [&] { (void)joint_test(draws, truths); });
  total += timed("latent normality", [&] { (void)latent_normality(truths); });
  total += timed("pairs of one posterior", [&] { (void)posterior_2d(draws.row(0), truths); });
  total += timed("verdict", [&] { (void)verdict(draws, truths); });
  fmt::print("  {:<28} {:8.1f} ms\n", "all", 1e3 * total);
  if (!with_report) return;
  const auto page = std::filesystem::temp_directory_path() / "bayesflow_bench_report.html";
  timed("report", [&] { (void)report(draws, truths, page); });
  std::filesystem::remove(page);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Time of every diagnostic and of the report.");
  bool small = false;
  app.add_flag("--small", small, "without the large case");
  CLI11_PARSE(app, argc, argv);
  run(500, 1000, 4, true);
  bands();
  if (!small) run(5000, 1000, 20, false);
  return 0;
}
