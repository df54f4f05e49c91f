/// Power of `verdict`: how often it finds known faults of the quickstart's posterior, with the right kind, and how often it lets
/// the exact posterior pass. bench_power [repetitions] [draws] [part of the faults' names] [data sets]
#include <fmt/format.h>

#include <bayesflow/diagnostics/verdict.hpp>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string_view>

#include "bayesflow/core/rng.hpp"
#include "bayesflow/core/thread_pool.hpp"

using namespace bayesflow;
using namespace bayesflow::diagnostics;

namespace {

constexpr std::int64_t kParameters = 4;
constexpr double kObservations = 50;

/// The quickstart's model: theta ~ N(0, 1), 50 observations N(theta, 1); its posterior is N(sum x / 51, 1 / 51). A fault turns
/// exact standard draws z (P) of a data set into wrong ones, in units of the posterior sd, or replaces the parameters altogether.
struct Case {
  const char* name;
  std::function<void(double* z, Rng& rng)> distort;
  std::function<void(double* theta, Rng& rng)> replace;
  std::function<bool(const Verdict&)> right;
};

bool has_all(const Verdict& v, Fault kind) {
  for (std::int64_t p = 0; p < kParameters; ++p)
    if (!v.has(kind, p)) return false;
  return true;
}

const std::vector<Case>& cases() {
  static const std::vector<Case> all = {
      {"exact", {}, {}, [](const Verdict& v) { return v.calibrated; }},
      {"shifted by 0.3 sd",
       [](double* z, Rng&) {
         for (int p = 0; p < kParameters; ++p) z[p] += 0.3;
       },
       {},
       [](const Verdict& v) { return v.has(Fault::shifted); }},
      {"one parameter shifted by 0.3 sd",
       [](double* z, Rng&) { z[2] += 0.3; },
       {},
       [](const Verdict& v) { return v.has(Fault::shifted, 2); }},
      {"too narrow by 20 %",
       [](double* z, Rng&) {
         for (int p = 0; p < kParameters; ++p) z[p] *= 0.8;
       },
       {},
       [](const Verdict& v) { return v.has(Fault::overconfident); }},
      {"too wide by 20 %",
       [](double* z, Rng&) {
         for (int p = 0; p < kParameters; ++p) z[p] *= 1.2;
       },
       {},
       [](const Verdict& v) { return v.has(Fault::underconfident); }},
      {"right marginals, correlation 0.5",
       [](double* z, Rng&) { z[1] = 0.5 * z[0] + std::sqrt(0.75) * z[1]; },
       {},
       [](const Verdict& v) { return v.has(Fault::wrong_dependence, 0) && v.has(Fault::wrong_dependence, 1); }},
      {"prior instead of posterior",
       {},
       [](double* t, Rng& rng) {
         for (int p = 0; p < kParameters; ++p) t[p] = rng.normal();
       },
       [](const Verdict& v) { return has_all(v, Fault::nothing_learnt); }},
      {"data ignored in one dimension",
       {},
       [](double* t, Rng& rng) { t[3] = rng.normal(); },
       [](const Verdict& v) { return v.has(Fault::nothing_learnt, 3); }},
      {"heavy tails (t, 3 df, right quartiles)",
       [](double* z, Rng& rng) {
         for (int p = 0; p < kParameters; ++p) z[p] = rng.student_t(3) * 0.67449 / 0.76489;
       },
       {},
       [](const Verdict& v) { return v.has(Fault::wrong_tails); }},
      {"heavy tails (t, 3 df, right sd)",
       [](double* z, Rng& rng) {
         for (int p = 0; p < kParameters; ++p) z[p] = rng.student_t(3) / std::sqrt(3.0);
       },
       {},
       [](const Verdict& v) { return v.has(Fault::wrong_tails); }},
  };
  return all;
}

void simulate(const Case& c, std::int64_t data_sets, std::int64_t num_draws, Rng rng, Array& draws, Array& truths) {
  draws = uninitialized_array({data_sets, num_draws, kParameters});
  truths = uninitialized_array({data_sets, kParameters});
  const double sd = 1 / std::sqrt(kObservations + 1);
  double* to = draws.data();
  for (std::int64_t b = 0; b < data_sets; ++b) {
    double mean[kParameters];
    for (std::int64_t p = 0; p < kParameters; ++p) {
      const double theta = truths.data()[b * kParameters + p] = rng.normal();
      mean[p] = (kObservations * theta + std::sqrt(kObservations) * rng.normal()) / (kObservations + 1);
    }
    for (std::int64_t s = 0; s < num_draws; ++s, to += kParameters) {
      for (std::int64_t p = 0; p < kParameters; ++p) to[p] = rng.normal();
      if (c.distort) c.distort(to, rng);
      for (std::int64_t p = 0; p < kParameters; ++p) to[p] = mean[p] + sd * to[p];
      if (c.replace) c.replace(to, rng);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::int64_t repetitions = argc > 1 ? std::atoll(argv[1]) : 200, num_draws = argc > 2 ? std::atoll(argv[2]) : 200;
  const std::string_view only = argc > 3 ? argv[3] : "";
  std::vector<std::int64_t> sizes{100, 200, 500};
  if (argc > 4) sizes = {std::atoll(argv[4])};
  fmt::print(
      "{} repetitions, {} draws per data set, family-wise error 5 %. Flagged: any finding. Right: the finding that the fault deserves.\n",
      repetitions, num_draws);
  fmt::print(
      "(Exact: right = passes.) Other: share with findings of another kind.\n\n| fault | data sets | flagged | right kind | other kinds "
      "|\n|---|---|---|---|---|\n");
  ThreadPool pool;
  for (std::size_t i = 0; i < cases().size(); ++i)
    for (const std::int64_t data_sets : sizes) {
      const Case& c = cases()[i];
      if (std::string_view(c.name).find(only) == std::string_view::npos) continue;
      std::vector<int> flagged(static_cast<std::size_t>(repetitions)), right(flagged), other(flagged);
      pool.for_each(repetitions, [&](std::int64_t r) {
        const auto k = static_cast<std::size_t>(r);
        Array draws, truths;
        simulate(c, data_sets, num_draws, Rng(2024, "power", i * 1000000 + static_cast<std::uint64_t>(data_sets * 1000 + r)), draws,
                 truths);
        const Verdict v = verdict(draws, truths, {.seed = k, .threads = 1});
        flagged[k] = !v.calibrated;
        right[k] = c.right(v);
        // Every kind that occurs, less those whose removal would leave the case not recognized.
        for (const Finding& f : v.findings) {
          Verdict alone;
          alone.findings = v.findings;
          std::erase_if(alone.findings, [&](const Finding& g) { return g.kind == f.kind; });
          alone.calibrated = alone.findings.empty();
          other[k] |= c.right(alone) && i > 0;
        }
      });
      int sums[3] = {0, 0, 0};
      for (std::size_t k = 0; k < flagged.size(); ++k) {
        sums[0] += flagged[k];
        sums[1] += right[k];
        sums[2] += other[k];
      }
      const auto share = [&](int s) { return 100.0 * s / static_cast<double>(repetitions); };
      fmt::print("| {} | {} | {:.1f} % | {:.1f} % | {:.1f} % |\n", c.name, data_sets, share(sums[0]), share(sums[1]), share(sums[2]));
      std::fflush(stdout);
    }
  return 0;
}
