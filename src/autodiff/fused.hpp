/// What fused operations know of each other beyond values and gradients.
#pragma once

#include "bayesflow/autodiff/tape.hpp"

namespace bayesflow::detail {

/// Every node that a tape makes.
struct FusedNode : Node {
  bool relu = false;         // made by a relu: where the value is not positive, the gradient does not matter
  bool grad_masked = false;  // and is 0 there, as every contribution saw to it
};
inline FusedNode& fused(Tensor x) { return static_cast<FusedNode&>(*x.node()); }

/// For an op that leaves the gradient 0 where the value of `x` is not positive if x was made by a relu (`fused(x).relu`), the sum with what
/// came before included. The relu's derivative is then done; a pass over the gradient is saved.
GradSink masked_grad_sink(Tensor x);

}  // namespace bayesflow::detail
