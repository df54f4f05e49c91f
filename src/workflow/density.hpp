/// Densities of the networks that a Posterior mixes, within the prior's bounds.
#pragma once

#include <cstdint>
#include <span>

#include "bayesflow/amortizers/amortized_posterior.hpp"
#include "bayesflow/core/array.hpp"
#include "bayesflow/data/simulations.hpp"
#include "bayesflow/workflow/plan.hpp"

namespace bayesflow::workflow {

/// Whether parameters lie within the plan's bounds.
[[nodiscard]] bool inside(const FitPlan& plan, const double* parameters);

/// Of one network, for each data set.
struct MemberDensity {
  Array log;    ///< log q of its parameters, without regard to bounds
  Array share;  ///< of its draws that lies within the bounds, at least that of one draw
};
/// `draws`: of each data set, to count the share by. They are the same for every network of the same weights.
[[nodiscard]] MemberDensity member_density(const AmortizedPosterior& member, const FitPlan& plan, const Simulations& given,
                                           std::int64_t draws);

/// log of sum_m q_m / sum_m share_m; -infinity outside of the bounds.
[[nodiscard]] Array log_mixture(std::span<const MemberDensity> members, const FitPlan& plan, const Array& parameters);

}  // namespace bayesflow::workflow
