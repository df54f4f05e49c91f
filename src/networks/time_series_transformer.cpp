#include "bayesflow/networks/time_series_transformer.hpp"

#include <fmt/format.h>

#include <cmath>
#include <numbers>

#include "networks/inputs.hpp"

namespace bayesflow {

void TimeSeriesTransformerOptions::validate() const {
  validate_described(*this, "TimeSeriesTransformerOptions");
  if (time_encoding.longest_period < time_encoding.shortest_period)
    throw ConfigurationError(
        fmt::format("TimeSeriesTransformerOptions::time_encoding::longest_period = {}; it must be at least shortest_period = {}",
                    time_encoding.longest_period, time_encoding.shortest_period));
}

TimeSeriesTransformer::TimeSeriesTransformer(TimeSeriesTransformerOptions options) : options_(options) { options_.validate(); }

void TimeSeriesTransformer::build(const nn::Builder& builder, const SummaryShape& input) {
  networks::require_observations("TimeSeriesTransformer", input.data, options_.input_dim);
  width_ = input.data[-1];
  has_times_ = input.has_times && options_.time_encoding.enabled;
  const std::int64_t width = width_ + options_.time_encoding.width();
  const nn::AttentionBlockOptions block{options_.attention, options_.dense, options_.num_dense_fc, options_.use_layer_norm};
  blocks_.assign(static_cast<std::size_t>(options_.num_attention_blocks), nn::AttentionBlock(block));
  for (std::size_t i = 0; i < blocks_.size(); ++i)
    blocks_[i].build(builder.scope("attention_blocks." + std::to_string(i) + ".mab"), width, width);
  template_ = nn::LastState(options_.template_type, options_.template_dim, options_.bidirectional);
  template_.build(builder.scope("template"), width);
  last_ = nn::AttentionBlock(block);
  last_.build(builder.scope("output_attention"), template_.width(), width);
  output_ = nn::Dense({.units = options_.summary_dim, .activation = Activation::identity});
  output_.build(builder.scope("output"), template_.width());
}

Tensor TimeSeriesTransformer::encode_times(Tape& tape, const SummaryInput& input) const {
  const TimeEncodingOptions& o = options_.time_encoding;
  const Tensor times = input.times ? input.times : networks::positions(tape, input);
  const std::int64_t width = o.width(), rows = times.size();
  Shape shape = times.shape();
  shape.push_back(width);
  Tensor out = tape.filled(shape, 0);
  for (std::int64_t f = 0; f < o.frequencies; ++f) {
    const double share = o.frequencies > 1 ? static_cast<double>(f) / static_cast<double>(o.frequencies - 1) : 0.0;
    const double factor = 2 * std::numbers::pi / (o.shortest_period * std::pow(o.longest_period / o.shortest_period, share));
    for (std::int64_t i = 0; i < rows; ++i) {
      const double angle = factor * static_cast<double>(times.data()[i]);
      out.data()[i * width + 1 + 2 * f] = static_cast<float>(std::sin(angle));
      out.data()[i * width + 2 + 2 * f] = static_cast<float>(std::cos(angle));
    }
  }
  for (std::int64_t i = 0; i < rows; ++i)
    out.data()[i * width] = static_cast<float>(static_cast<double>(times.data()[i]) / o.longest_period);
  return out;
}

Tensor TimeSeriesTransformer::forward(Tape& tape, const SummaryInput& input) const {
  networks::check_observations("TimeSeriesTransformer", input, width_);
  networks::check_times("TimeSeriesTransformer", input, has_times_);
  Tensor x = input.data;
  if (options_.time_encoding.enabled) {
    const Tensor both[] = {x, encode_times(tape, input)};
    x = ops::concat(both);
  }
  if (input.mask) x = ops::mask_rows(x, input.mask);
  Tensor seen = x;
  for (const nn::AttentionBlock& block : blocks_) seen = block(tape, seen, seen, input.mask);
  const Tensor state = template_(tape, x, input.mask);
  const Tensor query = ops::reshape(state, networks::with_last(state.shape(), 1, {1, state.cols()}));
  return output_(tape, ops::reshape(last_(tape, query, seen, input.mask), state.shape()));
}

std::string TimeSeriesTransformer::to_string() const {
  return fmt::format("time series transformer with {} attention blocks of {} heads, {}{} template of {} units, {} summaries",
                     options_.num_attention_blocks, options_.attention.num_heads, options_.bidirectional ? "bidirectional " : "",
                     options_.template_type == nn::CellKind::lstm ? "LSTM" : "GRU", options_.template_dim, options_.summary_dim);
}

}  // namespace bayesflow
