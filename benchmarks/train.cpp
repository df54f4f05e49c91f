/// Training speed of the quickstart: median over windows of 50 steps, simulation included. Prints `train_it_per_s=<number>` alone.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "measure/peak.hpp"
#include "measure/speed.hpp"

namespace bf = bayesflow;

namespace {

void table(const std::vector<std::int64_t>& threads, double seconds) {
  const auto flop = static_cast<double>(bench::train_flop({}));
  fmt::print("{:>8} {:>10} {:>10} {:>9} {:>14} {:>9}\n", "threads", "it/s", "best it/s", "speed-up", "peak GFLOP/s", "of peak");
  double first = 0;
  for (const std::int64_t n : threads) {
    constexpr int kWindows = 8;
    constexpr double kWindowSeconds = 0.04;
    const double peak = bench::peak_of(bench::measure_products(static_cast<int>(n), kWindows, kWindowSeconds)).best;
    const bench::Spread s = bench::train_speed({}, static_cast<int>(n), {.seconds = seconds});
    if (first == 0) first = s.median;
    fmt::print("{:>8} {:>10.1f} {:>10.1f} {:>9.2f} {:>14.1f} {:>9.3f}\n", n, s.median, s.max, s.median / first, peak,
               s.median * flop / (peak * 1e9));
  }
}

void profile(int threads) {
  constexpr std::int64_t kSteps = 2000;
  bf::Trainer trainer(bench::make_amortizer({}, threads), bench::gaussian_model({}), {.threads = threads, .handle_interrupt = false});
  const auto run = trainer.train_online({.epochs = 1, .iterations_per_epoch = kSteps, .batch_size = 32});
  const auto per_step = [](double total) { return total * 1e3 / static_cast<double>(kSteps); };
  fmt::print("ms per step: simulate {:.3f}, gradient {:.3f}, update {:.3f}; loss {:.3f}\n", per_step(run.simulate_seconds),
             per_step(run.gradient_seconds), per_step(run.update_seconds), run.history.steps.back().losses.total());
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Training speed of the quickstart.");
  std::vector<std::int64_t> threads{0};
  double seconds = 8;
  bool with_profile = false;
  app.add_option("--threads", threads, "0: all; several make a table with the speed-up and the fraction of the peak at as many threads")
      ->delimiter(',')
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--seconds", seconds, "how long each training is watched")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_flag("--profile", with_profile, "also where the time of a step goes");
  CLI11_PARSE(app, argc, argv);
  if (threads.size() > 1) {
    table(threads, seconds);
    return 0;
  }
  const int n = static_cast<int>(threads.front());
  fmt::print("train_it_per_s={:.1f}\n", bench::train_speed({}, n, {.seconds = seconds}).median);
  if (with_profile) profile(n);
  return 0;
}
