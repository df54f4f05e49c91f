/// Small networks of every class in the registry, one that is not in it, and data for them: what tests of all summary networks run over. A
/// class without a case here fails them.
#pragma once

#include <cstdint>
#include <functional>
#include <ostream>
#include <string>
#include <vector>

#include "bayesflow/core/array.hpp"
#include "bayesflow/core/rng.hpp"
#include "bayesflow/data/batch.hpp"
#include "networks/registry.hpp"

namespace bayesflow::support {

struct SummaryCase {
  std::string network;  ///< name of the class in the registry
  std::string what;     ///< of its options
  std::function<SummaryPart()> make;
  int axes = 1;  ///< of observations, whose extents may vary: 1 for (batch, n, d), 2 for (batch, n, n, d)
  std::int64_t width = 3;
  bool quadratic = false;                 ///< attention of each observation to each
  std::int64_t parts = 0;                 ///< > 0: column 0 is a number below this
  std::vector<std::string> sources = {};  ///< of data; each gets the same

  [[nodiscard]] Shape shape(std::int64_t batch, std::int64_t n) const {
    Shape out{batch};
    for (int axis = 0; axis < axes; ++axis) out.push_back(n);
    out.push_back(width);
    return out;
  }
  [[nodiscard]] Array data(std::int64_t batch, std::int64_t n, std::uint64_t seed = 1) const {
    Rng rng(seed, "data of a summary network");
    Array x = rng.normal(shape(batch, n));
    for (std::int64_t i = 0; parts > 0 && i < x.size(); i += width) x.data()[i] = static_cast<double>((i / width) % parts);
    return x;
  }
};

/// What a network is given: the data, or the same data from each of its sources.
inline Tensor forward(const SummaryNetwork& net, Tape& tape, Tensor data, Tensor mask = {}, Tensor times = {}) {
  std::vector<SummaryInput> each;
  for (std::size_t i = 0; i < net.sources().size(); ++i) each.emplace_back(data, mask, net.parts()[i]->takes_times() ? times : Tensor());
  SummaryInput input(data, mask, times);
  if (!each.empty()) input = SummaryInput();
  input.sources = {each.data(), each.size()};
  return net.forward(tape, input);
}
inline void build(SummaryNetwork& net, const nn::Builder& builder, const Shape& data, bool times = false) {
  SummaryShape shape(data, times);
  for (std::size_t i = 0; i < net.sources().size(); ++i) shape.sources.emplace_back(data, times && net.parts()[i]->takes_times());
  net.build(builder, shape);
}
/// The roles of all sources get the values that `role` has.
inline Batch with_sources(const SummaryCase& c, Batch batch) {
  for (const char* role : {roles::summary_conditions, roles::summary_mask}) {
    const Block* values = batch.find(role);
    if (!values || c.sources.empty()) continue;
    const Block shared = *values;
    batch.set(role, {});
    for (const std::string& source : c.sources) batch.set(roles::of_source(role, source), shared);
  }
  return batch;
}

inline void PrintTo(const SummaryCase& c, std::ostream* out) { *out << c.network << " " << c.what; }
/// For the names of tests.
inline std::string name_of(const SummaryCase& c) { return c.what.empty() ? c.network : c.network + "_" + c.what; }

inline DeepSet tiny_set(std::int64_t summary_dim = 3) {
  const DenseOptions dense{.units = 6, .activation = Activation::tanh};
  return DeepSet({.summary_dim = summary_dim, .num_equiv = 1, .dense_s1 = dense, .dense_s2 = dense, .dense_s3 = dense});
}
inline SetTransformerOptions tiny_set_transformer() {
  SetTransformerOptions o;
  o.summary_dim = 4;
  o.attention = {.num_heads = 2, .key_dim = 4, .dropout = 0.1};
  o.dense = {.units = 6, .activation = Activation::tanh};
  o.num_inducing_points = 3;
  return o;
}
inline TimeSeriesTransformerOptions tiny_time_series_transformer() {
  TimeSeriesTransformerOptions o;
  o.summary_dim = 4;
  o.attention = {.num_heads = 2, .key_dim = 4, .dropout = 0.1};
  o.dense = {.units = 6, .activation = Activation::tanh};
  o.template_dim = 5;
  o.time_encoding.frequencies = 2;
  return o;
}
inline SequenceNetworkOptions tiny_sequence_network() {
  SequenceNetworkOptions o;
  o.summary_dim = 4;
  o.lstm_units = 5;
  o.conv = {.filters = 4, .activation = Activation::tanh};
  return o;
}
inline TimeSeriesNetworkOptions tiny_time_series_network() {
  TimeSeriesNetworkOptions o;
  o.summary_dim = 4;
  o.filters = 4;
  o.activation = Activation::tanh;
  o.recurrent_dim = 5;
  return o;
}
inline ConvNetworkOptions tiny_conv_network() {
  ConvNetworkOptions o;
  o.summary_dim = 4;
  o.filters = {3, 4};
  o.activation = Activation::tanh;
  return o;
}
inline GraphNetwork tiny_graph() {
  using enum GraphOp;
  return GraphNetwork(
      {.layers = {{"first", {.units = 6, .activation = Activation::tanh}}, {"last", {.units = 4, .activation = Activation::identity}}},
       .nodes = {{.name = "first", .op = dense, .sources = {"data"}, .layer = "first"},
                 {.name = "kept", .op = dropout, .sources = {"first"}, .number = 0.1},
                 {.name = "mean", .op = mean_pool, .sources = {"kept"}},
                 {.name = "largest", .op = max_pool, .sources = {"first"}},
                 {.name = "both", .op = concat, .sources = {"mean", "largest"}},
                 {.name = "last", .op = dense, .sources = {"both"}, .layer = "last"}}});
}

/// Layers of every kind.
inline GraphNetwork graph_of_layers() {
  using enum GraphOp;
  return GraphNetwork({.layers = {{"output", {.units = 4, .activation = Activation::identity}}},
                       .nodes = {{.name = "conv", .op = conv, .sources = {"data"}, .layer = "conv"},
                                 {.name = "norm", .op = layer_norm, .sources = {"conv"}, .layer = "norm"},
                                 {.name = "states", .op = recurrent, .sources = {"norm"}, .layer = "states"},
                                 {.name = "points", .op = learnt, .sources = {"states"}, .layer = "points"},
                                 {.name = "asked", .op = attention, .sources = {"points", "states"}, .layer = "ask"},
                                 {.name = "answered", .op = attention, .sources = {"states", "asked"}, .layer = "answer"},
                                 {.name = "sum", .op = add, .sources = {"states", "answered"}},
                                 {.name = "last", .op = recurrent, .sources = {"sum"}, .layer = "last"},
                                 {.name = "set", .op = network, .sources = {"sum"}, .layer = "set"},
                                 {.name = "found", .op = attention, .sources = {"last", "sum"}, .layer = "find"},
                                 {.name = "points_mean", .op = mean_pool, .sources = {"asked"}},
                                 {.name = "points_flat", .op = flatten, .sources = {"asked"}},
                                 {.name = "zero", .op = equal, .sources = {"data"}},
                                 {.name = "share", .op = mean_pool, .sources = {"zero"}},
                                 {.name = "all", .op = concat, .sources = {"last", "set", "found", "points_mean", "points_flat", "share"}},
                                 {.name = "output", .op = dense, .sources = {"all"}, .layer = "output"}},
                       .norms = {{"norm"}},
                       .convolutions = {{.name = "conv", .filters = 4, .size = {3}, .dilation = 2, .activation = Activation::tanh}},
                       .recurrents = {{.name = "states", .cell = nn::CellKind::gru, .units = 4, .sequences = true},
                                      {.name = "last", .units = 5, .reverse = true}},
                       .attentions = {{"ask", {.num_heads = 2, .key_dim = 3, .dropout = 0.1}},
                                      {"answer", {.num_heads = 2, .key_dim = 3, .dropout = 0}},
                                      {"find", {.num_heads = 1, .key_dim = 3, .dropout = 0}}},
                       .learnt = {{.name = "points", .rows = 3, .width = 4}},
                       .network_names = {"set"},
                       .networks = {tiny_set()}});
}

/// A network of a user's own class, which reads no masks.
class OwnMeans final : public SummaryNetwork {
 public:
  void build(const nn::Builder&, const SummaryShape& input) override { width_ = input.data[-1]; }
  [[nodiscard]] Tensor forward(Tape&, const SummaryInput& input) const override { return ops::mean_pool(input.data); }
  [[nodiscard]] std::int64_t summary_dim() const override { return width_; }

 private:
  std::int64_t width_ = 0;
};

inline std::vector<SummaryCase> summary_cases() {
  std::vector<SummaryCase> out;
  const auto add = [&](const char* network, const char* what, auto make, int axes = 1, std::int64_t width = 3, std::int64_t parts = 0) {
    out.push_back(
        {.network = network, .what = what, .make = [make] { return SummaryPart(make()); }, .axes = axes, .width = width, .parts = parts});
  };
  add("DeepSet", "", [] { return tiny_set(); });
  add("DeepSet", "max", [] {
    DeepSetOptions o = tiny_set().options();
    o.pooling = Pooling::max;
    o.linear_path = true;
    return DeepSet(o);
  });
  add("SetTransformer", "", [] { return SetTransformer(tiny_set_transformer()); });
  add("SetTransformer", "full_attention", [] {
    auto o = tiny_set_transformer();
    o.num_inducing_points.reset();
    o.num_seeds = 2;
    o.use_layer_norm = true;
    o.embedding_dim = 5;
    return SetTransformer(o);
  });
  out.back().quadratic = true;
  add("TimeSeriesTransformer", "", [] { return TimeSeriesTransformer(tiny_time_series_transformer()); });
  out.back().quadratic = true;
  add("TimeSeriesTransformer", "gru", [] {
    auto o = tiny_time_series_transformer();
    o.template_type = nn::CellKind::gru;
    o.bidirectional = true;
    o.use_layer_norm = false;
    o.time_encoding.enabled = false;
    return TimeSeriesTransformer(o);
  });
  out.back().quadratic = true;
  add("SequenceNetwork", "", [] { return SequenceNetwork(tiny_sequence_network()); });
  add("SequenceNetwork", "bidirectional", [] {
    auto o = tiny_sequence_network();
    o.bidirectional = true;
    o.num_conv_layers = 1;
    o.conv.max_kernel_size = 5;
    return SequenceNetwork(o);
  });
  add("TimeSeriesNetwork", "", [] { return TimeSeriesNetwork(tiny_time_series_network()); });
  add("TimeSeriesNetwork", "lstm", [] {
    auto o = tiny_time_series_network();
    o.recurrent_type = nn::CellKind::lstm;
    o.halve = o.bidirectional = o.mean = false;
    o.kernel_size = 4;
    return TimeSeriesNetwork(o);
  });
  add(
      "ConvNetwork", "", [] { return ConvNetwork(tiny_conv_network()); }, 2, 2);
  add(
      "ConvNetwork", "deep",
      [] {
        auto o = tiny_conv_network();
        o.filters = {3, 3, 3};
        o.blocks_per_stage = 2;
        o.use_layer_norm = false;
        return ConvNetwork(o);
      },
      2, 1);
  add(
      "SplitNetwork", "",
      [] {
        return SplitNetwork({.networks = {tiny_set(), SetTransformer(tiny_set_transformer())}});
      },
      1, 3, 2);
  add(
      "HierarchicalNetwork", "",
      [] {
        return HierarchicalNetwork({.networks = {tiny_set(), tiny_set(4)}});
      },
      2, 2);
  add(
      "HierarchicalNetwork", "three_levels",
      [] {
        return HierarchicalNetwork(
            {.networks = {SequenceNetwork(tiny_sequence_network()), tiny_graph(), SetTransformer(tiny_set_transformer())}});
      },
      3, 2);
  add("FusionNetwork", "", [] {
    return FusionNetwork({.sources = {"set", "series"}, .networks = {tiny_set(), TimeSeriesNetwork(tiny_time_series_network())}});
  });
  out.back().sources = {"set", "series"};
  add(
      "FusionNetwork", "merged",
      [] {
        return FusionNetwork({.sources = {"image", "groups"},
                              .networks = {ConvNetwork(tiny_conv_network()), HierarchicalNetwork({.networks = {tiny_set(), tiny_set(4)}})},
                              .merge = FusionMergeOptions{.summary_dim = 3, .dense = {.units = 5, .activation = Activation::tanh}}});
      },
      2, 2);
  out.back().sources = {"image", "groups"};
  add("GraphNetwork", "", [] { return tiny_graph(); });
  add("GraphNetwork", "layers", [] { return graph_of_layers(); });
  return out;
}

}  // namespace bayesflow::support
