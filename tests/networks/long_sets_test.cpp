/// Few data sets of many observations: networks cut the rows of a set.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "bayesflow/autodiff/ops.hpp"
#include "bayesflow/networks/deep_set.hpp"
#include "bayesflow/networks/graph_network.hpp"

namespace bayesflow {
namespace {

struct Pass {
  std::vector<float> value, dx, dw;
  std::int64_t flops = 0;
  friend bool operator==(const Pass&, const Pass&) = default;
};

using Forward = std::function<Tensor(Tape&, Tensor)>;

Pass run(const nn::ParameterStore& store, const Array& x, const Forward& f, bool inside, ThreadPool* pool, bool gradients = true) {
  nn::GradientBuffers lanes(store);
  Tape tape;
  tape.reset({.gradients = gradients, .training = false, .lanes = &lanes, .pool = pool});
  const Tensor in[] = {tape.input(x, true)};
  Plan plan = plan_sets(x.dim(0), x.dim(1));
  EXPECT_TRUE(plan.inside);
  plan.inside = inside;
  const Tensor y = tape.map_rows(plan, in, [&](Tape& t, std::span<const Tensor> part) { return f(t, part[0]); });
  Pass out{{y.data(), y.data() + y.size()}, {}, {}, 0};
  if (gradients) {
    tape.backward(ops::mean(ops::multiply(y, y)));
    EXPECT_EQ(lanes.count(), 1);
    out.dx.assign(in[0].grad(), in[0].grad() + in[0].size());
    for (std::size_t p = 0; p < store.table().size(); ++p) {
      std::vector<float> gradient(static_cast<std::size_t>(store.table()[p].shape.size()));
      lanes.add_up(static_cast<std::int64_t>(p), store.table()[p].offset, gradient);
      out.dw.insert(out.dw.end(), gradient.begin(), gradient.end());
    }
  }
  out.flops = tape.product_flops();
  return out;
}

double relative(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  double worst = 0, largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    worst = std::max(worst, std::fabs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
    largest = std::max(largest, std::fabs(static_cast<double>(b[i])));
  }
  EXPECT_GT(largest, 0);
  return worst / largest;
}

/// The same bits for any number of threads, the value and the gradients of the network that cuts nothing, and as many operations.
void expect_cut_equals_whole(const nn::ParameterStore& store, const Array& x, const Forward& f, const std::string& what) {
  const Pass whole = run(store, x, f, false, nullptr), cut = run(store, x, f, true, nullptr);
  EXPECT_EQ(cut.value, whole.value) << what;
  EXPECT_LT(relative(cut.dx, whole.dx), 3e-5) << what;
  EXPECT_LT(relative(cut.dw, whole.dw), 3e-5) << what;
  EXPECT_EQ(cut.flops, whole.flops) << what;
  EXPECT_NE(cut.dw, whole.dw) << what << ": was not cut";
  for (const int threads : {1, 2, 4}) {
    ThreadPool pool(threads);
    for (int repeat = 0; repeat < 3; ++repeat) EXPECT_EQ(run(store, x, f, true, &pool), cut) << what << ", " << threads << " threads";
    EXPECT_EQ(run(store, x, f, true, &pool, false).value, cut.value) << what << ", without gradients";
  }
}

TEST(LongSets, OfADeepSet) {
  for (const auto& [sets, observations] : {std::pair{1, 5000}, {1, 401}, {3, 777}})
    for (const Pooling pooling : {Pooling::mean, Pooling::max})
      for (const Activation activation : {Activation::relu, Activation::swish}) {
        DeepSet net({.summary_dim = 5,
                     .dense_s1 = {.units = 24, .activation = activation},
                     .dense_s2 = {.units = 24, .activation = activation},
                     .dense_s3 = {.units = 24, .activation = activation},
                     .pooling = pooling,
                     .linear_path = true});
        const Array x = Rng(2).normal({sets, observations, 3});
        nn::ParameterStore store;
        net.build(nn::Builder(store, 1), x.shape());
        expect_cut_equals_whole(
            store, x, [&](Tape& t, Tensor part) { return net.forward(t, part); },
            std::to_string(sets) + " x " + std::to_string(observations));
      }
}

TEST(LongSets, GiveTheSameBitsAloneAndAmongOthers) {
  ThreadPool pool(2);
  for (const std::int64_t observations : {399, 400, 1003})
    for (const Pooling pooling : {Pooling::mean, Pooling::max}) {
      DeepSet net({.summary_dim = 5, .pooling = pooling, .linear_path = true});
      const Array x = Rng(2).normal({9, observations, 3});
      nn::ParameterStore store;
      net.build(nn::Builder(store, 1), x.shape());
      const auto summaries = [&](const Array& sets) {
        Tape tape;
        tape.reset({.gradients = false, .pool = &pool});
        const Tensor in[] = {tape.input(sets)};
        const Tensor y = tape.map_rows(plan_sets(sets.dim(0), observations), in,
                                       [&](Tape& t, std::span<const Tensor> part) { return net.forward(t, part[0]); });
        return std::vector<float>(y.data(), y.data() + y.size());
      };
      const std::vector<float> together = summaries(x);
      std::vector<float> alone;
      for (std::int64_t s = 0; s < 9; ++s) {
        const std::vector<float> one = summaries(x.slice(s, s + 1));
        alone.insert(alone.end(), one.begin(), one.end());
      }
      EXPECT_EQ(alone, together) << observations;
    }
}

TEST(LongSets, OfAGraph) {
  using enum GraphOp;
  GraphNetwork net(
      {.layers = {{"a", {.units = 24}}, {"b", {.units = 24, .activation = Activation::tanh}}, {"c", {.units = 2}}, {"out", {.units = 6}}},
       .nodes = {{.name = "a", .op = dense, .sources = {"data"}, .layer = "a"},
                 {.name = "b", .op = dense, .sources = {"a"}, .layer = "b"},
                 {.name = "residual", .op = add, .sources = {"a", "b"}},
                 {.name = "curved", .op = activation, .sources = {"residual"}, .activation = Activation::tanh},
                 {.name = "product", .op = multiply, .sources = {"curved", "a"}},
                 {.name = "sum", .op = mean_pool, .sources = {"product"}},
                 {.name = "again", .op = repeat, .sources = {"sum", "product"}},
                 {.name = "both", .op = concat, .sources = {"product", "again"}},
                 {.name = "c", .op = dense, .sources = {"both"}, .layer = "c"},
                 {.name = "largest", .op = max_pool, .sources = {"c"}},
                 {.name = "joined", .op = concat, .sources = {"sum", "largest"}},
                 {.name = "out", .op = dense, .sources = {"joined"}, .layer = "out"}}});
  const Array x = Rng(2).normal({2, 2100, 3});
  nn::ParameterStore store;
  net.build(nn::Builder(store, 1), x.shape());
  expect_cut_equals_whole(
      store, x, [&](Tape& t, Tensor part) { return net.forward(t, part); }, "graph");
}

TEST(LongSets, ConditionsOfGroupsThatPiecesCutAcross) {
  // Rows (2, 3, 250, d), pooled over 250; conditions of 2, 6 and 1500 rows. Pieces of 188 rows end within all of them.
  nn::ParameterStore store;
  const nn::Builder builder(store, 1);
  nn::Mlp net({{.units = 20}, {.units = 3, .activation = Activation::identity}});
  net.build(builder, 4 + 5);
  for (const std::int64_t groups : {2, 6, 1500})
    for (const bool pools : {false, true}) {
      const Array x = Rng(2).normal({2, 750, 4}), condition = Rng(3).normal({groups, 5});
      const Forward f = [&](Tape& t, Tensor part) {
        const Tensor y = net(t, ops::reshape(part, {2, 3, 250, 4}), t.input(condition, true));
        return pools ? ops::mean_pool(y) : y;
      };
      expect_cut_equals_whole(store, x, f, std::to_string(groups) + " groups");
    }
}

TEST(LongSets, PoolsOfWhatIsThere) {
  // Against the pools of the rows that are there alone; one set has none.
  const Array x = Rng(5).normal({3, 1000, 4});
  Array mask({3, 1000}, 0.0);
  std::vector<std::int64_t> rows;
  for (std::int64_t i = 0; i < 1000; ++i) {
    mask(0, i) = 1;
    if (i % 3 != 0 && i > 250) mask(1, i) = 1, rows.push_back(i);
  }
  for (const bool inside : {false, true})
    for (const int kind : {0, 1, 2}) {
      const auto pool = [&](Tensor values, Tensor there) {
        return kind == 0 ? ops::mean_pool(values, there) : kind == 1 ? ops::sum_pool(values, there) : ops::max_pool(values, there);
      };
      ThreadPool threads(2);
      Tape tape;
      tape.reset({.pool = &threads});
      const Tensor in[] = {tape.input(x, true), tape.input(mask)};
      const Tensor y = tape.map_rows({.items = 3, .rows_per_item = 1000, .inside = inside}, in,
                                     [&](Tape&, std::span<const Tensor> part) { return pool(part[0], part[1]); });
      tape.backward(y);
      const Array kept = x.row(1).take(rows);
      const Array want[] = {kind == 0   ? x.row(0).mean(0)
                            : kind == 1 ? x.row(0).sum(0)
                                        : x.row(0).max(0),
                            kind == 0   ? kept.mean(0)
                            : kind == 1 ? kept.sum(0)
                                        : kept.max(0),
                            Array({4}, 0.0)};
      for (std::int64_t s = 0; s < 3; ++s)
        for (std::int64_t j = 0; j < 4; ++j) EXPECT_NEAR(y.data()[s * 4 + j], want[s][j], 2e-4) << s << ", " << kind;
      double total = 0;
      for (std::int64_t i = 0; i < 1000; ++i)
        for (std::int64_t j = 0; j < 4; ++j) {
          const float g = in[0].grad()[(1000 + i) * 4 + j];
          const bool there = mask(1, i) != 0;
          if (kind < 2 || !there) {
            EXPECT_FLOAT_EQ(g, !there ? 0.0f : kind == 0 ? 1.0f / static_cast<float>(rows.size()) : 1.0f);
          }
          total += static_cast<double>(g);
        }
      EXPECT_NEAR(total, kind == 1 ? 4.0 * static_cast<double>(rows.size()) : 4.0, 1e-3);
    }
}

TEST(LongSets, MaximaKeepTheirRule) {
  // Equal maxima in several pieces: the first takes the gradient. NaN is the maximum of its column.
  Array x({1, 1000, 3}, 0.0);
  for (const std::int64_t row : {150, 500, 999}) x(0, row, 0) = 2;
  x(0, 700, 1) = std::numeric_limits<double>::quiet_NaN();
  x(0, 900, 1) = 5;
  std::vector<float> first;
  for (const bool inside : {false, true}) {
    Tape tape;
    tape.reset({});
    std::vector<float> values(x.values().begin(), x.values().end());
    const Tensor in[] = {tape.input(x.shape(), values.data(), true)};
    const Tensor y = tape.map_rows({.items = 1, .rows_per_item = 1000, .inside = inside}, in,
                                   [](Tape&, std::span<const Tensor> part) { return ops::max_pool(part[0]); });
    tape.backward(y);
    EXPECT_EQ(y.data()[0], 2);
    EXPECT_TRUE(std::isnan(y.data()[1]));
    EXPECT_EQ(in[0].grad()[150 * 3], 1);
    EXPECT_EQ(in[0].grad()[500 * 3], 0);
    EXPECT_EQ(in[0].grad()[700 * 3 + 1], 1);
    EXPECT_EQ(in[0].grad()[2], 1);
  }
}

}  // namespace
}  // namespace bayesflow
