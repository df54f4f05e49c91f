#include "bayesflow/networks/graph_options.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <unordered_map>
#include <unordered_set>

#include "networks/composite.hpp"
#include "networks/graph.hpp"
#include "networks/registry.hpp"

namespace bayesflow {
namespace {

using networks::kData;
using networks::kMaxConcat;
using networks::of_equal_shapes;
using networks::refuse;

constexpr std::pair<GraphOp, const char*> kNames[] = {
    {GraphOp::dense, "dense"},       {GraphOp::dropout, "dropout"},       {GraphOp::activation, "activation"},
    {GraphOp::add, "add"},           {GraphOp::subtract, "subtract"},     {GraphOp::multiply, "multiply"},
    {GraphOp::scale, "scale"},       {GraphOp::shift, "shift"},           {GraphOp::concat, "concat"},
    {GraphOp::columns, "columns"},   {GraphOp::flatten, "flatten"},       {GraphOp::mean_pool, "mean_pool"},
    {GraphOp::max_pool, "max_pool"}, {GraphOp::sum_pool, "sum_pool"},     {GraphOp::repeat, "repeat"},
    {GraphOp::equal, "equal"},       {GraphOp::mc_dropout, "mc_dropout"}, {GraphOp::layer_norm, "layer_norm"},
    {GraphOp::conv, "conv"},         {GraphOp::recurrent, "recurrent"},   {GraphOp::attention, "attention"},
    {GraphOp::learnt, "learnt"},     {GraphOp::network, "network"},
};

/// Least and most sources.
std::pair<std::size_t, std::size_t> sources_of(GraphOp op) {
  if (op == GraphOp::concat) return {1, kMaxConcat};
  const std::size_t n = of_equal_shapes(op) || op == GraphOp::repeat || op == GraphOp::attention ? 2 : 1;
  return {n, n};
}

/// Names become names of parameters, in files too.
void check_name(const std::string& name, const char* what) {
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-';
  };
  if (name.empty() || !std::all_of(name.begin(), name.end(), fits))
    throw ConfigurationError(
        fmt::format("GraphNetwork: \"{}\" cannot be the name of a {}; use letters, digits, and the signs _ . -", name, what));
}

void check_settings(const GraphNode& node) {
  const GraphOp op = node.op;
  const auto unread = [&](bool set, const char* setting) {
    if (set) refuse(node, "has {}, which it does not read; leave it as it is", setting);
  };
  const bool drops = op == GraphOp::dropout || op == GraphOp::mc_dropout;
  const bool number = drops || op == GraphOp::scale || op == GraphOp::shift || op == GraphOp::equal;
  unread(!networks::has_layer(op) && !node.layer.empty(), "a layer");
  unread(op != GraphOp::activation && node.activation != Activation::identity, "an activation");
  unread(!number && node.number != 0, "a number");
  unread(op != GraphOp::columns && (node.first != 0 || node.last != 0), "columns");
  unread(op != GraphOp::flatten && op != GraphOp::network && node.axes != 0, "axes");
  if (!std::isfinite(node.number)) refuse(node, "has the number {}; it must be finite", node.number);
  if (drops && !(node.number >= 0 && node.number < 1))
    refuse(node, "has the probability {}; it must be at least 0 and below 1, so that something is kept", node.number);
  if (op == GraphOp::network && node.axes < 0) refuse(node, "has axes = {}; it must not be negative (0: all but the batch)", node.axes);
  if (op == GraphOp::flatten && (node.axes < 0 || node.axes == 1))
    refuse(node, "has axes = {}; join at least 2, or 0 for all but the batch", node.axes);
  const auto [least, most] = sources_of(op);
  if (node.sources.size() < least || node.sources.size() > most)
    refuse(node, "needs {} source{}; got {}", least == most ? std::to_string(least) : fmt::format("{} to {}", least, most),
           most == 1 ? "" : "s", node.sources.size());
}

}  // namespace

const char* to_string(GraphOp op) {
  for (const auto& [value, name] : kNames)
    if (value == op) return name;
  return "";
}

GraphOp graph_op_from(const std::string& name) {
  std::string known;
  for (const auto& [value, text] : kNames) {
    if (name == text) return value;
    known += known.empty() ? "" : ", ";
    known += text;
  }
  throw ConfigurationError(fmt::format("GraphNetwork: there is no operation \"{}\"; use one of: {}", name, known));
}

EnumNames<GraphOp> names_of(GraphOp) { return detail::names_up_to(GraphOp::network); }

namespace networks {

bool has_layer(GraphOp op) { return op == GraphOp::dense || op >= GraphOp::layer_norm; }

std::vector<std::string> layer_names(const GraphOptions& o, GraphOp op) {
  std::vector<std::string> out;
  const auto add = [&](const auto& layers) {
    for (const auto& layer : layers) out.push_back(layer.name);
  };
  switch (op) {
    case GraphOp::dense:
      add(o.layers);
      break;
    case GraphOp::layer_norm:
      add(o.norms);
      break;
    case GraphOp::conv:
      add(o.convolutions);
      break;
    case GraphOp::recurrent:
      add(o.recurrents);
      break;
    case GraphOp::attention:
      add(o.attentions);
      break;
    case GraphOp::learnt:
      add(o.learnt);
      break;
    case GraphOp::network:
      out = o.network_names;
      break;
    default:
      break;
  }
  return out;
}

}  // namespace networks

namespace {

std::string layer_label(const std::string& name) { return fmt::format("GraphNetwork: layer \"{}\"", name); }

void check_layers(const GraphOptions& o) {
  std::unordered_set<std::string> all;
  for (const auto& [op, text] : kNames)
    for (const std::string& name : networks::layer_names(o, op)) {
      check_name(name, "layer");
      if (!all.insert(name).second) throw ConfigurationError(fmt::format("GraphNetwork: two layers are named \"{}\"", name));
    }
  for (const GraphLayer& layer : o.layers) layer.dense.validate(layer_label(layer.name).c_str());
  for (const GraphConvolution& c : o.convolutions) {
    const std::string label = layer_label(c.name);
    validate_described(c, label.c_str());
    if (c.size.empty() || c.size.size() > 2)
      throw ConfigurationError(fmt::format("{}: size has {} numbers; it needs one for series, or height and width", label, c.size.size()));
    if (c.causal && c.size.size() == 2) throw ConfigurationError(fmt::format("{} is causal, which images are not", label));
    constexpr std::int64_t kWidest = std::int64_t{1} << 20;
    for (const std::int64_t size : c.size)
      if (size > kWidest || c.dilation > kWidest || (size - 1) * c.dilation > kWidest)
        throw ConfigurationError(fmt::format("{}: its window spans more than {} entries", label, kWidest));
  }
  for (const GraphRecurrent& r : o.recurrents) validate_described(r, layer_label(r.name).c_str());
  for (const GraphAttention& a : o.attentions) validate_described(a, layer_label(a.name).c_str());
  for (const GraphWeights& w : o.learnt) {
    validate_described(w, layer_label(w.name).c_str());
    if (w.initializer == nn::Initializer::identity || w.initializer == nn::Initializer::orthogonal)
      throw ConfigurationError(
          fmt::format("{}: initializer = {}, which is for kernels", layer_label(w.name), nn::to_string(w.initializer)));
  }
  if (o.networks.size() != o.network_names.size())
    throw ConfigurationError(
        fmt::format("GraphNetwork: there are {} networks and {} names of them", o.networks.size(), o.network_names.size()));
  if (!o.networks.empty()) networks::validate_parts("GraphOptions::networks", o.networks);
}

}  // namespace

void GraphOptions::validate() const {
  if (nodes.empty()) throw ConfigurationError("GraphNetwork: there are no nodes; the last one is the summary");
  check_layers(*this);
  std::unordered_map<GraphOp, std::unordered_set<std::string>> known_layers;
  for (const auto& [op, text] : kNames)
    for (const std::string& name : networks::layer_names(*this, op)) known_layers[op].insert(name);
  auto unused_layers = known_layers;
  std::unordered_set<std::string> all;
  for (const GraphNode& node : nodes) {
    check_name(node.name, "node");
    if (node.name == kData) throw ConfigurationError("GraphNetwork: no node may be named \"data\", which is the network's input");
    if (!all.insert(node.name).second) throw ConfigurationError(fmt::format("GraphNetwork: two nodes are named \"{}\"", node.name));
  }
  std::unordered_set<std::string> before = {kData}, unused;
  for (const GraphNode& node : nodes) {
    check_settings(node);
    for (const std::string& source : node.sources) {
      if (!before.contains(source))
        refuse(node, "reads \"{}\", {}", source,
               all.contains(source) ? "which does not come before it; nodes see only \"data\" and the nodes before them"
                                    : "but there is no node of that name");
      unused.erase(source);
    }
    if (networks::has_layer(node.op)) {
      if (!known_layers[node.op].contains(node.layer))
        refuse(node, "has the layer \"{}\", but there is no layer of that name{}", node.layer,
               node.op == GraphOp::dense ? "" : fmt::format(" for {}", to_string(node.op)));
      unused_layers[node.op].erase(node.layer);
    }
    before.insert(node.name);
    unused.insert(node.name);
  }
  unused.erase(nodes.back().name);
  for (const GraphNode& node : nodes)
    if (unused.contains(node.name)) refuse(node, "is used by no other node, and is not the last, which is the summary");
  for (const auto& [op, text] : kNames)
    for (const std::string& name : networks::layer_names(*this, op))
      if (unused_layers[op].contains(name)) throw ConfigurationError(fmt::format("GraphNetwork: no node uses the layer \"{}\"", name));
}

}  // namespace bayesflow
