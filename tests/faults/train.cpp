/// A small training with checkpoints, to be killed: kill_training.sh. Arguments: mode, folder, threads. Prints nothing but, at the end, a
/// checksum of weights and history; messages of the trainer go to standard error.
#include <bayesflow/bayesflow.hpp>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "support/sanitized.hpp"

namespace bf = bayesflow;

namespace {

struct Sum {
  std::uint64_t value = 14695981039346656037ULL;  // FNV-1a
  void add(const void* data, std::size_t bytes) {
    for (std::size_t i = 0; i < bytes; ++i) value = (value ^ static_cast<const unsigned char*>(data)[i]) * 1099511628211ULL;
  }
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const std::string mode = argv[1];
  bf::GenerativeModel model(bf::Prior([](bf::Rng& rng) { return rng.normal({2}); }),
                            bf::Simulator([](const bf::Array& theta, bf::Rng& rng) {
                              return rng.normal({10, 2}, theta);
                            }));
  bf::AmortizedPosterior amortizer(
      bf::InvertibleNetwork({.num_params = 2, .num_coupling_layers = 2, .coupling = bf::unregularized_affine()}),
      bf::DeepSet({.summary_dim = 4}));
  bf::TrainerOptions options{.threads = std::atoi(argv[3]), .logger = bf::stderr_logger()};
  options.checkpoint_path = argv[2];
  options.checkpoint_minutes = 0.0005;  // every 30 ms: kills shall meet writes
  bf::Trainer trainer(amortizer, model, options);
  bf::TrainingSummary run;
  using bf::support::repetitions;
  if (mode == "online")
    run = trainer.train_online({.epochs = 6, .iterations_per_epoch = repetitions(150), .batch_size = 16, .validation_sims = 50});
  if (mode == "offline") run = trainer.train_offline(model.simulate(repetitions(2500), 5, "data", 0), {.epochs = 6, .batch_size = 16});
  if (mode == "replay")
    run =
        trainer.train_experience_replay({.epochs = 6, .iterations_per_epoch = repetitions(150), .batch_size = 16, .buffer_capacity = 100});
  if (mode == "rounds") run = trainer.train_rounds({.rounds = 3, .sim_per_round = repetitions(1000), .epochs = 2, .batch_size = 16});
  if (run.history.steps.empty()) return 2;
  Sum sum;
  sum.add(amortizer.store().values(), static_cast<std::size_t>(amortizer.store().size()) * sizeof(float));
  for (const bf::StepRecord& s : run.history.steps) {
    const auto terms = s.losses.values();
    sum.add(terms.data(), terms.size_bytes());
    sum.add(&s.learning_rate, sizeof s.learning_rate);
    sum.add(&s.gradient_norm, sizeof s.gradient_norm);
  }
  std::printf("%016llx %zu steps\n", static_cast<unsigned long long>(sum.value), run.history.steps.size());
}
