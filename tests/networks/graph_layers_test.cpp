/// Layers of graphs that are not dense: what they compute, and what is wrong with them. Masks, gradients, files and threads:
/// all_networks_test.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "bayesflow/core/errors.hpp"
#include "bayesflow/networks/conv_network.hpp"
#include "bayesflow/networks/graph_network.hpp"
#include "bayesflow/nn/gradient_check.hpp"
#include "networks/support_networks.hpp"
#include "support/op_table.hpp"
#include "support/summary_cases.hpp"

namespace bayesflow {
namespace {

using support::sample;
using enum GraphOp;

struct Graph {
  nn::ParameterStore store;
  GraphNetwork net;
  Graph(GraphOptions options, const Shape& input) : net(std::move(options)) {
    net.build(nn::Builder(store, 1), input);
    nn::randomize(store, 2, 0.3);
  }
  Array operator()(const Array& x) const {
    Tape tape;
    tape.reset({.gradients = false, .training = false});
    const Tensor y = net.forward(tape, tape.input(x));
    Array out(y.shape());
    for (std::int64_t i = 0; i < y.size(); ++i) out.data()[i] = static_cast<double>(y.data()[i]);
    return out;
  }
};

GraphNode node(const std::string& name, GraphOp op, std::vector<std::string> sources, const std::string& layer = "") {
  return {.name = name, .op = op, .sources = std::move(sources), .layer = layer};
}

/// Images: two convolutions, then the mean of all pixels.
GraphOptions images() {
  return {.nodes = {node("first", conv, {"data"}, "first"), node("second", conv, {"first"}, "second"), node("rows", mean_pool, {"second"}),
                    node("all", mean_pool, {"rows"})},
          .convolutions = {{.name = "first", .filters = 3, .size = {3, 2}, .dilation = 2, .activation = Activation::tanh},
                           {.name = "second", .filters = 2, .size = {2, 2}}}};
}

TEST(GraphLayers, ConvolutionsOverImages) {
  Graph g(images(), {2, 5, 4, 2});
  EXPECT_EQ(g(sample("images", {3, 7, 6, 2})).shape(), (Shape{3, 2})) << "of any size";
  EXPECT_FALSE(g.net.takes_mask());
  const GradientCheck result =
      nn::check_gradient(g.store, [&](Tape& t, std::span<const Tensor> x) { return std::vector<Tensor>{g.net.forward(t, x[0])}; },
                         {sample("images", {2, 5, 4, 2})}, {.tolerance = 2e-3});
  EXPECT_TRUE(result.passed()) << result.to_string();
  // The composed form.
  nn::ParameterStore store;
  nn::Conv2d first({3, {3, 2}, {.dilation = {2, 2}, .padding = ops::Padding::same}, Activation::tanh}),
      second({2, {2, 2}, {.padding = ops::Padding::same}, Activation::identity});
  first.build(nn::Builder(store, 1).scope("first"), 2);
  second.build(nn::Builder(store, 1).scope("second"), 3);
  nn::randomize(store, 2, 0.3);
  Tape tape;
  tape.reset({.gradients = false, .training = false});
  const Array x = sample("images", {2, 5, 4, 2});
  const Tensor y = ops::mean_pool(ops::mean_pool(second(tape, first(tape, tape.input(x)))));
  const Array got = g(x);
  for (std::int64_t i = 0; i < y.size(); ++i) EXPECT_NEAR(got.data()[i], y.data()[i], 1e-6);
}

TEST(GraphLayers, CausalConvolutionsSeeNothingLater) {
  for (const bool causal : {true, false}) {
    const Graph g({.nodes = {node("c", conv, {"data"}, "c"), node("all", flatten, {"c"})},
                   .convolutions = {{.name = "c", .filters = 1, .size = {3}, .causal = causal}}},
                  {1, 6, 2});
    const Array x = sample("series", {1, 6, 2});
    Array later = x;
    later(0, 4, 0) += 1;
    const Array before = g(x), after = g(later);
    for (std::int64_t t = 0; t < 6; ++t)
      EXPECT_EQ(before(0, t) != after(0, t), t == 4 || t == (causal ? 5 : 3) || (causal ? t > 4 : t == 5)) << t;
  }
}

TEST(GraphLayers, StatesInBothDirections) {
  const auto states = [](bool reverse) {
    return GraphOptions{.nodes = {node("s", recurrent, {"data"}, "s"), node("all", flatten, {"s"})},
                        .recurrents = {{.name = "s", .units = 2, .reverse = reverse, .sequences = true}}};
  };
  for (const bool reverse : {false, true}) {
    const Graph g(states(reverse), {1, 5, 2});
    const Array x = sample("states", {1, 5, 2});
    Array other = x;
    other(0, 2, 0) += 1;
    const Array before = g(x), after = g(other);
    for (std::int64_t t = 0; t < 5; ++t) EXPECT_EQ(before(0, 2 * t) != after(0, 2 * t), reverse ? t <= 2 : t >= 2) << t;
  }
}

TEST(GraphLayers, OneNetworkTwiceHasOneSetOfWeights) {
  const auto twice = [](std::int64_t width) {
    return GraphOptions{.nodes = {{.name = "left", .op = columns, .sources = {"data"}, .first = 0, .last = 2},
                                  {.name = "right", .op = columns, .sources = {"data"}, .first = 2, .last = width},
                                  node("a", network, {"left"}, "set"),
                                  node("b", network, {"right"}, "set"),
                                  node("ab", concat, {"a", "b"})},
                        .network_names = {"set"},
                        .networks = {support::tiny_set()}};
  };
  const Graph g(twice(4), {2, 5, 4});
  Array x = sample("twice", {2, 5, 4});
  for (std::int64_t i = 0; i < x.size(); i += 4) std::copy_n(x.data() + i, 2, x.data() + i + 2);
  const Array y = g(x);
  EXPECT_EQ(y.columns(0, 3), y.columns(3, 6));
  EXPECT_TRUE(g.net.takes_mask());
  nn::ParameterStore store;
  EXPECT_THROW(GraphNetwork(twice(5)).build(nn::Builder(store, 1), Shape{2, 5, 5}), ShapeError);
}

TEST(GraphLayers, NetworksTakeSomeAxes) {
  GraphOptions o{.nodes = {node("lower", network, {"data"}, "lower"), node("upper", network, {"lower"}, "upper")},
                 .network_names = {"lower", "upper"},
                 .networks = {support::tiny_set(), support::tiny_set(4)}};
  o.nodes[0].axes = o.nodes[1].axes = 1;
  const Graph levels(o, {2, 3, 5, 2});
  EXPECT_EQ(levels(sample("levels", {2, 4, 6, 2})).shape(), (Shape{2, 4}));
  GraphOptions image{.nodes = {node("image", network, {"data"}, "image")},
                     .network_names = {"image"},
                     .networks = {ConvNetwork(support::tiny_conv_network())}};
  EXPECT_EQ(Graph(image, {2, 6, 5, 1})(sample("image", {2, 8, 7, 1})).shape(), (Shape{2, 4}));
  o.nodes[0].axes = 3;
  nn::ParameterStore store;
  EXPECT_THROW(GraphNetwork(o).build(nn::Builder(store, 1), Shape{2, 3, 5, 2}), ShapeError);
}

TEST(GraphLayers, SpectralNormHoldsTheKernelDown) {
  Graph g({.layers = {{"d", {.units = 3, .activation = Activation::identity, .use_bias = false}, true}},
           .nodes = {node("d", dense, {"data"}, "d")}},
          {1, 4});
  for (float& w : g.store.value(0)) w *= 100;
  for (int i = 0; i < 200; ++i) g.net.update_state();
  double largest = 0;
  Rng rng(1);
  for (int i = 0; i < 2000; ++i) {
    const Array x = rng.normal({1, 4}), y = g(x);
    largest = std::max(largest, std::sqrt((y * y).sum() / (x * x).sum()));
  }
  EXPECT_LE(largest, 1.001);
  EXPECT_GE(largest, 0.95);
}

TEST(GraphLayers, MonteCarloDropoutIsAlwaysOn) {
  const Graph g({.nodes = {{.name = "d", .op = mc_dropout, .sources = {"data"}, .number = 0.5}}}, {1, 100});
  const Array y = g(Array({1, 100}, 1.0));
  EXPECT_GT(std::ranges::count(y.values(), 0.0), 20);
  EXPECT_GT(std::ranges::count(y.values(), 2.0), 20);
}

TEST(GraphLayers, EqualMarksANumber) {
  const Graph g({.nodes = {{.name = "two", .op = equal, .sources = {"data"}, .number = 2}}}, {1, 3});
  EXPECT_EQ(g(Array::of({{1, 2, 3}})), Array::of({{0, 1, 0}}));
}

std::string sentence(const GraphOptions& o, const Shape& input = {2, 10, 3}) {
  try {
    GraphNetwork net(o);
    nn::ParameterStore store;
    net.build(nn::Builder(store, 1), input);
  } catch (const Error& e) {
    return e.what();
  }
  return "nothing";
}
void expect(const std::string& said, const std::string& part) { EXPECT_NE(said.find(part), std::string::npos) << said; }

TEST(GraphLayers, SayWhatIsWrong) {
  const GraphNode pooled = node("m", mean_pool, {"c"});
  expect(sentence({.nodes = {node("c", conv, {"data"}, "c"), pooled}}),
         "(conv) has the layer \"c\", but there is no layer of that name for conv");
  expect(sentence({.layers = {{"c"}}, .nodes = {node("c", conv, {"data"}, "c"), pooled}}), "no layer of that name for conv");
  expect(sentence({.nodes = {node("m", mean_pool, {"data"})}, .norms = {{"spare"}}}), "no node uses the layer \"spare\"");
  expect(sentence({.layers = {{"c"}}, .nodes = {node("c", conv, {"data"}, "c"), pooled}, .convolutions = {{.name = "c"}}}),
         "two layers are named \"c\"");
  const auto with = [&](GraphConvolution c, const Shape& input = {2, 10, 3}) {
    return sentence({.nodes = {node("c", conv, {"data"}, "c"), pooled}, .convolutions = {std::move(c)}}, input);
  };
  EXPECT_EQ(with({.name = "c"}), "nothing");
  expect(with({.name = "c", .filters = 0}), "filters = 0");
  expect(with({.name = "c", .size = {}}), "size has 0 numbers");
  expect(with({.name = "c", .size = {3, 3, 3}}), "size has 3 numbers");
  expect(with({.name = "c", .size = {3, 3}, .causal = true}), "causal, which images are not");
  expect(with({.name = "c", .size = {3, 3}}), "has no observations to go along: \"data\" is (batch, *, 3)");
  expect(with({.name = "c", .size = {3}, .dilation = std::int64_t{1} << 40}), "spans more than");
  const GraphNode a = node("a", attention, {"data", "m"}, "a");
  expect(sentence({.nodes = {node("m", mean_pool, {"data"}), a, node("p", mean_pool, {"a"})}, .attentions = {{"a"}}}),
         "needs queries (batch, ..., n, d)");
  expect(sentence({.nodes = {node("m", mean_pool, {"data"}), node("l", learnt, {"m"}, "l"), node("p", mean_pool, {"l"})},
                   .learnt = {{.name = "l"}}}),
         "has no observations, for each group");
  expect(sentence({.nodes = {node("l", learnt, {"data"}, "l"), node("p", mean_pool, {"l"})},
                   .learnt = {{.name = "l", .rows = 2, .width = 2, .initializer = nn::Initializer::orthogonal}}}),
         "initializer = orthogonal");
  expect(sentence({.nodes = {node("l", learnt, {"data"}, "l")}, .learnt = {{.name = "l", .rows = 2, .width = 2}}}), "it is (batch, 2, 2)");
  expect(sentence({.nodes = {node("l", learnt, {"data"}, "l"), node("s", add, {"l", "data"}), node("p", mean_pool, {"s"})},
                   .learnt = {{.name = "l", .rows = 10, .width = 3}}}),
         "needs two equal shapes");
  expect(sentence({.nodes = {node("n", network, {"data"}, "n")}, .network_names = {"n"}}), "there are 0 networks and 1 names");
  expect(sentence({.nodes = {node("n", network, {"data"}, "n")}, .network_names = {"n"}, .networks = {SummaryPart()}}), "is no network");
}

TEST(GraphLayers, ThoseThatReadNoMasksAreSaid) {
  const Graph g({.nodes = {node("n", network, {"data"}, "n")}, .network_names = {"n"}, .networks = {std::make_shared<support::OwnMeans>()}},
                {2, 5, 3});
  EXPECT_FALSE(g.net.takes_mask());
}

}  // namespace
}  // namespace bayesflow
