/// Convolutions that shorten a series, and a recurrent network: for long series of any length.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bayesflow/core/describe.hpp"
#include "bayesflow/networks/summary_network.hpp"
#include "bayesflow/nn/convolution.hpp"
#include "bayesflow/nn/layers.hpp"
#include "bayesflow/nn/recurrent.hpp"

namespace bayesflow {

/// Settings of a TimeSeriesNetwork.
struct TimeSeriesNetworkOptions {
  std::int64_t summary_dim = 10;
  std::int64_t num_conv_layers = 2;
  std::int64_t filters = 32;
  std::int64_t kernel_size = 3;
  Activation activation = Activation::relu;
  bool halve = true;  ///< each convolution is followed by means of pairs: the recurrent network sees T / 2^num_conv_layers steps
  nn::CellKind recurrent_type = nn::CellKind::gru;
  std::int64_t recurrent_dim = 64;  ///< units, in each direction
  bool bidirectional = true;        ///< the series is also read from its end
  bool mean = true;                 ///< the mean of what the convolutions give joins the last states: what does not depend on the order
  void validate() const;            ///< throws ConfigurationError
};

template <class V>
void describe(V& v, TimeSeriesNetworkOptions& o) {
  v("summary_dim", o.summary_dim, width());
  v("num_conv_layers", o.num_conv_layers, at_least(0));
  v("filters", o.filters, width());
  v("kernel_size", o.kernel_size, width());
  v("activation", o.activation);
  v("halve", o.halve);
  v("recurrent_type", o.recurrent_type);
  v("recurrent_dim", o.recurrent_dim, width());
  v("bidirectional", o.bidirectional);
  v("mean", o.mean);
}

/// x: (batch, ..., T, d) -> (batch, ..., summary_dim); T may differ between batches, masks and times are read. Where the first batch has
/// times, the time since the observation before (0 for the first) is joined to the data as a column, so that irregular series are told from
/// regular ones. Then convolutions (padding "same") and means of pairs, last states, a linear layer. Times behind the end of a series
/// change nothing; a missing one within it counts as zeros for convolutions, and for nothing in means and states. Cost grows with T. Cho et
/// al. (2014), Learning phrase representations using RNN encoder-decoder for statistical machine translation.
class TimeSeriesNetwork final : public SummaryNetwork {
 public:
  explicit TimeSeriesNetwork(TimeSeriesNetworkOptions options = {});
  void build(const nn::Builder& builder, const SummaryShape& input) override;
  [[nodiscard]] Tensor forward(Tape& tape, const SummaryInput& input) const override;
  [[nodiscard]] std::int64_t summary_dim() const override { return options_.summary_dim; }
  [[nodiscard]] bool takes_mask() const override { return true; }
  [[nodiscard]] bool takes_times() const override { return true; }
  [[nodiscard]] std::string to_string() const override;
  [[nodiscard]] const TimeSeriesNetworkOptions& options() const { return options_; }

 private:
  TimeSeriesNetworkOptions options_;
  std::vector<nn::Conv1d> convolutions_;
  nn::LastState recurrent_;
  nn::Dense output_;
  std::int64_t width_ = 0;
  bool has_times_ = false;
};

}  // namespace bayesflow
