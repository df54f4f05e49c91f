/// Clocks, spreads and the workflow that is measured: the quickstart's, with its sizes as arguments.
#pragma once

#include <bayesflow/bayesflow.hpp>
#include <cstdint>
#include <string>
#include <vector>

namespace bench {

/// Seconds of CLOCK_MONOTONIC: the same for all processes of a machine.
[[nodiscard]] double now();

struct Spread {
  double min = 0, median = 0, max = 0;
  std::int64_t count = 0;
};
[[nodiscard]] Spread spread_of(std::vector<double> values);

/// Sizes of a workflow; the defaults are the quickstart's.
struct Sizes {
  std::int64_t n_obs = 50, batch_size = 32, coupling_layers = 4, params = 4;
  bool spline = false;
};
[[nodiscard]] bayesflow::GenerativeModel gaussian_model(const Sizes& sizes);
[[nodiscard]] bayesflow::AmortizedPosterior make_amortizer(const Sizes& sizes, int threads = 0);

/// How long a training is watched. A window is `window_steps` steps, or as many as fill `window_seconds` if that is not 0. What was
/// taken in the first `warm_up` windows is dropped.
struct Watch {
  double seconds = 10;
  std::int64_t window_steps = 50;
  double window_seconds = 0;
  std::int64_t least_windows = 3;
  std::int64_t warm_up = 1;
};
/// Iterations per second of a running training, simulation included, by window.
[[nodiscard]] Spread train_speed(const Sizes& sizes, int threads, const Watch& watch);

/// Floating-point operations of the matrix products of one training step, counted by the engine while it makes them.
[[nodiscard]] std::int64_t train_flop(const Sizes& sizes);
/// The same of `draws` posterior draws for each of `sets` data sets.
[[nodiscard]] std::int64_t sample_flop(const Sizes& sizes, std::int64_t sets, std::int64_t draws);

/// Seconds of each of `repetitions` runs of f.
template <class F>
std::vector<double> time_runs(int repetitions, F&& f) {
  std::vector<double> seconds;
  for (int i = 0; i < repetitions; ++i) {
    const double start = now();
    f();
    seconds.push_back(now() - start);
  }
  return seconds;
}

/// "AMD EPYC ..." from the operating system.
[[nodiscard]] std::string cpu_model();
[[nodiscard]] int hardware_threads();
/// Processes that wanted to run over the last minute, besides this program's: a noisy machine shows here.
[[nodiscard]] double load_average();

}  // namespace bench
