#include "bayesflow/networks/graph_network.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "autodiff/ops/mean_of_chain.hpp"
#include "bayesflow/core/errors.hpp"

namespace bayesflow {
namespace {

constexpr const char* kData = "data";
constexpr std::size_t kMaxChain = 8;   // of ops::dense_chain
constexpr std::size_t kMaxConcat = 8;  // of ops::concat
constexpr std::int64_t kMaxWidth = std::int64_t{1} << 31;

constexpr std::pair<GraphOp, const char*> kNames[] = {
    {GraphOp::dense, "dense"},       {GraphOp::dropout, "dropout"},   {GraphOp::activation, "activation"},
    {GraphOp::add, "add"},           {GraphOp::subtract, "subtract"}, {GraphOp::multiply, "multiply"},
    {GraphOp::scale, "scale"},       {GraphOp::shift, "shift"},       {GraphOp::concat, "concat"},
    {GraphOp::columns, "columns"},   {GraphOp::flatten, "flatten"},   {GraphOp::mean_pool, "mean_pool"},
    {GraphOp::max_pool, "max_pool"}, {GraphOp::sum_pool, "sum_pool"}, {GraphOp::repeat, "repeat"},
};

bool pools(GraphOp op) { return op == GraphOp::mean_pool || op == GraphOp::max_pool || op == GraphOp::sum_pool; }
bool of_equal_shapes(GraphOp op) { return op == GraphOp::add || op == GraphOp::subtract || op == GraphOp::multiply; }

/// Least and most sources.
std::pair<std::size_t, std::size_t> sources_of(GraphOp op) {
  if (op == GraphOp::concat) return {1, kMaxConcat};
  const std::size_t n = of_equal_shapes(op) || op == GraphOp::repeat ? 2 : 1;
  return {n, n};
}

std::string label(const GraphNode& node) { return fmt::format("GraphNetwork: node \"{}\" ({})", node.name, to_string(node.op)); }

template <class... Args>
[[noreturn]] void refuse(const GraphNode& node, fmt::format_string<Args...> text, Args&&... args) {
  throw ConfigurationError(label(node) + " " + fmt::format(text, std::forward<Args>(args)...));
}
template <class... Args>
[[noreturn]] void refuse_shape(const GraphNode& node, fmt::format_string<Args...> text, Args&&... args) {
  throw ShapeError(label(node) + " " + fmt::format(text, std::forward<Args>(args)...));
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
  const bool number = op == GraphOp::dropout || op == GraphOp::scale || op == GraphOp::shift;
  unread(op != GraphOp::dense && !node.layer.empty(), "a layer");
  unread(op != GraphOp::activation && node.activation != Activation::identity, "an activation");
  unread(!number && node.number != 0, "a number");
  unread(op != GraphOp::columns && (node.first != 0 || node.last != 0), "columns");
  unread(op != GraphOp::flatten && node.axes != 0, "axes");
  if (!std::isfinite(node.number)) refuse(node, "has the number {}; it must be finite", node.number);
  if (op == GraphOp::dropout && !(node.number >= 0 && node.number < 1))
    refuse(node, "has the probability {}; it must be at least 0 and below 1, so that something is kept", node.number);
  if (op == GraphOp::flatten && (node.axes < 0 || node.axes == 1))
    refuse(node, "has axes = {}; join at least 2, or 0 for all but the batch", node.axes);
  const auto [least, most] = sources_of(op);
  if (node.sources.size() < least || node.sources.size() > most)
    refuse(node, "needs {} source{}; got {}", least == most ? std::to_string(least) : fmt::format("{} to {}", least, most),
           most == 1 ? "" : "s", node.sources.size());
}

using Numbers = std::unordered_map<std::string, std::size_t>;

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

void GraphOptions::validate() const {
  if (nodes.empty()) throw ConfigurationError("GraphNetwork: there are no nodes; the last one is the summary");
  std::unordered_set<std::string> unused_layers, all;
  for (const GraphLayer& layer : layers) {
    check_name(layer.name, "layer");
    if (!unused_layers.insert(layer.name).second)
      throw ConfigurationError(fmt::format("GraphNetwork: two layers are named \"{}\"", layer.name));
    layer.dense.validate(fmt::format("GraphNetwork: layer \"{}\"", layer.name).c_str());
  }
  const std::unordered_set<std::string> known_layers = unused_layers;
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
    if (node.op == GraphOp::dense) {
      if (!known_layers.contains(node.layer)) refuse(node, "has the layer \"{}\", but there is no layer of that name", node.layer);
      unused_layers.erase(node.layer);
    }
    before.insert(node.name);
    unused.insert(node.name);
  }
  unused.erase(nodes.back().name);
  for (const GraphNode& node : nodes)
    if (unused.contains(node.name)) refuse(node, "is used by no other node, and is not the last, which is the summary");
  for (const GraphLayer& layer : layers)
    if (unused_layers.contains(layer.name))
      throw ConfigurationError(fmt::format("GraphNetwork: no node uses the layer \"{}\"", layer.name));
}

GraphNetwork::GraphNetwork(GraphOptions options) : options_(std::move(options)) {
  options_.validate();
  for (const GraphLayer& layer : options_.layers) layers_.emplace_back(layer.dense);
  plan();
  // Widths that hold for any data; 0 where they depend on it.
  std::vector<std::int64_t> width(options_.nodes.size() + 1, 0);
  for (std::size_t i = 0; i < options_.nodes.size(); ++i) {
    const GraphNode& node = options_.nodes[i];
    const std::vector<std::size_t>& from = steps_[i].sources;
    std::int64_t& out = width[i + 1];
    if (!steps_[i].layers.empty()) {
      out = layers_[steps_[i].layers.back()].units();
    } else if (node.op == GraphOp::columns) {
      out = node.first >= 0 && node.last > 0 ? node.last - node.first : 0;
    } else if (node.op == GraphOp::concat) {
      for (const std::size_t s : from) out += width[s];
      if (out > kMaxWidth || std::any_of(from.begin(), from.end(), [&](std::size_t s) { return width[s] == 0; })) out = 0;
    } else if (of_equal_shapes(node.op)) {
      out = std::max(width[from[0]], width[from[1]]);
    } else if (node.op != GraphOp::flatten) {
      out = width[from[0]];
    }
  }
  summary_dim_ = width.back();
}

/// Turns names into numbers, joins dense layers, and a mean of them, into chains, and recognizes repeated vectors that a chain takes as its
/// condition.
void GraphNetwork::plan() {
  const std::vector<GraphNode>& nodes = options_.nodes;
  Numbers layers, numbers = {{kData, 0}};
  for (std::size_t i = 0; i < options_.layers.size(); ++i) layers.emplace(options_.layers[i].name, i);
  std::vector<std::size_t> uses(nodes.size() + 1, 0);
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    Step& step = steps_.emplace_back();
    for (const std::string& source : nodes[i].sources) {
      step.sources.push_back(numbers.at(source));
      ++uses[step.sources.back()];
    }
    if (nodes[i].op == GraphOp::dense) step.layers = {layers.at(nodes[i].layer)};
    numbers.emplace(nodes[i].name, i + 1);
  }
  const auto only_here = [&](std::size_t value, GraphOp op) { return value > 0 && uses[value] == 1 && nodes[value - 1].op == op; };
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    const bool mean = nodes[i].op == GraphOp::mean_pool;
    if (nodes[i].op != GraphOp::dense && !mean) continue;
    Step& step = steps_[i];
    const std::size_t source = step.sources[0];
    if (only_here(source, GraphOp::dense) && (mean || steps_[source - 1].layers.size() < kMaxChain)) {
      Step& before = steps_[source - 1];
      step.layers.insert(step.layers.begin(), before.layers.begin(), before.layers.end());
      step.sources = before.sources;
      step.condition = before.condition;
      before.inside = true;
    } else if (!mean && only_here(source, GraphOp::concat) && steps_[source - 1].sources.size() == 2 &&
               only_here(steps_[source - 1].sources[1], GraphOp::repeat)) {
      Step& joined = steps_[source - 1];
      Step& repeated = steps_[joined.sources[1] - 1];  // never of the data: nothing has more axes
      step.sources = {joined.sources[0]};
      step.condition = repeated.sources[0];
      joined.inside = repeated.inside = true;
    }
  }
}

/// All values have the batch, then the first `inner` axes of the data that follow it, then a width of their own.
struct GraphNetwork::Extents {
  std::vector<int> inner;
  std::vector<std::int64_t> width;
  std::vector<std::int64_t> layer_inputs;
  std::vector<bool> fixed;  // axes of the data that were flattened into widths
};

GraphNetwork::Extents GraphNetwork::infer(const Shape& input) const {
  if (input.rank() < 2) throw ShapeError(fmt::format("GraphNetwork: needs data of shape (batch, ..., width); got {}", input.to_string()));
  for (int axis = 1; axis < input.rank(); ++axis)
    if (input[axis] < 1) throw ShapeError(fmt::format("GraphNetwork: the data hold nothing along axis {}: {}", axis, input.to_string()));
  const std::vector<GraphNode>& nodes = options_.nodes;
  Numbers numbers = {{kData, 0}};
  Extents e;
  e.inner.push_back(input.rank() - 2);
  e.width.push_back(input[-1]);
  e.layer_inputs.assign(layers_.size(), 0);
  e.fixed.assign(static_cast<std::size_t>(input.rank()), false);
  const auto shape_text = [&](std::size_t value) {
    std::string text = "(batch";
    for (int a = 0; a < e.inner[value]; ++a) text += e.fixed[static_cast<std::size_t>(a) + 1] ? fmt::format(", {}", input[a + 1]) : ", *";
    return fmt::format("{}, {})", text, e.width[value]);
  };
  for (const GraphNode& node : nodes) {
    std::vector<std::size_t> from;
    for (const std::string& source : node.sources) from.push_back(numbers.at(source));
    int inner = e.inner[from[0]];
    std::int64_t width = e.width[from[0]];
    const auto differ = [&](std::size_t a, std::size_t b, const char* need) {
      refuse_shape(node, "{}; \"{}\" is {} and \"{}\" is {}. A pooled vector is brought to the shape of observations by repeat", need,
                   node.sources[a], shape_text(from[a]), node.sources[b], shape_text(from[b]));
    };
    if (node.op == GraphOp::dense) {
      const std::size_t layer = steps_[numbers.size() - 1].layers.back();
      std::int64_t& inputs = e.layer_inputs[layer];
      if (inputs && inputs != width)
        refuse_shape(node, "gives its layer \"{}\" inputs of width {}, but another node gives it {}; shared weights need equal widths",
                     node.layer, width, inputs);
      inputs = width;
      width = layers_[layer].units();
    } else if (of_equal_shapes(node.op)) {
      if (inner != e.inner[from[1]] || width != e.width[from[1]]) differ(0, 1, "needs two equal shapes");
    } else if (node.op == GraphOp::concat) {
      for (std::size_t k = 1; k < from.size(); ++k) {
        if (e.inner[from[k]] != inner) differ(0, k, "needs shapes that agree but for the last axis");
        width += e.width[from[k]];
      }
    } else if (node.op == GraphOp::columns) {
      const std::int64_t first = node.first < 0 ? node.first + width : node.first, last = node.last <= 0 ? node.last + width : node.last;
      if (first < 0 || last > width || first >= last)
        refuse_shape(node, "takes the columns from {} to {} of \"{}\", which has {}", first, last, node.sources[0], width);
      width = last - first;
    } else if (node.op == GraphOp::flatten) {
      const std::int64_t axes = node.axes == 0 ? inner + 1 : node.axes;
      if (axes > inner + 1)
        refuse_shape(node, "joins {} axes, but \"{}\" is {}, and the batch stays as it is", axes, node.sources[0], shape_text(from[0]));
      for (; inner + 1 > e.inner[from[0]] + 2 - static_cast<int>(axes); --inner) {
        width *= std::min(input[inner], kMaxWidth);
        if (width >= kMaxWidth) break;
        e.fixed[static_cast<std::size_t>(inner)] = true;
      }
    } else if (pools(node.op)) {
      if (inner < 1) refuse_shape(node, "has no observations to pool: \"{}\" is {}", node.sources[0], shape_text(from[0]));
      --inner;
    } else if (node.op == GraphOp::repeat) {
      if (e.inner[from[1]] != inner + 1)
        refuse_shape(node,
                     "needs a vector (batch, ..., d) and observations (batch, ..., N, e) with one axis more; \"{}\" is {} and \"{}\" is {}",
                     node.sources[0], shape_text(from[0]), node.sources[1], shape_text(from[1]));
      ++inner;
    }
    if (width >= kMaxWidth) refuse(node, "would be more than {} wide", kMaxWidth);
    numbers.emplace(node.name, e.width.size());
    e.inner.push_back(inner);
    e.width.push_back(width);
  }
  if (e.inner.back() != 0)
    refuse_shape(nodes.back(), "is the summary, which must be (batch, width); it is {}. Pool or flatten the observations",
                 shape_text(nodes.size()));
  return e;
}

void GraphNetwork::build(const nn::Builder& builder, const SummaryShape& input) {
  const Extents e = infer(input.data);
  // In a file: joining a value with itself again and again makes great widths from a small text.
  const std::int64_t limit = builder.store().limit();
  if (limit >= 0 && *std::max_element(e.width.begin(), e.width.end()) > limit)
    throw ConfigurationError("the summary network is wider than its weights allow");
  for (std::size_t i = 0; i < layers_.size(); ++i) layers_[i].build(builder.scope(options_.layers[i].name), e.layer_inputs[i]);
  input_ = input.data;
  fixed_ = e.fixed;
  summary_dim_ = e.width.back();
}

std::int64_t GraphNetwork::summary_dim() const { return summary_dim_; }

std::string GraphNetwork::to_string() const {
  return fmt::format("a network of {} steps, {} summaries", options_.nodes.size(), summary_dim_);
}

Tensor GraphNetwork::forward(Tape& tape, const SummaryInput& input) const {
  const Tensor x = input.data;
  bool fits = x.rank() == input_.rank() && x.cols() == input_[-1];
  for (int axis = 1; fits && axis < x.rank() - 1; ++axis)
    fits = x.dim(axis) > 0 && (!fixed_[static_cast<std::size_t>(axis)] || x.dim(axis) == input_[axis]);
  if (!fits) {
    std::string wanted = "(batch";
    for (int axis = 1; axis < input_.rank() - 1; ++axis)
      wanted += fixed_[static_cast<std::size_t>(axis)] ? fmt::format(", {}", input_[axis]) : ", *";
    throw ShapeError(
        fmt::format("GraphNetwork: was built for data {}, {}); got {}", wanted, input_.rank() ? input_[-1] : 0, x.shape().to_string()));
  }
  // In the arena: a training step allocates nothing.
  auto* values = static_cast<Tensor*>(tape.arena().bytes((steps_.size() + 1) * sizeof(Tensor)));
  std::uninitialized_fill_n(values, steps_.size() + 1, Tensor());
  values[0] = x;
  for (std::size_t i = 0; i < steps_.size(); ++i) {
    const Step& step = steps_[i];
    if (step.inside) continue;
    const GraphNode& node = options_.nodes[i];
    const Tensor a = values[step.sources[0]];
    const Tensor b = step.sources.size() > 1 ? values[step.sources[1]] : Tensor();
    Tensor& y = values[i + 1];
    switch (node.op) {
      case GraphOp::dense:
      case GraphOp::mean_pool: {
        ops::Layer chain[kMaxChain];
        for (std::size_t l = 0; l < step.layers.size(); ++l) chain[l] = layers_[step.layers[l]].layer(tape);
        const std::span<const ops::Layer> links(chain, step.layers.size());
        const Tensor condition = step.condition ? values[step.condition] : Tensor();
        if (node.op == GraphOp::dense)
          y = ops::dense_chain(links, a, condition);
        else
          y = input.mask      ? ops::mean_pool(links.empty() ? a : ops::dense_chain(links, a, condition), input.mask)
              : links.empty() ? ops::mean_pool(a)
                              : ops::mean_of_chain(links, a, condition);
        break;
      }
      case GraphOp::dropout:
        y = tape.training() ? ops::dropout(a, static_cast<float>(node.number)) : a;
        break;
      case GraphOp::activation:
        y = ops::activate(a, node.activation);
        break;
      case GraphOp::add:
        y = ops::add(a, b);
        break;
      case GraphOp::subtract:
        y = ops::subtract(a, b);
        break;
      case GraphOp::multiply:
        y = ops::multiply(a, b);
        break;
      case GraphOp::scale:
        y = ops::scale(a, static_cast<float>(node.number));
        break;
      case GraphOp::shift:
        y = ops::add_scalar(a, tape.filled({1}, static_cast<float>(node.number)));
        break;
      case GraphOp::concat: {
        Tensor parts[kMaxConcat];
        for (std::size_t k = 0; k < step.sources.size(); ++k) parts[k] = values[step.sources[k]];
        y = ops::concat(std::span<const Tensor>(parts, step.sources.size()));
        break;
      }
      case GraphOp::columns:
        y = ops::columns(a, node.first < 0 ? node.first + a.cols() : node.first, node.last <= 0 ? node.last + a.cols() : node.last);
        break;
      case GraphOp::flatten: {
        const int kept = node.axes == 0 ? 1 : a.rank() - static_cast<int>(node.axes);
        Shape shape = a.shape().slice(0, kept);
        shape.push_back(a.shape().slice(kept, a.rank()).size());
        y = ops::reshape(a, shape);
        break;
      }
      case GraphOp::max_pool:
        y = input.mask ? ops::max_pool(a, input.mask) : ops::max_pool(a);
        break;
      case GraphOp::sum_pool:
        y = input.mask ? ops::sum_pool(a, input.mask) : ops::sum_pool(a);
        break;
      case GraphOp::repeat:
        y = ops::repeat(a, b.dim(-2));
        break;
    }
  }
  return values[steps_.size()];
}

EnumNames<GraphOp> names_of(GraphOp) { return detail::names_up_to(GraphOp::repeat); }

}  // namespace bayesflow
