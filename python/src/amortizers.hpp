/// Amortizers whose class is known at run time only.
#pragma once

#include <string_view>
#include <utility>

#include "bayesflow/amortizers/amortized_likelihood.hpp"
#include "bayesflow/amortizers/amortized_model_comparison.hpp"
#include "bayesflow/amortizers/amortized_point_estimator.hpp"
#include "bayesflow/amortizers/amortized_posterior.hpp"
#include "bayesflow/amortizers/amortized_posterior_likelihood.hpp"
#include "bayesflow/amortizers/ensemble.hpp"
#include "bayesflow/amortizers/two_level_posterior.hpp"

namespace bayesflow::python {

/// f of the amortizer as an object of its own class.
template <class F>
auto in_own_class(const AmortizerBase& amortizer, F&& f) {
  if (const auto* two_level = dynamic_cast<const TwoLevelAmortizedPosterior*>(&amortizer)) return f(*two_level);
  if (const auto* group = dynamic_cast<const AmortizerGroup*>(&amortizer)) {
    if (std::string_view(group->class_name()) != EnsembleBase::kClass) return f(AmortizedPosteriorLikelihood(*group));
    const std::string_view members = group->parts()[0].amortizer->class_name();
    if (members == AmortizedLikelihood::kKind.name) return f(Ensemble<AmortizedLikelihood>(*group));
    if (members == AmortizedModelComparison::kKind.name) return f(Ensemble<AmortizedModelComparison>(*group));
    if (members == AmortizedPointEstimator::kKind.name) return f(Ensemble<AmortizedPointEstimator>(*group));
    if (members == AmortizedPosteriorLikelihood::kClass) return f(Ensemble<AmortizedPosteriorLikelihood>(*group));
    if (members == TwoLevelAmortizedPosterior::kClass) return f(Ensemble<TwoLevelAmortizedPosterior>(*group));
    return f(Ensemble<AmortizedPosterior>(*group));
  }
  const auto& single = dynamic_cast<const Amortizer&>(amortizer);
  if (&single.kind() == &AmortizedLikelihood::kKind) return f(AmortizedLikelihood(single));
  if (&single.kind() == &AmortizedModelComparison::kKind) return f(AmortizedModelComparison(single));
  if (&single.kind() == &AmortizedPointEstimator::kKind) return f(AmortizedPointEstimator(single));
  return f(AmortizedPosterior(single));
}

}  // namespace bayesflow::python
