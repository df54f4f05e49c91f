/// Summary networks that are described instead of programmed, so that files can hold them and other languages can make them.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "bayesflow/networks/graph_options.hpp"
#include "bayesflow/networks/summary_network.hpp"
#include "bayesflow/nn/attention.hpp"
#include "bayesflow/nn/convolution.hpp"
#include "bayesflow/nn/layers.hpp"
#include "bayesflow/nn/recurrent.hpp"

namespace bayesflow {

/// x: (batch, ..., d) -> (batch, summary_dim). The number of observations may differ between batches, except along axes that are flattened.
/// Dense layers that follow each other run as one chain, and a repeated vector that joins a dense layer's input is never copied, so that a
/// DeepSet written as a graph costs what a DeepSet costs, and gives the same bits.
class GraphNetwork final : public SummaryNetwork {
 public:
  explicit GraphNetwork(GraphOptions options);
  void build(const nn::Builder& builder, const SummaryShape& input) override;
  [[nodiscard]] Tensor forward(Tape& tape, const SummaryInput& input) const override;
  [[nodiscard]] std::int64_t summary_dim() const override;  ///< 0 if it depends on the data's width and the network is not built
  /// Of data (batch, n, d) whose observations are not flattened, if all networks inside read masks: pools, convolutions, recurrent layers
  /// and attention then leave padding out.
  [[nodiscard]] bool takes_mask() const override { return takes_mask_; }
  [[nodiscard]] Plan plan(const Shape& data) const override { return plan_sets(data[0], rows_per_item(data)); }
  [[nodiscard]] std::span<const SummaryPart> parts() const override { return options_.networks; }
  void update_state() override;
  [[nodiscard]] std::string to_string() const override;
  [[nodiscard]] const GraphOptions& options() const { return options_; }

 private:
  /// Sources by number: 0 is the data, i + 1 is node i. What a chain computes is none of a step's own.
  struct Step {
    std::vector<std::size_t> sources;
    std::vector<std::size_t> layers;  // of a chain of dense layers; of other kinds, one
    std::size_t condition = 0;        // of the chain, where 0 is none
    bool inside = false;              // computed by the chain of a later node
  };
  struct Value;
  struct Extents;
  [[nodiscard]] Extents infer(const Shape& input, const nn::Builder& builder);  ///< builds the networks inside
  [[nodiscard]] Tensor run_network(Tape& tape, const GraphNode& node, std::size_t which, Tensor x, Tensor mask) const;
  void plan();

  GraphOptions options_;
  std::vector<Step> steps_;
  std::vector<nn::Dense> layers_;
  std::vector<nn::LayerNorm> norms_;
  std::vector<nn::Conv1d> series_;  // those of one axis; of two axes: images_, at the same place
  std::vector<nn::Conv2d> images_;
  std::vector<nn::Recurrent> recurrents_;
  std::vector<nn::MultiHeadAttention> attentions_;
  nn::ParameterStore* store_ = nullptr;
  std::vector<int> learnt_;   // parameters
  Shape input_;               // that it was built for
  std::vector<bool> masked_;  // values whose observations are those of the data (batch, n, d)
  std::vector<bool> fixed_;   // axes of it that later inputs must share
  std::int64_t summary_dim_ = 0;
  bool has_layers_ = false, takes_mask_ = false;  // of other kinds than dense
};

}  // namespace bayesflow
