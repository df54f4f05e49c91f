/// Convolutional networks with residual blocks, for images and fields.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bayesflow/core/describe.hpp"
#include "bayesflow/networks/summary_network.hpp"
#include "bayesflow/nn/attention.hpp"
#include "bayesflow/nn/convolution.hpp"
#include "bayesflow/nn/layers.hpp"

namespace bayesflow {

/// Settings of a ConvNetwork.
struct ConvNetworkOptions {
  std::int64_t summary_dim = 10;
  std::vector<std::int64_t> filters = {16, 32, 64};  ///< of each stage; from one to the next, height and width are halved (rounded up)
  std::int64_t blocks_per_stage = 1;                 ///< residual blocks
  std::int64_t kernel_size = 3;
  Activation activation = Activation::relu;
  bool use_layer_norm = true;  ///< over the channels of each pixel, at the beginning of each block
  void validate() const;       ///< throws ConfigurationError
};

template <class V>
void describe(V& v, ConvNetworkOptions& o) {
  v("summary_dim", o.summary_dim, width());
  v("filters", o.filters, width());
  v("blocks_per_stage", o.blocks_per_stage, at_least(0));
  v("kernel_size", o.kernel_size, width());
  v("activation", o.activation);
  v("use_layer_norm", o.use_layer_norm);
}

/// x: (batch, height, width, channels) -> (batch, summary_dim); heights and widths may differ between batches. A convolution; in each stage
/// blocks x + conv(activation(conv(activation(norm(x))))); between stages a convolution of 2 x 2 pixels with that stride; the mean over all
/// pixels; a linear layer. Masks, (batch, height, width) or (batch, height) for whole rows, are read: rows and columns behind the
/// end of an image change nothing; a missing pixel within it counts as zeros for convolutions, and not in the mean. Cost grows with the
/// number of pixels. He et al. (2016), Identity mappings in deep residual networks.
class ConvNetwork final : public SummaryNetwork {
 public:
  explicit ConvNetwork(ConvNetworkOptions options = {});
  void build(const nn::Builder& builder, const SummaryShape& input) override;
  [[nodiscard]] Tensor forward(Tape& tape, const SummaryInput& input) const override;
  [[nodiscard]] std::int64_t summary_dim() const override { return options_.summary_dim; }
  [[nodiscard]] bool takes_mask() const override { return true; }
  [[nodiscard]] std::string to_string() const override;
  [[nodiscard]] const ConvNetworkOptions& options() const { return options_; }

 private:
  struct Block {
    nn::LayerNorm norm;
    nn::Conv2d first, second;
  };
  struct Stage {
    nn::Conv2d enter;
    std::vector<Block> blocks;
  };
  [[nodiscard]] Tensor block(Tape& tape, const Block& b, Tensor x, Tensor mask) const;

  ConvNetworkOptions options_;
  std::vector<Stage> stages_;
  nn::Dense output_;
  std::int64_t channels_ = 0;
};

}  // namespace bayesflow
