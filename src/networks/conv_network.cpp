#include "bayesflow/networks/conv_network.hpp"

#include <fmt/format.h>

#include "networks/inputs.hpp"

namespace bayesflow {

void ConvNetworkOptions::validate() const {
  validate_described(*this, "ConvNetworkOptions");
  if (filters.empty())
    throw ConfigurationError("ConvNetworkOptions::filters is empty; it must have the number of filters of at least one stage");
}

ConvNetwork::ConvNetwork(ConvNetworkOptions options) : options_(std::move(options)) { options_.validate(); }

void ConvNetwork::build(const nn::Builder& builder, const SummaryShape& input) {
  if (input.data.rank() != 4)
    throw ShapeError(
        fmt::format("ConvNetwork: needs data of shape (batch, height, width, channels); got {}. Images of one channel need an "
                    "axis of extent 1 at the end",
                    input.data.to_string()));
  channels_ = input.data[-1];
  std::int64_t width = channels_;
  const auto same = [&](std::int64_t filters, std::int64_t size, std::int64_t stride) {
    return nn::Conv2d({.filters = filters, .size = {size, size}, .window = {.stride = {stride, stride}, .padding = ops::Padding::same}});
  };
  stages_.assign(options_.filters.size(), {});
  for (std::size_t i = 0; i < stages_.size(); ++i) {
    const nn::Builder at = builder.scope("stages." + std::to_string(i));
    const std::int64_t filters = options_.filters[i];
    Stage& stage = stages_[i];
    // Of an even size: what lies in front of an image does not depend on the image's size.
    stage.enter = i == 0 ? same(filters, options_.kernel_size, 1) : same(filters, 2, 2);
    stage.enter.build(at.scope("enter"), width);
    width = filters;
    stage.blocks.assign(static_cast<std::size_t>(options_.blocks_per_stage), {});
    for (std::size_t k = 0; k < stage.blocks.size(); ++k) {
      const nn::Builder inside = at.scope("blocks." + std::to_string(k));
      Block& b = stage.blocks[k];
      if (options_.use_layer_norm) b.norm.build(inside.scope("norm"), width);
      b.first = b.second = same(width, options_.kernel_size, 1);
      b.first.build(inside.scope("first"), width);
      b.second.build(inside.scope("second"), width);
    }
  }
  output_ = nn::Dense({.units = options_.summary_dim, .activation = Activation::identity});
  output_.build(builder.scope("output"), width);
}

Tensor ConvNetwork::block(Tape& tape, const Block& b, Tensor x, Tensor mask) const {
  const auto convolve = [&](const nn::Conv2d& layer, Tensor h) {
    h = ops::activate(h, options_.activation);
    return layer(tape, mask ? ops::mask_rows(h, mask) : h);
  };
  const Tensor h = options_.use_layer_norm ? b.norm(tape, x) : x;
  return ops::add(x, convolve(b.second, convolve(b.first, h)));
}

Tensor ConvNetwork::forward(Tape& tape, const SummaryInput& input) const {
  Tensor x = input.data, mask = input.mask;
  if (x.rank() != 4 || x.cols() != channels_ || x.dim(1) < 1 || x.dim(2) < 1)
    throw ShapeError(fmt::format("ConvNetwork: was built for data (batch, height, width, {}); got {}", channels_, x.shape().to_string()));
  if (mask) {
    const Shape pixels = x.shape().slice(0, 3);
    if (mask.shape() == pixels.slice(0, 2)) mask = ops::broadcast(ops::reshape(mask, {x.dim(0), x.dim(1), 1}), pixels);
    if (mask.shape() != pixels)
      throw ShapeError(fmt::format("ConvNetwork: a mask of shape {} does not go with data of shape {}; it must be {}, or {} for whole rows",
                                   mask.shape().to_string(), x.shape().to_string(), pixels.to_string(), pixels.slice(0, 2).to_string()));
  }
  for (std::size_t i = 0; i < stages_.size(); ++i) {
    if (mask) x = ops::mask_rows(x, mask);
    x = stages_[i].enter(tape, x);
    if (i > 0 && mask) mask = networks::halved(tape, networks::halved(tape, mask, 1), 2);
    for (const Block& b : stages_[i].blocks) x = block(tape, b, x, mask);
  }
  const Tensor pixels = ops::reshape(x, {x.dim(0), x.dim(1) * x.dim(2), x.cols()});
  return output_(tape, mask ? ops::mean_pool(pixels, ops::reshape(mask, {x.dim(0), x.dim(1) * x.dim(2)})) : ops::mean_pool(pixels));
}

std::string ConvNetwork::to_string() const {
  return fmt::format("convolutional network with {} stages of {} residual blocks, {} summaries", options_.filters.size(),
                     options_.blocks_per_stage, options_.summary_dim);
}

}  // namespace bayesflow
