/// Files: how fast simulations are written beside what the disk can do, and how fast training is that streams them back from a file of 20
/// times the buffer.
#include <fcntl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "bayesflow/bayesflow.hpp"

namespace bf = bayesflow;

namespace {

using Clock = std::chrono::steady_clock;
double since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

bf::GenerativeModel quickstart_model() {
  bf::Prior prior([](bf::Rng& rng) { return rng.normal({4}); });
  bf::Simulator simulator([](const bf::Array& theta, bf::Rng& rng) { return rng.normal({50, 4}, theta); });
  return bf::GenerativeModel(prior, simulator);
}

/// The same number of bytes in pieces of a megabyte, brought to the disk: what the disk can do at best.
double raw_write_seconds(const std::filesystem::path& path, std::int64_t bytes) {
  const std::vector<char> piece(1 << 20, 'x');
  const Clock::time_point start = Clock::now();
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0666);
  for (std::int64_t left = bytes; left > 0 && fd >= 0;) {
    const ssize_t put = ::write(fd, piece.data(), static_cast<std::size_t>(std::min<std::int64_t>(left, std::ssize(piece))));
    if (put <= 0) break;
    left -= put;
  }
  if (fd < 0 || ::fsync(fd) != 0) std::perror(path.c_str());
  ::close(fd);
  const double seconds = since(start);
  std::filesystem::remove(path);
  return seconds;
}

bf::AmortizedPosterior quickstart_networks() {
  return bf::AmortizedPosterior(bf::InvertibleNetwork({.num_params = 4, .num_coupling_layers = 4, .coupling = bf::unregularized_affine()}),
                                bf::DeepSet({.summary_dim = 10}));
}

void presimulation(const bf::GenerativeModel& model, const std::filesystem::path& path, std::int64_t n) {
  bf::ThreadPool pool;
  Clock::time_point start = Clock::now();
  for (std::int64_t i = 0; i < n; i += 256) (void)model.simulate(256, 0, "presimulation", static_cast<std::uint64_t>(i), &pool);
  const double simulating = static_cast<double>(n) / since(start);
  for (const auto precision : {bf::StoredPrecision::float64, bf::StoredPrecision::float32}) {
    std::filesystem::remove(path);
    const auto summary = model.presimulate(path, n, {.precision = precision});
    const auto bytes = static_cast<std::int64_t>(summary.file_bytes);
    std::filesystem::remove(path);
    const double raw = static_cast<double>(n) / raw_write_seconds(path, bytes), here = static_cast<double>(n) / summary.seconds;
    std::printf("presimulate %s: %.0f data sets/s, synced (%.0f MB/s); wanted: %.0f, the lower of 200,000 and what the disk does\n",
                precision == bf::StoredPrecision::float64 ? "float64" : "float32", here,
                here * static_cast<double>(bytes) / static_cast<double>(n) / 1e6, std::min(raw, 2e5));
    std::printf("  raw writes of these bytes: %.0f data sets/s; simulating alone: %.0f data sets/s\n", raw, simulating);
  }
}

void reading(const bf::SimulationStore& store, std::int64_t buffer_bytes) {
  constexpr std::int64_t kBatch = 32;
  const bf::Simulations all = store.read();
  const std::int64_t n = store.size();
  const double batches = static_cast<double>(n / kBatch);
  double total = 0;  // so that nothing is optimized away
  Clock::time_point start = Clock::now();
  const std::vector<std::int64_t> order = bf::Rng(0, "order").permutation(n);
  for (std::int64_t i = 0; i + kBatch <= n; i += kBatch)
    total += all.take({order.begin() + i, order.begin() + i + kBatch}).sim_data.data()[0];
  const double memory = since(start);
  bf::SimulationStream stream(store, {.batch_size = kBatch, .buffer_bytes = buffer_bytes});
  start = Clock::now();
  while (const auto batch = stream.next()) total += batch->sim_data.data()[0];
  std::printf("batches of %lld alone, without training: %.1f us each from the file, %.1f us from memory%s\n",
              static_cast<long long>(kBatch), 1e6 * since(start) / batches, 1e6 * memory / batches, total == 0.12345 ? "." : "");
}

/// Offline training from a file of 20 times the buffer, from memory, and online training, in turns.
void training(const bf::GenerativeModel& model, const std::filesystem::path& path, std::int64_t n) {
  std::filesystem::remove(path);
  (void)model.presimulate(path, n);
  const bf::SimulationStore store(path);
  const auto bytes = static_cast<std::int64_t>(std::filesystem::file_size(path));
  reading(store, bytes / 20);
  const bf::Simulations all = store.read();
  bf::Trainer from_file(quickstart_networks(), model), from_memory(quickstart_networks(), model), online(quickstart_networks(), model);
  double file_seconds = 0, memory_seconds = 0, online_seconds = 0, simulating = 0;
  std::size_t steps = 0;
  for (int turn = 0; turn < 3; ++turn) {
    const bf::TrainingSummary f = from_file.train_offline(path, {.buffer_bytes = bytes / 20});
    file_seconds += f.seconds;
    memory_seconds += from_memory.train_offline(all, {}).seconds;
    const bf::TrainingSummary o = online.train_online({.iterations_per_epoch = static_cast<std::int64_t>(f.history.steps.size())});
    online_seconds += o.seconds;
    simulating += o.simulate_seconds;
    steps += f.history.steps.size();
  }
  const auto rate = [&](double seconds) { return static_cast<double>(steps) / seconds; };
  std::printf(
      "offline training from a file of %.1f MB with a buffer of %.1f MB: %.1f it/s; from memory: %.1f it/s; ratio %.3f (wanted: 0.9)\n",
      static_cast<double>(bytes) / 1e6, static_cast<double>(bytes) / 20e6, rate(file_seconds), rate(memory_seconds),
      memory_seconds / file_seconds);
  std::printf(
      "offline training from memory: %.1f it/s; online: %.1f it/s, of whose time %.1f %% is simulation; without it %.1f it/s: ratio %.3f\n",
      rate(memory_seconds), rate(online_seconds), 100 * simulating / online_seconds, rate(online_seconds - simulating),
      (online_seconds - simulating) / memory_seconds);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("How fast simulations are written, and trained on from the file.");
  std::filesystem::path folder = ".";
  std::int64_t n = 200000;
  app.add_option("folder", folder, "for the file")->check(CLI::ExistingDirectory)->capture_default_str();
  app.add_option("simulations", n)->check(CLI::Range(640.0, 1e15))->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  const std::filesystem::path path = folder / "bench_simulations.h5";
  const bf::GenerativeModel model = quickstart_model();
  presimulation(model, path, n);
  training(model, path, n / 4);
  std::filesystem::remove(path);
}
