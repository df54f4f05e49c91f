/// Transformers for series.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bayesflow/core/describe.hpp"
#include "bayesflow/networks/summary_network.hpp"
#include "bayesflow/nn/attention.hpp"
#include "bayesflow/nn/recurrent.hpp"

namespace bayesflow {

/// How attention, which does not see the order of observations, is told when each was made: columns that are joined to the data,
///   t / longest_period, and sin(2 pi t / p), cos(2 pi t / p) for `frequencies` periods p from the shortest to the longest, in equal
///   ratios.
/// t are the times, where the batch has some (roles::summary_times), in the units of the periods; else 0, 1, 2, ...
struct TimeEncodingOptions {
  bool enabled = true;  ///< false: none is joined, for data that hold their times themselves (v1 left it to the user)
  std::int64_t frequencies = 4;
  double shortest_period = 4;
  double longest_period = 256;
  [[nodiscard]] std::int64_t width() const { return enabled ? 1 + 2 * frequencies : 0; }
};

template <class V>
void describe(V& v, TimeEncodingOptions& o) {
  v("enabled", o.enabled);
  v("frequencies", o.frequencies, Constraint{.low = 0, .is_width = true});
  v("shortest_period", o.shortest_period, positive());
  v("longest_period", o.longest_period, positive());
}

/// Settings of a TimeSeriesTransformer: v1's names and defaults.
struct TimeSeriesTransformerOptions {
  std::int64_t summary_dim = 10;
  AttentionLayerOptions attention = {};  ///< 4 heads, 32 wide
  DenseOptions dense = {};               ///< of the feed-forward parts: 64 units, relu
  bool use_layer_norm = true;
  std::int64_t num_dense_fc = 2;          ///< layers `dense` of each feed-forward part
  std::int64_t num_attention_blocks = 2;  ///< over the series
  nn::CellKind template_type = nn::CellKind::lstm;
  bool bidirectional = false;      ///< the template also reads the series from its end
  std::int64_t template_dim = 64;  ///< units of the template, in each direction
  TimeEncodingOptions time_encoding = {};
  std::int64_t input_dim = 0;  ///< > 0: the width that data must have; 0: that of the first batch
  void validate() const;       ///< throws ConfigurationError
};

template <class V>
void describe(V& v, TimeSeriesTransformerOptions& o) {
  v("summary_dim", o.summary_dim, width());
  v("attention", o.attention);
  v("dense", o.dense);
  v("use_layer_norm", o.use_layer_norm);
  v("num_dense_fc", o.num_dense_fc, at_least(0));
  v("num_attention_blocks", o.num_attention_blocks, at_least(0));
  v("template_type", o.template_type);
  v("bidirectional", o.bidirectional);
  v("template_dim", o.template_dim, width());
  v("time_encoding", o.time_encoding);
  v.later("input_dim", o.input_dim, std::int64_t{0}, Constraint{.low = 0, .is_width = true});
}

/// x: (batch, ..., T, d) -> (batch, ..., summary_dim); T may differ between batches, masks and times are read. With e the data and their
/// time encoding: r = blocks of attention of e to itself; template = last state of a recurrent network over e; then a linear layer of
/// nn::AttentionBlock(template, r). Time and memory grow with T; attention's time with T^2. Training wants a small learning rate: 5e-5.
/// Vaswani et al. (2017), Attention is all you need; Wen et al. (2023), Transformers in time series.
class TimeSeriesTransformer final : public SummaryNetwork {
 public:
  explicit TimeSeriesTransformer(TimeSeriesTransformerOptions options = {});
  void build(const nn::Builder& builder, const SummaryShape& input) override;
  [[nodiscard]] Tensor forward(Tape& tape, const SummaryInput& input) const override;
  [[nodiscard]] std::int64_t summary_dim() const override { return options_.summary_dim; }
  [[nodiscard]] bool takes_mask() const override { return true; }
  [[nodiscard]] bool takes_times() const override { return options_.time_encoding.enabled; }
  [[nodiscard]] std::string to_string() const override;
  [[nodiscard]] const TimeSeriesTransformerOptions& options() const { return options_; }

 private:
  [[nodiscard]] Tensor encode_times(Tape& tape, const SummaryInput& input) const;

  TimeSeriesTransformerOptions options_;
  std::vector<nn::AttentionBlock> blocks_;
  nn::LastState template_;
  nn::AttentionBlock last_;
  nn::Dense output_;
  std::int64_t width_ = 0;
  bool has_times_ = false;
};

}  // namespace bayesflow
