/// mpirun -n RANKS ranks [FOLDER]: sums by MPI against the definition; then training, whose result it prints. With a folder there are
/// checkpoints in it, simulations take some time, so that a rank can be killed, and each rank writes its process number to FOLDER/pid.RANK.
#include "core/ranks.hpp"

#include <mpi.h>
#include <unistd.h>

#include <bit>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "bayesflow/bayesflow.hpp"
#include "bayesflow/distributed/mpi_communicator.hpp"

namespace bayesflow {
namespace {

using distributed::MpiCommunicator;

int faults = 0;

void expect(bool holds, const char* what) {
  if (holds) return;
  ++faults;
  std::fprintf(stderr, "it does not hold that %s\n", what);
}

/// Sums of ranks of which number r has every r-th lane.
void sums(const std::shared_ptr<Communicator>& communicator, std::size_t length, int lanes) {
  const auto lane = [length](int number) {
    std::vector<float> out(length);
    Rng(static_cast<std::uint64_t>(number), "lanes").fill_normal(out);
    return out;
  };
  detail::Ranks ranks(communicator);
  std::vector<detail::Ranks::Lanes> of(static_cast<std::size_t>(ranks.size()));
  std::vector<std::vector<float>> mine;
  std::vector<float> wanted = lane(0), got(length);
  for (int l = 0; l < lanes; ++l) {
    of[static_cast<std::size_t>(l % ranks.size())] |= 1U << (l / ranks.size());
    if (l % ranks.size() == ranks.rank()) mine.push_back(lane(l));
    const std::vector<float> next = lane(l);
    for (std::size_t i = 0; l > 0 && i < length; ++i) wanted[i] += next[i];
  }
  std::vector<const float*> parts;
  for (const auto& part : mine) parts.push_back(part.data());
  ranks.all_sum(parts, of, got);
  expect(std::memcmp(got.data(), wanted.data(), length * sizeof(float)) == 0, "sums over ranks have the bits of one rank's");
}

/// Prints a number of all bits of weights and history.
void train(const std::shared_ptr<Communicator>& communicator, const std::filesystem::path& folder) {
  const Prior prior([](Rng& rng) { return rng.normal({3}); });
  const Simulator simulator([slow = !folder.empty()](const Array& theta, Rng& rng) {
    if (slow) std::this_thread::sleep_for(std::chrono::microseconds(300));
    return rng.normal({50, 3}, theta);
  });
  AmortizedPosterior posterior(InvertibleNetwork({.num_params = 3, .num_coupling_layers = 2}), DeepSet({.summary_dim = 6}));
  Trainer trainer(posterior, GenerativeModel(prior, simulator),
                  {.seed = 5,
                   .threads = 1,
                   .logger =
                       [](LogLevel, std::string_view text) {
                         if (text.starts_with("Resumes") || text.starts_with("Goes on"))
                           std::fprintf(stderr, "%s\n", std::string(text).c_str());
                       },
                   .checkpoint_path = folder.empty() ? folder : folder / "checkpoints",
                   .checkpoint_minutes = 0.001,
                   .communicator = communicator});
  const OnlineOptions options{
      .epochs = 4, .iterations_per_epoch = folder.empty() ? 5 : 40, .batch_size = 64, .run = {.validation_sims = 64}};
  const auto start = std::chrono::steady_clock::now();
  const TrainingSummary run = trainer.train_online(options);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  std::uint64_t hash = 14695981039346656037U;
  const auto add = [&hash](std::uint64_t bits) { hash = (hash ^ bits) * 1099511628211U; };
  const nn::ParameterStore& store = posterior.store();
  for (std::int64_t k = 0; k < store.size(); ++k) add(std::bit_cast<std::uint32_t>(store.values()[k]));
  for (const StepRecord& step : run.history.steps)
    for (const double x : {step.losses.total(), step.gradient_norm, step.learning_rate}) add(std::bit_cast<std::uint64_t>(x));
  for (const EpochRecord& epoch : run.history.epochs) add(std::bit_cast<std::uint64_t>(epoch.validation.total()));
  std::vector<std::uint64_t> all(static_cast<std::size_t>(communicator->size()));
  communicator->all_gather(std::as_bytes(std::span(&hash, 1)), std::as_writable_bytes(std::span(all)));
  for (const std::uint64_t other : all) expect(other == hash, "all ranks have the same weights and history");
  if (communicator->rank() != 0) return;
  std::printf("%016llx\n", static_cast<unsigned long long>(hash));
  std::fprintf(stderr, "%d ranks: %.2f ms a step, %lld parameters, resumed %lld times\n", communicator->size(),
               1e3 * seconds / static_cast<double>(run.history.steps.size()), static_cast<long long>(store.size()),
               static_cast<long long>(run.resumed));
}

}  // namespace
}  // namespace bayesflow

int main(int argc, char** argv) {
  try {
    (void)bayesflow::distributed::MpiCommunicator();
    std::fprintf(stderr, "a communicator was made before MPI ran\n");
    return 1;
  } catch (const bayesflow::ConfigurationError&) {
  }
  MPI_Init(&argc, &argv);
  {
    const auto communicator = std::make_shared<bayesflow::distributed::MpiCommunicator>();
    const std::filesystem::path folder = argc > 1 ? argv[1] : "";
    if (!folder.empty()) std::ofstream(folder / ("pid." + std::to_string(communicator->rank()))) << ::getpid() << '\n';
    for (const std::size_t length : {1U, 2U, 3U, 17U, 1000U, 4099U})
      for (const int lanes : {1, 2, 7, 16}) bayesflow::sums(communicator, length, lanes);
    bayesflow::train(communicator, folder);
  }
  MPI_Finalize();
  return bayesflow::faults ? 1 : 0;
}
