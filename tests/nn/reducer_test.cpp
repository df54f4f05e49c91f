/// Data-parallel training: any number of ranks gives the bits of one.
#include "bayesflow/nn/reducer.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "autodiff/lanes.hpp"
#include "bayesflow/nn/layers.hpp"
#include "bayesflow/nn/optimizer.hpp"
#include "nn/support_ranks.hpp"

namespace bayesflow::nn {
namespace {

using bayesflow::detail::GradientLane;
using bayesflow::detail::lanes_of;

constexpr std::int64_t kLanes = 8;

/// Parameters with and without padding behind them and a penalty; one whose gradient lies in a single lane, with a known square, and one
/// without gradient.
void fill(ParameterStore& store) {
  store.add("matrix", {64, 80}, Initializer::glorot_uniform, 0, 1);
  store.add("bias", {16}, Initializer::zeros, 0, 1);
  store.add("penalized", {30, 7}, Initializer::glorot_uniform, 0.1f, 1);
  store.add("alone", {33}, Initializer::ones, 0, 1);
  store.add("unused", {5}, Initializer::ones, 0, 1);
  store.add("last", {40, 40}, Initializer::he_uniform, 0, 1);
}

/// The gradient of a step in lane `lane` of all.
void write(GradientBuffers& to, std::int64_t at, const ParameterStore& store, std::int64_t lane, std::int64_t step) {
  GradientLane& l = lanes_of(to)[static_cast<std::size_t>(at)];
  for (std::size_t p = 0; p < store.table().size(); ++p) {
    const ParameterInfo& info = store.table()[p];
    if (info.name == "unused" || (info.name == "alone" && lane != 0) || (info.name == "last" && lane % 3 == 1)) continue;
    Rng rng(static_cast<std::uint64_t>(step), info.name + std::to_string(lane));
    double square = 0;
    for (std::int64_t k = 0; k < info.shape.size(); ++k) {
      float& g = l.gradients[info.offset + k] = static_cast<float>(rng.normal(0, 1));
      square += static_cast<double>(g) * static_cast<double>(g);
    }
    if (info.name == "matrix" && lane == 2) l.gradients[info.offset] = -0.0f;
    l.touched[p] = info.name == "alone" ? GradientLane::kSquareKnown : 1;
    l.squares[p] = square;
  }
}

struct Result {
  std::vector<float> values;  // weights and moments
  std::vector<double> norms;
  friend bool operator==(const Result&, const Result&) = default;
};

Result train(int ranks) {
  std::vector<Result> results(static_cast<std::size_t>(ranks));
  RanksInThreads(ranks).run([&](const std::shared_ptr<Reducer>& reducer) {
    ParameterStore store;
    fill(store);
    GradientBuffers gradients(store);
    const std::int64_t first = kLanes * reducer->rank() / ranks, last = kLanes * (reducer->rank() + 1) / ranks;
    gradients.require(last - first);
    Optimizer optimizer(store, {.learning_rate = constant(1e-2)}, reducer);
    ThreadPool pool(1);
    Result& result = results[static_cast<std::size_t>(reducer->rank())];
    for (std::int64_t step = 0; step < 5; ++step) {
      gradients.clear();
      for (std::int64_t l = first; l < last; ++l) write(gradients, l - first, store, l, step);
      result.norms.push_back(optimizer.step(gradients, pool).gradient_norm);
    }
    for (const ParameterInfo& p : store.table())
      for (const float* from : {store.values(), optimizer.first_moments().data(), optimizer.second_moments().data()})
        result.values.insert(result.values.end(), from + p.offset, from + p.offset + p.shape.size());
  });
  for (const Result& r : results) EXPECT_EQ(r, results[0]) << "ranks differ, of " << ranks;
  return results[0];
}

TEST(Reducer, AnyNumberOfRanksGivesTheSameBits) {
  const Result one = train(1);
  EXPECT_GT(one.norms.back(), 1);
  for (const int ranks : {2, 3, 4, 8}) EXPECT_EQ(train(ranks), one) << ranks << " ranks";
}

/// Three steps of a network on 64 data sets of 50 observations, each rank with its part of the plan.
Result train_network(int ranks, bool with_dropout) {
  const Array data = Rng(3).normal({64, 50, 4}), target = Rng(4).normal({64, 3});
  std::vector<Result> results(static_cast<std::size_t>(ranks));
  RanksInThreads(ranks).run([&](const std::shared_ptr<Reducer>& reducer) {
    ParameterStore store;
    const Builder builder(store, 1);
    Mlp rows({{.units = 32}, {.units = 32}}, with_dropout ? 0.2 : 0.0), head({{.units = 3, .activation = Activation::identity}});
    rows.build(builder.scope("rows"), 4);
    head.build(builder.scope("head"), 32);
    const Plan plan = plan_rows(64, 50).part(reducer->rank(), reducer->size());
    EXPECT_EQ(plan.lanes, 8);
    GradientBuffers gradients(store);
    Optimizer optimizer(store, {.learning_rate = constant(1e-2)}, reducer);
    ThreadPool pool(1);
    Tape tape;
    Result& result = results[static_cast<std::size_t>(reducer->rank())];
    const std::int64_t first = plan.own_item(), last = first + plan.own_items();
    const Array x = data.slice(first, last), y = target.slice(first, last);
    for (std::uint64_t step = 0; step < 3; ++step) {
      gradients.clear();
      tape.reset({.seed = 5, .step = step, .lanes = &gradients, .pool = &pool});
      const Tensor in[] = {tape.input(x), tape.input(y)};
      const Tensor losses = tape.map_rows(plan, in, [&](Tape& t, std::span<const Tensor> part) {
        const Tensor error = ops::subtract(head(t, ops::mean_pool(rows(t, part[0]))), part[1]);
        return ops::sum_columns(ops::multiply(error, error));
      });
      tape.backward(ops::scale(ops::sum(losses), 1.0F / 64));  // a mean over the data sets of all ranks
      EXPECT_EQ(gradients.count(), plan.own_lanes());
      result.norms.push_back(optimizer.step(gradients, pool).gradient_norm);
    }
    result.values.assign(store.values(), store.values() + store.size());
  });
  for (const Result& r : results) EXPECT_EQ(r, results[0]) << "ranks differ, of " << ranks;
  return results[0];
}

TEST(Reducer, ANetworkOnPartsOfAPlanGivesTheSameBits) {
  for (const bool with_dropout : {false, true}) {
    const Result one = train_network(1, with_dropout);
    EXPECT_GT(one.norms.back(), 0.01);
    for (const int ranks : {2, 3, 4, 8}) EXPECT_EQ(train_network(ranks, with_dropout), one) << ranks << " ranks";
  }
}

TEST(Reducer, SumsOfSumsWouldRoundOtherwise) {
  // So that the test above can fail: what ranks would give that add their own lanes first.
  ParameterStore store;
  fill(store);
  GradientBuffers gradients(store);
  gradients.require(4);
  for (std::int64_t l = 0; l < 4; ++l) write(gradients, l, store, l, 0);
  int differ = 0;
  for (std::size_t k = 0; k < 64 * 80; ++k) {
    const float a = gradients.lane(0)[k], b = gradients.lane(1)[k], c = gradients.lane(2)[k], d = gradients.lane(3)[k];
    differ += ((a + b) + c) + d != (a + b) + (c + d);
  }
  EXPECT_GT(differ, 100);
}

TEST(Reducer, OfOneRankSumsWhatItIsGiven) {
  Reducer alone;
  EXPECT_EQ(alone.size(), 1);
  EXPECT_EQ(alone.rank(), 0);
  const float a[] = {1, 2, -0.0f}, b[] = {10, 20, -0.0f};
  const float* parts[] = {a, b};
  float sum[3];
  alone.all_sum(parts, sum);
  EXPECT_EQ(sum[0], 11);
  EXPECT_EQ(sum[1], 22);
  EXPECT_TRUE(std::signbit(sum[2]));  // no leading 0 +
  const std::byte mine[] = {std::byte{7}};
  std::byte all[1];
  alone.all_gather(mine, all);
  EXPECT_EQ(all[0], std::byte{7});
}

TEST(Reducer, AGradientOfOneRankThatIsNotFiniteStopsAll) {
  RanksInThreads(2).run([](const std::shared_ptr<Reducer>& reducer) {
    ParameterStore store;
    fill(store);
    GradientBuffers gradients(store);
    gradients.require(1);
    write(gradients, 0, store, reducer->rank(), 0);
    if (reducer->rank() == 1) gradients.lane(0)[3] = std::numeric_limits<float>::quiet_NaN();
    Optimizer optimizer(store, {.learning_rate = constant(1e-2)}, reducer);
    ThreadPool pool(1);
    EXPECT_FALSE(optimizer.step(gradients, pool).finite) << "rank " << reducer->rank();
    EXPECT_EQ(optimizer.steps_taken(), 0);
  });
}

}  // namespace
}  // namespace bayesflow::nn
