#include "bayesflow/networks/fusion_network.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "networks/composite.hpp"
#include "networks/registry.hpp"

namespace bayesflow {

namespace {
constexpr std::size_t kLongestName = 28;  // in the name of a role
}

void FusionOptions::validate() const {
  networks::validate_parts("FusionOptions::networks", networks);
  validate_described(*this, "FusionOptions");
  constexpr std::size_t kMost = SummaryInput::kMostSources;
  if (networks.size() > kMost)
    throw ConfigurationError(fmt::format("FusionOptions: there are {} sources; there may be {}", networks.size(), kMost));
  if (sources.size() != networks.size())
    throw ConfigurationError(fmt::format("FusionOptions: {} sources for {} networks; each network needs the name of its source",
                                         sources.size(), networks.size()));
  const auto plain = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'; };
  for (std::size_t i = 0; i < sources.size(); ++i) {
    if (sources[i].empty() || sources[i].size() > kLongestName || !std::ranges::all_of(sources[i], plain))
      throw ConfigurationError(fmt::format("FusionOptions::sources[{}] is \"{}\"; a name has 1 to {} letters, digits and underscores", i,
                                           sources[i], kLongestName));
    for (std::size_t k = 0; k < i; ++k)
      if (sources[k] == sources[i])
        throw ConfigurationError(fmt::format("FusionOptions::sources[{}] and [{}] are both \"{}\"", k, i, sources[i]));
  }
}

FusionNetwork::FusionNetwork(FusionOptions options) : options_(std::move(options)) {
  options_.validate();
  if (!options_.merge) return;
  std::vector<DenseOptions> layers(static_cast<std::size_t>(options_.merge->num_dense), options_.merge->dense);
  layers.push_back({.units = options_.merge->summary_dim, .activation = Activation::identity});
  merge_ = nn::Mlp(layers);
}

/// Says of which source an error of its network is.
template <class F>
void FusionNetwork::of_source(std::size_t i, F&& work) const {
  try {
    work();
  } catch (const ShapeError& error) {
    throw ShapeError(fmt::format("FusionNetwork: the source {}: {}", options_.sources[i], error.what()));
  }
}

void FusionNetwork::build(const nn::Builder& builder, const SummaryShape& input) {
  if (input.sources.size() != options_.networks.size())
    throw ShapeError(fmt::format("FusionNetwork: reads {} sources; got {}{}", options_.networks.size(), input.sources.size(),
                                 input.data.rank() > 0 ? ", and data " + input.data.to_string() : ""));
  for (std::size_t i = 0; i < options_.networks.size(); ++i)
    of_source(i, [&] { options_.networks[i]->build(builder.scope("sources." + options_.sources[i]), input.sources[i]); });
  if (options_.merge) merge_.build(builder.scope("merge"), width());
}

Tensor FusionNetwork::forward(Tape& tape, const SummaryInput& input) const {
  const std::size_t count = options_.networks.size();
  if (input.sources.size() != count) {
    const Tensor x = input.data;
    throw ShapeError(fmt::format("FusionNetwork: reads {} sources; got {}{}", count, input.sources.size(),
                                 x ? ", and data " + x.shape().to_string() : ""));
  }
  auto* summaries = static_cast<Tensor*>(tape.arena().bytes(count * sizeof(Tensor)));  // not the heap: see HACKING.md
  std::uninitialized_fill_n(summaries, count, Tensor());
  for (std::size_t i = 0; i < count; ++i) {
    const SummaryInput& source = input.sources[i];
    const Tensor first = input.sources[0].data;
    if (source.data.dim(0) != first.dim(0))
      throw ShapeError(fmt::format("FusionNetwork: the source {} has {} data sets, and {} has {}; they must be of the same data sets",
                                   options_.sources[i], source.data.dim(0), options_.sources[0], first.dim(0)));
    const SummaryNetwork& net = *options_.networks[i].get();
    const auto refuse = [&](const char* what) {
      throw ConfigurationError(fmt::format("FusionNetwork: the network of the source {} ({}) reads no {}; leave them out",
                                           options_.sources[i], net.to_string(), what));
    };
    if (source.mask && !net.takes_mask()) refuse("masks");
    if (source.times && !net.takes_times()) refuse("times");
    of_source(i, [&] { summaries[i] = net.forward(tape, source); });
  }
  const Tensor all = ops::concat(std::span<const Tensor>(summaries, count), -1);
  return options_.merge ? merge_(tape, all) : all;
}

std::int64_t FusionNetwork::width() const {
  std::int64_t sum = 0;
  for (const SummaryPart& part : options_.networks) sum += part->summary_dim();
  return sum;
}
std::int64_t FusionNetwork::summary_dim() const { return options_.merge ? options_.merge->summary_dim : width(); }

bool FusionNetwork::takes_mask() const {
  return std::ranges::any_of(options_.networks, [](const SummaryPart& part) { return part->takes_mask(); });
}
bool FusionNetwork::takes_times() const {
  return std::ranges::any_of(options_.networks, [](const SummaryPart& part) { return part->takes_times(); });
}

std::string FusionNetwork::to_string() const {
  std::string out;
  for (std::size_t i = 0; i < options_.sources.size(); ++i)
    out += fmt::format("{}{}: {}", i ? "; " : "", options_.sources[i], options_.networks[i]->to_string());
  return fmt::format("{} sources, {}{}", options_.sources.size(), out,
                     options_.merge ? fmt::format("; merged into {} summaries", options_.merge->summary_dim) : "");
}

void FusionNetwork::update_state() {
  SummaryNetwork::update_state();
  merge_.update_state();
}

}  // namespace bayesflow
