/// Sums, means and maxima.
#pragma once

#include <cstdint>

#include "bayesflow/autodiff/tape.hpp"
#include "bayesflow/autodiff/tensor.hpp"

namespace bayesflow::ops {
/// The length of a vector.
enum class Norm : std::uint8_t {
  one,  ///< sum of |x_i|
  two,  ///< square root of the sum of x_i^2
  max,  ///< largest |x_i|
};
/// Of the last axis: (..., d) -> (...). Where a norm has a kink, at 0, its derivative is taken to be 0; of several largest numbers the
/// first has the gradient.
Tensor norm(Tensor x, Norm kind);

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
