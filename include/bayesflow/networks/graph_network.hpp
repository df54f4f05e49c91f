/// Summary networks that are described instead of programmed, so that files can hold them and other languages can make them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bayesflow/core/describe.hpp"
#include "bayesflow/networks/summary_network.hpp"
#include "bayesflow/nn/layers.hpp"

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
  repeat,  ///< of two sources p (batch, ..., d) and x (batch, ..., N, e): p for each observation of x, (batch, ..., N, d)
};
[[nodiscard]] const char* to_string(GraphOp op);
[[nodiscard]] EnumNames<GraphOp> names_of(GraphOp);
/// The reverse. Throws ConfigurationError listing the names.
[[nodiscard]] GraphOp graph_op_from(const std::string& name);

/// A dense layer by name. Nodes that name the same layer share its weights.
struct GraphLayer {
  std::string name;  ///< dotted; parameters are "<name>.kernel" and "<name>.bias"
  DenseOptions dense = {};
};

/// A step of the computation. What its `op` does not read must be left as it is.
struct GraphNode {
  std::string name;
  GraphOp op = GraphOp::dense;
  std::vector<std::string> sources = {};         ///< names of nodes further up, or "data"
  std::string layer = {};                        ///< dense
  Activation activation = Activation::identity;  ///< activation
  double number = 0;                             ///< dropout, scale, shift
  std::int64_t first = 0, last = 0;              ///< columns
  std::int64_t axes = 0;                         ///< flatten
};

struct GraphOptions {
  std::vector<GraphLayer> layers = {};
  std::vector<GraphNode> nodes = {};  ///< in order: each sees "data" and those before it; the last is the summary
  void validate() const;              ///< throws ConfigurationError
};

template <class V>
void describe(V& v, GraphLayer& o) {
  v("name", o.name);
  v("dense", o.dense);
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
}

/// x: (batch, ..., d) -> (batch, summary_dim). The number of observations may differ between batches, except along axes that are flattened.
/// Dense layers that follow each other run as one chain, and a repeated vector that joins a dense layer's input is never copied, so that a
/// DeepSet written as a graph costs what a DeepSet costs, and gives the same bits.
class GraphNetwork final : public SummaryNetwork {
 public:
  explicit GraphNetwork(GraphOptions options);
  void build(const nn::Builder& builder, const SummaryShape& input) override;
  [[nodiscard]] Tensor forward(Tape& tape, const SummaryInput& input) const override;
  [[nodiscard]] std::int64_t summary_dim() const override;  ///< 0 if it depends on the data's width and the network is not built
  /// Of data (batch, n, d) whose observations are not flattened: they are pooled without padding.
  [[nodiscard]] bool takes_mask() const override { return input_.rank() == 3 && !fixed_[1]; }
  [[nodiscard]] Plan plan(const Shape& data) const override { return plan_sets(data[0], rows_per_item(data)); }
  [[nodiscard]] std::string to_string() const override;
  [[nodiscard]] const GraphOptions& options() const { return options_; }

 private:
  /// Sources by number: 0 is the data, i + 1 is node i. What a chain computes is none of a step's own.
  struct Step {
    std::vector<std::size_t> sources;
    std::vector<std::size_t> layers;  // of a chain of dense layers
    std::size_t condition = 0;        // of the chain, where 0 is none
    bool inside = false;              // computed by the chain of a later node
  };
  struct Extents;
  [[nodiscard]] Extents infer(const Shape& input) const;
  void plan();

  GraphOptions options_;
  std::vector<Step> steps_;
  std::vector<nn::Dense> layers_;
  Shape input_;              // that it was built for
  std::vector<bool> fixed_;  // axes of it that later inputs must share
  std::int64_t summary_dim_ = 0;
};

}  // namespace bayesflow
