#include "bayesflow/networks/autoregressive_flow.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <numeric>
#include <utility>

#include "bayesflow/core/errors.hpp"
#include "networks/flow_parts.hpp"
#include "networks/inputs.hpp"

namespace bayesflow {

EnumNames<AutoregressiveOrder> names_of(AutoregressiveOrder) {
  return {{AutoregressiveOrder::reversed, "reversed"}, {AutoregressiveOrder::shuffled, "shuffled"}};
}

void AutoregressiveFlowOptions::validate() const {
  if (num_params < 1)
    throw ConfigurationError(
        fmt::format("AutoregressiveFlowOptions::num_params = {}; it must be the number of parameters, at least 1", num_params));
  validate_described(*this, "AutoregressiveFlowOptions");
  dense.validate("AutoregressiveFlowOptions");
  if (dense.activation == Activation::softmax)
    throw ConfigurationError(
        "AutoregressiveFlowOptions::dense.activation = softmax; it must act on each unit by itself, because units that know later columns "
        "must not change the others");
  CouplingOptions{.spline = spline}.validate();
}

namespace {

/// A dense layer some of whose weights are always 0.
struct Masked {
  nn::Dense dense;
  std::vector<float> mask;  // of the kernel: 1 where a weight counts

  void build(const nn::Builder& builder, std::int64_t inputs, const std::function<bool(std::int64_t, std::int64_t)>& counts) {
    dense.build(builder, inputs);
    mask.resize(static_cast<std::size_t>(inputs * dense.units()));
    for (std::int64_t i = 0; i < inputs; ++i)
      for (std::int64_t j = 0; j < dense.units(); ++j) mask[static_cast<std::size_t>(i * dense.units() + j)] = counts(i, j) ? 1.0f : 0.0f;
  }
  [[nodiscard]] ops::Layer layer(Tape& tape) const {
    ops::Layer out = dense.layer(tape);
    out.kernel = ops::multiply(out.kernel, tape.wrap(out.kernel.shape(), mask.data()));
    return out;
  }
};

/// Some columns of a layer that was made for a pass without derivatives.
ops::Layer some_of(Tape& tape, const ops::Layer& layer, std::span<const std::int64_t> columns) {
  const auto pick = [&](Tensor x) {
    if (!x) return x;
    const auto n = static_cast<std::int64_t>(columns.size());
    Tensor out = tape.filled(x.rank() == 2 ? Shape{x.dim(0), n} : Shape{n}, 0);
    for (std::int64_t r = 0; r < x.rows(); ++r)
      for (std::int64_t j = 0; j < n; ++j) out.data()[r * n + j] = x.data()[r * x.cols() + columns[static_cast<std::size_t>(j)]];
    return out;
  };
  return {pick(layer.kernel), pick(layer.bias), layer.activation};
}

/// Puts columns of their own into those of `to` from `first` on.
void put(Tensor from, Tensor to, std::int64_t first) {
  for (std::int64_t r = 0; r < from.rows(); ++r) std::copy_n(from.data() + r * from.cols(), from.cols(), to.data() + r * to.cols() + first);
}

Shape with_width(Shape shape, std::int64_t width) {
  shape.set(-1, width);
  return shape;
}

}  // namespace

/// Unit u of a hidden layer knows the columns before degree(u); units are in ascending order of it.
struct AutoregressiveFlow::Layer {
  AutoregressiveFlowOptions options;
  bool spline = false;
  std::vector<Masked> hidden;
  Masked output, linear;
  nn::ParameterStore* store = nullptr;
  int permutation = -1, inverse_permutation = -1;

  [[nodiscard]] std::int64_t width() const { return options.num_params; }
  [[nodiscard]] std::int64_t degree(std::int64_t unit) const { return unit * width() / options.dense.units; }
  [[nodiscard]] std::int64_t numbers_of_spline() const { return spline ? 3 * options.spline.bins + 1 : 0; }
  [[nodiscard]] const std::int32_t* indices(int buffer) const { return store->buffers()[static_cast<std::size_t>(buffer)].integers.data(); }
  /// Raw numbers: those of all columns' splines, all scales, all shifts.
  [[nodiscard]] std::int64_t column_of(std::int64_t output_number) const {
    const std::int64_t splines = width() * numbers_of_spline();
    return output_number < splines ? output_number / numbers_of_spline() : (output_number - splines) % width();
  }

  void build(const nn::Builder& b, std::int64_t seen) {
    store = &b.store();
    const std::int64_t units = options.dense.units, inputs = width() + seen, outputs = width() * (numbers_of_spline() + 2);
    const DenseOptions zero{.units = outputs, .activation = Activation::identity, .kernel_initializer = nn::Initializer::zeros};
    for (std::int64_t i = 0; i < options.num_dense; ++i) {
      Masked& layer = hidden.emplace_back();
      layer.dense = nn::Dense(options.dense);
      const nn::Builder place = b.scope(fmt::format("dense.{}", i));
      if (i == 0)
        layer.build(place, inputs, [&](std::int64_t from, std::int64_t to) { return from >= width() || from < degree(to); });
      else
        layer.build(place, units, [&](std::int64_t from, std::int64_t to) { return degree(from) <= degree(to); });
    }
    output.dense = nn::Dense(zero);
    output.build(b.scope("output"), units, [&](std::int64_t from, std::int64_t to) { return degree(from) <= column_of(to); });
    if (!options.linear_path) return;
    DenseOptions path = zero;
    path.use_bias = false;
    linear.dense = nn::Dense(path);
    linear.build(b.scope("linear"), inputs, [&](std::int64_t from, std::int64_t to) { return from >= width() || from < column_of(to); });
  }

  [[nodiscard]] Tensor numbers(Tape& tape, Tensor x, Tensor seen) const {
    const auto p = static_cast<float>(options.dropout_prob);
    Tensor h;
    for (const Masked& each : hidden) {
      const ops::Layer layer = each.layer(tape);
      Tensor y = h ? ops::dense(h, layer) : ops::dense_chain(std::span(&layer, 1), x, seen);
      if (p > 0 && tape.training()) y = ops::dropout(y, p);
      h = h && options.residual ? ops::add(h, y) : y;
    }
    const Tensor raw = ops::dense(h, output.layer(tape));
    if (!options.linear_path) return raw;
    const ops::Layer path = linear.layer(tape);
    return ops::add(raw, ops::dense_chain(std::span(&path, 1), x, seen));
  }

  [[nodiscard]] ops::Transformed forward(Tape& tape, Tensor x, Tensor seen) const {
    if (permutation >= 0) x = ops::gather_columns(x, indices(permutation));
    const Tensor raw = numbers(tape, x, seen);
    const std::int64_t splines = width() * numbers_of_spline(), scales = splines + width();
    const Tensor scale = ops::columns(raw, splines, scales), shift = ops::columns(raw, scales, scales + width());
    const auto clamp = static_cast<float>(options.soft_clamping);
    if (!spline) return ops::affine_coupling(x, scale, shift, clamp);
    const ops::Transformed placed = ops::affine_coupling(x, ops::scale(scale, static_cast<float>(options.scale_gain)), shift, clamp);
    const ops::Transformed out = ops::spline_coupling(placed.value, ops::columns(raw, 0, splines), options.spline);
    return {out.value, ops::add(placed.log_det, out.log_det)};
  }

  /// Columns one after the other: each makes the units that know no later column, its own raw numbers, and itself.
  [[nodiscard]] Tensor inverse(Tape& tape, Tensor z, Tensor seen) const {
    const std::int64_t units = options.dense.units, each = numbers_of_spline();
    const auto clamp = static_cast<float>(options.soft_clamping);
    std::vector<ops::Layer> layers;
    std::vector<Tensor> h;
    for (const Masked& m : hidden) {
      layers.push_back(m.layer(tape));
      h.push_back(tape.filled(with_width(z.shape(), units), 0));
    }
    const ops::Layer last = output.layer(tape), path = options.linear_path ? linear.layer(tape) : ops::Layer{};
    Tensor x = tape.filled(z.shape(), 0);
    std::vector<std::int64_t> columns;
    for (std::int64_t i = 0, unit = 0; i < width(); ++i) {
      const std::int64_t first = unit;
      columns.clear();
      while (unit < units && degree(unit) == i) columns.push_back(unit++);
      for (std::size_t l = 0; l < layers.size() && !columns.empty(); ++l) {
        const ops::Layer some = some_of(tape, layers[l], columns);
        Tensor y = l == 0 ? ops::dense_chain(std::span(&some, 1), x, seen) : ops::dense(h[l - 1], some);
        if (l > 0 && options.residual) y = ops::add(ops::columns(h[l - 1], first, unit), y);
        put(y, h[l], first);
      }
      columns.resize(static_cast<std::size_t>(each));
      std::iota(columns.begin(), columns.end(), i * each);
      columns.push_back(width() * each + i);
      columns.push_back(width() * (each + 1) + i);
      Tensor raw = ops::dense(h.back(), some_of(tape, last, columns));
      if (options.linear_path) {
        const ops::Layer some = some_of(tape, path, columns);
        raw = ops::add(raw, ops::dense_chain(std::span(&some, 1), x, seen));
      }
      Tensor u = ops::columns(z, i, i + 1), scale = ops::columns(raw, each, each + 1);
      if (spline) {
        u = ops::spline_coupling_inverse(u, ops::columns(raw, 0, each), options.spline);
        scale = ops::scale(scale, static_cast<float>(options.scale_gain));
      }
      put(ops::affine_coupling_inverse(u, scale, ops::columns(raw, each + 1, each + 2), clamp), x, i);
    }
    return permutation >= 0 ? ops::gather_columns(x, indices(inverse_permutation)) : x;
  }
};

AutoregressiveFlow::AutoregressiveFlow(const AutoregressiveFlowOptions& options) : options_(options) { options_.validate(); }

void AutoregressiveFlow::build(const nn::Builder& builder, std::int64_t target_width, std::int64_t condition_width) {
  networks::require_num_params("AutoregressiveFlowOptions::num_params", options_.num_params, target_width);
  condition_width_ = condition_width;
  std::int64_t seen = condition_width;
  condition_net_ = nn::Mlp();
  if (condition_width > 0 && options_.num_condition_dense > 0) {
    condition_net_ =
        nn::Mlp(std::vector<DenseOptions>(static_cast<std::size_t>(options_.num_condition_dense), options_.dense), options_.dropout_prob);
    condition_net_.build(builder.scope("condition"), condition_width);
    seen += condition_net_.units();
  }
  layers_.clear();
  std::vector<std::int32_t> before;
  for (std::int64_t l = 0; l < options_.num_layers; ++l) {
    auto layer = std::make_shared<Layer>();
    const nn::Builder b = builder.scope(fmt::format("layer.{}", l));
    layer->options = options_;
    layer->spline = options_.design == CouplingDesign::spline || (options_.design == CouplingDesign::interleaved && l % 2 == 1);
    layer->build(b, seen);
    if (l > 0 && target_width > 1) {
      const auto columns = static_cast<std::size_t>(target_width);
      std::vector<std::int32_t> order(columns), inverse(columns);
      Rng rng = b.rng("permutation");
      if (options_.order == AutoregressiveOrder::reversed)
        for (std::size_t i = 0; i < columns; ++i) order[i] = static_cast<std::int32_t>(columns - 1 - i);
      else
        order = networks::draw_permutation(rng, target_width, before);
      for (std::size_t i = 0; i < columns; ++i) inverse[static_cast<std::size_t>(order[i])] = static_cast<std::int32_t>(i);
      layer->permutation = b.add_buffer("permutation", order);
      layer->inverse_permutation = b.add_buffer("inverse_permutation", std::move(inverse));
      before = std::move(order);
    }
    layers_.push_back(std::move(layer));
  }
}

/// The condition, and what its own layers make of it.
Tensor AutoregressiveFlow::seen(Tape& tape, Tensor condition) const {
  if (!condition || condition_net_.units() == 0) return condition;
  const Tensor parts[] = {condition, condition_net_(tape, condition)};
  return ops::concat(parts);
}

ops::Transformed AutoregressiveFlow::forward(Tape& tape, Tensor targets, Tensor condition) const {
  networks::check_targets("AutoregressiveFlow", targets, condition, options_.num_params, condition_width_);
  const Tensor c = seen(tape, condition);
  ops::Transformed out{targets, {}};
  for (const auto& layer : layers_) {
    const ops::Transformed t = layer->forward(tape, out.value, c);
    out = {t.value, out.log_det ? ops::add(out.log_det, t.log_det) : t.log_det};
  }
  return out;
}

Tensor AutoregressiveFlow::inverse(Tape& tape, Tensor latent, Tensor condition) const {
  networks::check_targets("AutoregressiveFlow", latent, condition, options_.num_params, condition_width_);
  const Tensor c = seen(tape, condition);
  Tensor x = latent;
  for (auto layer = layers_.rbegin(); layer != layers_.rend(); ++layer) x = (*layer)->inverse(tape, x, c);
  return x;
}

Plan AutoregressiveFlow::plan(const Shape& targets) const { return networks::plan_of_flow(targets); }

std::string AutoregressiveFlow::to_string() const {
  const char* design = options_.design == CouplingDesign::affine   ? "affine"
                       : options_.design == CouplingDesign::spline ? "spline"
                                                                   : "affine and spline";
  return fmt::format("masked autoregressive flow of {} parameters: {} {} layers, each with {} hidden layers of {} units, dropout {:.3g}",
                     options_.num_params, options_.num_layers, design, options_.num_dense, options_.dense.units, options_.dropout_prob);
}

}  // namespace bayesflow
