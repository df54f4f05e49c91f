#include "bayesflow/networks/graph_network.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "autodiff/ops/mean_of_chain.hpp"
#include "networks/graph.hpp"
#include "networks/inputs.hpp"

namespace bayesflow {

using networks::kData;
using networks::kMaxChain;
using networks::kMaxConcat;
using networks::kMaxWidth;
using networks::Numbers;
using networks::of_equal_shapes;
using networks::refuse;
using networks::refuse_shape;

GraphNetwork::GraphNetwork(GraphOptions options) : options_(std::move(options)) {
  options_.validate();
  has_layers_ = std::ranges::any_of(options_.nodes, [](const GraphNode& n) { return n.op >= GraphOp::layer_norm; });
  for (const GraphLayer& layer : options_.layers) layers_.emplace_back(layer.dense, layer.spectral_norm);
  plan();
  // Widths that hold for any data; 0 where they depend on it.
  std::vector<std::int64_t> width(options_.nodes.size() + 1, 0);
  for (std::size_t i = 0; i < options_.nodes.size(); ++i) {
    const GraphNode& node = options_.nodes[i];
    const std::vector<std::size_t>& from = steps_[i].sources;
    std::int64_t& out = width[i + 1];
    const std::size_t layer = steps_[i].layers.empty() ? 0 : steps_[i].layers.back();
    if (node.op == GraphOp::conv) {
      out = options_.convolutions[layer].filters;
    } else if (node.op == GraphOp::recurrent) {
      out = options_.recurrents[layer].units;
    } else if (node.op == GraphOp::learnt) {
      out = options_.learnt[layer].width;
    } else if (node.op == GraphOp::network) {
      out = options_.networks[layer]->summary_dim();
    } else if (node.op == GraphOp::dense || (node.op == GraphOp::mean_pool && !steps_[i].layers.empty())) {
      out = layers_[layer].units();
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
  for (std::size_t op = 0; op <= static_cast<std::size_t>(GraphOp::network); ++op) {
    const std::vector<std::string> names = networks::layer_names(options_, static_cast<GraphOp>(op));
    for (std::size_t i = 0; i < names.size(); ++i) layers.emplace(names[i], i);
  }
  std::vector<std::size_t> uses(nodes.size() + 1, 0);
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    Step& step = steps_.emplace_back();
    for (const std::string& source : nodes[i].sources) {
      step.sources.push_back(numbers.at(source));
      ++uses[step.sources.back()];
    }
    if (networks::has_layer(nodes[i].op)) step.layers = {layers.at(nodes[i].layer)};
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

/// The batch, the first `inner` axes of the data that follow it, `rows` of its own if there are any, and a width.
struct GraphNetwork::Value {
  int inner = 0;
  std::int64_t rows = 0, width = 0;
  [[nodiscard]] int axes() const { return inner + (rows > 0 ? 1 : 0); }  // of observations
  /// Without its last axis of observations.
  [[nodiscard]] Value pooled() const { return rows > 0 ? Value{inner, 0, width} : Value{inner - 1, 0, width}; }
  [[nodiscard]] bool same_observations(const Value& other) const { return inner == other.inner && rows == other.rows; }
};
struct GraphNetwork::Extents {
  std::vector<Value> values;
  std::vector<std::vector<std::int64_t>> inputs;  // of each step that has a layer: widths of its sources
  std::vector<bool> fixed;                        // axes of the data that were flattened into widths
};

GraphNetwork::Extents GraphNetwork::infer(const Shape& input, const nn::Builder& builder) {
  if (input.rank() < 2) throw ShapeError(fmt::format("GraphNetwork: needs data of shape (batch, ..., width); got {}", input.to_string()));
  for (int axis = 1; axis < input.rank(); ++axis)
    if (input[axis] < 1) throw ShapeError(fmt::format("GraphNetwork: the data hold nothing along axis {}: {}", axis, input.to_string()));
  const std::vector<GraphNode>& nodes = options_.nodes;
  Numbers numbers = {{kData, 0}};
  std::unordered_map<std::string, std::vector<std::int64_t>> of_layer;  // inputs
  std::vector<Shape> built_for(options_.networks.size(), Shape{});
  Extents e;
  e.values.push_back({input.rank() - 2, 0, input[-1]});
  e.inputs.assign(nodes.size(), {});
  e.fixed.assign(static_cast<std::size_t>(input.rank()), false);
  const auto shape_text = [&](std::size_t value) {
    std::string text = "(batch";
    const Value& v = e.values[value];
    for (int a = 0; a < v.inner; ++a) text += e.fixed[static_cast<std::size_t>(a) + 1] ? fmt::format(", {}", input[a + 1]) : ", *";
    return fmt::format("{}{}, {})", text, v.rows > 0 ? fmt::format(", {}", v.rows) : "", v.width);
  };
  for (std::size_t n = 0; n < nodes.size(); ++n) {
    const GraphNode& node = nodes[n];
    std::vector<std::size_t> from;
    for (const std::string& source : node.sources) from.push_back(numbers.at(source));
    const Value x = e.values[from[0]];
    Value y = x;
    const auto differ = [&](std::size_t a, std::size_t b, const char* need) {
      refuse_shape(node, "{}; \"{}\" is {} and \"{}\" is {}. A pooled vector is brought to the shape of observations by repeat", need,
                   node.sources[a], shape_text(from[a]), node.sources[b], shape_text(from[b]));
    };
    const auto require_axes = [&](int axes, const char* what) {
      if (x.axes() < axes) refuse_shape(node, "has no {}: \"{}\" is {}", what, node.sources[0], shape_text(from[0]));
    };
    if (networks::has_layer(node.op)) {
      std::vector<std::int64_t>& inputs = e.inputs[n];
      for (const std::size_t f : from) inputs.push_back(node.op == GraphOp::learnt ? 0 : e.values[f].width);
      const auto [at, first] = of_layer.emplace(node.layer, inputs);
      for (std::size_t k = 0; !first && k < inputs.size(); ++k)
        if (inputs[k] != at->second[k])
          refuse_shape(node, "gives its layer \"{}\" inputs of width {}, but another node gives it {}; shared weights need equal widths",
                       node.layer, inputs[k], at->second[k]);
    }
    const std::size_t layer = steps_[n].layers.empty() ? 0 : steps_[n].layers.back();
    switch (node.op) {
      case GraphOp::dense:
        y.width = layers_[layer].units();
        break;
      case GraphOp::add:
      case GraphOp::subtract:
      case GraphOp::multiply:
        if (!x.same_observations(e.values[from[1]]) || x.width != e.values[from[1]].width) differ(0, 1, "needs two equal shapes");
        break;
      case GraphOp::concat:
        for (std::size_t k = 1; k < from.size(); ++k) {
          if (!x.same_observations(e.values[from[k]])) differ(0, k, "needs shapes that agree but for the last axis");
          y.width += e.values[from[k]].width;
        }
        break;
      case GraphOp::columns: {
        const std::int64_t first = node.first < 0 ? node.first + x.width : node.first,
                           last = node.last <= 0 ? node.last + x.width : node.last;
        if (first < 0 || last > x.width || first >= last)
          refuse_shape(node, "takes the columns from {} to {} of \"{}\", which has {}", first, last, node.sources[0], x.width);
        y.width = last - first;
        break;
      }
      case GraphOp::flatten: {
        const std::int64_t axes = node.axes == 0 ? x.axes() + 1 : node.axes;
        if (axes > x.axes() + 1)
          refuse_shape(node, "joins {} axes, but \"{}\" is {}, and the batch stays as it is", axes, node.sources[0], shape_text(from[0]));
        for (std::int64_t joined = 1; joined < axes && y.width < kMaxWidth; ++joined) {
          if (y.rows == 0) e.fixed[static_cast<std::size_t>(y.inner)] = true;
          const std::int64_t extent = y.rows > 0 ? y.rows : input[y.inner];
          y = y.pooled();
          y.width *= std::min(extent, kMaxWidth);
        }
        break;
      }
      case GraphOp::mean_pool:
      case GraphOp::max_pool:
      case GraphOp::sum_pool:
        require_axes(1, "observations to pool");
        y = x.pooled();
        break;
      case GraphOp::repeat: {
        const Value& like = e.values[from[1]];
        if (like.axes() < 1 || !like.pooled().same_observations(x))
          refuse_shape(
              node, "needs a vector (batch, ..., d) and observations (batch, ..., N, e) with one axis more; \"{}\" is {} and \"{}\" is {}",
              node.sources[0], shape_text(from[0]), node.sources[1], shape_text(from[1]));
        y.inner = like.inner;
        y.rows = like.rows;
        break;
      }
      case GraphOp::conv:
        require_axes(static_cast<int>(options_.convolutions[layer].size.size()), "observations to go along");
        y.width = options_.convolutions[layer].filters;
        break;
      case GraphOp::recurrent:
        require_axes(1, "observations to go along");
        if (!options_.recurrents[layer].sequences) y = x.pooled();
        y.width = options_.recurrents[layer].units;
        break;
      case GraphOp::attention: {
        const Value& keys = e.values[from[1]];
        if (keys.axes() < 1 || !(x.same_observations(keys.pooled()) || (x.axes() > 0 && x.pooled().same_observations(keys.pooled()))))
          refuse_shape(node,
                       "needs queries (batch, ..., n, d), or one (batch, ..., d), and observations (batch, ..., m, e); \"{}\" is {} and "
                       "\"{}\" is {}",
                       node.sources[0], shape_text(from[0]), node.sources[1], shape_text(from[1]));
        break;
      }
      case GraphOp::learnt:
        require_axes(1, "observations, for each group of which the weights are");
        y = x.pooled();
        y.rows = options_.learnt[layer].rows;
        y.width = options_.learnt[layer].width;
        break;
      case GraphOp::network: {
        const std::int64_t axes = node.axes == 0 ? x.axes() : node.axes;
        if (axes > x.axes())
          refuse_shape(node, "takes {} axes of observations, but \"{}\" is {}", axes, node.sources[0], shape_text(from[0]));
        for (std::int64_t k = 0; k < axes; ++k) y = y.pooled();
        Shape shape{input[0]};
        for (int a = 0; a < x.inner; ++a) shape.push_back(input[a + 1]);
        if (x.rows > 0) shape.push_back(x.rows);
        shape.push_back(x.width);
        SummaryNetwork& net = *options_.networks[layer].get();
        Shape& built = built_for[layer];
        const Shape folded = networks::folded(shape, shape.rank() - 1 - static_cast<int>(axes));
        if (built.rank() == 0)
          net.build(builder.scope(node.layer), folded);
        else if (built.rank() != folded.rank())
          refuse_shape(node, "gives its network \"{}\" data of shape {}, but another node gives it {}; it takes as many axes from all",
                       node.layer, folded.to_string(), built.to_string());
        built = folded;
        y.width = net.summary_dim();
        break;
      }
      case GraphOp::dropout:
      case GraphOp::mc_dropout:
      case GraphOp::activation:
      case GraphOp::scale:
      case GraphOp::shift:
      case GraphOp::equal:
      case GraphOp::layer_norm:
        break;
    }
    if (y.width >= kMaxWidth || y.rows >= kMaxWidth) refuse(node, "would be more than {} wide", kMaxWidth);
    numbers.emplace(node.name, e.values.size());
    e.values.push_back(y);
  }
  if (e.values.back().axes() != 0)
    refuse_shape(nodes.back(), "is the summary, which must be (batch, width); it is {}. Pool or flatten the observations",
                 shape_text(nodes.size()));
  return e;
}

void GraphNetwork::build(const nn::Builder& builder, const SummaryShape& input) {
  const Extents e = infer(input.data, builder);
  // In a file: joining a value with itself again and again makes great widths from a small text.
  const std::int64_t limit = builder.store().limit();
  const auto widest = std::ranges::max_element(e.values, {}, &Value::width);
  constexpr std::int64_t kMostRows = 1024;  // of the network's own, for each weight
  const auto too_many = [&](const Value& v) { return v.rows > 0 && v.width > kMostRows * limit / v.rows; };
  if (limit >= 0 && (widest->width > limit || std::ranges::any_of(e.values, too_many)))
    throw ConfigurationError("the summary network is wider than its weights allow");
  store_ = &builder.store();
  norms_.resize(options_.norms.size());
  series_.resize(options_.convolutions.size());
  images_.resize(options_.convolutions.size());
  recurrents_.resize(options_.recurrents.size());
  attentions_.resize(options_.attentions.size());
  learnt_.resize(options_.learnt.size());
  // Layers in the order in which they are described, whatever the order of the nodes that use them.
  const auto build_layers = [&](GraphOp op, auto&& one) {
    const std::vector<std::string> names = networks::layer_names(options_, op);
    for (std::size_t l = 0; l < names.size(); ++l)
      for (std::size_t n = 0; n < options_.nodes.size(); ++n)
        if (options_.nodes[n].op == op && options_.nodes[n].layer == names[l]) {
          one(l, builder.scope(names[l]), e.inputs[n]);
          break;
        }
  };
  using Inputs = std::vector<std::int64_t>;
  build_layers(GraphOp::dense, [&](std::size_t l, const nn::Builder& at, const Inputs& in) { layers_[l].build(at, in[0]); });
  build_layers(GraphOp::layer_norm, [&](std::size_t l, const nn::Builder& at, const Inputs& in) { norms_[l].build(at, in[0]); });
  build_layers(GraphOp::conv, [&](std::size_t l, const nn::Builder& at, const Inputs& in) {
    const GraphConvolution& c = options_.convolutions[l];
    if (c.size.size() == 1) {
      const ops::Padding padding = c.causal ? ops::Padding::causal : ops::Padding::same;
      series_[l] = nn::Conv1d({c.filters, c.size[0], {.dilation = c.dilation, .padding = padding}, c.activation});
      series_[l].build(at, in[0]);
    } else {
      images_[l] = nn::Conv2d(
          {c.filters, {c.size[0], c.size[1]}, {.dilation = {c.dilation, c.dilation}, .padding = ops::Padding::same}, c.activation});
      images_[l].build(at, in[0]);
    }
  });
  build_layers(GraphOp::recurrent, [&](std::size_t l, const nn::Builder& at, const Inputs& in) {
    const GraphRecurrent& r = options_.recurrents[l];
    recurrents_[l] = nn::Recurrent(r.cell, r.units, {.reverse = r.reverse, .sequences = r.sequences});
    recurrents_[l].build(at, in[0]);
  });
  build_layers(GraphOp::attention, [&](std::size_t l, const nn::Builder& at, const Inputs& in) {
    attentions_[l] = nn::MultiHeadAttention(options_.attentions[l].attention);
    attentions_[l].build(at, in[0], in[1]);
  });
  for (std::size_t l = 0; l < learnt_.size(); ++l) {
    const GraphWeights& w = options_.learnt[l];
    learnt_[l] = builder.add(w.name, {w.rows, w.width}, w.initializer);
  }
  input_ = input.data;
  fixed_ = e.fixed;
  summary_dim_ = e.values.back().width;
  masked_.clear();
  for (const Value& v : e.values) masked_.push_back(input_.rank() == 3 && v.inner == 1 && v.rows == 0);
  takes_mask_ = input_.rank() == 3 && !fixed_[1];
  for (std::size_t n = 0; n < options_.nodes.size(); ++n)
    if (options_.nodes[n].op == GraphOp::network && masked_[steps_[n].sources[0]])
      takes_mask_ = takes_mask_ && options_.networks[steps_[n].layers[0]]->takes_mask();
}

void GraphNetwork::update_state() {
  SummaryNetwork::update_state();
  for (nn::Dense& layer : layers_) layer.update_state();
}

std::int64_t GraphNetwork::summary_dim() const { return summary_dim_; }

std::string GraphNetwork::to_string() const {
  return fmt::format("a network of {} steps, {} summaries", options_.nodes.size(), summary_dim_);
}

/// Leading axes are folded into the batch.
Tensor GraphNetwork::run_network(Tape& tape, const GraphNode& node, std::size_t which, Tensor x, Tensor mask) const {
  const int axes = node.axes == 0 ? x.rank() - 2 : static_cast<int>(node.axes), leading = x.rank() - 1 - axes;
  const Tensor y =
      options_.networks[which]->forward(tape, {ops::reshape(x, networks::folded(x.shape(), leading)), axes > 0 ? mask : Tensor()});
  Shape shape = x.shape().slice(0, leading);
  shape.push_back(y.cols());
  return ops::reshape(y, shape);
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
  // Whatever padding holds, it stays finite where it is passed on.
  values[0] = input.mask && has_layers_ ? ops::mask_rows(x, input.mask) : x;
  for (std::size_t i = 0; i < steps_.size(); ++i) {
    const Step& step = steps_[i];
    if (step.inside) continue;
    const GraphNode& node = options_.nodes[i];
    const Tensor a = values[step.sources[0]];
    const Tensor b = step.sources.size() > 1 ? values[step.sources[1]] : Tensor();
    Tensor& y = values[i + 1];
    const auto mask_of = [&](std::size_t value) { return masked_[value] ? input.mask : Tensor(); };
    const Tensor mask = mask_of(step.sources[0]);
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
          y = mask            ? ops::mean_pool(links.empty() ? a : ops::dense_chain(links, a, condition), mask)
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
        y = mask ? ops::max_pool(a, mask) : ops::max_pool(a);
        break;
      case GraphOp::sum_pool:
        y = mask ? ops::sum_pool(a, mask) : ops::sum_pool(a);
        break;
      case GraphOp::repeat:
        y = ops::repeat(a, b.dim(-2));
        break;
      case GraphOp::mc_dropout:
        y = ops::dropout(a, static_cast<float>(node.number));
        break;
      case GraphOp::equal:
        y = tape.filled(a.shape(), 0);
        for (std::int64_t k = 0; k < a.size(); ++k) y.data()[k] = a.data()[k] == static_cast<float>(node.number) ? 1.0F : 0.0F;
        break;
      case GraphOp::layer_norm:
        y = norms_[step.layers[0]](tape, a);
        break;
      case GraphOp::conv: {
        const std::size_t layer = step.layers[0];
        y = options_.convolutions[layer].size.size() == 1 ? series_[layer](tape, a, mask) : images_[layer](tape, a);
        break;
      }
      case GraphOp::recurrent:
        y = recurrents_[step.layers[0]](tape, a, mask);
        break;
      case GraphOp::attention: {
        const nn::MultiHeadAttention& attention = attentions_[step.layers[0]];
        const Tensor keys_mask = mask_of(step.sources[1]);
        if (a.rank() == b.rank()) {
          y = attention(tape, a, b, keys_mask);
        } else {  // one query
          const Tensor query = ops::reshape(a, networks::with_last(a.shape(), 1, {1, a.cols()}));
          y = ops::reshape(attention(tape, query, b, keys_mask), a.shape());
        }
        break;
      }
      case GraphOp::learnt: {
        const GraphWeights& w = options_.learnt[step.layers[0]];
        y = ops::broadcast(store_->tensor(tape, learnt_[step.layers[0]]), networks::with_last(a.shape(), 2, {w.rows, w.width}));
        break;
      }
      case GraphOp::network:
        y = run_network(tape, node, step.layers[0], a, mask);
        break;
    }
  }
  return values[steps_.size()];
}

}  // namespace bayesflow
