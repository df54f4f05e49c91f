#include "bayesflow/networks/time_series_network.hpp"

#include <fmt/format.h>

#include "networks/inputs.hpp"

namespace bayesflow {
namespace {

/// The time since the observation before, (..., T, 1); 0 for the first of a series.
Tensor time_steps(Tape& tape, const SummaryInput& input) {
  const Tensor times = input.times;
  Shape shape = times.shape();
  const std::int64_t n = shape[-1];
  shape.push_back(1);
  Tensor out = tape.filled(shape, 0);
  for (std::int64_t s = 0; s < times.size() / n; ++s) {
    std::int64_t before = -1;
    for (std::int64_t i = s * n; i < (s + 1) * n; ++i) {
      if (input.mask && input.mask.data()[i] == 0) continue;
      if (before >= 0) out.data()[i] = times.data()[i] - times.data()[before];
      before = i;
    }
  }
  return out;
}

}  // namespace

void TimeSeriesNetworkOptions::validate() const { validate_described(*this, "TimeSeriesNetworkOptions"); }

TimeSeriesNetwork::TimeSeriesNetwork(TimeSeriesNetworkOptions options) : options_(options) { options_.validate(); }

void TimeSeriesNetwork::build(const nn::Builder& builder, const SummaryShape& input) {
  networks::require_observations("TimeSeriesNetwork", input.data);
  width_ = input.data[-1];
  has_times_ = input.has_times;
  std::int64_t width = width_ + (has_times_ ? 1 : 0);
  convolutions_.assign(static_cast<std::size_t>(options_.num_conv_layers), nn::Conv1d({.filters = options_.filters,
                                                                                       .size = options_.kernel_size,
                                                                                       .window = {.padding = ops::Padding::same},
                                                                                       .activation = options_.activation}));
  for (std::size_t i = 0; i < convolutions_.size(); ++i) {
    convolutions_[i].build(builder.scope("convolutions." + std::to_string(i)), width);
    width = options_.filters;
  }
  recurrent_ = nn::LastState(options_.recurrent_type, options_.recurrent_dim, options_.bidirectional);
  recurrent_.build(builder.scope("recurrent"), width);
  output_ = nn::Dense({.units = options_.summary_dim, .activation = Activation::identity});
  output_.build(builder.scope("output"), recurrent_.width() + (options_.mean ? width : 0));
}

Tensor TimeSeriesNetwork::forward(Tape& tape, const SummaryInput& input) const {
  networks::check_observations("TimeSeriesNetwork", input, width_);
  networks::check_times("TimeSeriesNetwork", input, has_times_);
  Tensor x = input.data, mask = input.mask;
  if (has_times_) {
    const Tensor both[] = {x, time_steps(tape, input)};
    x = ops::concat(both);
  }
  const ops::WindowOptions pairs{.stride = 2, .padding = ops::Padding::same};
  for (const nn::Conv1d& convolution : convolutions_) {
    x = convolution(tape, x, mask);
    if (!options_.halve) continue;
    x = ops::mean_pool_1d(x, 2, pairs, mask);
    if (mask) mask = networks::halved(tape, mask, mask.rank() - 1);
  }
  const Tensor state = recurrent_(tape, x, mask);
  if (!options_.mean) return output_(tape, state);
  const Tensor both[] = {state, mask ? ops::mean_pool(x, mask) : ops::mean_pool(x)};
  return output_(tape, ops::concat(both));
}

std::string TimeSeriesNetwork::to_string() const {
  return fmt::format("time series network with {} convolutional layers, {}{} of {} units, {} summaries", options_.num_conv_layers,
                     options_.bidirectional ? "bidirectional " : "", options_.recurrent_type == nn::CellKind::lstm ? "LSTM" : "GRU",
                     options_.recurrent_dim, options_.summary_dim);
}

}  // namespace bayesflow
