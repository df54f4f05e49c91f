/// mpirun -n RANKS ranks: sums by MPI against the definition, then some steps of training, whose result it prints.
#include <mpi.h>

#include <bit>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "autodiff/lanes.hpp"
#include "bayesflow/distributed/mpi_reducer.hpp"
#include "bayesflow/engine.hpp"

namespace bayesflow {
namespace {

using distributed::MpiReducer;
using namespace nn;

int faults = 0;

void expect(bool holds, const char* what) {
  if (holds) return;
  ++faults;
  std::fprintf(stderr, "it does not hold that %s\n", what);
}

/// Lane l of all ranks.
std::vector<float> lane(std::uint64_t l, std::size_t length) {
  Rng rng(l, "lanes");
  std::vector<float> out(length);
  for (float& x : out) x = static_cast<float>(rng.normal());
  return out;
}

/// Sums of ranks that have `per_rank(rank)` lanes each.
template <class PerRank>
void sums(MpiReducer& reducer, std::size_t length, const PerRank& per_rank) {
  std::vector<std::vector<float>> mine, all;
  for (int r = 0; r < reducer.size(); ++r)
    for (int l = 0; l < per_rank(r); ++l) {
      all.push_back(lane(all.size(), length));
      if (r == reducer.rank()) mine.push_back(all.back());
    }
  const auto pointers = [](const std::vector<std::vector<float>>& lanes) {
    std::vector<const float*> out;
    for (const auto& l : lanes) out.push_back(l.data());
    return out;
  };
  std::vector<float> got(length), wanted(length);
  reducer.all_sum(pointers(mine), got);
  Reducer().all_sum(pointers(all), wanted);
  expect(std::memcmp(got.data(), wanted.data(), length * sizeof(float)) == 0, "sums over ranks have the bits of one rank's");
}

/// Steps of a network on 64 data sets of 50 observations, each rank with its part of the plan. Prints a number of all bits.
void train(const std::shared_ptr<MpiReducer>& reducer, int steps) {
  const Array data = Rng(3).normal({64, 50, 4}), target = Rng(4).normal({64, 3});
  ParameterStore store;
  const Builder builder(store, 1);
  Mlp rows({{.units = 64}, {.units = 64}}, 0.1), head({{.units = 64}, {.units = 3, .activation = Activation::identity}});
  rows.build(builder.scope("rows"), 4);
  head.build(builder.scope("head"), 64);
  const Plan plan = plan_rows(64, 50).part(reducer->rank(), reducer->size());
  GradientBuffers gradients(store);
  Optimizer optimizer(store, {.learning_rate = constant(1e-2)}, reducer);
  ThreadPool pool(1);
  Tape tape;
  const std::int64_t first = plan.own_item(), last = first + plan.own_items();
  const Array x = data.slice(first, last), y = target.slice(first, last);
  std::uint64_t hash = 14695981039346656037U;
  const auto add = [&hash](std::uint64_t bits) { hash = (hash ^ bits) * 1099511628211U; };
  const auto start = std::chrono::steady_clock::now();
  for (int step = 0; step < steps; ++step) {
    gradients.clear();
    tape.reset({.seed = 5, .step = static_cast<std::uint64_t>(step), .lanes = &gradients, .pool = &pool});
    const Tensor in[] = {tape.input(x), tape.input(y)};
    const Tensor losses = tape.map_rows(plan, in, [&](Tape& t, std::span<const Tensor> part) {
      const Tensor error = ops::subtract(head(t, ops::mean_pool(rows(t, part[0]))), part[1]);
      return ops::sum_columns(ops::multiply(error, error));
    });
    tape.backward(ops::scale(ops::sum(losses), 1.0F / 64));
    add(std::bit_cast<std::uint64_t>(optimizer.step(gradients, pool).gradient_norm));
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  for (std::int64_t k = 0; k < store.size(); ++k) add(std::bit_cast<std::uint32_t>(store.values()[k]));
  std::vector<std::uint64_t> all(static_cast<std::size_t>(reducer->size()));
  reducer->all_gather(std::as_bytes(std::span(&hash, 1)), std::as_writable_bytes(std::span(all)));
  for (const std::uint64_t other : all) expect(other == hash, "all ranks have the same weights");
  if (reducer->rank() != 0) return;
  std::printf("%016llx\n", static_cast<unsigned long long>(hash));
  std::fprintf(stderr, "%d ranks: %.1f us a step, %lld parameters\n", reducer->size(), 1e6 * seconds / steps,
               static_cast<long long>(store.size()));
}

}  // namespace
}  // namespace bayesflow

int main(int argc, char** argv) {
  try {
    (void)bayesflow::distributed::MpiReducer();
    std::fprintf(stderr, "a reducer was made before MPI ran\n");
    return 1;
  } catch (const bayesflow::ConfigurationError&) {
  }
  MPI_Init(&argc, &argv);
  {
    const auto reducer = std::make_shared<bayesflow::distributed::MpiReducer>();
    for (const std::size_t length : {1U, 2U, 3U, 17U, 1000U, 4099U}) {
      bayesflow::sums(*reducer, length, [](int) { return 2; });
      bayesflow::sums(*reducer, length, [](int rank) { return rank % 2 == 0 ? 3 : 0; });  // some have no part of the batch
    }
    bayesflow::train(reducer, argc > 1 ? std::atoi(argv[1]) : 20);
  }
  MPI_Finalize();
  return bayesflow::faults ? 1 : 0;
}
