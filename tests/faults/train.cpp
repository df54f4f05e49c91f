/// A small training with checkpoints, to be killed: kill_training.sh. Arguments: what, folder, threads. `what` is a mode, which trains a
/// posterior, or the class of an amortizer, which is trained online; the argument "list" alone prints all of them. Prints nothing but, at
/// the end, a checksum of weights and history; messages of the trainer go to standard error.
#include <algorithm>
#include <bayesflow/bayesflow.hpp>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

#include "support/amortizer_cases.hpp"
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
  constexpr std::string_view kModes[] = {"online", "offline", "replay", "rounds"};
  const auto cases = bf::support::amortizer_cases();
  if (argc == 2 && std::string_view(argv[1]) == "list") {
    for (const std::string_view mode : kModes) std::printf("%s\n", mode.data());
    for (const auto& c : cases) std::printf("%s\n", c.name.c_str());
    return 0;
  }
  if (argc != 4) return 2;
  const std::string what = argv[1];
  const int threads = std::atoi(argv[3]);
  bf::GenerativeModel model = bf::support::tiny::normal_means();
  std::shared_ptr<bf::AmortizerBase> amortizer;
  for (const auto& c : cases)
    if (c.name == what || (!amortizer && c.name == bf::AmortizedPosterior::kKind.name)) {
      amortizer = c.make(threads);
      model = c.model();
    }
  const bool is_mode = std::ranges::find(kModes, what) != std::end(kModes);
  bf::TrainerOptions options{.threads = threads, .logger = bf::stderr_logger()};
  options.checkpoint_path = argv[2];
  options.checkpoint_minutes = 0.0005;  // every 30 ms: kills shall meet writes
  bf::Trainer trainer(amortizer, model, options);
  bf::TrainingSummary run;
  using bf::support::repetitions;
  if (what == "online" || !is_mode)
    run = trainer.train_online({.epochs = 6, .iterations_per_epoch = repetitions(150), .batch_size = 16, .run = {.validation_sims = 50}});
  if (what == "offline") run = trainer.train_offline(model.simulate(repetitions(2500), 5, "data", 0), {.epochs = 6, .batch_size = 16});
  if (what == "replay")
    run =
        trainer.train_experience_replay({.epochs = 6, .iterations_per_epoch = repetitions(150), .batch_size = 16, .buffer_capacity = 100});
  if (what == "rounds") run = trainer.train_rounds({.rounds = 3, .sim_per_round = repetitions(1000), .epochs = 2, .batch_size = 16});
  if (run.history.steps.empty()) return 2;
  Sum sum;
  sum.add(amortizer->store().values(), static_cast<std::size_t>(amortizer->store().size()) * sizeof(float));
  for (const bf::StepRecord& s : run.history.steps) {
    const auto terms = s.losses.values();
    sum.add(terms.data(), terms.size_bytes());
    sum.add(&s.learning_rate, sizeof s.learning_rate);
    sum.add(&s.gradient_norm, sizeof s.gradient_norm);
  }
  std::printf("%016llx %zu steps\n", static_cast<unsigned long long>(sum.value), run.history.steps.size());
}
