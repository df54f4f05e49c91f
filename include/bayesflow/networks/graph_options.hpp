/// What a described network is made of: nodes and layers, as files hold them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bayesflow/core/describe.hpp"
#include "bayesflow/networks/summary_network.hpp"
#include "bayesflow/nn/attention.hpp"
#include "bayesflow/nn/layers.hpp"
#include "bayesflow/nn/recurrent.hpp"

namespace bayesflow {

/// What a node does with its sources. Shapes are (batch, ..., d); "observations" are axis -2.
enum class GraphOp : std::uint8_t {
  dense,       ///< the dense layer `layer` over the last axis
  dropout,     ///< in training, drops each element with probability `number`
  activation,  ///< `activation`, elementwise
  add,         ///< of two equal shapes
  subtract,    ///< of two equal shapes
  multiply,    ///< of two equal shapes, elementwise
  scale,       ///< times `number`
  shift,       ///< plus `number`
  concat,      ///< 1 to 8 sources side by side on the last axis; all other axes agree
  columns,     ///< [first, last) of the last axis; negative values count from its end, last = 0 is its end
  flatten,     ///< the last `axes` axes become one (0: all but the batch); their extents are then part of the network
  mean_pool,   ///< over the observations: (batch, ..., N, d) -> (batch, ..., d)
  max_pool,
  sum_pool,
  repeat,      ///< of two sources p (batch, ..., d) and x (batch, ..., N, e): p for each observation of x, (batch, ..., N, d)
  equal,       ///< 1 where the source is `number`, else 0; no derivative
  mc_dropout,  ///< as dropout, but always
  layer_norm,  ///< the layer `layer` of `norms`, over the last axis
  conv,        ///< `layer` of `convolutions`, over the observations (..., T, d), or the last two axes of images (..., height, width, d)
  recurrent,   ///< `layer` of `recurrents`, over the observations
  attention,   ///< `layer` of `attentions`: queries from the first source, (..., n, d) or a vector (..., d), keys and values from the
               ///< second,
               ///< (..., m, e); as wide as the first
  learnt,   ///< `layer` of `learnt`: rows of weights for each group of observations of the source, (batch, ..., N, d) -> (batch, ..., rows,
            ///< width)
  network,  ///< `layer` of `networks`, over the last `axes` axes of observations (0: all): (batch, ..., N, d) -> (batch, ..., s)
};
[[nodiscard]] const char* to_string(GraphOp op);
[[nodiscard]] EnumNames<GraphOp> names_of(GraphOp);
/// The reverse. Throws ConfigurationError listing the names.
[[nodiscard]] GraphOp graph_op_from(const std::string& name);

/// A dense layer by name. Nodes that name the same layer share its weights; so do those of other kinds of layers.
struct GraphLayer {
  std::string name;  ///< dotted; parameters are "<name>.kernel" and "<name>.bias"
  DenseOptions dense = {};
  bool spectral_norm = false;  ///< the kernel is divided by its largest singular value
};
/// Layer normalization: parameters "<name>.gain" and "<name>.bias".
struct GraphNorm {
  std::string name;
  friend bool operator==(const GraphNorm&, const GraphNorm&) = default;
};
/// A convolution without strides: as many entries come out as go in. Masked observations count as zeros.
struct GraphConvolution {
  std::string name;  ///< parameters "<name>.kernel" and "<name>.bias"
  std::int64_t filters = 32;
  std::vector<std::int64_t> size = {3};  ///< of a series, or height and width
  std::int64_t dilation = 1;
  bool causal = false;  ///< of a series: nothing later is seen; else zeros are put on both sides
  Activation activation = Activation::identity;
  friend bool operator==(const GraphConvolution&, const GraphConvolution&) = default;
};
/// The last state of a recurrent cell, (..., T, d) -> (..., units), or all of them.
struct GraphRecurrent {
  std::string name;  ///< parameters as those of nn::Recurrent
  nn::CellKind cell = nn::CellKind::lstm;
  std::int64_t units = 64;
  bool reverse = false;    ///< from the last observation to the first
  bool sequences = false;  ///< the state at each observation, (..., T, units)
  friend bool operator==(const GraphRecurrent&, const GraphRecurrent&) = default;
};
/// Multi-head attention: parameters as those of nn::MultiHeadAttention.
struct GraphAttention {
  std::string name;
  AttentionLayerOptions attention = {};
  friend bool operator==(const GraphAttention&, const GraphAttention&) = default;
};
/// Rows of weights: the parameter "<name>".
struct GraphWeights {
  std::string name;
  std::int64_t rows = 1, width = 1;
  nn::Initializer initializer = nn::Initializer::glorot_uniform;
  friend bool operator==(const GraphWeights&, const GraphWeights&) = default;
};

/// A step of the computation. What its `op` does not read must be left as it is.
struct GraphNode {
  std::string name;
  GraphOp op = GraphOp::dense;
  std::vector<std::string> sources = {};         ///< names of nodes further up, or "data"
  std::string layer = {};                        ///< of those that have one: dense, layer_norm, conv, ...
  Activation activation = Activation::identity;  ///< activation
  double number = 0;                             ///< dropout, mc_dropout, scale, shift, equal
  std::int64_t first = 0, last = 0;              ///< columns
  std::int64_t axes = 0;                         ///< flatten, network
};
/// A network as a graph of layers: nodes, and the layers that they name.
struct GraphOptions {
  std::vector<GraphLayer> layers = {};
  std::vector<GraphNode> nodes = {};  ///< in order: each sees "data" and those before it; the last is the summary
  std::vector<GraphNorm> norms = {};
  std::vector<GraphConvolution> convolutions = {};
  std::vector<GraphRecurrent> recurrents = {};
  std::vector<GraphAttention> attentions = {};
  std::vector<GraphWeights> learnt = {};
  std::vector<std::string> network_names = {};  ///< parameters are "<name>.<those of the network>"
  std::vector<SummaryPart> networks = {};       ///< one for each name, of any class
  void validate() const;                        ///< throws ConfigurationError
};

template <class V>
void describe(V& v, GraphLayer& o) {
  v("name", o.name);
  v("dense", o.dense);
  v.later("spectral_norm", o.spectral_norm, false);
}
template <class V>
void describe(V& v, GraphNorm& o) {
  v("name", o.name);
}
template <class V>
void describe(V& v, GraphConvolution& o) {
  v("name", o.name);
  v("filters", o.filters, width());
  v("size", o.size, width());
  v("dilation", o.dilation, width());
  v("causal", o.causal);
  v("activation", o.activation);
}
template <class V>
void describe(V& v, GraphRecurrent& o) {
  v("name", o.name);
  v("cell", o.cell);
  v("units", o.units, width());
  v("reverse", o.reverse);
  v("sequences", o.sequences);
}
template <class V>
void describe(V& v, GraphAttention& o) {
  v("name", o.name);
  v("attention", o.attention);
}
template <class V>
void describe(V& v, GraphWeights& o) {
  v("name", o.name);
  v("rows", o.rows, width());
  v("width", o.width, width());
  v("initializer", o.initializer);
}
template <class V>
void describe(V& v, GraphNode& o) {
  v("name", o.name);
  v("op", o.op);
  v("sources", o.sources);
  v("layer", o.layer);
  v("activation", o.activation);
  v("number", o.number);
  v("first", o.first, column());
  v("last", o.last, column());
  v("axes", o.axes);
}
template <class V>
void describe(V& v, GraphOptions& o) {
  v("layers", o.layers);
  v("nodes", o.nodes);
  v.later("norms", o.norms, {});
  v.later("convolutions", o.convolutions, {});
  v.later("recurrents", o.recurrents, {});
  v.later("attentions", o.attentions, {});
  v.later("learnt", o.learnt, {});
  v.later("network_names", o.network_names, {});
  v.later("networks", o.networks, {});
}

}  // namespace bayesflow
