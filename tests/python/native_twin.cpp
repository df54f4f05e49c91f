/// The model of tests/python/test_native.py in C++: the same seed must give the same simulations, weights and draws there.
///   native_twin FILE     writes them as float64 numbers, one after another
#include <bayesflow/bayesflow.hpp>
#include <fstream>

namespace bf = bayesflow;

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  std::ofstream file(argv[1], std::ios::binary);
  const auto write = [&file](const bf::Array& array) {
    file.write(reinterpret_cast<const char*>(array.data()), static_cast<std::streamsize>(array.size()) * 8);
  };

  const bf::Prior prior([](bf::Rng& rng) { return rng.normal({3}); });
  const bf::Simulator simulator([](const bf::Array& theta, bf::Rng& rng) {
    bf::Array x({8, 3});
    for (int i = 0; i < 24; ++i) {
      x.data()[i] = rng.normal(theta[i % 3], 0.5);
      if (i % 7 == 6) x.data()[i] += rng.uniform(-1, 1);
    }
    return x;
  });
  const bf::GenerativeModel model(prior, simulator, {.seed = 7});
  for (const int batch_size : {5, 6}) {  // the second batch goes on where the first one ended
    const bf::Simulations simulations = model(batch_size);
    write(simulations.prior_draws);
    write(simulations.sim_data);
  }

  bf::AmortizedPosterior amortizer(
      bf::InvertibleNetwork({.num_params = 3, .num_coupling_layers = 2, .coupling = bf::unregularized_affine()}),
      bf::DeepSet({.summary_dim = 6}));
  bf::Trainer trainer(amortizer, model, {.seed = 11});
  (void)trainer.train_online({.epochs = 2, .iterations_per_epoch = 10, .batch_size = 16});
  write(amortizer.sample(trainer.configure(model(2)), 50, {.seed = 3}));
  return file.good() ? 0 : 1;
}
