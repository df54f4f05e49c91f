#include "bayesflow/networks/split_network.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "networks/composite.hpp"
#include "networks/inputs.hpp"
#include "networks/registry.hpp"

namespace bayesflow {

void SplitOptions::validate() const {
  networks::validate_parts("SplitOptions::networks", networks);
  validate_described(*this, "SplitOptions");
  if (!values.empty() && values.size() != networks.size())
    throw ConfigurationError(fmt::format("SplitOptions::values has {} values for {} networks; give one for each, or none for 0, 1, 2, ...",
                                         values.size(), networks.size()));
  for (std::size_t i = 0; i < values.size(); ++i)
    for (std::size_t k = 0; k < i; ++k)
      if (static_cast<float>(values[i]) == static_cast<float>(values[k]))
        throw ConfigurationError(fmt::format("SplitOptions::values[{}] and [{}] are equal: {}", k, i, values[i]));
}

SplitNetwork::SplitNetwork(SplitOptions options) : options_(std::move(options)) { options_.validate(); }

void SplitNetwork::build(const nn::Builder& builder, const SummaryShape& input) {
  networks::require_observations("SplitNetwork", input.data);
  width_ = input.data[-1];
  column_ = options_.column < 0 ? width_ + options_.column : options_.column;
  if (column_ < 0 || column_ >= width_ || width_ < 2)
    throw ShapeError(
        fmt::format("SplitNetwork: column {} says to which part an observation belongs, and there must be another one; got data of "
                    "shape {}",
                    options_.column, input.data.to_string()));
  SummaryShape inner = input;
  inner.data.set(-1, width_ - 1);
  for (std::size_t i = 0; i < options_.networks.size(); ++i) {
    SummaryNetwork& net = *options_.networks[i].get();
    net.build(builder.scope("parts." + std::to_string(i)), inner);
    if (!net.takes_mask())
      throw ConfigurationError(fmt::format("SplitNetwork: networks[{}] ({}) does not read masks, by which its part is told from the others",
                                           i, net.to_string()));
  }
}

std::int64_t SplitNetwork::summary_dim() const {
  std::int64_t sum = options_.shares ? static_cast<std::int64_t>(options_.networks.size()) : 0;
  for (const SummaryPart& part : options_.networks) sum += part->summary_dim();
  return sum;
}

bool SplitNetwork::takes_times() const {
  return std::ranges::all_of(options_.networks, [](const SummaryPart& part) { return part->takes_times(); });
}

int SplitNetwork::part_of(float value) const {
  for (std::size_t i = 0; i < options_.networks.size(); ++i)
    if (value == (options_.values.empty() ? static_cast<float>(i) : static_cast<float>(options_.values[i]))) return static_cast<int>(i);
  throw ArgumentError(fmt::format("SplitNetwork: an observation has {} in column {}; the parts have {}", value, options_.column,
                                  options_.values.empty() ? fmt::format("0 to {}", options_.networks.size() - 1)
                                                          : fmt::format("{}", fmt::join(options_.values, ", "))));
}

Tensor SplitNetwork::forward(Tape& tape, const SummaryInput& input) const {
  networks::check_observations("SplitNetwork", input, width_);
  const Tensor x = input.data;
  const Shape shape = x.shape().slice(0, -1);
  const std::size_t count = options_.networks.size();
  // In the arena: a training step allocates nothing.
  const auto tensors = [&](std::size_t n) {
    auto* memory = static_cast<Tensor*>(tape.arena().bytes(n * sizeof(Tensor)));
    std::uninitialized_fill_n(memory, n, Tensor());
    return std::span<Tensor>(memory, n);
  };
  const std::span<Tensor> masks = tensors(count), summaries = tensors(count + 1);
  for (Tensor& mask : masks) mask = tape.filled(shape, 0);
  const std::int64_t n = shape[-1], sets = shape.size() / n;
  const auto parts = static_cast<std::int64_t>(count);
  Tensor shares;
  if (options_.shares) shares = tape.filled(networks::with_last(shape, 1, {parts}), 0);
  for (std::int64_t s = 0; s < sets; ++s) {
    float present = 0;
    for (std::int64_t i = s * n; i < (s + 1) * n; ++i) {
      if (input.mask && input.mask.data()[i] == 0) continue;
      const int part = part_of(x.data()[i * width_ + column_]);
      masks[static_cast<std::size_t>(part)].data()[i] = 1;
      if (shares) shares.data()[s * parts + part] += 1;
      ++present;
    }
    for (std::int64_t k = 0; shares && present > 0 && k < parts; ++k) shares.data()[s * parts + k] /= present;
  }
  Tensor rest = ops::columns(x, column_ == 0 ? 1 : 0, column_ == 0 ? width_ : column_);
  if (column_ > 0 && column_ + 1 < width_) {
    const Tensor both[] = {rest, ops::columns(x, column_ + 1, width_)};
    rest = ops::concat(both);
  }
  for (std::size_t i = 0; i < count; ++i) summaries[i] = options_.networks[i]->forward(tape, {rest, masks[i], input.times});
  summaries[count] = shares;
  return ops::concat(summaries.first(count + (shares ? 1 : 0)), -1);
}

void SplitNetwork::make_valid(Array& data) const {
  const std::size_t count = options_.networks.size();
  for (std::int64_t row = 0; row < data.size() / width_; ++row) {
    const std::size_t part = static_cast<std::size_t>(row) % count;
    data.data()[row * width_ + column_] = options_.values.empty() ? static_cast<double>(part) : options_.values[part];
  }
}

std::string SplitNetwork::to_string() const {
  return fmt::format("split by column {}: {}", options_.column, networks::describe_parts(options_.networks, "; "));
}

}  // namespace bayesflow
