/// One data set of many observations: what more threads than one gain, in inference and in a training step. By turns in one run, the best
/// of all repetitions.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <functional>
#include <limits>

#include "measure/speed.hpp"

namespace bf = bayesflow;

namespace {

constexpr std::int64_t kWidth = 4;

/// relu layers, a mean over observations, which each observation sees beside itself, layers, a mean.
bf::GraphOptions graph() {
  using enum bf::GraphOp;
  return {.layers = {{"a", {.units = 64}}, {"b", {.units = 64}}, {"c", {.units = 64}}, {"d", {.units = 64}}, {"out", {.units = 10}}},
          .nodes = {{.name = "a", .op = dense, .sources = {"data"}, .layer = "a"},
                    {.name = "b", .op = dense, .sources = {"a"}, .layer = "b"},
                    {.name = "mean", .op = mean_pool, .sources = {"b"}},
                    {.name = "again", .op = repeat, .sources = {"mean", "data"}},
                    {.name = "both", .op = concat, .sources = {"data", "again"}},
                    {.name = "c", .op = dense, .sources = {"both"}, .layer = "c"},
                    {.name = "d", .op = dense, .sources = {"c"}, .layer = "d"},
                    {.name = "pooled", .op = mean_pool, .sources = {"d"}},
                    {.name = "out", .op = dense, .sources = {"pooled"}, .layer = "out"}}};
}

struct Side {
  bf::nn::ParameterStore store;
  std::unique_ptr<bf::nn::GradientBuffers> gradients;
  std::unique_ptr<bf::nn::Optimizer> optimizer;
  std::unique_ptr<bf::ThreadPool> pool;
  bf::Tape tape;
};

template <class Network>
void compare(const char* name, const Network& network, std::int64_t sets, std::int64_t observations, int threads, std::int64_t repeats) {
  const bf::Array x = bf::Rng(1).normal({sets, observations, kWidth});
  Side sides[2];
  Network nets[2] = {network, network};
  for (int s = 0; s < 2; ++s) {
    nets[s].build(bf::nn::Builder(sides[s].store, 1), x.shape());
    sides[s].gradients = std::make_unique<bf::nn::GradientBuffers>(sides[s].store);
    sides[s].optimizer =
        std::make_unique<bf::nn::Optimizer>(sides[s].store, bf::nn::OptimizerOptions{.learning_rate = bf::nn::constant(1e-4)});
    sides[s].pool = std::make_unique<bf::ThreadPool>(s == 0 ? 1 : threads);
  }
  const auto pass = [&](int s, bool training) {
    Side& side = sides[s];
    side.gradients->clear();
    side.tape.reset({.gradients = training, .lanes = training ? side.gradients.get() : nullptr, .pool = side.pool.get()});
    const bf::Tensor in[] = {side.tape.input(x)};
    const bf::Tensor y = side.tape.map_rows(bf::plan_sets(sets, observations), in,
                                            [&](bf::Tape& t, std::span<const bf::Tensor> part) { return nets[s].forward(t, part[0]); });
    if (!training) return;
    side.tape.backward(bf::ops::mean(bf::ops::multiply(y, y)));
    (void)side.optimizer->step(*side.gradients, *side.pool);
  };
  for (const bool training : {false, true}) {
    double best[2] = {std::numeric_limits<double>::infinity(), std::numeric_limits<double>::infinity()};
    for (std::int64_t i = 0; i < repeats; ++i)
      for (int s = 0; s < 2; ++s) {
        const double start = bench::now();
        pass(s, training);
        best[s] = std::min(best[s], bench::now() - start);
      }
    fmt::print("{:<10} {:<10} {:8.3f} ms on one thread, {:8.3f} on {}: {:.2f} x\n", name, training ? "training" : "inference",
               1e3 * best[0], 1e3 * best[1], threads, best[0] / best[1]);
  }
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Threads on a few long data sets, beside one.");
  std::int64_t observations = 5000, sets = 1, repeats = 60;
  int threads = 2;
  app.add_option("--observations", observations, "of a data set")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--sets", sets, "data sets of a batch")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--threads", threads, "against one")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--repeats", repeats)->check(CLI::PositiveNumber)->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  compare("deep set", bf::DeepSet({.summary_dim = 10}), sets, observations, threads, repeats);
  compare("max pools", bf::DeepSet({.summary_dim = 10, .pooling = bf::Pooling::max}), sets, observations, threads, repeats);
  compare("graph", bf::GraphNetwork(graph()), sets, observations, threads, repeats);
  return 0;
}
