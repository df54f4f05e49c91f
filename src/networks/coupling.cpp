#include "bayesflow/networks/coupling.hpp"

namespace bayesflow {

CouplingNet::CouplingNet(const CouplingOptions& options, std::int64_t outputs) : options_(options), outputs_(outputs) {
  for (std::int64_t i = 0; i < options.num_dense; ++i) layers_.emplace_back(options.dense, options.spec_norm);
  const DenseOptions zero{.units = outputs, .activation = Activation::identity, .kernel_initializer = nn::Initializer::zeros};
  if (options.residual) {
    DenseOptions body = options.dense;
    body.units = outputs;
    layers_.emplace_back(body);
    residual_output_ = nn::Dense(zero);
  } else {
    layers_.emplace_back(zero);
  }
}

void CouplingNet::build(const nn::Builder& builder, std::int64_t target_width, std::int64_t condition_width) {
  std::int64_t width = target_width + condition_width;
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    layers_[i].build(builder.scope(std::to_string(i)), width);
    width = layers_[i].units();
  }
  if (!options_.residual) return;
  // v1 adds the target itself, which only fits if the widths agree (O16): otherwise it is projected.
  has_skip_ = target_width != outputs_;
  if (has_skip_) {
    skip_ = nn::Dense({.units = outputs_, .activation = Activation::identity});
    skip_.build(builder.scope("skip"), target_width);
  }
  residual_output_.build(builder.scope("residual_output"), outputs_);
}

Tensor CouplingNet::operator()(Tape& tape, Tensor target, Tensor condition) const {
  constexpr std::size_t kChain = 8;
  const bool dropout = options_.dropout_prob > 0 && (options_.mc_dropout || tape.training());
  const auto p = static_cast<float>(options_.dropout_prob);
  const auto hidden = static_cast<std::size_t>(options_.num_dense);
  Tensor h = target;
  for (std::size_t first = 0; first < layers_.size();) {
    ops::Layer chain[kChain];
    std::size_t n = 0;
    for (; first + n < layers_.size() && n < (dropout ? 1 : kChain); ++n) chain[n] = layers_[first + n].layer(tape);
    h = ops::dense_chain(std::span<const ops::Layer>(chain, n), h, first == 0 ? condition : Tensor());
    if (dropout && first < hidden) h = ops::dropout(h, p);
    first += n;
  }
  if (!options_.residual) return h;
  return residual_output_(tape, ops::add(h, has_skip_ ? skip_(tape, target) : target));
}

void CouplingNet::update_state() {
  for (nn::Dense& layer : layers_) layer.update_state();
}

Coupling::Coupling(CouplingDesign design, const CouplingOptions& options, std::int64_t width) : design_(design), options_(options) {
  if (design == CouplingDesign::affine) {
    nets_.emplace_back(options, width);
    nets_.emplace_back(options, width);
  } else {
    // The spline's numbers, then the scale's and the shift's.
    nets_.emplace_back(options, width * (3 * options.spline.bins + (options.location_scale ? 3 : 1)));
  }
}

void Coupling::build(const nn::Builder& builder, std::int64_t conditioner_width, std::int64_t condition_width) {
  const bool affine = design_ == CouplingDesign::affine;
  for (std::size_t i = 0; i < nets_.size(); ++i)
    nets_[i].build(builder.scope(affine ? (i ? "t" : "s") : "spline"), conditioner_width, condition_width);
}

void Coupling::parameters(Tape& tape, Tensor conditioner, Tensor condition, std::span<Tensor> out) const {
  const Tensor inputs[] = {conditioner, condition};
  tape.fork(inputs, out,
            [this](std::int64_t i, Tape& t, std::span<const Tensor> x) { return nets_[static_cast<std::size_t>(i)](t, x[0], x[1]); });
}

Coupling::SplineParts Coupling::spline_parts(Tape& tape, std::int64_t width, Tensor conditioner, Tensor condition) const {
  const Tensor raw = nets_[0](tape, conditioner, condition);
  if (!options_.location_scale) return {raw, {}, {}};
  const std::int64_t all = raw.cols(), first = all - 2 * width;
  return {ops::columns(raw, 0, first), ops::scale(ops::columns(raw, first, first + width), static_cast<float>(options_.scale_gain)),
          ops::columns(raw, first + width, all)};
}

ops::Transformed Coupling::forward(Tape& tape, Tensor u, Tensor conditioner, Tensor condition) const {
  const auto clamp = static_cast<float>(options_.soft_clamping);
  if (design_ == CouplingDesign::spline) {
    const SplineParts raw = spline_parts(tape, u.cols(), conditioner, condition);
    if (!raw.scale) return ops::spline_coupling(u, raw.spline, options_.spline);
    const ops::Transformed placed = ops::affine_coupling(u, raw.scale, raw.shift, clamp);
    const ops::Transformed out = ops::spline_coupling(placed.value, raw.spline, options_.spline);
    return {out.value, ops::add(placed.log_det, out.log_det)};
  }
  Tensor st[2];
  parameters(tape, conditioner, condition, st);
  return ops::affine_coupling(u, st[0], st[1], clamp);
}

Tensor Coupling::inverse(Tape& tape, Tensor v, Tensor conditioner, Tensor condition) const {
  const auto clamp = static_cast<float>(options_.soft_clamping);
  if (design_ == CouplingDesign::spline) {
    const SplineParts raw = spline_parts(tape, v.cols(), conditioner, condition);
    const Tensor u = ops::spline_coupling_inverse(v, raw.spline, options_.spline);
    return raw.scale ? ops::affine_coupling_inverse(u, raw.scale, raw.shift, clamp) : u;
  }
  Tensor st[2];
  parameters(tape, conditioner, condition, st);
  return ops::affine_coupling_inverse(v, st[0], st[1], clamp);
}

void Coupling::update_state() {
  for (CouplingNet& net : nets_) net.update_state();
}

}  // namespace bayesflow
