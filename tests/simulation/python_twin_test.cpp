// What models must give in Python too: tests/python/test_native.py and test_simulation.py expect the same checksums.
#include <gtest/gtest.h>

#include <bit>

#include "bayesflow/simulation/generative_model.hpp"

namespace bayesflow {
namespace {

std::uint64_t fnv1a(const Array& array, std::uint64_t hash) {
  for (const double x : array.values()) {
    const auto bits = std::bit_cast<std::uint64_t>(x);
    for (int byte = 0; byte < 8; ++byte) hash = (hash ^ (bits >> (8 * byte) & 0xff)) * 0x100000001b3;
  }
  return hash;
}

TEST(PythonTwin, TheSameSimulationsAsCompiledFunctionsGiveInPython) {
  const Prior prior([](Rng& rng) { return rng.normal({3}); });
  const Simulator simulator([](const Array& theta, Rng& rng) {
    Array x({8, 3});
    for (int i = 0; i < 24; ++i) {
      x.data()[i] = rng.normal(theta[i % 3], 0.5);
      if (i % 7 == 6) x.data()[i] += rng.uniform(-1, 1);
    }
    return x;
  });
  const GenerativeModel model(prior, simulator, {.seed = 7});
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const int batch_size : {5, 6}) {
    const Simulations simulations = model(batch_size);
    hash = fnv1a(simulations.sim_data, fnv1a(simulations.prior_draws, hash));
  }
  EXPECT_EQ(hash, 0x1039eade4e2bd6c9);
}

TEST(PythonTwin, TheSameContextsAsFunctionsOfPython) {
  // Uniform numbers are the same bits in both languages; what both functions of a generator draw has streams of its own.
  const auto uniform = [](Rng& rng) { return Array::scalar(rng.uniform()); };
  const auto contexts = [&] { return ContextGenerator({.batchable = uniform, .non_batchable = uniform}); };
  const Prior prior([](const Context& c, Rng& rng) { return Array({1}, rng.uniform() + c.batchable->item() + c.non_batchable->item()); },
                    {.context = contexts()});
  const Simulator simulator([](const Array& theta, const Context& c,
                               Rng& rng) { return Array({1}, rng.uniform() + theta[0] + c.batchable->item() + c.non_batchable->item()); },
                            {.context = contexts()});
  const GenerativeModel model(prior, simulator, {.seed = 11});
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const int batch_size : {3, 4}) {
    const Simulations simulations = model(batch_size);
    for (const Simulations::Field& f : simulations.fields()) hash = fnv1a(*f.values, hash);
  }
  EXPECT_EQ(hash, 0x07d287ad1ed6ee43);
}

}  // namespace
}  // namespace bayesflow
