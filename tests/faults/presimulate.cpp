/// What kill_presimulation.sh kills: presimulates until the file holds n simulations, or checks one.
///   presimulate run FILE N [varying]       prints the number of simulations after each batch
///   presimulate check FILE AT_LEAST        the file opens, all its batches are whole, and there are that many simulations
#include <cstdio>
#include <cstdlib>
#include <string>

#include "bayesflow/simulation/simulation_store.hpp"
#include "io/support_models.hpp"

namespace bf = bayesflow;

int main(int argc, char** argv) try {
  if (argc < 4) return 2;
  const std::string what = argv[1], path = argv[2];
  const std::int64_t n = std::atoll(argv[3]);
  if (what == "run") {
    const bf::GenerativeModel model = argc > 4 ? bf::varying_model() : bf::gaussian_model();
    bf::PresimulateOptions options{.seed = 7, .batch_size = 40};
    options.progress = [](const bf::PresimulationProgress& p) {
      // The batch before the last one that was handed to the writer is surely in the file.
      std::printf("%lld\n", static_cast<long long>(p.done > 120 ? p.done - 120 : 0));
      std::fflush(stdout);
      return true;
    };
    model.presimulate(path, n, options);
    return 0;
  }
  const bf::SimulationStore store(path);
  for (std::int64_t b = 0; b < store.batches(); ++b) (void)store.batch(b);
  if (store.size() >= n) return 0;
  std::printf("%lld of %lld simulations are lost\n", static_cast<long long>(n - store.size()), static_cast<long long>(n));
  return 1;
} catch (const std::exception& error) {
  std::printf("%s\n", error.what());
  return 1;
}
