/// Differentiable operations. Free functions on tensors of one tape; each throws ShapeError with what it got. A header a family.
#pragma once

#include "bayesflow/autodiff/ops/attention.hpp"    // IWYU pragma: export
#include "bayesflow/autodiff/ops/convolution.hpp"  // IWYU pragma: export
#include "bayesflow/autodiff/ops/dense.hpp"        // IWYU pragma: export
#include "bayesflow/autodiff/ops/density.hpp"      // IWYU pragma: export
#include "bayesflow/autodiff/ops/elementwise.hpp"  // IWYU pragma: export
#include "bayesflow/autodiff/ops/flow.hpp"         // IWYU pragma: export
#include "bayesflow/autodiff/ops/recurrent.hpp"    // IWYU pragma: export
#include "bayesflow/autodiff/ops/reduce.hpp"       // IWYU pragma: export
#include "bayesflow/autodiff/ops/shape.hpp"        // IWYU pragma: export
