/// Files: how fast simulations are written, and streamed back from a file of 20 times the buffer.
///   bench_files [FOLDER] [SIMULATIONS]
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

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

}  // namespace

int main(int argc, char** argv) {
  const std::filesystem::path path = std::filesystem::path(argc > 1 ? argv[1] : ".") / "bench_simulations.h5";
  const std::int64_t n = argc > 2 ? std::atoll(argv[2]) : 200000, batch_size = 32;
  const bf::GenerativeModel model = quickstart_model();

  bf::ThreadPool pool;
  Clock::time_point start = Clock::now();
  for (std::int64_t i = 0; i < n; i += 256) (void)model.simulate(256, 0, "presimulation", static_cast<std::uint64_t>(i), &pool);
  const double simulating = since(start);
  for (const auto precision : {bf::StoredPrecision::float64, bf::StoredPrecision::float32}) {
    std::filesystem::remove(path);
    const auto summary = model.presimulate(path, n, {.precision = precision});
    std::printf("presimulate %s: %.0f simulations/s, %.0f MB/s (simulating alone: %.0f simulations/s)\n",
                precision == bf::StoredPrecision::float64 ? "float64" : "float32", static_cast<double>(n) / summary.seconds,
                static_cast<double>(summary.file_bytes) / summary.seconds / 1e6, static_cast<double>(n) / simulating);
  }

  std::filesystem::remove(path);
  model.presimulate(path, n);
  const bf::SimulationStore store(path);
  const bf::Simulations all = store.read();
  double total = 0;  // so that nothing is optimized away
  start = Clock::now();
  const std::vector<std::int64_t> order = bf::Rng(0, "order").permutation(n);
  for (std::int64_t i = 0; i + batch_size <= n; i += batch_size)
    total += all.take({order.begin() + i, order.begin() + i + batch_size}).sim_data.data()[0];
  const double memory = since(start);
  const auto bytes = static_cast<std::int64_t>(std::filesystem::file_size(path));
  bf::SimulationStream stream(store, {.batch_size = batch_size, .buffer_bytes = bytes / 20});
  for (std::int64_t epoch = 0; epoch < 3; ++epoch) {
    start = Clock::now();
    stream.start(epoch);
    while (const auto batch = stream.next()) total += batch->sim_data.data()[0];
    const double streaming = since(start);
    std::printf("stream, file of %.1f MB, buffer of %.1f MB: %.1f us a batch of %lld; from memory: %.1f us\n",
                static_cast<double>(bytes) / 1e6, static_cast<double>(bytes) / 20e6, 1e6 * streaming * batch_size / static_cast<double>(n),
                static_cast<long long>(batch_size), 1e6 * memory * batch_size / static_cast<double>(n));
  }
  std::filesystem::remove(path);
  return total == 0.12345 ? 1 : 0;
}
