#include "bayesflow/networks/inference_network.hpp"

#include <algorithm>

#include "bayesflow/core/errors.hpp"

namespace bayesflow {

void DrawStreams::fill(Tensor values, const std::function<void(Rng&, std::span<float>, std::int64_t)>& fill) {
  const std::int64_t width = values.cols();
  if (values.size() != rows_ * width)
    throw ShapeError("DrawStreams::fill: the values must have one row for each draw; got shape " + values.shape().to_string());
  for (std::size_t block = 0; block < streams_.size(); ++block) {
    const std::int64_t first = static_cast<std::int64_t>(block) * kBlock, count = std::min(kBlock, rows_ - first);
    fill(streams_[block], {values.data() + first * width, static_cast<std::size_t>(count * width)}, width);
  }
}

Tensor InferenceNetwork::sample(Tape& /*tape*/, DrawStreams& /*streams*/, Tensor /*condition*/) const {
  throw ConfigurationError("this inference network makes no draws; use one that does (InvertibleNetwork)");
}

Tensor InferenceNetwork::log_density(Tape& /*tape*/, Tensor /*targets*/, Tensor /*condition*/) const {
  throw ConfigurationError("this inference network has no density; use one that has (InvertibleNetwork)");
}

Tensor InferenceNetwork::outputs(Tape& /*tape*/, Tensor /*condition*/) const {
  throw ConfigurationError("this inference network has no outputs beside densities and draws; use one that has (PMPNetwork, PointNetwork)");
}

Plan InferenceNetwork::plan(const Shape& targets) const { return plan_rows(targets[0], rows_per_item(targets)); }

Tensor NormalizingFlow::loss(Tape& tape, Tensor targets, Tensor condition) const {
  return ops::scale(log_density(tape, targets, condition), -1.0f);
}

Tensor NormalizingFlow::sample(Tape& tape, DrawStreams& streams, Tensor condition) const {
  Tensor z = tape.filled({1, streams.rows(), target_width()}, 0);
  streams.fill(z, latent_.sample);
  return inverse(tape, z, condition);
}

Tensor NormalizingFlow::log_density(Tape& tape, Tensor targets, Tensor condition) const {
  const ops::Transformed f = forward(tape, targets, condition);
  return ops::add(latent_.log_density(f.value), f.log_det);
}

}  // namespace bayesflow
