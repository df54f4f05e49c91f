/// A fixed amount of work after a warm-up, to count instructions (tests/benchmarks/instructions.py) and to compare two builds
/// (benchmarks/compare.py). Prints `seconds=<number>`.
#include <fmt/format.h>
#include <hwy/targets.h>

#include <CLI/CLI.hpp>
#include <functional>
#include <map>

#include "measure/speed.hpp"
#if __has_include(<valgrind/callgrind.h>)
#include <valgrind/callgrind.h>
#else
#define CALLGRIND_START_INSTRUMENTATION
#define CALLGRIND_STOP_INSTRUMENTATION
#endif

namespace bf = bayesflow;

namespace {

/// Of `count` units of work: counted by callgrind if it was started with --instr-atstart=no, and timed.
class Counted {
 public:
  explicit Counted(std::int64_t count) : left_(count) {}
  /// To be called before each unit, and once after the last. The first unit is the warm-up.
  bool next() {
    if (begun_++ == 1) {
      start_ = bench::now();
      CALLGRIND_START_INSTRUMENTATION;
    }
    if (begun_ == 1 || left_-- > 0) return true;
    CALLGRIND_STOP_INSTRUMENTATION;
    fmt::print("seconds={:.6f}\n", bench::now() - start_);
    return false;
  }

 private:
  std::int64_t left_, begun_ = 0;
  double start_ = 0;
};

void train(const bf::GenerativeModel& model, const bf::AmortizedPosterior& amortizer, std::int64_t batch_size, int threads,
           Counted counted) {
  (void)counted.next();
  const auto progress = [&](const bf::Progress& p) { return p.epoch_done || counted.next() ? bf::Control::proceed : bf::Control::stop; };
  bf::Trainer trainer(amortizer, model, {.threads = threads, .progress = progress, .handle_interrupt = false});
  constexpr std::int64_t kManySteps = 100'000;  // more than are asked for
  (void)trainer.train_online({.epochs = 1, .iterations_per_epoch = kManySteps, .batch_size = batch_size});
}

/// Steps of 32 data sets of the quickstart.
void train_sets(const bench::Sizes& sizes, int threads, std::int64_t steps) {
  train(bench::gaussian_model(sizes), bench::make_amortizer(sizes, threads), sizes.batch_size, threads, Counted(steps));
}

/// Steps of 16 series of 100 observations.
void train_series(int threads, std::int64_t steps) {
  const bf::GenerativeModel model(bf::Prior([](bf::Rng& rng) { return rng.normal({2}); }),
                                  bf::Simulator([](const bf::Array& theta, bf::Rng& rng) {
                                    return rng.normal({100, 2}, theta);
                                  }));
  const bf::AmortizedPosterior amortizer(
      bf::InvertibleNetwork({.num_params = 2, .num_coupling_layers = 4, .coupling = bf::unregularized_coupling()}),
      bf::TimeSeriesTransformer({.input_dim = 2}), {.threads = threads});
  train(model, amortizer, 16, threads, Counted(steps));
}

/// Calls for `draws` draws of each of `sets` data sets.
void sample(std::int64_t sets, std::int64_t draws, int threads, std::int64_t calls) {
  const bench::Sizes sizes{};
  bf::AmortizedPosterior amortizer = bench::make_amortizer(sizes, threads);
  const bf::Batch inputs = bf::default_configurator(bench::gaussian_model(sizes).simulate(sets, 0, "fixed", 0));
  amortizer.build(inputs, 0);
  std::uint64_t seed = 0;
  for (Counted counted(calls); counted.next();) (void)amortizer.sample(inputs, draws, {.seed = seed++});
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Does a fixed amount of work.");
  int threads = 1;
  const std::map<std::string, std::function<void(std::int64_t)>> cases{
      {"train-affine", [&](std::int64_t n) { train_sets({}, threads, n); }},
      {"train-spline", [&](std::int64_t n) { train_sets({.spline = true}, threads, n); }},
      {"train-series", [&](std::int64_t n) { train_series(threads, n); }},
      {"sample-1x1000", [&](std::int64_t n) { sample(1, 1000, threads, n); }},
      {"sample-500x1000", [&](std::int64_t n) { sample(500, 1000, threads, n); }},
      {"sample-20x100", [&](std::int64_t n) { sample(20, 100, threads, n); }},
  };
  std::vector<std::string> names;
  for (const auto& [name, f] : cases) names.push_back(name);
  std::string name;
  std::int64_t count = 1;
  app.add_option("case", name)->required()->check(CLI::IsMember(names));
  app.add_option("count", count, "training steps or calls")->required()->check(CLI::PositiveNumber);
  app.add_option("--threads", threads, "0: all")->check(CLI::NonNegativeNumber)->capture_default_str();
  bool plain = false;
  app.add_flag("--plain", plain, "without fused multiply-adds, which valgrind emulates a thousand times slower");
  CLI11_PARSE(app, argc, argv);
  if (plain) hwy::DisableTargets(HWY_AVX2 | HWY_AVX3 | HWY_AVX3_DL);
  cases.at(name)(count);
  return 0;
}
