#include "workflow/density.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace bayesflow::workflow {

bool inside(const FitPlan& plan, const double* parameters) {
  for (std::size_t i = 0; i < plan.lower.size(); ++i) {
    if (plan.lower[i] && !(parameters[i] >= *plan.lower[i])) return false;
    if (plan.upper[i] && !(parameters[i] <= *plan.upper[i])) return false;
  }
  return true;
}

MemberDensity member_density(const AmortizedPosterior& member, const FitPlan& plan, const Simulations& given, std::int64_t draws) {
  std::vector<Foreign> ignored;
  const std::int64_t batch = given.sim_data.dim(0), width = given.prior_draws.dim(1);
  MemberDensity out{member.log_posterior(given, &ignored), Array({batch}, 1.0)};
  const auto has_value = [](const auto& bound) { return bound.has_value(); };
  if (std::ranges::none_of(plan.lower, has_value) && std::ranges::none_of(plan.upper, has_value)) return out;
  // In blocks, so that memory does not grow with the data sets.
  constexpr std::int64_t kBlock = 64;
  for (std::int64_t first = 0; first < batch; first += kBlock) {
    const std::int64_t last = std::min(batch, first + kBlock);
    Simulations block;
    block.sim_data = given.sim_data.slice(first, last);
    const Array drawn = member.sample(block, draws, {.seed = Rng(0, "acceptance").bits(), .foreign = &ignored});
    for (std::int64_t i = first; i < last; ++i) {
      std::int64_t count = 0;
      for (std::int64_t s = 0; s < draws; ++s) count += inside(plan, drawn.data() + ((i - first) * draws + s) * width);
      out.share.data()[i] = std::max(1.0, static_cast<double>(count)) / static_cast<double>(draws);
    }
  }
  return out;
}

Array log_mixture(std::span<const MemberDensity> members, const FitPlan& plan, const Array& parameters) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  Array out({parameters.dim(0)}, -kInfinity);
  for (std::int64_t i = 0; i < out.size(); ++i) {
    if (!inside(plan, parameters.data() + i * parameters.dim(1))) continue;
    double most = -kInfinity, sum = 0, share = 0;
    for (const MemberDensity& m : members) {
      most = std::max(most, m.log.data()[i]);
      share += m.share.data()[i];
    }
    if (!std::isfinite(most)) continue;
    for (const MemberDensity& m : members) sum += std::exp(m.log.data()[i] - most);
    out.data()[i] = most + std::log(sum) - std::log(share);
  }
  return out;
}

}  // namespace bayesflow::workflow
