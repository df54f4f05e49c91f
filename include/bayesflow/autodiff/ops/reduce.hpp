/// Sums, means and maxima.
#pragma once

#include "bayesflow/autodiff/tape.hpp"
#include "bayesflow/autodiff/tensor.hpp"

namespace bayesflow::ops {

Tensor mean_pool(Tensor x);  ///< mean over axis -2: (..., N, d) -> (..., d)
Tensor max_pool(Tensor x);   ///< maximum over axis -2; the gradient goes to the first largest
Tensor sum_pool(Tensor x);   ///< sum over axis -2
Tensor sum_columns(Tensor x);  ///< sum over the last axis: (..., d) -> (...)
Tensor mean(Tensor x);       ///< of all elements: one element
Tensor sum(Tensor x);        ///< of all elements: one element

}  // namespace bayesflow::ops
