/// Convolutions and a recurrent network over series.
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

/// Settings of convolutions of several sizes side by side (v1's `conv_settings`).
struct MultiConvOptions {
  std::int64_t filters = 32;  ///< of each size, and of the layer that joins them
  Activation activation = Activation::relu;
  std::int64_t min_kernel_size = 1;
  std::int64_t max_kernel_size = 3;  ///< included; v1 says the same and leaves it out: its networks have the sizes 1 and 2
};

template <class V>
void describe(V& v, MultiConvOptions& o) {
  v("filters", o.filters, width());
  v("activation", o.activation);
  v("min_kernel_size", o.min_kernel_size, width());
  v("max_kernel_size", o.max_kernel_size, width());
}

/// Settings of a SequenceNetwork: v1's names and defaults.
struct SequenceNetworkOptions {
  std::int64_t summary_dim = 10;
  std::int64_t num_conv_layers = 2;
  std::int64_t lstm_units = 128;
  bool bidirectional = false;  ///< a second LSTM reads the series from its end
  MultiConvOptions conv = {};
  void validate() const;  ///< throws ConfigurationError
};

template <class V>
void describe(V& v, SequenceNetworkOptions& o) {
  v("summary_dim", o.summary_dim, width());
  v("num_conv_layers", o.num_conv_layers, at_least(0));
  v("lstm_units", o.lstm_units, width());
  v("bidirectional", o.bidirectional);
  v("conv", o.conv);
}

/// x: (batch, ..., T, d) -> (batch, ..., summary_dim); T may differ between batches. Each convolutional layer joins causal convolutions of
/// all sizes (at most 8) by one of size 1; then the last state of an LSTM, and a linear layer. Masks are read: times behind the end of a
/// series change nothing; a missing one within it counts as zeros for convolutions and leaves the LSTM's state as it is. Cost grows with T.
/// Radev et al. (2020), BayesFlow; Szegedy et al. (2015), Going deeper with convolutions; Hochreiter and Schmidhuber (1997).
class SequenceNetwork final : public SummaryNetwork {
 public:
  explicit SequenceNetwork(SequenceNetworkOptions options = {});
  void build(const nn::Builder& builder, const SummaryShape& input) override;
  [[nodiscard]] Tensor forward(Tape& tape, const SummaryInput& input) const override;
  [[nodiscard]] std::int64_t summary_dim() const override { return options_.summary_dim; }
  [[nodiscard]] bool takes_mask() const override { return true; }
  [[nodiscard]] Plan plan(const Shape& data) const override { return plan_series(data[0], rows_per_item(data)); }
  [[nodiscard]] std::string to_string() const override;
  [[nodiscard]] const SequenceNetworkOptions& options() const { return options_; }

 private:
  struct Level {
    std::vector<nn::Conv1d> branches;
    nn::Conv1d reduce;
  };
  SequenceNetworkOptions options_;
  std::vector<Level> levels_;
  nn::LastState recurrent_;
  nn::Dense output_;
  std::int64_t width_ = 0;
};

}  // namespace bayesflow
