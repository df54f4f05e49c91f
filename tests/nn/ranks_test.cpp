/// Data-parallel training: any number of ranks gives the bits of one.
#include "core/ranks.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "autodiff/lanes.hpp"
#include "bayesflow/nn/layers.hpp"
#include "bayesflow/nn/optimizer.hpp"
#include "support/expect.hpp"
#include "support/ranks_in_threads.hpp"

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
  RanksInThreads(ranks).run([&](const std::shared_ptr<Communicator>& communicator) {
    ParameterStore store;
    fill(store);
    GradientBuffers gradients(store);
    const std::int64_t rank = communicator->rank();
    if (rank < kLanes) gradients.require((kLanes - rank + ranks - 1) / ranks);
    Optimizer optimizer(store, {.learning_rate = constant(1e-2)}, communicator);
    ThreadPool pool(1);
    Result& result = results[static_cast<std::size_t>(communicator->rank())];
    for (std::int64_t step = 0; step < 5; ++step) {
      gradients.clear();
      for (std::int64_t l = rank; l < kLanes; l += ranks) write(gradients, l / ranks, store, l, step);
      result.norms.push_back(optimizer.step(gradients, pool).gradient_norm);
    }
    for (const ParameterInfo& p : store.table())
      for (const float* from : {store.values(), optimizer.first_moments().data(), optimizer.second_moments().data()})
        result.values.insert(result.values.end(), from + p.offset, from + p.offset + p.shape.size());
  });
  for (const Result& r : results) EXPECT_EQ(r, results[0]) << "ranks differ, of " << ranks;
  return results[0];
}

TEST(Ranks, AnyNumberOfRanksGivesTheSameBits) {
  const Result one = train(1);
  EXPECT_GT(one.norms.back(), 1);
  for (const int ranks : {2, 3, 4, 8}) EXPECT_EQ(train(ranks), one) << ranks << " ranks";
}

/// Three steps on 64 data sets of 50 observations: a network of the plan's rows, one of all rows at once, and one that is used both within
/// another plan and at once.
Result train_network(int ranks, bool with_dropout) {
  const Array data = Rng(3).normal({64, 50, 4}), target = Rng(4).normal({64, 3});
  std::vector<Result> results(static_cast<std::size_t>(ranks));
  RanksInThreads(ranks).run([&](const std::shared_ptr<Communicator>& communicator) {
    ParameterStore store;
    const Builder builder(store, 1);
    const double dropout = with_dropout ? 0.2 : 0.0;
    Mlp rows({{.units = 32}, {.units = 32}}, dropout), once({{.units = 32}}, dropout),
        head({{.units = 3, .activation = Activation::identity}});
    rows.build(builder.scope("rows"), 4);
    once.build(builder.scope("once"), 32);
    head.build(builder.scope("head"), 32);
    bayesflow::detail::Ranks all(communicator);
    const Plan plan = plan_rows(64, 50), other{.items = 64, .chunks = 9, .lanes = 3};
    EXPECT_EQ(plan.lanes, 8);
    GradientBuffers gradients(store);
    Optimizer optimizer(store, {.learning_rate = constant(1e-2)}, communicator);
    ThreadPool pool(1);
    Tape tape;
    Result& result = results[static_cast<std::size_t>(communicator->rank())];
    for (std::uint64_t step = 0; step < 3; ++step) {
      gradients.clear();
      tape.reset({.seed = 5, .step = step, .lanes = &gradients, .pool = &pool, .ranks = &all});
      const Tensor x = tape.input(data), y = tape.input(target);
      const Tensor summary =
          tape.map_rows(plan, std::span(&x, 1), [&](Tape& t, std::span<const Tensor> part) { return ops::mean_pool(rows(t, part[0])); });
      const Tensor in[] = {summary, y, once(tape, summary)};
      const Tensor losses = tape.map_rows(other, in, [&](Tape& t, std::span<const Tensor> part) {
        const Tensor error = ops::subtract(head(t, ops::add(part[0], part[2])), part[1]);
        return ops::sum_columns(ops::multiply(error, error));
      });
      const Tensor more = ops::sum(ops::multiply(head(tape, summary), y));
      tape.backward(ops::scale(ops::add(ops::sum(losses), more), 1.0F / 64));  // a mean over the data sets of all ranks
      EXPECT_EQ(gradients.count(), std::max((8 - communicator->rank() + ranks - 1) / ranks, 1));
      result.norms.push_back(optimizer.step(gradients, pool).gradient_norm);
    }
    result.values.assign(store.values(), store.values() + store.size());
  });
  for (const Result& r : results) EXPECT_EQ(r, results[0]) << "ranks differ, of " << ranks;
  return results[0];
}

TEST(Ranks, NetworksOnPartsOfPlansGiveTheSameBits) {
  for (const bool with_dropout : {false, true}) {
    const Result one = train_network(1, with_dropout);
    EXPECT_GT(one.norms.back(), 0.01);
    for (const int ranks : {2, 3, 4, 9}) EXPECT_EQ(train_network(ranks, with_dropout), one) << ranks << " ranks";
  }
}

TEST(Ranks, SumsOfSumsWouldRoundOtherwise) {
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

TEST(Ranks, SumsAreInTheOrderOfLanes) {
  for (const int ranks : {1, 2, 3, 5})
    for (const std::int64_t length : {1, 2, 3, 1000}) {
      const auto lane = [&](int number) {
        std::vector<float> out(static_cast<std::size_t>(length), -0.0f);
        if (number) Rng(static_cast<std::uint64_t>(number)).fill_normal(out);
        return out;
      };
      const auto has = [](int number) { return number != 4 && number < 11; };  // a rank's lanes may have gaps
      std::vector<float> expected;
      for (int l = 0; l < 11; ++l) {
        if (!has(l)) continue;
        const std::vector<float> next = lane(l);
        if (expected.empty())
          expected = next;
        else
          for (std::size_t i = 0; i < next.size(); ++i) expected[i] += next[i];
      }
      RanksInThreads(ranks).run([&](const std::shared_ptr<Communicator>& communicator) {
        bayesflow::detail::Ranks all(communicator);
        std::vector<bayesflow::detail::Ranks::Lanes> lanes(static_cast<std::size_t>(ranks));
        std::vector<std::vector<float>> mine;
        for (int l = 0; l < 11; ++l) {
          if (!has(l)) continue;
          lanes[static_cast<std::size_t>(l % ranks)] |= 1U << (l / ranks);
          if (l % ranks == communicator->rank()) mine.push_back(lane(l));
        }
        std::vector<const float*> parts;
        for (const auto& part : mine) parts.push_back(part.data());
        std::vector<float> sum(static_cast<std::size_t>(length));
        all.all_sum(parts, lanes, sum);
        EXPECT_EQ(sum, expected) << ranks << " ranks, " << length << " values";
      });
    }
  RanksInThreads(2).run([](const std::shared_ptr<Communicator>& communicator) {
    bayesflow::detail::Ranks all(communicator);
    const float zero = -0.0f, *part = &zero;
    float sum = 1;
    all.all_sum(std::span(&part, communicator->rank() == 0 ? 1 : 0), std::vector<bayesflow::detail::Ranks::Lanes>{1, 0}, {&sum, 1});
    EXPECT_TRUE(std::signbit(sum));  // no leading 0 +
  });
}

TEST(Ranks, AFailureEndsAllWithItsSentence) {
  RanksInThreads(3).run([](const std::shared_ptr<Communicator>& communicator) {
    using bayesflow::detail::Meeting;
    bayesflow::detail::Ranks all(communicator);
    (void)all.meet(Meeting::run, {});
    if (communicator->rank() == 1) return all.fail("the simulator has no more numbers");
    EXPECT_EQ(sentence<Error>([&] { (void)all.gather_any(Meeting::simulations, {}); }),
              "rank 1 of 3 failed: the simulator has no more numbers");
  });
  RanksInThreads(2).run([](const std::shared_ptr<Communicator>& communicator) {
    using bayesflow::detail::Meeting;
    bayesflow::detail::Ranks all(communicator);
    EXPECT_THROW((void)all.meet(communicator->rank() == 0 ? Meeting::run : Meeting::decision, {}), bayesflow::detail::RanksError);
  });
  class Lost final : public Communicator {
    [[nodiscard]] int size() const override { return 2; }
    void all_gather(std::span<const std::byte>, std::span<std::byte>) override { throw Error("the cable is cut"); }
  };
  bayesflow::detail::Ranks lost(std::make_shared<Lost>());
  EXPECT_EQ(sentence<Error>([&] { (void)lost.meet(bayesflow::detail::Meeting::run, {}); }),
            "rank 0 of 2 has lost the other processes: the cable is cut");
  lost.fail("later");  // nobody hears it
}

TEST(Ranks, AGradientOfOneRankThatIsNotFiniteStopsAll) {
  RanksInThreads(2).run([](const std::shared_ptr<Communicator>& communicator) {
    ParameterStore store;
    fill(store);
    GradientBuffers gradients(store);
    gradients.require(1);
    write(gradients, 0, store, communicator->rank(), 0);
    if (communicator->rank() == 1) gradients.lane(0)[3] = std::numeric_limits<float>::quiet_NaN();
    Optimizer optimizer(store, {.learning_rate = constant(1e-2)}, communicator);
    ThreadPool pool(1);
    EXPECT_FALSE(optimizer.step(gradients, pool).finite) << "rank " << communicator->rank();
    EXPECT_EQ(optimizer.steps_taken(), 0);
  });
}

}  // namespace
}  // namespace bayesflow::nn
