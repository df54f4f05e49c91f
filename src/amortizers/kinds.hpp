/// The library's kinds of amortizers by name. A new one is a line in the list.
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <utility>

#include "bayesflow/amortizers/amortized_likelihood.hpp"
#include "bayesflow/amortizers/amortized_model_comparison.hpp"
#include "bayesflow/amortizers/amortized_point_estimator.hpp"
#include "bayesflow/amortizers/amortized_posterior.hpp"

namespace bayesflow {

/// Makes an amortizer whose kind is known at run time only; handles of a class are made of it.
struct AmortizerAccess {
  static Amortizer make(const AmortizerKind& kind, std::shared_ptr<InferenceNetwork> inference, std::shared_ptr<SummaryNetwork> summary,
                        AmortizerOptions options) {
    return {kind, std::move(inference), std::move(summary), std::move(options)};
  }
  static Array log_density(const Amortizer& of, const Batch& batch, std::vector<Foreign>* foreign) {
    return of.log_density(batch, foreign);
  }
  static Array draws(const Amortizer& of, const Batch& batch, std::int64_t count, const SampleOptions& options) {
    return of.draws(batch, count, options);
  }
  static Array outputs(const Amortizer& of, const Batch& batch, const SampleOptions& options) {
    return of.outputs("outputs", batch, options);
  }
};

namespace detail {

inline const AmortizerKind& kind_named(const std::string& name, const AmortizerKind* own) {
  if (own && name == own->name) return *own;
  for (const AmortizerKind* kind :
       {&AmortizedPosterior::kKind, &AmortizedLikelihood::kKind, &AmortizedModelComparison::kKind, &AmortizedPointEstimator::kKind})
    if (name == kind->name) return *kind;
  throw std::runtime_error(fmt::format("it is an \"{}\", which this library does not know", name));
}

}  // namespace detail
}  // namespace bayesflow
