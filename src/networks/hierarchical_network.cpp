#include "bayesflow/networks/hierarchical_network.hpp"

#include <fmt/format.h>

#include <memory>

#include "networks/composite.hpp"
#include "networks/inputs.hpp"
#include "networks/registry.hpp"

namespace bayesflow {

using networks::folded;

void HierarchicalOptions::validate() const {
  networks::validate_parts("HierarchicalOptions::networks", networks);
  validate_described(*this, "HierarchicalOptions");
}

HierarchicalNetwork::HierarchicalNetwork(HierarchicalOptions options) : options_(std::move(options)) { options_.validate(); }

void HierarchicalNetwork::build(const nn::Builder& builder, const SummaryShape& input) {
  if (input.data.rank() < levels() + 2)
    throw ShapeError(
        fmt::format("HierarchicalNetwork: {} levels need data with {} axes of groups and observations, (batch, ..., "
                    "observations, width); got {}",
                    levels(), levels(), input.data.to_string()));
  input_ = input.data;
  Shape shape = input_;  // of what a level sees
  for (int level = 0; level < levels(); ++level) {
    SummaryNetwork& net = *options_.networks[static_cast<std::size_t>(level)].get();
    const int axes = levels() - level;  // the batch, and groups of which each is a data set of this level
    net.build(builder.scope("levels." + std::to_string(level)), {folded(shape, axes), level == 0 && input.has_times});
    shape = shape.slice(0, axes);
    shape.push_back(net.summary_dim());
  }
}

void HierarchicalNetwork::forward_all(Tape& tape, const SummaryInput& input, std::span<Tensor> out) const {
  Tensor x = input.data, mask = input.mask;
  bool fits = x.rank() == input_.rank() && x.cols() == input_[-1];
  for (int axis = 1; fits && axis < x.rank(); ++axis) fits = x.dim(axis) > 0;
  if (!fits)
    throw ShapeError(fmt::format("HierarchicalNetwork: was built for data of shape {}, where all but the last axis may differ; got {}",
                                 input_.to_string(), x.shape().to_string()));
  const int deepest = x.rank() - 1;
  if (mask && (mask.rank() < 2 || mask.rank() > deepest || mask.shape() != x.shape().slice(0, mask.rank())))
    throw ShapeError(
        fmt::format("HierarchicalNetwork: a mask of shape {} does not go with data of shape {}; it must have two or more of its "
                    "leading axes, and not the last",
                    mask.shape().to_string(), x.shape().to_string()));
  if (input.times && input.times.shape() != x.shape().slice(0, levels() + 1))
    throw ShapeError(
        fmt::format("HierarchicalNetwork: times of shape {} do not go with data of shape {}; they must be {}, of the lowest "
                    "level's observations",
                    input.times.shape().to_string(), x.shape().to_string(), x.shape().slice(0, levels() + 1).to_string()));
  // Masks of the axis on which a level acts; that of a group is whether any of it is there.
  for (int level = 0; level < levels(); ++level) {
    const int axes = levels() - level;
    Tensor present;
    if (mask) {
      // Of the lowest level, masks may have more axes: those of pixels.
      while (mask.rank() > axes + 1 && level > 0) mask = networks::any_of_last(tape, mask);
      if (mask.rank() > axes)
        present = ops::reshape(mask, folded(mask.shape(), axes));
      else {  // groups that are not there give nothing that is read later; whatever they hold is replaced, so that it stays finite
        Shape flat = mask.shape();
        flat.push_back(x.size() / mask.size());
        x = ops::reshape(ops::mask_rows(ops::reshape(x, flat), mask), x.shape());
      }
    }
    const Tensor times = level == 0 && input.times ? ops::reshape(input.times, folded(input.times.shape(), axes)) : Tensor();
    const Tensor y =
        options_.networks[static_cast<std::size_t>(level)]->forward(tape, {ops::reshape(x, folded(x.shape(), axes)), present, times});
    Shape shape = x.shape().slice(0, axes);
    shape.push_back(y.cols());
    out[static_cast<std::size_t>(level)] = x = ops::reshape(y, shape);
  }
}

Tensor HierarchicalNetwork::forward(Tape& tape, const SummaryInput& input) const {
  const auto count = static_cast<std::size_t>(levels());
  auto* memory = static_cast<Tensor*>(tape.arena().bytes(count * sizeof(Tensor)));  // not the heap: see HACKING.md
  std::uninitialized_fill_n(memory, count, Tensor());
  forward_all(tape, input, {memory, count});
  return memory[count - 1];
}

std::int64_t HierarchicalNetwork::summary_dim() const { return options_.networks.back()->summary_dim(); }

bool HierarchicalNetwork::takes_mask() const {
  for (const SummaryPart& part : options_.networks)
    if (!part->takes_mask()) return false;
  return true;
}
bool HierarchicalNetwork::takes_times() const { return options_.networks.front()->takes_times(); }

std::string HierarchicalNetwork::to_string() const {
  return fmt::format("{} levels: {}", levels(), networks::describe_parts(options_.networks, "; then "));
}

}  // namespace bayesflow
