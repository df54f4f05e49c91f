#include "bayesflow/nn/gradient_check.hpp"

#include <algorithm>
#include <cmath>

namespace bayesflow::nn {

GradientCheck check_gradient(ParameterStore& store, const std::function<std::vector<Tensor>(Tape&, std::span<const Tensor>)>& f,
                             const std::vector<Array>& inputs, const GradientCheckOptions& options) {
  GradientBuffers buffers(store);
  std::vector<std::vector<float>> values;
  for (const Array& x : inputs) {
    std::vector<float>& to = values.emplace_back();
    for (const double v : x.values()) to.push_back(static_cast<float>(v));
  }
  Tape tape;
  std::vector<Tensor> tensors;
  const auto run = [&](bool gradients, std::vector<double>& terms) {
    tape.reset({.gradients = gradients, .training = options.training, .seed = options.seed, .lanes = &buffers, .pool = options.pool});
    tensors.clear();
    for (std::size_t i = 0; i < inputs.size(); ++i) tensors.push_back(tape.input(inputs[i].shape(), values[i].data(), true));
    bayesflow::detail::contract(tape, f(tape, tensors), options.seed, gradients, terms);
  };
  std::vector<double> start;
  run(true, start);
  std::vector<bayesflow::detail::Varied> varied;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    std::vector<float> gradient(values[i].size(), 0.0f);
    if (const float* g = tensors[i].grad()) std::copy_n(g, gradient.size(), gradient.begin());
    varied.push_back({"input " + std::to_string(i), inputs[i].shape(), values[i], std::move(gradient)});
  }
  for (std::size_t p = 0; p < store.table().size(); ++p) {
    const ParameterInfo& info = store.table()[p];
    const std::span<float> at = store.value(static_cast<int>(p));
    std::vector<float> gradient(at.size(), 0.0f);
    buffers.add_up(static_cast<std::int64_t>(p), info.offset, gradient);
    varied.push_back({info.name, info.shape, at, std::move(gradient)});
  }
  return bayesflow::detail::compare_gradients([&](std::vector<double>& terms) { run(false, terms); }, varied, options);
}

void randomize(ParameterStore& store, std::uint64_t seed, double scale) {
  for (std::size_t p = 0; p < store.table().size(); ++p) {
    const ParameterInfo& info = store.table()[p];
    Rng rng(seed, "randomize " + info.name);
    const double spread = info.shape.rank() == 2 ? scale / std::sqrt(static_cast<double>(std::max<std::int64_t>(info.shape[0], 1))) : scale;
    for (float& v : store.value(static_cast<int>(p))) v += static_cast<float>(rng.normal(0.0, spread));
  }
}

}  // namespace bayesflow::nn
