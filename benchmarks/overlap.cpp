/// Training with a simulator that is as slow as a training step and cannot use more than one thread, with and without overlap, and what a
/// checkpoint costs. Waiting stands for a simulator that lives elsewhere (another process, a device): then overlap may nearly halve the
/// time. A busy simulator takes its core from the training: on c cores a step that scales needs t / c, and the gain is (s + t / c) / max(s,
/// (s + t) / c).
#include <algorithm>
#include <bayesflow/bayesflow.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <thread>

namespace bf = bayesflow;
using Clock = std::chrono::steady_clock;

namespace {

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

bf::AmortizedPosterior tutorial() {
  return bf::AmortizedPosterior(bf::InvertibleNetwork({.num_params = 4, .num_coupling_layers = 4, .coupling = bf::unregularized_affine()}),
                                bf::DeepSet({.summary_dim = 10}));
}

enum class Slow { no, waits, works };

/// `seconds` per batch of 32.
bf::GenerativeModel model(Slow slow, double seconds) {
  return bf::GenerativeModel(bf::Prior([](bf::Rng& rng) { return rng.normal({4}); }),
                             bf::Simulator(
                                 [=](const bf::Array& theta, bf::Rng& rng) {
                                   const Clock::time_point start = Clock::now();
                                   bf::Array x = rng.normal({50, 4}, theta);
                                   if (slow == Slow::waits) std::this_thread::sleep_for(std::chrono::duration<double>(seconds / 32));
                                   while (slow == Slow::works && seconds_since(start) < seconds / 32) {
                                   }
                                   return x;
                                 },
                                 {.thread_safe = slow == Slow::no}));
}

struct Measured {
  double rate, loss;
};
Measured measure(const bf::GenerativeModel& m, bf::Overlap overlap, int steps) {
  bf::TrainerOptions options;
  options.overlap = overlap;
  bf::Trainer trainer(tutorial(), m, options);
  (void)trainer.train_online({.iterations_per_epoch = 50});
  const auto run = trainer.train_online({.iterations_per_epoch = steps});
  return {steps / run.seconds, run.history.steps.back().losses.total()};
}

}  // namespace

int main(int argc, char** argv) {
  const int steps = argc > 1 ? std::max(20, std::atoi(argv[1])) : 400;
  const double step = 1 / measure(model(Slow::no, 0), bf::Overlap::off, steps).rate;
  std::printf("training step %.2f ms (simulation included, %u cores)\n", 1e3 * step, std::thread::hardware_concurrency());
  bool same = true;
  for (const Slow slow : {Slow::waits, Slow::works}) {
    const bf::GenerativeModel m = model(slow, step);
    const Measured off = measure(m, bf::Overlap::off, steps), on = measure(m, bf::Overlap::on, steps);
    same = same && off.loss == on.loss;
    std::printf("a simulator that %s as long as a step: %.1f it/s without overlap, %.1f with, ratio %.2f, %s loss\n",
                slow == Slow::waits ? "waits" : "works", off.rate, on.rate, on.rate / off.rate, off.loss == on.loss ? "same" : "ANOTHER");
  }

  const std::filesystem::path folder = std::filesystem::temp_directory_path() / "bayesflow-bench-overlap";
  std::filesystem::remove_all(folder);
  double with = 0, without = 0;
  {
    bf::TrainerOptions options;
    options.checkpoint_path = folder;
    bf::Trainer plain(tutorial(), model(Slow::no, 0)), kept(tutorial(), model(Slow::no, 0), options);
    // In turns, so that both meet the same disturbances. Each call of one epoch ends with a checkpoint that is waited for; within a call
    // none is.
    for (int i = 0; i < 3; ++i) {
      without += plain.train_online({.epochs = 4, .iterations_per_epoch = steps}).seconds;
      with += kept.train_online({.epochs = 4, .iterations_per_epoch = steps}).seconds;
    }
  }
  std::filesystem::remove_all(folder);
  std::printf("epochs of %d steps with checkpoints take %.2f %% longer than without\n", steps, 100 * (with / without - 1));
  return same ? 0 : 1;
}
