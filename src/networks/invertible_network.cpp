#include "bayesflow/networks/invertible_network.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "bayesflow/core/errors.hpp"
#include "bayesflow/networks/coupling.hpp"
#include "networks/flow_parts.hpp"
#include "networks/inputs.hpp"

namespace bayesflow {

struct InvertibleNetwork::Layer {
  std::int64_t width, first;  // D and D1 = D / 2
  std::unique_ptr<Coupling> net1, net2;
  nn::ParameterStore* store = nullptr;
  int scale = -1, bias = -1, orthogonal = -1, permutation = -1, inverse_permutation = -1;

  const std::int32_t* indices(int buffer) const { return store->buffers()[static_cast<std::size_t>(buffer)].integers.data(); }

  ops::Transformed forward(Tape& tape, Tensor x, Tensor condition) const {
    Tensor constant;
    const auto add_constant = [&](Tensor c) { constant = constant ? ops::add(constant, c) : c; };
    if (scale >= 0) {
      Tensor s = store->tensor(tape, scale);
      x = ops::affine_columns(x, s, store->tensor(tape, bias));
      add_constant(ops::log_abs_sum(s));
    }
    if (orthogonal >= 0) {
      Tensor w = store->tensor(tape, orthogonal);
      x = ops::matmul(x, w);
      add_constant(ops::log_abs_det(w));
    } else if (permutation >= 0) {
      x = ops::gather_columns(x, indices(permutation));
    }
    Tensor part1 = ops::columns(x, 0, first), part2 = ops::columns(x, first, width);
    Tensor log_det;
    if (net1) {
      const ops::Transformed t = net1->forward(tape, part1, part2, condition);
      part1 = t.value;
      log_det = t.log_det;
    }
    const ops::Transformed t = net2->forward(tape, part2, part1, condition);
    log_det = log_det ? ops::add(log_det, t.log_det) : t.log_det;
    if (constant) log_det = ops::add_scalar(log_det, constant);
    const Tensor parts[] = {part1, t.value};
    return {ops::concat(parts), log_det};
  }

  Tensor inverse(Tape& tape, Tensor z, Tensor condition) const {
    Tensor part1 = ops::columns(z, 0, first), part2 = ops::columns(z, first, width);
    part2 = net2->inverse(tape, part2, part1, condition);
    if (net1) part1 = net1->inverse(tape, part1, part2, condition);
    const Tensor parts[] = {part1, part2};
    Tensor x = ops::concat(parts);
    if (orthogonal >= 0)
      x = ops::matmul(x, ops::inverse_matrix(store->tensor(tape, orthogonal)));
    else if (permutation >= 0)
      x = ops::gather_columns(x, indices(inverse_permutation));
    if (scale >= 0) x = ops::affine_columns_inverse(x, store->tensor(tape, scale), store->tensor(tape, bias));
    return x;
  }
};

CouplingOptions unregularized_coupling() {
  CouplingOptions o;
  o.dense.kernel_regularizer = 0;
  o.dropout_prob = 0;
  return o;
}

void CouplingOptions::validate() const {
  const auto fail = [](const char* name, auto value, const char* constraint) {
    throw ConfigurationError(fmt::format("CouplingOptions::{} = {}; it must be {}", name, value, constraint));
  };
  dense.validate("CouplingOptions::dense");
  if (num_dense < 1) fail("num_dense", num_dense, "at least 1");
  if (num_dense > 100) fail("num_dense", num_dense, "at most 100");
  if (!(dropout_prob >= 0 && dropout_prob < 1)) fail("dropout_prob", dropout_prob, "in [0, 1)");
  if (!(soft_clamping >= 0)) fail("soft_clamping", soft_clamping, "positive, or 0 for none");
  if (!(scale_gain > 0 && std::isfinite(scale_gain))) fail("scale_gain", scale_gain, "positive and finite");
  if (spline.bins < 2) fail("spline.bins", spline.bins, "at least 2");
  if (!(spline.left < spline.right)) fail("spline.left", spline.left, "below spline.right");
  if (!(spline.bottom < spline.top)) fail("spline.bottom", spline.bottom, "below spline.top");
  if (!(spline.min_bin >= 0 && spline.min_bin < 1)) fail("spline.min_bin", spline.min_bin, "in [0, 1)");
  if (!(spline.min_slope >= 0 && spline.min_slope < 1)) fail("spline.min_slope", spline.min_slope, "in [0, 1)");
  if (!(spline.log_offset >= 0)) fail("spline.log_offset", spline.log_offset, "not negative");
}

void InvertibleNetworkOptions::validate() const {
  const auto fail = [](const char* name, auto value, const char* constraint) {
    throw ConfigurationError(fmt::format("InvertibleNetworkOptions::{} = {}; it must be {}", name, value, constraint));
  };
  if (num_params < 1) fail("num_params", num_params, "the number of parameters, at least 1");
  if (num_coupling_layers < 1) fail("num_coupling_layers", num_coupling_layers, "at least 1");
  if (use_soft_flow && !(soft_flow_low > 0 && soft_flow_low <= soft_flow_high))
    fail("soft_flow_low", soft_flow_low, "positive and not above soft_flow_high");
  if (act_norm_init && (act_norm_init->rank() < 2 || act_norm_init->rank() > 3 || act_norm_init->dim(-1) != num_params))
    throw ConfigurationError(fmt::format("InvertibleNetworkOptions::act_norm_init has shape {}; it must be (n, {}) or (n, N, {})",
                                         act_norm_init->shape().to_string(), num_params, num_params));
  coupling.validate();
  if (spline_coupling) spline_coupling->validate();
}

InvertibleNetwork::InvertibleNetwork(InvertibleNetworkOptions options) : options_(std::move(options)) {
  options_.validate();
  // Files of flows that have no scale before splines do not mention it.
  const CouplingDesign design = options_.coupling_design;
  const auto settle = [](CouplingOptions& o, bool of_splines) {
    o.location_scale = o.location_scale && of_splines;
    if (!o.location_scale) o.scale_gain = 1;
  };
  settle(options_.coupling,
         design == CouplingDesign::spline || (design == CouplingDesign::interleaved && !options_.spline_coupling.has_value()));
  if (options_.spline_coupling) settle(*options_.spline_coupling, design != CouplingDesign::affine);
}

void InvertibleNetwork::build(const nn::Builder& builder, std::int64_t target_width, std::int64_t condition_width) {
  networks::require_num_params("InvertibleNetworkOptions::num_params", options_.num_params, target_width);
  condition_width_ = condition_width;
  const std::int64_t width = options_.num_params, seen = condition_width + (options_.use_soft_flow ? 1 : 0);
  layers_.clear();
  std::vector<std::int32_t> before;
  for (std::int64_t l = 0; l < options_.num_coupling_layers; ++l) {
    auto layer = std::make_shared<Layer>();
    const nn::Builder b = builder.scope("coupling." + std::to_string(l));
    layer->store = &b.store();
    layer->width = width;
    layer->first = width / 2;
    if (options_.use_act_norm) {
      layer->scale = b.add("act_norm.scale", {width}, nn::Initializer::ones);
      layer->bias = b.add("act_norm.bias", {width}, nn::Initializer::zeros);
    }
    if (options_.permutation == PermutationKind::learnable) {
      layer->orthogonal = b.add("orthogonal", {width, width}, nn::Initializer::orthogonal);
    } else if (options_.permutation == PermutationKind::fixed && width > 1) {
      Rng rng = b.rng("permutation");
      before = networks::draw_permutation(rng, width, before);
      std::vector<std::int32_t> inverse(before.size());
      for (std::size_t i = 0; i < before.size(); ++i) inverse[static_cast<std::size_t>(before[i])] = static_cast<std::int32_t>(i);
      layer->permutation = b.add_buffer("permutation", before);
      layer->inverse_permutation = b.add_buffer("inverse_permutation", std::move(inverse));
    }
    const bool spline =
        options_.coupling_design == CouplingDesign::spline || (options_.coupling_design == CouplingDesign::interleaved && l % 2 == 1);
    const CouplingDesign design = spline ? CouplingDesign::spline : CouplingDesign::affine;
    const CouplingOptions& settings = spline && options_.spline_coupling ? *options_.spline_coupling : options_.coupling;
    // With one parameter there is no first half, and the second is transformed given the condition alone (O29).
    if (layer->first > 0) {
      layer->net1 = std::make_unique<Coupling>(design, settings, layer->first);
      layer->net1->build(b.scope("net1"), width - layer->first, seen);
    }
    layer->net2 = std::make_unique<Coupling>(design, settings, width - layer->first);
    layer->net2->build(b.scope("net2"), layer->first, seen);
    layers_.push_back(std::move(layer));
  }
  if (options_.use_act_norm && options_.act_norm_init) initialize_act_norm(builder.store());
}

void InvertibleNetwork::initialize_act_norm(nn::ParameterStore& store) {
  // Every coupling starts as the identity, so a layer maps data to their permuted, standardized selves: each layer is given
  // what really reaches it (O17), without conditions.
  const std::int64_t width = options_.num_params;
  std::vector<double> x(options_.act_norm_init->values().begin(), options_.act_norm_init->values().end());
  const std::size_t rows = x.size() / static_cast<std::size_t>(width);
  for (const auto& layer : layers_) {
    const std::span<float> scale = store.value(layer->scale), bias = store.value(layer->bias);
    for (std::int64_t j = 0; j < width; ++j) {
      double mean = 0, square = 0;
      const auto at = [&](std::size_t i) -> double& { return x[i * static_cast<std::size_t>(width) + static_cast<std::size_t>(j)]; };
      for (std::size_t i = 0; i < rows; ++i) mean += at(i) / static_cast<double>(rows);
      for (std::size_t i = 0; i < rows; ++i) square += (at(i) - mean) * (at(i) - mean) / static_cast<double>(rows);
      // A constant column has a variance of rounding errors.
      if (!(square > 1e-24 * mean * mean))
        throw ConfigurationError(fmt::format("act_norm_init: column {} does not vary, so it cannot be standardized", j));
      const double s = 1 / std::sqrt(square);
      scale[static_cast<std::size_t>(j)] = static_cast<float>(s);
      bias[static_cast<std::size_t>(j)] = static_cast<float>(-mean * s);
      for (std::size_t i = 0; i < rows; ++i) at(i) = (at(i) - mean) * s;
    }
    std::vector<double> row(static_cast<std::size_t>(width));
    for (std::size_t i = 0; i < rows; ++i) {
      double* at = x.data() + i * static_cast<std::size_t>(width);
      std::copy_n(at, width, row.begin());
      for (std::int64_t j = 0; j < width; ++j) {
        if (layer->permutation >= 0) {
          at[j] = row[static_cast<std::size_t>(layer->indices(layer->permutation)[j])];
        } else if (layer->orthogonal >= 0) {
          const std::span<float> w = store.value(layer->orthogonal);
          at[j] = 0;
          for (std::int64_t k = 0; k < width; ++k)
            at[j] += row[static_cast<std::size_t>(k)] * static_cast<double>(w[static_cast<std::size_t>(k * width + j)]);
        }
      }
    }
  }
}

void InvertibleNetwork::check_targets(const char* what, Tensor targets, Tensor condition) const {
  if (targets.rank() < 2 || targets.rank() > 3 || targets.cols() != options_.num_params)
    throw ShapeError(fmt::format("InvertibleNetwork: {} must have shape (batch, {}) or (batch, n, {}); got {}", what, options_.num_params,
                                 options_.num_params, targets.shape().to_string()));
  const std::int64_t got = condition ? condition.cols() : 0;
  if (got != condition_width_)
    throw ShapeError(fmt::format("InvertibleNetwork: was built for conditions of width {}; got {}", condition_width_,
                                 condition ? condition.shape().to_string() : "none"));
  if (condition && (condition.dim(0) != targets.dim(0) || condition.rank() > targets.rank() ||
                    (condition.rank() == 3 && condition.dim(1) != targets.dim(1))))
    throw ShapeError(fmt::format(
        "InvertibleNetwork: condition {} does not go with {} {}: the batch, and the observations of a condition per observation, "
        "must agree",
        condition.shape().to_string(), what, targets.shape().to_string()));
}

namespace {
/// The condition with the noise scale as one more column; without a condition the noise scale alone.
Tensor noise_condition(Tensor condition, Tensor level) {
  if (!condition) return level;
  const Tensor parts[] = {condition, level};
  return ops::concat(parts);
}
}  // namespace

ops::Transformed InvertibleNetwork::forward(Tape& tape, Tensor targets, Tensor condition) const {
  check_targets("targets", targets, condition);
  Tensor x = targets;
  if (options_.use_soft_flow) {
    Shape shape = condition && condition.rank() == 3 ? targets.shape() : Shape{targets.dim(0), 1};
    shape.set(-1, 1);
    Tensor level = tape.filled(shape, static_cast<float>(options_.soft_flow_low));
    if (tape.training()) {
      Rng& rng = tape.rng();
      Tensor noise = tape.filled(targets.shape(), 0);
      rng.fill_normal(std::span<float>(noise.data(), static_cast<std::size_t>(noise.size())));
      for (std::int64_t i = 0, n = level.size(); i < n; ++i) {
        level.data()[i] = static_cast<float>(rng.uniform(options_.soft_flow_low, options_.soft_flow_high));
        const std::int64_t each = targets.size() / level.size();
        for (std::int64_t k = 0; k < each; ++k) noise.data()[i * each + k] *= level.data()[i];
      }
      x = ops::add(x, noise);
    }
    condition = noise_condition(condition, level);
  }
  Tensor log_det;
  for (const auto& layer : layers_) {
    const ops::Transformed t = layer->forward(tape, x, condition);
    x = t.value;
    log_det = log_det ? ops::add(log_det, t.log_det) : t.log_det;
  }
  return {x, log_det};
}

Tensor InvertibleNetwork::inverse(Tape& tape, Tensor latent, Tensor condition) const {
  check_targets("latents", latent, condition);
  if (options_.use_soft_flow) {
    Shape shape = condition && condition.rank() == 3 ? latent.shape() : Shape{latent.dim(0), 1};
    shape.set(-1, 1);
    condition = noise_condition(condition, tape.filled(shape, static_cast<float>(options_.soft_flow_low)));
  }
  Tensor x = latent;
  for (auto layer = layers_.rbegin(); layer != layers_.rend(); ++layer) x = (*layer)->inverse(tape, x, condition);
  return x;
}

bool InvertibleNetwork::is_noisy_at_inference() const {
  const auto is_noisy = [](const CouplingOptions& o) { return o.mc_dropout && o.dropout_prob > 0; };
  return is_noisy(options_.coupling) || (options_.spline_coupling && is_noisy(*options_.spline_coupling));
}

/// Many rows are cut like the observations of a summary network. Few are not: the sub-networks s and t of affine couplings run side by side
/// over all of them, and their gradients need no reduction. A spline coupling has one network.
Plan InvertibleNetwork::plan(const Shape& targets) const {
  if (options_.coupling_design == CouplingDesign::spline) return networks::plan_of_flow(targets);
  const std::int64_t items = targets[0], each = rows_per_item(targets);
  return items * each > networks::kFewRows ? plan_rows(items, each) : Plan{.items = items};
}

std::string InvertibleNetwork::to_string() const {
  const char* design = options_.coupling_design == CouplingDesign::affine   ? "affine"
                       : options_.coupling_design == CouplingDesign::spline ? "spline"
                                                                            : "affine and spline";
  const char* permutation = options_.permutation == PermutationKind::fixed       ? ", fixed permutations"
                            : options_.permutation == PermutationKind::learnable ? ", learnable permutations"
                                                                                 : "";
  return fmt::format("coupling flow of {} parameters: {} {} layers, each with {} hidden layers of {} units, dropout {:.3g}{}{}",
                     options_.num_params, options_.num_coupling_layers, design, options_.coupling.num_dense, options_.coupling.dense.units,
                     options_.coupling.dropout_prob, options_.use_act_norm ? ", act norm" : "", permutation);
}

void InvertibleNetwork::update_state() {
  for (const auto& layer : layers_) {
    if (layer->net1) layer->net1->update_state();
    layer->net2->update_state();
  }
}

EnumNames<CouplingDesign> names_of(CouplingDesign) {
  return {{CouplingDesign::affine, "affine"}, {CouplingDesign::spline, "spline"}, {CouplingDesign::interleaved, "interleaved"}};
}
EnumNames<PermutationKind> names_of(PermutationKind) {
  return {{PermutationKind::fixed, "fixed"}, {PermutationKind::learnable, "learnable"}, {PermutationKind::none, "none"}};
}

}  // namespace bayesflow
