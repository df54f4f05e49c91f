/// Derivatives of networks with respect to their parameters, checked against finite differences.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "bayesflow/autodiff/gradient_check.hpp"
#include "bayesflow/nn/parameters.hpp"

namespace bayesflow::nn {

/// As bayesflow::check_gradient, with respect to the inputs and to every parameter of the store. Freshly built networks often
/// hold zeros that hide errors: see `randomize`. Parameters are put back as they were.
GradientCheck check_gradient(ParameterStore& store, const std::function<std::vector<Tensor>(Tape&, std::span<const Tensor>)>& f,
                             const std::vector<Array>& inputs, const GradientCheckOptions& options = {});

/// Adds scale * N(0, 1) / sqrt(rows) to matrices and scale * N(0, 1) to all other parameters.
void randomize(ParameterStore& store, std::uint64_t seed, double scale = 0.5);

}  // namespace bayesflow::nn
