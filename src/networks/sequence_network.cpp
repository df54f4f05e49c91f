#include "bayesflow/networks/sequence_network.hpp"

#include <fmt/format.h>

#include <array>

#include "networks/inputs.hpp"

namespace bayesflow {

namespace {
constexpr std::int64_t kMostSizes = 8;  // that ops::concat joins
}

void SequenceNetworkOptions::validate() const {
  validate_described(*this, "SequenceNetworkOptions");
  const std::int64_t sizes = conv.max_kernel_size - conv.min_kernel_size + 1;
  if (sizes < 1 || sizes > kMostSizes)
    throw ConfigurationError(fmt::format("SequenceNetworkOptions::conv: kernels of the sizes {} to {}; there must be 1 to {} sizes",
                                         conv.min_kernel_size, conv.max_kernel_size, kMostSizes));
}

SequenceNetwork::SequenceNetwork(SequenceNetworkOptions options) : options_(options) { options_.validate(); }

void SequenceNetwork::build(const nn::Builder& builder, const SummaryShape& input) {
  networks::require_observations("SequenceNetwork", input.data);
  width_ = input.data[-1];
  std::int64_t width = width_;
  const MultiConvOptions& conv = options_.conv;
  const auto layer = [&](std::int64_t size) {
    return nn::Conv1d({.filters = conv.filters, .size = size, .window = {.padding = ops::Padding::causal}, .activation = conv.activation});
  };
  levels_.assign(static_cast<std::size_t>(options_.num_conv_layers), {});
  for (std::size_t i = 0; i < levels_.size(); ++i) {
    const nn::Builder at = builder.scope("convolutions." + std::to_string(i));
    Level& level = levels_[i];
    for (std::int64_t size = conv.min_kernel_size; size <= conv.max_kernel_size; ++size) {
      level.branches.push_back(layer(size));
      level.branches.back().build(at.scope("branches." + std::to_string(level.branches.size() - 1)), width);
    }
    level.reduce = layer(1);
    level.reduce.build(at.scope("reduce"), static_cast<std::int64_t>(level.branches.size()) * conv.filters);
    width = conv.filters;
  }
  recurrent_ = nn::LastState(nn::CellKind::lstm, options_.lstm_units, options_.bidirectional);
  recurrent_.build(builder.scope("recurrent"), width);
  output_ = nn::Dense({.units = options_.summary_dim, .activation = Activation::identity});
  output_.build(builder.scope("output"), recurrent_.width());
}

Tensor SequenceNetwork::forward(Tape& tape, const SummaryInput& input) const {
  networks::check_observations("SequenceNetwork", input, width_);
  Tensor x = input.data;
  for (const Level& level : levels_) {
    std::array<Tensor, kMostSizes> parts;
    std::size_t count = 0;
    if (input.mask) x = ops::mask_rows(x, input.mask);
    for (const nn::Conv1d& branch : level.branches) parts[count++] = branch(tape, x);
    x = level.reduce(tape, ops::concat(std::span<const Tensor>(parts.data(), count)));
  }
  return output_(tape, recurrent_(tape, x, input.mask));
}

std::string SequenceNetwork::to_string() const {
  return fmt::format("sequence network with {} convolutional layers, {}LSTM of {} units, {} summaries", options_.num_conv_layers,
                     options_.bidirectional ? "bidirectional " : "", options_.lstm_units, options_.summary_dim);
}

}  // namespace bayesflow
