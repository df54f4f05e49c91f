/// Networks against exact posteriors: what training reaches, seed by seed, and whether that is what is promised.
#include "measure/truth.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "measure/speed.hpp"

namespace bf = bayesflow;

namespace {

/// What is promised of the quickstart's model.
constexpr double kLoss = -2.14, kDivergence = 0.035, kMeanError = 0.13, kSdError = 0.03;
/// A seed this far above the median divergence of its group has learnt something late or never.
constexpr double kStalled = 0.04;

struct Group {
  std::string model, initializer;
  double optimum = 0;
  std::vector<bench::TruthResult> results;

  template <class F>
  [[nodiscard]] bench::Spread spread(F f) const {
    std::vector<double> values;
    for (const bench::TruthResult& r : results) values.push_back(f(r));
    return bench::spread_of(values);
  }
  template <class F>
  [[nodiscard]] double mean(F f) const {
    double sum = 0;
    for (const bench::TruthResult& r : results) sum += f(r) / static_cast<double>(results.size());
    return sum;
  }
};

double loss(const bench::TruthResult& r) { return r.loss; }
double divergence(const bench::TruthResult& r) { return r.divergence; }
double mean_error(const bench::TruthResult& r) { return r.mean_error; }
double sd_ratio(const bench::TruthResult& r) { return r.sd_ratio; }
double seconds(const bench::TruthResult& r) { return r.seconds; }

Group run_group(const std::string& name, const std::string& initializer, const bench::TruthSettings& settings, std::int64_t first_seed,
                std::int64_t seeds, bool raw) {
  const auto model = bench::truth_model(name, raw);
  const bench::TestSets tests = bench::make_test_sets(*model, settings.test_sets);
  Group group{name, initializer, tests.optimum, {}};
  fmt::print("{}, {} initialization: {} x {} iterations, batch {}; least possible loss {:.3f} on the {} test sets\n", name, initializer,
             settings.epochs, settings.iterations, settings.batch_size, tests.optimum, settings.test_sets);
  fmt::print("{:>5} {:>9} {:>11} {:>9} {:>11} {:>9} {:>9}\n", "seed", "loss", "divergence", "+-", "means rms", "sd ratio", "seconds");
  for (std::int64_t s = 0; s < seeds; ++s) {
    const bench::TruthResult r = bench::train_and_compare(*model, tests, settings, static_cast<std::uint64_t>(first_seed + s));
    fmt::print("{:>5} {:>9.4f} {:>11.4f} {:>9.4f} {:>11.4f} {:>9.4f} {:>9.1f}{}\n", r.seed, r.loss, r.divergence, r.divergence_error,
               r.mean_error, r.sd_ratio, r.seconds, r.completed ? "" : "  ended early");
    std::fflush(stdout);
    group.results.push_back(r);
  }
  fmt::print("\n");
  return group;
}

void print_groups(const std::vector<Group>& groups) {
  fmt::print("{:<10} {:<7} {:>5} {:>8} {:>26} {:>20} {:>9} {:>9} {:>8} {:>7}\n", "model", "init", "seeds", "optimum",
             "loss: least, median, most", "divergence: mean, most", "means rms", "sd ratio", "stalled", "s/run");
  for (const Group& g : groups) {
    const bench::Spread l = g.spread(loss), d = g.spread(divergence);
    const auto stalled = std::count_if(g.results.begin(), g.results.end(),
                                       [&](const bench::TruthResult& r) { return !(r.divergence <= d.median + kStalled); });
    fmt::print("{:<10} {:<7} {:>5} {:>8.3f} {:>8.3f} {:>8.3f} {:>8.3f} {:>11.4f} {:>10.4f} {:>9.4f} {:>9.4f} {:>8} {:>7.1f}\n", g.model,
               g.initializer, g.results.size(), g.optimum, l.min, l.median, l.max, g.mean(divergence), d.max, g.mean(mean_error),
               g.mean(sd_ratio), stalled, g.spread(seconds).median);
  }
  fmt::print("stalled: a divergence more than {:.2f} nats above the median of the row.\n", kStalled);
}

/// Prints the promises with what was found; true if all are kept.
bool check(const Group& g) {
  fmt::print("\nPromises about the gaussian model ({} seeds):\n", g.results.size());
  bool all = true;
  const auto line = [&](bool kept, const std::string& text) {
    all = all && kept;
    fmt::print("  {}  {}\n", kept ? "kept  " : "BROKEN", text);
  };
  const auto every = [&](auto&& holds) { return std::all_of(g.results.begin(), g.results.end(), holds); };
  line(every([](const bench::TruthResult& r) { return r.completed; }), "every run completed");
  line(every([](const bench::TruthResult& r) { return r.loss <= kLoss; }),
       fmt::format("loss of every seed <= {:.2f}: worst {:.4f}", kLoss, g.spread(loss).max));
  const double d = g.mean(divergence);
  line(d <= kDivergence, fmt::format("divergence averaged over seeds <= {:.3f} nats: {:.4f}", kDivergence, d));
  line(every([](const bench::TruthResult& r) { return r.mean_error <= kMeanError; }),
       fmt::format("posterior means of every seed within {:.2f} exact sd (rms): worst {:.4f}", kMeanError, g.spread(mean_error).max));
  const bench::Spread sd = g.spread(sd_ratio);
  line(every([](const bench::TruthResult& r) { return std::abs(r.sd_ratio - 1) <= kSdError; }),
       fmt::format("standard deviations of every seed within {:.0f} %: ratios {:.4f} to {:.4f}", kSdError * 100, sd.min, sd.max));
  return all;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(
      "What a trained posterior is worth against exact answers. Ends with status 1 if the promises about the gaussian model at its "
      "full length are not kept.");
  std::vector<std::string> names = bench::truth_model_names();
  names.push_back("all");
  std::string model = "gaussian", initializer = "he";
  std::int64_t seeds = 10, first_seed = 0;
  bench::TruthSettings settings;
  settings.threads = 0;
  bool raw = false, bfloat16 = false;
  const auto number = [&app](const std::string& name, auto& value, double least, const std::string& text) {
    app.add_option(name, value, text)->check(CLI::Range(least, 1e15))->capture_default_str();
  };
  app.add_option("--model", model)->check(CLI::IsMember(names))->capture_default_str();
  app.add_option("--initializer", initializer, "of the coupling nets' hidden layers")
      ->check(CLI::IsMember({"he", "glorot", "both"}))
      ->capture_default_str();
  number("--seeds", seeds, 1, "how many");
  number("--first-seed", first_seed, 0, "the first of them");
  number("--epochs", settings.epochs, 1, "");
  number("--iterations", settings.iterations, 1, "of an epoch");
  number("--batch-size", settings.batch_size, 1, "");
  number("--test-sets", settings.test_sets, 2, "");
  number("--draws", settings.draws, 2, "of a test set");
  number("--threads", settings.threads, 0, "0: all");
  app.add_flag("--linear-path", settings.networks.linear_path, "deep sets: the mean of the raw observations joins the last layer");
  app.add_flag("--bfloat16", bfloat16, "training, draws and densities in bfloat16");
  app.add_flag("--raw", raw, "skewed: without standardizing parameters and data");
  CLI11_PARSE(app, argc, argv);
  if (bfloat16) settings.networks.precision = bf::Precision::bfloat16;

  const bench::TruthSettings promised;
  const bool full_length =
      settings.epochs == promised.epochs && settings.iterations == promised.iterations && settings.batch_size == promised.batch_size;
  names.pop_back();
  std::vector<Group> groups;
  for (const std::string& name : names)
    for (const std::string init : {"he", "glorot"}) {
      if ((model != "all" && model != name) || (initializer != "both" && initializer != init)) continue;
      settings.networks.initializer = init == "he" ? bf::nn::Initializer::he_uniform : bf::nn::Initializer::glorot_uniform;
      groups.push_back(run_group(name, init, settings, first_seed, seeds, raw));
    }
  print_groups(groups);
  const auto judged =
      std::find_if(groups.begin(), groups.end(), [](const Group& g) { return g.model == "gaussian" && g.initializer == "he"; });
  if (judged == groups.end()) return 0;
  if (!full_length) {
    fmt::print("\nThe promises are about {} x {} iterations with batches of {}; they are not checked here.\n", promised.epochs,
               promised.iterations, promised.batch_size);
    return 0;
  }
  return check(*judged) ? 0 : 1;
}
