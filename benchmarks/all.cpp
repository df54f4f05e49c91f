/// All measurements of the library: writes them as JSON and prints a table. docs/measuring.md says what each key means.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "measure/peak.hpp"
#include "measure/process.hpp"
#include "measure/scaling.hpp"
#include "measure/speed.hpp"

namespace bf = bayesflow;
using json = nlohmann::ordered_json;

namespace {

struct Settings {
  int threads;
  bool quick;
};

/// Speeds of products before, between and after the other measurements, so that a disturbed moment does not make the yardstick.
class Yardstick {
 public:
  Yardstick(int threads, bool quick) : threads_(threads), quick_(quick) { measure(); }
  void measure() {
    const int windows = quick_ ? 2 : 8;
    constexpr double kWindowSeconds = 0.04;
    bench::append(all_, bench::measure_products(threads_, windows, kWindowSeconds));
    if (threads_ > 1) bench::append(one_, bench::measure_products(1, windows, kWindowSeconds));
  }
  [[nodiscard]] bench::Peak peak() const { return bench::peak_of(all_); }
  [[nodiscard]] bench::Peak peak_one_thread() const { return bench::peak_of(threads_ > 1 ? one_ : all_); }
  [[nodiscard]] json details() const {
    json out = json::array();
    for (const auto* group : {&all_, &one_})
      for (const bench::ProductSpeed& s : *group) {
        const bench::Spread spread = bench::spread_of(s.gflops);
        out.push_back({{"library", s.library},
                       {"shape", fmt::format("{}x{}x{}", s.rows, s.depth, s.cols)},
                       {"threads", s.threads},
                       {"gflops_median", spread.median},
                       {"gflops_best", spread.max}});
      }
    return out;
  }

 private:
  int threads_;
  bool quick_;
  std::vector<bench::ProductSpeed> all_, one_;
};

void progress(const char* what) { fmt::print(stderr, "measuring {} ...\n", what); }

json machine(const Settings& settings) {
  return {{"cpu", bench::cpu_model()},   {"hardware_threads", bench::hardware_threads()},
          {"threads", settings.threads}, {"instruction_set", bf::instruction_set()},
          {"version", bf::version()},    {"load_average_at_start", bench::load_average()},
          {"quick", settings.quick}};
}

void measure_training(json& out, const Settings& settings) {
  const bench::Watch watch{.seconds = settings.quick ? 0.5 : 20};
  const auto put = [&](const std::string& key, const bench::Spread& s) {
    out[key] = s.median;
    out[key + "_best"] = s.max;
    out[key + "_worst"] = s.min;
  };
  out["train_flop_per_it"] = bench::train_flop({});
  out["train_spline_flop_per_it"] = bench::train_flop({.spline = true});
  progress("training");
  put("train_it_per_s", bench::train_speed({}, settings.threads, watch));
  progress("training on one thread");
  put("train_it_per_s_1_thread", bench::train_speed({}, 1, watch));
  progress("training of splines");
  put("train_spline_it_per_s", bench::train_speed({.spline = true}, settings.threads, {.seconds = settings.quick ? 0.5 : 10}));
}

void measure_sampling(json& out, const Settings& settings) {
  progress("sampling");
  const bench::Sizes sizes;
  bf::AmortizedPosterior amortizer = bench::make_amortizer(sizes, settings.threads);
  const auto inputs_of = [&](std::int64_t sets) {
    return bf::default_configurator(bench::gaussian_model(sizes).simulate(sets, 1, "sampling", 0));
  };
  constexpr std::int64_t kDraws = 1000;
  const std::int64_t sets = settings.quick ? 20 : 500;
  const bf::Batch many = inputs_of(sets), one = inputs_of(1);
  amortizer.build(many, 0);
  std::uint64_t seed = 0;
  const auto times = [&](const bf::Batch& inputs, int warm_up, int repetitions) {
    const auto draw = [&] { (void)amortizer.sample(inputs, kDraws, {.seed = seed++}); };
    (void)bench::time_runs(warm_up, draw);
    return bench::spread_of(bench::time_runs(repetitions, draw));
  };
  // In the quick form fewer sets are drawn and the time is scaled up.
  const double scale = 500.0 / static_cast<double>(sets);
  const bench::Spread block = times(many, 1, settings.quick ? 2 : 7), single = times(one, 20, settings.quick ? 20 : 300);
  out["sample_500x1000_s"] = block.median * scale;
  out["sample_500x1000_s_best"] = block.min * scale;
  out["sample_1x1000_ms"] = single.median * 1e3;
  out["sample_1x1000_ms_best"] = single.min * 1e3;
  out["sample_500x1000_flop"] = bench::sample_flop(sizes, 500, kDraws);
}

void measure_processes(json& out, const Settings& settings) {
  progress("the start of the process");
  std::vector<double> start;
  for (int i = 0; i < (settings.quick ? 3 : 25); ++i) {
    const bench::ProcessResult run = bench::run_process({BENCH_WORKFLOW_PROGRAM, "first-iteration"});
    start.push_back(std::stod(run.output) * 1e-6 - run.start_time * 1e3);
  }
  const bench::Spread spread = bench::spread_of(start);
  out["start_to_first_iteration_ms"] = spread.median;
  out["start_to_first_iteration_ms_best"] = spread.min;
  progress("the memory of the quickstart");
  std::vector<std::string> quickstart{BENCH_WORKFLOW_PROGRAM, "peak-rss", BENCH_QUICKSTART_PROGRAM};
  if (settings.quick) quickstart.push_back("--small");
  out["peak_rss_mb"] = std::stod(bench::run_process(quickstart).output) / 1024;
}

void add_fractions(json& out, const bench::Peak& peak, const bench::Peak& one) {
  out["gemm_peak_gflops"] = peak.best;
  out["gemm_peak_gflops_median"] = peak.median;
  out["gemm_peak_case"] = peak.best_case;
  out["gemm_peak_gflops_1_thread"] = one.best;
  const auto number = [&](const char* key) { return out.at(key).get<double>(); };
  const double flop = number("train_flop_per_it");
  out["train_fraction_of_peak"] = number("train_it_per_s") * flop / (peak.best * 1e9);
  out["train_fraction_of_peak_best"] = number("train_it_per_s_best") * flop / (peak.best * 1e9);
  out["train_fraction_of_peak_1_thread"] = number("train_it_per_s_1_thread") * flop / (one.best * 1e9);
  out["train_speedup_over_1_thread"] = number("train_it_per_s") / number("train_it_per_s_1_thread");
  out["train_spline_over_affine"] = number("train_spline_it_per_s") / number("train_it_per_s");
  out["train_spline_fraction_of_peak"] = number("train_spline_it_per_s") * number("train_spline_flop_per_it") / (peak.best * 1e9);
  out["sample_fraction_of_peak"] = number("sample_500x1000_flop") / number("sample_500x1000_s") / (peak.best * 1e9);
  out["sample_fraction_of_peak_best"] = number("sample_500x1000_flop") / number("sample_500x1000_s_best") / (peak.best * 1e9);
}

void print_table(const json& r) {
  const auto number = [&](const std::string& key) { return r.at(key).get<double>(); };
  fmt::print("\nbayesflow {} on {}, {} of {} threads, {}\n\n", r["machine"]["version"].get<std::string>(),
             r["machine"]["cpu"].get<std::string>(), r["machine"]["threads"].get<int>(), r["machine"]["hardware_threads"].get<int>(),
             r["machine"]["instruction_set"].get<std::string>());
  fmt::print("{:<34} {:>12} {:>12}\n", "", "median", "best");
  const auto row = [&](const char* text, const std::string& median, const std::string& best, const char* format) {
    const auto cell = [&](const std::string& key) { return key.empty() ? std::string() : fmt::format(fmt::runtime(format), number(key)); };
    fmt::print("{:<34} {:>12} {:>12}\n", text, cell(median), cell(best));
  };
  row("matrix products, GFLOP/s", "gemm_peak_gflops_median", "gemm_peak_gflops", "{:.1f}");
  row("training, it/s", "train_it_per_s", "train_it_per_s_best", "{:.1f}");
  fmt::print("{:<34} {:>12.1f}\n", "  MFLOP of products an iteration", number("train_flop_per_it") * 1e-6);
  row("  fraction of peak", "train_fraction_of_peak", "train_fraction_of_peak_best", "{:.3f}");
  row("training on one thread, it/s", "train_it_per_s_1_thread", "train_it_per_s_1_thread_best", "{:.1f}");
  row("  speed-up by threads", "train_speedup_over_1_thread", "", "{:.2f}");
  row("training of splines, it/s", "train_spline_it_per_s", "train_spline_it_per_s_best", "{:.1f}");
  row("  over affine", "train_spline_over_affine", "", "{:.2f}");
  row("500 x 1,000 draws, s", "sample_500x1000_s", "sample_500x1000_s_best", "{:.3f}");
  row("  fraction of peak", "sample_fraction_of_peak", "sample_fraction_of_peak_best", "{:.3f}");
  row("1 x 1,000 draws, ms", "sample_1x1000_ms", "sample_1x1000_ms_best", "{:.2f}");
  row("start to first iteration, ms", "start_to_first_iteration_ms", "start_to_first_iteration_ms_best", "{:.1f}");
  row("memory of the quickstart, MiB", "peak_rss_mb", "", "{:.1f}");
}

void run(const Settings& settings, bool scaling, const std::filesystem::path& path) {
  json results;
  results["machine"] = machine(settings);
  progress("matrix products");
  Yardstick yardstick(settings.threads, settings.quick);
  measure_training(results, settings);
  yardstick.measure();
  measure_sampling(results, settings);
  yardstick.measure();
  measure_processes(results, settings);
  const bench::Peak peak = yardstick.peak(), one = yardstick.peak_one_thread();
  add_fractions(results, peak, one);
  results["gemm"] = yardstick.details();
  std::vector<bench::ScalingPoint> points;
  if (scaling) {
    progress("how cost grows");
    std::vector<int> threads{1};
    std::vector<double> peaks{one.best};
    if (settings.threads > 1) {
      threads.push_back(settings.threads);
      peaks.push_back(peak.best);
    }
    points = bench::measure_scaling(threads, peaks, settings.quick);
    results["scaling"] = bench::to_json(points);
    results["not_linear"] = bench::not_linear(points);
  }

  print_table(results);
  if (scaling) {
    fmt::print("\nScaling: one size at a time, the others as in the quickstart.\n");
    fmt::print("Cost ratio: seconds per operation over those of the row before.\n");
    bench::print_scaling(points);
    for (const std::string& line : bench::not_linear(points)) fmt::print("not linear: {}\n", line);
  }
  if (path.has_parent_path()) std::filesystem::create_directories(path.parent_path());
  std::ofstream out(path);
  out << results.dump(2) << "\n";
  out.close();
  if (!out) throw std::runtime_error(fmt::format("{} could not be written", path.string()));
  fmt::print("\nwritten to {}\n", path.string());
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Every figure of speed, beside what the machine can do.");
  Settings settings{bench::hardware_threads(), false};
  bool no_scaling = false;
  std::string path = "results.json";
  app.add_option("results", path, "where they are written")->capture_default_str();
  app.add_option("--threads", settings.threads, "of all figures but those \"on one thread\"")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_flag("--quick", settings.quick, "a few seconds instead of minutes, to see that it works; the figures mean little");
  app.add_flag("--no-scaling", no_scaling, "leaves out the scaling table");
  CLI11_PARSE(app, argc, argv);
  try {
    run(settings, !no_scaling, path);
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
  return 0;
}
