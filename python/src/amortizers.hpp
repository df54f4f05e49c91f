/// Amortizers whose class is known at run time only.
#pragma once

#include <utility>

#include "bayesflow/amortizers/amortized_likelihood.hpp"
#include "bayesflow/amortizers/amortized_posterior.hpp"

namespace bayesflow::python {

/// f of the amortizer as an object of its own class.
template <class F>
auto in_own_class(const Amortizer& amortizer, F&& f) {
  if (&amortizer.kind() == &AmortizedLikelihood::kKind) return f(AmortizedLikelihood(amortizer));
  return f(AmortizedPosterior(amortizer));
}

}  // namespace bayesflow::python
