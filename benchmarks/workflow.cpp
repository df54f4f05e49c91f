/// What bench_all starts as processes of their own.
///   bench_workflow first-iteration
///     the quickstart up to the end of its first iteration; prints the time then (CLOCK_MONOTONIC, ns)
///   bench_workflow peak-rss PROGRAM [ARGUMENTS]
///     runs a program without its output and prints the most memory it held (KiB)
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bayesflow/bayesflow.hpp>
#include <ctime>
#include <string_view>

namespace bf = bayesflow;

namespace {

int first_iteration() {
  timespec end{};
  bf::Prior prior([](bf::Rng& rng) { return rng.normal({4}); });
  bf::Simulator simulator([](const bf::Array& theta, bf::Rng& rng) { return rng.normal({50, 4}, theta); });
  bf::GenerativeModel model(prior, simulator);
  bf::AmortizedPosterior amortizer(
      bf::InvertibleNetwork({.num_params = 4, .num_coupling_layers = 4, .coupling = bf::unregularized_affine()}),
      bf::DeepSet({.summary_dim = 10}));
  bf::Trainer trainer(amortizer, model, {.progress = [&](const bf::Progress& p) {
                        if (!p.epoch_done) clock_gettime(CLOCK_MONOTONIC, &end);
                        return bf::Control::stop;
                      }});
  const auto run = trainer.train_online({.epochs = 10, .iterations_per_epoch = 1000, .batch_size = 32, .run = {.validation_sims = 200}});
  if (run.history.steps.size() != 1) {
    fmt::print(stderr, "one iteration was wanted, {} were made: {}\n", run.history.steps.size(), run.reason);
    return 1;
  }
  fmt::print("{}\n", static_cast<long long>(end.tv_sec) * 1'000'000'000 + end.tv_nsec);
  return 0;
}

/// A new process starts with its parent's peak memory on its account (the kernel carries it over exec). This small program stands in
/// between, so that the figure is the child's own.
int peak_rss(char** command) {
  const pid_t child = fork();
  if (child == 0) {
    const int nowhere = open("/dev/null", O_WRONLY);
    dup2(nowhere, STDOUT_FILENO);
    dup2(nowhere, STDERR_FILENO);
    execv(command[0], command);
    _exit(127);
  }
  int status = 0;
  rusage usage{};
  if (child < 0 || wait4(child, &status, 0, &usage) != child || !WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    fmt::print(stderr, "{} did not run to its end\n", command[0]);
    return 1;
  }
  fmt::print("{}\n", usage.ru_maxrss);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view what = argc > 1 ? argv[1] : "";
  if (what == "first-iteration") return first_iteration();
  if (what == "peak-rss" && argc > 2) return peak_rss(argv + 2);
  fmt::print(stderr, "usage: bench_workflow first-iteration | peak-rss PROGRAM [ARGUMENTS]\n");
  return 2;
}
