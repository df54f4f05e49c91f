/// Posterior draws in a program of one's own, from a model file: trained in Python or in C++, it gives the same draws, bit for bit.
///   load_model MODEL DATA [SEED]      draws for every data set of DATA, a file of simulations; a line per draw: data set, parameters
///   load_model [--small] [FOLDER]     trains a small model first and writes such files to FOLDER (load_model_results)
#include <bayesflow/bayesflow.hpp>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>

namespace bf = bayesflow;
namespace fs = std::filesystem;

/// Loads, draws, writes. Nine digits tell every float32 number exactly.
void draw(const fs::path& model, const fs::path& data, std::uint64_t seed, std::ostream& out) {
  const auto loaded = bf::load_amortizer_file(model);
  std::fprintf(stderr, "%s: %ld parameters, \"%s\"\n", model.c_str(), static_cast<long>(loaded.amortizer.num_params()),
               loaded.info.description.c_str());
  const bf::Batch inputs = bf::default_configurator(bf::SimulationStore(data).read());
  const bf::Array draws = loaded.amortizer.sample(inputs, 100, {.seed = seed});
  out.precision(9);
  for (std::int64_t set = 0; set < draws.shape()[0]; ++set)
    for (std::int64_t s = 0; s < draws.shape()[1]; ++s) {
      out << set;
      for (std::int64_t p = 0; p < draws.shape()[2]; ++p) out << ',' << draws(set, s, p);
      out << '\n';
    }
}

/// What another program would do, days before.
void train(const fs::path& folder) {
  constexpr int D = 2, n_obs = 20;
  const bf::Prior prior([](bf::Rng& rng) { return rng.normal({D}); });
  const bf::Simulator simulator([](const bf::Array& theta, bf::Rng& rng) { return rng.normal({n_obs, D}, /*loc=*/theta); });
  const bf::GenerativeModel model(prior, simulator);
  bf::AmortizedPosterior amortizer(
      bf::InvertibleNetwork({.num_params = D, .num_coupling_layers = 2, .coupling = bf::unregularized_affine()}),
      bf::DeepSet({.summary_dim = 4}));
  bf::Trainer(amortizer, model).train_online({.epochs = 1, .iterations_per_epoch = 200, .batch_size = 32});
  fs::create_directories(folder);
  bf::save_amortizer(amortizer, folder / "model.h5", {.info = {.description = "means of a Gaussian", .param_names = {"mu_1", "mu_2"}}});
  bf::save_simulations(model(5), folder / "data.h5");
}

int main(int argc, char** argv) {
  try {
    const int first = argc > 1 && std::strcmp(argv[1], "--small") == 0 ? 2 : 1;  // it is small anyway
    if (argc - first >= 2) {
      draw(argv[first], argv[first + 1], argc - first > 2 ? std::strtoull(argv[first + 2], nullptr, 10) : 0, std::cout);
      return 0;
    }
    const fs::path folder = argc > first ? argv[first] : "load_model_results";
    train(folder);
    std::ofstream out(folder / "draws.csv");
    draw(folder / "model.h5", folder / "data.h5", /*seed=*/7, out);
    std::printf("model.h5, data.h5 and draws.csv are in %s\n", folder.c_str());
    return out.good() ? 0 : 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
