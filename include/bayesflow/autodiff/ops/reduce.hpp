/// Sums, means and maxima.
#pragma once

#include "bayesflow/autodiff/tape.hpp"
#include "bayesflow/autodiff/tensor.hpp"

namespace bayesflow::ops {

Tensor mean_pool(Tensor x);       ///< mean over axis -2: (..., N, d) -> (..., d)
Tensor max_pool(Tensor x);        ///< maximum over axis -2; the gradient goes to the first largest
Tensor sum_pool(Tensor x);        ///< sum over axis -2
Tensor sum_columns(Tensor x);     ///< sum over the last axis: (..., d) -> (...)
Tensor mean(Tensor x);            ///< of all elements: one element
Tensor sum(Tensor x);             ///< of all elements: one element
Tensor sum(Tensor x, int axis);   ///< over one axis, which goes
Tensor mean(Tensor x, int axis);  ///< over one axis, which goes

// Sets of which some observations are absent: `mask` (..., N) is 0 there. What x holds there changes nothing. An empty set gives 0.
Tensor mean_pool(Tensor x, Tensor mask);
Tensor max_pool(Tensor x, Tensor mask);
Tensor sum_pool(Tensor x, Tensor mask);

}  // namespace bayesflow::ops
