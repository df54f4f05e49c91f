/// Steps that act on several columns together.
#pragma once

#include <concepts>
#include <span>
#include <string>
#include <vector>

#include "adapter/step.hpp"

namespace bayesflow::adapter {

template <class S>
concept OfVectors =
    std::same_as<S, Simplex> || std::same_as<S, Ordered> || std::same_as<S, PositiveDefinite> || std::same_as<S, Correlation>;

template <OfVectors S>
void validate(const S& /*step*/, const Place& /*at*/) {}
template <OfVectors S>
void check_fitted(const S& step, std::int64_t width, const Place& at);
template <OfVectors S>
void fit(S& step, std::span<const Simulations> /*parts*/, std::int64_t width, const Place& at, std::vector<std::string>& /*notes*/) {
  check_fitted(step, width, at);
}
template <OfVectors S>
void forward(const S& step, std::int64_t width, Fields& fields, const Place& at);
template <OfVectors S>
void inverse(const S& step, std::int64_t width, Fields& fields, const Place& at);
template <OfVectors S>
void keep(const S& /*step*/, const Simulations& /*before*/, Simulations& /*kept*/, const Place& /*at*/) {}
/// Names of columns behind the step.
template <OfVectors S>
void rename(const S& step, std::map<std::string, std::vector<std::string>>& names);

}  // namespace bayesflow::adapter
