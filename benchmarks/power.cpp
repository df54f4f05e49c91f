/// Power of `verdict`: how often it finds known faults of the quickstart's posterior, with the right kind, and how often it lets
/// the exact posterior pass.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
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

/// Posteriors that pass every test of ranks: exact given the first `used` of 50 observations, or too narrow for some data and too wide for
/// others. What the verdict finds with the data and without them.
struct DataCase {
  const char* name;
  int used;
  double factor;  // width where the mean of the first parameter's data is positive, and its inverse elsewhere
  std::function<bool(const Verdict&)> right;
};

void with_data(std::int64_t repetitions, std::int64_t num_draws, const std::vector<std::int64_t>& sizes) {
  const DataCase data_cases[] = {
      {"exact", 50, 1, [](const Verdict& v) { return v.calibrated; }},
      {"given 45 of 50 observations", 45, 1, [](const Verdict& v) { return v.has(Fault::data_unused); }},
      {"given 40 of 50 observations", 40, 1, [](const Verdict& v) { return v.has(Fault::data_unused); }},
      {"given 25 of 50 observations", 25, 1, [](const Verdict& v) { return v.has(Fault::data_unused); }},
      {"widths 0.8 and 1.25 times", 50, 0.8, [](const Verdict& v) { return v.has(Fault::wrong_for_some); }},
      {"widths 0.67 and 1.5 times", 50, 1 / 1.5, [](const Verdict& v) { return v.has(Fault::wrong_for_some); }},
  };
  fmt::print("\n| posterior | data sets | flagged without the data | flagged with them | right kind |\n|---|---|---|---|---|\n");
  ThreadPool pool;
  for (const DataCase& c : data_cases)
    for (const std::int64_t data_sets : sizes) {
      std::vector<int> blind(static_cast<std::size_t>(repetitions)), flagged(blind), right(blind);
      pool.for_each(repetitions, [&](std::int64_t r) {
        Rng rng(2025, c.name, static_cast<std::uint64_t>(data_sets * 100000 + r));
        const auto n = static_cast<std::int64_t>(kObservations);
        Array truths = rng.normal({data_sets, kParameters}), x = rng.normal({data_sets, n, kParameters}),
              draws = rng.normal({data_sets, num_draws, kParameters});
        const double sd = 1 / std::sqrt(c.used + 1.0);
        for (std::int64_t b = 0; b < data_sets; ++b) {
          double first = 0;
          for (std::int64_t p = 0; p < kParameters; ++p) {
            double sum = 0;
            for (std::int64_t i = 0; i < n; ++i) {
              double& v = x.data()[(b * n + i) * kParameters + p];
              v += truths(b, p);
              if (i < c.used) sum += v;
            }
            if (p == 0) first = sum;
            const double width = first > 0 ? c.factor : 1 / c.factor;
            for (std::int64_t s = 0; s < num_draws; ++s) {
              double& v = draws.data()[(b * num_draws + s) * kParameters + p];
              v = sum * sd * sd + sd * width * v;
            }
          }
        }
        const auto k = static_cast<std::size_t>(r);
        blind[k] = !verdict(draws, truths, {.seed = k, .threads = 1}).calibrated;
        const Verdict v = verdict(draws, truths, Batch{{roles::summary_conditions, x}}, {.seed = k, .threads = 1});
        flagged[k] = !v.calibrated;
        right[k] = c.right(v);
      });
      const auto share = [&](const std::vector<int>& v) {
        int sum = 0;
        for (const int i : v) sum += i;
        return 100.0 * sum / static_cast<double>(repetitions);
      };
      fmt::print("| {} | {} | {:.1f} % | {:.1f} % | {:.1f} % |\n", c.name, data_sets, share(blind), share(flagged), share(right));
      std::fflush(stdout);
    }
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Power of the verdict.");
  std::int64_t repetitions = 200, num_draws = 200;
  std::string only;
  std::vector<std::int64_t> sizes{100, 200, 500};
  app.add_option("repetitions", repetitions)->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("draws", num_draws, "of a data set")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("faults", only, "part of their names; \"data\": only those that need the data");
  app.add_option("data-sets", sizes, "how many")->check(CLI::PositiveNumber)->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  if (only == "data") {
    with_data(repetitions, num_draws, sizes);
    return 0;
  }
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
  if (only.empty()) with_data(repetitions / 5, num_draws, sizes);
  return 0;
}
