/// The library's kinds of amortizers by name. A new one is a line in a list.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "bayesflow/amortizers/amortized_likelihood.hpp"
#include "bayesflow/amortizers/amortized_model_comparison.hpp"
#include "bayesflow/amortizers/amortized_point_estimator.hpp"
#include "bayesflow/amortizers/amortized_posterior.hpp"
#include "bayesflow/amortizers/amortized_posterior_likelihood.hpp"
#include "bayesflow/amortizers/ensemble.hpp"
#include "bayesflow/amortizers/two_level_posterior.hpp"

namespace bayesflow {

/// Makes an amortizer whose kind is known at run time only; handles of a class are made of it.
struct AmortizerAccess {
  static Amortizer make(const AmortizerKind& kind, std::shared_ptr<InferenceNetwork> inference, std::shared_ptr<SummaryNetwork> summary,
                        AmortizerOptions options) {
    return {kind, std::move(inference), std::move(summary), std::move(options)};
  }
  template <class Group>
  static std::shared_ptr<Group> make_group(std::vector<AmortizerGroup::Part> parts) {
    return std::shared_ptr<Group>(new Group(AmortizerGroup(Group::kClass, std::move(parts))));
  }
  /// The rows of the store's table that are its own, and how many letters of their names tell its place there.
  struct Own {
    std::span<const nn::ParameterInfo> parameters;
    std::int64_t first;  ///< number of the first
    std::span<nn::Buffer> buffers;
    std::size_t place;
  };
  static Own own(const Amortizer& of);
  static Array log_density(const Amortizer& of, const Batch& batch, std::vector<Foreign>* foreign) {
    return of.log_density(batch, foreign);
  }
  static Array draws(const Amortizer& of, const Batch& batch, std::int64_t count, const SampleOptions& options) {
    return of.draws(batch, count, options);
  }
  /// Threads of later calls, of all handles. Not while another thread calls.
  static void set_threads(const Amortizer& of, int threads);
  static Array outputs(const Amortizer& of, const Batch& batch, const SampleOptions& options) {
    return of.outputs("outputs", batch, options);
  }
};

namespace detail {

/// Calls f.operator()<A>() for every class of amortizers. A new one is a line here.
template <class F>
void for_each_kind(F&& f) {
  f.template operator()<AmortizedPosterior>();
  f.template operator()<AmortizedLikelihood>();
  f.template operator()<AmortizedModelComparison>();
  f.template operator()<AmortizedPointEstimator>();
}

inline const AmortizerKind& kind_named(const std::string& name, const AmortizerKind* own) {
  if (own && name == own->name) return *own;
  const AmortizerKind* found = nullptr;
  for_each_kind([&]<class A>() {
    if (name == A::kKind.name) found = &A::kKind;
  });
  if (found) return *found;
  throw std::runtime_error(fmt::format("it is an \"{}\", which this library does not know", name));
}

/// The amortizer as an object of its own class, which has functions of its own.
inline std::shared_ptr<AmortizerBase> in_own_class(const Amortizer& amortizer) {
  std::shared_ptr<AmortizerBase> out;
  for_each_kind([&]<class A>() {
    if (&amortizer.kind() == &A::kKind) out = std::make_shared<A>(amortizer);
  });
  return out ? out : std::make_shared<Amortizer>(amortizer);
}

/// Calls f.operator()<G>() for every class of groups. A new one is a line here.
template <class F>
void for_each_group(F&& f) {
  f.template operator()<AmortizedPosteriorLikelihood>();
  f.template operator()<TwoLevelAmortizedPosterior>();
  f.template operator()<EnsembleBase>();
}

/// A group of the library's of this name; its parts are checked.
inline std::shared_ptr<AmortizerGroup> group_named(const std::string& name, std::vector<AmortizerGroup::Part> parts) {
  std::shared_ptr<AmortizerGroup> out;
  for_each_group([&]<class G>() {
    if (name == G::kClass) out = AmortizerAccess::make_group<G>(std::move(parts));
  });
  if (out) return out;
  throw std::runtime_error(fmt::format("it is an \"{}\", which this library does not know", name));
}

}  // namespace detail
}  // namespace bayesflow
