/// Training speed of the quickstart: median over windows of 50 steps, simulation included. Prints `train_it_per_s=<number>` alone;
/// with --profile also where the time goes.
#include <algorithm>
#include <bayesflow/bayesflow.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace bf = bayesflow;

int main(int argc, char** argv) {
  const bool profile = argc > 1 && std::strcmp(argv[1], "--profile") == 0;
  const int threads = argc > 2 ? std::atoi(argv[2]) : 0;
  bf::GenerativeModel model(bf::Prior([](bf::Rng& rng) { return rng.normal({4}); }),
                            bf::Simulator([](const bf::Array& theta, bf::Rng& rng) { return rng.normal({50, 4}, theta); }));
  bf::AmortizedPosterior amortizer(bf::InvertibleNetwork({.num_params = 4, .num_coupling_layers = 4, .coupling = bf::unregularized_affine()}),
                                   bf::DeepSet({.summary_dim = 10}));
  using Clock = std::chrono::steady_clock;
  std::vector<double> windows;
  std::int64_t steps = 0;
  Clock::time_point start = Clock::now();
  bf::Trainer trainer(amortizer, model, {.threads = threads, .progress = [&](const bf::Progress& p) {
    if (!p.epoch_done && ++steps % 50 == 0) {
      const Clock::time_point now = Clock::now();
      windows.push_back(50 / std::chrono::duration<double>(now - start).count());
      start = now;
    }
    return bf::Control::proceed;
  }});
  const auto run = trainer.train_online({.epochs = 1, .iterations_per_epoch = 3000, .batch_size = 32});
  std::sort(windows.begin(), windows.end());
  std::printf("train_it_per_s=%.1f\n", windows[windows.size() / 2]);
  if (profile)
    std::printf("best window %.1f it/s; per step: simulate %.3f, gradient %.3f, update %.3f ms; loss %.3f\n", windows.back(), run.simulate_seconds / 3,
                run.gradient_seconds / 3, run.update_seconds / 3, run.history.steps.back().losses.total());
}
