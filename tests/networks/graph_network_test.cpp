/// Networks that are described as graphs: values, gradients, shapes, sentences.
#include "bayesflow/networks/graph_network.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "bayesflow/core/errors.hpp"
#include "bayesflow/networks/deep_set.hpp"
#include "bayesflow/nn/gradient_check.hpp"
#include "networks/support_networks.hpp"
#include "support/op_table.hpp"

namespace bayesflow {
namespace {

using support::sample;
using Inputs = std::span<const Tensor>;

template <class Net>
struct Built {
  nn::ParameterStore store;
  Net net;
  Built(Net n, const Shape& input) : net(std::move(n)) {
    net.build(nn::Builder(store, 1), input);
    nn::randomize(store, 2);
  }
  Array operator()(const Array& x, bool training = false) const {
    Tape tape;
    tape.reset({.gradients = false, .training = training});
    const Tensor y = net.forward(tape, tape.input(x));
    Array out(y.shape());
    for (std::int64_t i = 0; i < y.size(); ++i) out.data()[i] = static_cast<double>(y.data()[i]);
    return out;
  }
};
using Graph = Built<GraphNetwork>;

GraphNode dense(const std::string& name, const std::string& source, const std::string& layer = "") {
  return {.name = name, .op = GraphOp::dense, .sources = {source}, .layer = layer.empty() ? name : layer};
}
GraphNode node(const std::string& name, GraphOp op, std::vector<std::string> sources) {
  return {.name = name, .op = op, .sources = std::move(sources)};
}

/// Residual blocks over observations, all pools, a gate, shared weights: every operation but dropout and flatten.
GraphOptions everything(Activation activation = Activation::tanh) {
  const DenseOptions hidden{.units = 6, .activation = activation};
  GraphOptions o;
  o.layers = {{"first", hidden},
              {"block.inner", hidden},
              {"gate", {.units = 6, .activation = Activation::sigmoid}},
              {"output", {.units = 3, .activation = Activation::identity}}};
  o.nodes = {dense("first", "data"),
             dense("inner", "first", "block.inner"),
             node("residual", GraphOp::add, {"first", "inner"}),
             dense("again", "residual", "block.inner"),
             dense("gate", "residual"),
             node("gated", GraphOp::multiply, {"again", "gate"}),
             node("mean", GraphOp::mean_pool, {"gated"}),
             node("max", GraphOp::max_pool, {"gated"}),
             node("sum", GraphOp::sum_pool, {"gated"}),
             {.name = "total", .op = GraphOp::scale, .sources = {"sum"}, .number = 0.1},
             node("around", GraphOp::repeat, {"mean", "gated"}),
             node("centred", GraphOp::subtract, {"gated", "around"}),
             {.name = "soft", .op = GraphOp::activation, .sources = {"centred"}, .activation = Activation::softplus},
             node("spread", GraphOp::mean_pool, {"soft"}),
             {.name = "some", .op = GraphOp::columns, .sources = {"max"}, .first = -4, .last = 0},
             {.name = "moved", .op = GraphOp::shift, .sources = {"some"}, .number = -0.5},
             node("all", GraphOp::concat, {"mean", "moved", "total", "spread"}),
             dense("output", "all")};
  return o;
}

/// DeepSet's modules in its own order of layers, so that parameters lie in the same order.
GraphOptions deep_set_graph(const DeepSetOptions& s) {
  GraphOptions o;
  std::string x = "data";
  const auto stack = [&](const std::string& name, std::string source, std::int64_t depth, const DenseOptions& options) {
    for (std::int64_t i = 0; i < depth; ++i) {
      const std::string layer = name + "." + std::to_string(i);
      o.layers.push_back({layer, options});
      o.nodes.push_back(dense(layer, source));
      source = layer;
    }
    return source;
  };
  const auto invariant = [&](const std::string& name) {
    const std::string values = stack(name + ".s1", x, s.num_dense_s1, s.dense_s1);
    o.nodes.push_back(node(name + ".pool", s.pooling == Pooling::mean ? GraphOp::mean_pool : GraphOp::max_pool, {values}));
    return stack(name + ".s2", name + ".pool", s.num_dense_s2, s.dense_s2);
  };
  for (std::int64_t i = 0; i < s.num_equiv; ++i) {
    const std::string name = "equivariant." + std::to_string(i), pooled = invariant(name + ".invariant");
    o.nodes.push_back(node(name + ".repeat", GraphOp::repeat, {pooled, x}));
    o.nodes.push_back(node(name + ".concat", GraphOp::concat, {x, name + ".repeat"}));
    x = stack(name + ".s3", name + ".concat", s.num_dense_s3, s.dense_s3);
  }
  std::string summary = invariant("invariant");
  if (s.linear_path) {
    o.nodes.push_back(node("means", GraphOp::mean_pool, {"data"}));
    o.nodes.push_back(node("both", GraphOp::concat, {summary, "means"}));
    summary = "both";
  }
  o.layers.push_back({"output", {.units = s.summary_dim, .activation = Activation::identity}});
  o.nodes.push_back(dense("output", summary));
  return o;
}

TEST(GraphNetwork, ADeepSetAsAGraphIsTheDeepSetBitForBit) {
  for (const Pooling pooling : {Pooling::mean, Pooling::max})
    for (const bool linear_path : {false, true})
      for (const std::int64_t depth : {1, 2, 9}) {
        const DeepSetOptions o{.summary_dim = 4,
                               .num_dense_s1 = depth,
                               .num_dense_s3 = depth,
                               .dense_s1 = {.units = 17},
                               .dense_s2 = {.units = 9, .activation = Activation::elu},
                               .dense_s3 = {.units = 13, .activation = Activation::swish},
                               .pooling = pooling,
                               .linear_path = linear_path};
        const Built<DeepSet> set(DeepSet(o), {2, 30, 3});
        const Graph graph(GraphNetwork(deep_set_graph(o)), {2, 30, 3});
        ASSERT_EQ(set.store.count(), graph.store.count());
        for (std::int64_t i = 0; i < set.store.count(); ++i)
          EXPECT_EQ(set.store.table()[static_cast<std::size_t>(i)].name, graph.store.table()[static_cast<std::size_t>(i)].name);
        EXPECT_TRUE(std::equal(set.store.values(), set.store.values() + set.store.size(), graph.store.values()));
        for (const std::int64_t n : {1, 30, 301}) {
          const Array x = sample("deep set", {5, n, 3});
          EXPECT_EQ(set(x), graph(x)) << "depth " << depth << ", observations " << n;
        }
      }
}

TEST(GraphNetwork, ADeepSetAsAGraphCostsWhatADeepSetCosts) {
  const DeepSetOptions o{.summary_dim = 4};
  const Built<DeepSet> set(DeepSet(o), {2, 30, 3});
  const Graph graph(GraphNetwork(deep_set_graph(o)), {2, 30, 3});
  const Array x = sample("cost", {5, 40, 3});
  const auto flops = [&](const auto& built) {
    Tape tape;
    tape.reset({.gradients = true, .training = true});
    tape.backward(ops::sum(built.net.forward(tape, tape.input(x, true))));
    return tape.product_flops();
  };
  EXPECT_EQ(flops(set), flops(graph));
}

GraphOptions flat(std::int64_t axes = 0) {
  GraphOptions o;
  o.layers = {{"hidden", {.units = 5, .activation = Activation::tanh}}, {"output", {.units = 3, .activation = Activation::identity}}};
  o.nodes = {
      dense("hidden", "data"), {.name = "flat", .op = GraphOp::flatten, .sources = {"hidden"}, .axes = axes}, dense("output", "flat")};
  return o;
}

TEST(GraphNetwork, GradientsAgreeWithDifferences) {
  const auto check = [](const GraphOptions& o, const Shape& shape) {
    Graph g(GraphNetwork(o), shape);
    const GradientCheck result =
        nn::check_gradient(g.store, [&](Tape& t, Inputs x) { return std::vector<Tensor>{g.net.forward(t, x[0])}; },
                           {sample("graph", shape)}, {.tolerance = 2e-3, .max_elements = 4, .unresolved = 0.6, .floor = 0.1});
    EXPECT_TRUE(result.passed()) << shape.to_string() << ": " << result.to_string();
  };
  for (const Shape& shape : {Shape{3, 5, 2}, Shape{2, 1, 3}}) {
    check(everything(), shape);
    check(flat(), shape);
    check(deep_set_graph({.summary_dim = 3, .dense_s1 = {.units = 7, .activation = Activation::tanh}}), shape);
  }
  check(flat(), {2, 3, 4, 2});
}

TEST(GraphNetwork, InvariantUnderPermutationsOfObservations) {
  const Graph g(GraphNetwork(everything(Activation::relu)), {2, 30, 4});
  const Array x = sample("invariance", {2, 30, 4});
  const Array y = g(x);
  Rng rng(3);
  for (int trial = 0; trial < 10; ++trial) {
    EXPECT_LT(largest_difference(g(shuffled_observations(x, rng)), y), 1e-5);
  }
  EXPECT_GT(largest_difference(g(x * 1.5), y), 1e-3);
}

TEST(GraphNetwork, NumberOfObservationsMayChangeAndSetsDoNotSeeEachOther) {
  const Graph g(GraphNetwork(everything()), {2, 10, 3});
  EXPECT_EQ(g.net.summary_dim(), 3);
  for (const std::int64_t n : {1, 2, 7, 100}) {
    const Array x = sample("sizes", {3, n, 3});
    const Array all = g(x);
    EXPECT_EQ(all.shape(), (Shape{3, 3}));
    for (std::int64_t s = 0; s < 3; ++s) EXPECT_LT(largest_difference(g(x.slice(s, s + 1)), all.slice(s, s + 1)), 1e-6);
  }
}

TEST(GraphNetwork, OperationsDoWhatTheySay) {
  const Array x = sample("operations", {2, 3, 4});
  const auto value = [&](std::vector<GraphNode> nodes) { return Graph(GraphNetwork({.nodes = std::move(nodes)}), x.shape())(x); };
  const Array flat_x = x.reshape({2, 12});
  EXPECT_EQ(value({node("f", GraphOp::flatten, {"data"})}), flat_x);
  EXPECT_EQ(value({{.name = "f", .op = GraphOp::flatten, .sources = {"data"}, .axes = 2}}), flat_x);
  const GraphNode f = node("f", GraphOp::flatten, {"data"});
  const auto expect_columns = [&](std::int64_t first, std::int64_t last, std::int64_t from, std::int64_t to) {
    const Array got = value({f, {.name = "c", .op = GraphOp::columns, .sources = {"f"}, .first = first, .last = last}});
    ASSERT_EQ(got.shape(), (Shape{2, to - from}));
    for (std::int64_t i = 0; i < 2; ++i)
      for (std::int64_t j = from; j < to; ++j) EXPECT_EQ(got(i, j - from), flat_x(i, j));
  };
  expect_columns(0, 0, 0, 12);
  expect_columns(3, 0, 3, 12);
  expect_columns(-2, 0, 10, 12);
  expect_columns(2, -1, 2, 11);
  expect_columns(2, 5, 2, 5);
  EXPECT_LT(largest_difference(value({f, {.name = "s", .op = GraphOp::scale, .sources = {"f"}, .number = -2.5}}), flat_x * -2.5), 1e-6);
  EXPECT_LT(largest_difference(value({f, {.name = "s", .op = GraphOp::shift, .sources = {"f"}, .number = 1.5}}), flat_x + 1.5), 1e-6);
  EXPECT_LT(largest_difference(value({f, node("a", GraphOp::add, {"f", "f"})}), flat_x * 2.0), 1e-6);
  EXPECT_EQ(value({f, node("a", GraphOp::subtract, {"f", "f"})}), flat_x * 0.0);
  EXPECT_LT(largest_difference(value({f, node("a", GraphOp::multiply, {"f", "f"})}), flat_x * flat_x), 1e-5);
  // A vector repeated over the observations, pooled again, is itself.
  const GraphNode m = node("m", GraphOp::max_pool, {"data"});
  EXPECT_EQ(value({m, node("r", GraphOp::repeat, {"m", "data"}), node("again", GraphOp::max_pool, {"r"})}), value({m}));
  EXPECT_EQ(Graph(GraphNetwork({.nodes = {f}}), x.shape()).net.summary_dim(), 12);
}

TEST(GraphNetwork, DropoutIsActiveInTrainingOnly) {
  GraphOptions o;
  o.nodes = {node("f", GraphOp::flatten, {"data"}), {.name = "d", .op = GraphOp::dropout, .sources = {"f"}, .number = 0.25}};
  const Graph g(GraphNetwork(o), {2, 50, 40});
  const Array x = sample("dropout", {2, 50, 40}), flat_x = x.reshape({2, 2000});
  EXPECT_EQ(g(x), flat_x);
  const Array dropped = g(x, true);
  std::int64_t zeros = 0;
  for (std::int64_t i = 0; i < dropped.size(); ++i) {
    if (dropped.data()[i] == 0)
      ++zeros;
    else
      EXPECT_NEAR(dropped.data()[i], flat_x.data()[i] / 0.75, 1e-5);
  }
  EXPECT_NEAR(static_cast<double>(zeros) / 4000, 0.25, 0.05);
}

TEST(GraphNetwork, WidthsThatDoNotDependOnDataAreKnownAtOnce) {
  EXPECT_EQ(GraphNetwork(everything()).summary_dim(), 3);
  EXPECT_EQ(GraphNetwork({.nodes = {node("m", GraphOp::mean_pool, {"data"})}}).summary_dim(), 0);
  // 8^30 columns: no number of this machine.
  GraphOptions wide;
  wide.layers = {{"one", {.units = 1}}};
  wide.nodes = {dense("one", "data")};
  for (int i = 0; i < 30; ++i) {
    const std::string last = wide.nodes.back().name;
    wide.nodes.push_back(node("c" + std::to_string(i), GraphOp::concat, std::vector<std::string>(8, last)));
  }
  GraphNetwork net(wide);
  nn::ParameterStore store;
  EXPECT_THROW(net.build(nn::Builder(store, 1), Shape{1, 2}), ConfigurationError);
  EXPECT_EQ(store.count(), 0);
}

std::string sentence(const GraphOptions& o, const Shape& input = {2, 10, 3}) {
  try {
    GraphNetwork net(o);
    nn::ParameterStore store;
    net.build(nn::Builder(store, 1), input);
  } catch (const ShapeError& e) {
    return std::string("shape: ") + e.what();
  } catch (const ConfigurationError& e) {
    return e.what();
  }
  return "nothing";
}

TEST(GraphNetwork, SaysWhatIsWrongWithTheDescription) {
  const GraphNode m = node("m", GraphOp::mean_pool, {"data"});
  EXPECT_EQ(sentence({}), "GraphNetwork: there are no nodes; the last one is the summary");
  EXPECT_EQ(sentence({.nodes = {node("m", GraphOp::mean_pool, {"dta"})}}),
            "GraphNetwork: node \"m\" (mean_pool) reads \"dta\", but there is no node of that name");
  const std::string later = "which does not come before it; nodes see only \"data\" and the nodes before them";
  EXPECT_EQ(sentence({.nodes = {node("a", GraphOp::mean_pool, {"b"}), node("b", GraphOp::mean_pool, {"a"})}}),
            "GraphNetwork: node \"a\" (mean_pool) reads \"b\", " + later);
  EXPECT_EQ(sentence({.nodes = {node("a", GraphOp::mean_pool, {"a"})}}), "GraphNetwork: node \"a\" (mean_pool) reads \"a\", " + later);
  EXPECT_EQ(sentence({.nodes = {m, m}}), "GraphNetwork: two nodes are named \"m\"");
  EXPECT_EQ(sentence({.nodes = {m, node("n", GraphOp::mean_pool, {"data"})}}),
            "GraphNetwork: node \"m\" (mean_pool) is used by no other node, and is not the last, which is the summary");
  EXPECT_EQ(sentence({.nodes = {node("data", GraphOp::mean_pool, {"data"})}}),
            "GraphNetwork: no node may be named \"data\", which is the network's input");
  EXPECT_EQ(sentence({.nodes = {node("a/b", GraphOp::mean_pool, {"data"})}}),
            "GraphNetwork: \"a/b\" cannot be the name of a node; use letters, digits, and the signs _ . -");
  EXPECT_EQ(sentence({.layers = {{"spare"}}, .nodes = {m}}), "GraphNetwork: no node uses the layer \"spare\"");
  EXPECT_EQ(sentence({.layers = {{"h"}, {"h"}}, .nodes = {m}}), "GraphNetwork: two layers are named \"h\"");
  EXPECT_EQ(sentence({.layers = {{"h", {.units = 0}}}, .nodes = {m}}),
            "GraphNetwork: layer \"h\": units = 0; a dense layer needs at least one unit");
  EXPECT_EQ(sentence({.nodes = {m, dense("h", "m")}}),
            "GraphNetwork: node \"h\" (dense) has the layer \"h\", but there is no layer of that name");
  EXPECT_EQ(sentence({.nodes = {node("a", GraphOp::add, {"data"})}}), "GraphNetwork: node \"a\" (add) needs 2 sources; got 1");
  EXPECT_EQ(sentence({.nodes = {node("c", GraphOp::concat, std::vector<std::string>(9, "data"))}}),
            "GraphNetwork: node \"c\" (concat) needs 1 to 8 sources; got 9");
  EXPECT_EQ(sentence({.nodes = {{.name = "m", .op = GraphOp::mean_pool, .sources = {"data"}, .number = 2}}}),
            "GraphNetwork: node \"m\" (mean_pool) has a number, which it does not read; leave it as it is");
  EXPECT_EQ(sentence({.nodes = {{.name = "d", .op = GraphOp::dropout, .sources = {"data"}, .number = 1}}}),
            "GraphNetwork: node \"d\" (dropout) has the probability 1; it must be at least 0 and below 1, so that something is kept");
  EXPECT_EQ(
      sentence({.nodes = {{.name = "s", .op = GraphOp::scale, .sources = {"data"}, .number = std::numeric_limits<double>::infinity()}}}),
      "GraphNetwork: node \"s\" (scale) has the number inf; it must be finite");
  EXPECT_EQ(sentence({.nodes = {{.name = "f", .op = GraphOp::flatten, .sources = {"data"}, .axes = 1}}}),
            "GraphNetwork: node \"f\" (flatten) has axes = 1; join at least 2, or 0 for all but the batch");
  try {
    (void)graph_op_from("telepathy");
    FAIL();
  } catch (const ConfigurationError& e) {
    EXPECT_NE(std::string(e.what()).find("there is no operation \"telepathy\"; use one of: dense, dropout, "), std::string::npos)
        << e.what();
  }
}

TEST(GraphNetwork, SaysWhatIsWrongWithShapes) {
  const GraphNode m = node("m", GraphOp::mean_pool, {"data"});
  const GraphNode again = node("again", GraphOp::mean_pool, {"m"});
  EXPECT_EQ(sentence({.layers = {{"h", {.units = 5}}}, .nodes = {dense("h", "data")}}),
            "shape: GraphNetwork: node \"h\" (dense) is the summary, which must be (batch, width); it is (batch, *, 5). Pool or flatten "
            "the observations");
  EXPECT_EQ(sentence({.nodes = {m, again}}),
            "shape: GraphNetwork: node \"again\" (mean_pool) has no observations to pool: \"m\" is (batch, 3)");
  EXPECT_EQ(sentence({.nodes = {m, node("a", GraphOp::add, {"data", "m"})}}),
            "shape: GraphNetwork: node \"a\" (add) needs two equal shapes; \"data\" is (batch, *, 3) and \"m\" is (batch, 3). A pooled "
            "vector is brought to "
            "the shape of observations by repeat");
  EXPECT_EQ(sentence({.nodes = {m, node("c", GraphOp::concat, {"data", "m"})}}),
            "shape: GraphNetwork: node \"c\" (concat) needs shapes that agree but for the last axis; \"data\" is (batch, *, 3) and \"m\" "
            "is (batch, 3). A "
            "pooled vector is brought to the shape of observations by repeat");
  EXPECT_EQ(sentence({.nodes = {node("r", GraphOp::repeat, {"data", "data"})}}),
            "shape: GraphNetwork: node \"r\" (repeat) needs a vector (batch, ..., d) and observations (batch, ..., N, e) with one axis "
            "more; \"data\" is "
            "(batch, *, 3) and \"data\" is (batch, *, 3)");
  EXPECT_EQ(sentence({.nodes = {{.name = "c", .op = GraphOp::columns, .sources = {"data"}, .first = 1, .last = 4}}}),
            "shape: GraphNetwork: node \"c\" (columns) takes the columns from 1 to 4 of \"data\", which has 3");
  EXPECT_EQ(sentence(flat(4)),
            "shape: GraphNetwork: node \"flat\" (flatten) joins 4 axes, but \"hidden\" is (batch, *, 5), and the batch stays as it is");
  EXPECT_EQ(sentence({.layers = {{"h", {.units = 5}}}, .nodes = {m, dense("a", "m", "h"), dense("b", "a", "h")}}),
            "shape: GraphNetwork: node \"b\" (dense) gives its layer \"h\" inputs of width 5, but another node gives it 3; shared weights "
            "need equal widths");
  EXPECT_EQ(sentence({.nodes = {m}}, {5}), "shape: GraphNetwork: needs data of shape (batch, ..., width); got (5,)");
  EXPECT_EQ(sentence({.nodes = {m}}, {5, 0, 3}), "shape: GraphNetwork: the data hold nothing along axis 1: (5, 0, 3)");
}

TEST(GraphNetwork, LaterDataMustFitTheFirst) {
  const auto said = [](const Graph& g, const Shape& shape) {
    try {
      g(sample("x", shape));
    } catch (const ShapeError& e) {
      return std::string(e.what());
    }
    return std::string("nothing");
  };
  const Graph pooled(GraphNetwork(everything()), {2, 10, 3}), fixed(GraphNetwork(flat()), {2, 10, 3});
  EXPECT_EQ(said(pooled, {4, 11, 3}), "nothing");
  EXPECT_EQ(said(pooled, {4, 11, 4}), "GraphNetwork: was built for data (batch, *, 3); got (4, 11, 4)");
  EXPECT_EQ(said(pooled, {4, 0, 3}), "GraphNetwork: was built for data (batch, *, 3); got (4, 0, 3)");
  EXPECT_EQ(said(pooled, {11, 3}), "GraphNetwork: was built for data (batch, *, 3); got (11, 3)");
  EXPECT_EQ(said(fixed, {4, 10, 3}), "nothing");
  EXPECT_EQ(said(fixed, {4, 11, 3}), "GraphNetwork: was built for data (batch, 10, 3); got (4, 11, 3)");
  // Of two axes, only the one that is flattened is fixed.
  GraphOptions o = flat(2);
  o.nodes.push_back(node("mean", GraphOp::mean_pool, {"output"}));
  const Graph nested(GraphNetwork(o), {2, 4, 10, 3});
  EXPECT_EQ(said(nested, {2, 9, 10, 3}), "nothing");
  EXPECT_EQ(said(nested, {2, 9, 11, 3}), "GraphNetwork: was built for data (batch, *, 10, 3); got (2, 9, 11, 3)");
}

}  // namespace
}  // namespace bayesflow
