/// Training with a simulator that is as slow as a training step and cannot use more than one thread, with and without overlap, beside what
/// theory promises; and what a checkpoint costs. Waiting stands for a simulator that lives elsewhere (another process, a device): then
/// overlap may nearly halve the time. A busy simulator takes its core from the training: on c cores a step that scales needs t of each, and
/// the gain is (s + t) / max(s, (s + c t) / c).
#include <CLI/CLI.hpp>
#include <algorithm>
#include <bayesflow/bayesflow.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string_view>
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
  double rate, loss, simulating;  // steps a second, last loss, seconds a step
};
Measured measure(const bf::GenerativeModel& m, bf::Overlap overlap, int steps) {
  bf::TrainerOptions options;
  options.overlap = overlap;
  bf::Trainer trainer(tutorial(), m, options);
  (void)trainer.train_online({.iterations_per_epoch = 50});
  const auto run = trainer.train_online({.iterations_per_epoch = steps});
  return {steps / run.seconds, run.history.steps.back().losses.total(), run.simulate_seconds / steps};
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Training with a slow simulator, with and without overlap.");
  int steps = 400;
  app.add_option("steps", steps, "of each training")->check(CLI::Range(20, 1000000))->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  const double step = 1 / measure(model(Slow::no, 0), bf::Overlap::off, steps).rate;
  std::printf("training step %.2f ms (simulation included, %u cores)\n", 1e3 * step, std::thread::hardware_concurrency());
  bool same = true;
  for (const Slow slow : {Slow::waits, Slow::works}) {
    const bf::GenerativeModel m = model(slow, step);
    const Measured off = measure(m, bf::Overlap::off, steps), on = measure(m, bf::Overlap::on, steps);
    same = same && off.loss == on.loss;
    // What was measured without overlap says what can be had: simulating (s) and training (t, on all cores) side by side.
    const double s = off.simulating, t = 1 / off.rate - s, cores = std::max(1U, std::thread::hardware_concurrency());
    const double theory = (s + t) / (slow == Slow::waits ? std::max(s, t) : std::max(s, (s + cores * t) / cores));
    std::printf(
        "a simulator that %s (%.2f ms a batch, the rest of a step %.2f ms): %.1f it/s without overlap, %.1f with, gain %.2f, in theory "
        "%.2f, "
        "%s loss\n",
        slow == Slow::waits ? "waits" : "works", 1e3 * s, 1e3 * t, off.rate, on.rate, on.rate / off.rate, theory,
        off.loss == on.loss ? "same" : "ANOTHER");
  }

  const std::filesystem::path folder = std::filesystem::temp_directory_path() / "bayesflow-bench-overlap";
  std::filesystem::remove_all(folder);
  double with = 0, without = 0;
  std::int64_t written = 0;
  {
    // One every ten steps, so that their price stands out; at that pace most meet the disk while the one before is still on its way to it.
    bf::TrainerOptions options;
    options.checkpoint_path = folder;
    options.checkpoint_minutes = 10 * step / 60;
    options.logger = [&](bf::LogLevel, std::string_view text) { written += text.find("was written") != std::string_view::npos; };
    bf::Trainer plain(tutorial(), model(Slow::no, 0)), kept(tutorial(), model(Slow::no, 0), options);
    // In turns, so that both meet the same disturbances.
    for (int i = 0; i < 5; ++i) {
      without += plain.train_online({.iterations_per_epoch = steps}).seconds;
      with += kept.train_online({.iterations_per_epoch = steps}).seconds;
    }
  }
  std::filesystem::remove_all(folder);
  const double price = (with - without) / static_cast<double>(std::max<std::int64_t>(1, written));
  std::printf(
      "a checkpoint costs %.2f ms of training time (%lld were written in %d steps): %.2f %% of the quickstart's epoch of 1000 steps "
      "(wanted: below 1 %%)\n",
      1e3 * price, static_cast<long long>(written), 5 * steps, 100 * price / (1000 * without / (5 * steps)));
  return same ? 0 : 1;
}
