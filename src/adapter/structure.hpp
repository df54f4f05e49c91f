/// Steps that make, move or shape fields.
#pragma once

#include <concepts>
#include <map>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "adapter/step.hpp"

namespace bayesflow::adapter {

template <class S>
concept Structural = std::same_as<S, OneHot> || std::same_as<S, Broadcast> || std::same_as<S, Join> || std::same_as<S, Split> ||
    std::same_as<S, Drop> || std::same_as<S, Rename> || std::same_as<S, Flatten> || std::same_as<S, AsSet> || std::same_as<S, AsSeries> ||
    std::same_as<S, FillMissing>;

template <Structural S>
void validate(const S& step, const Place& at);
template <Structural S>
void check_fitted(const S& step, std::int64_t width, const Place& at);
template <Structural S>
void fit(S& step, std::span<const Simulations> parts, std::int64_t width, const Place& at, std::vector<std::string>& notes);
template <Structural S>
void forward(const S& step, std::int64_t width, Fields& fields, const Place& at);
template <Structural S>
void inverse(const S& step, std::int64_t width, Fields& fields, const Place& at);
template <Structural S>
void keep(const S& /*step*/, const Simulations& /*before*/, Simulations& /*kept*/, const Place& /*at*/) {}
template <Structural S>
void rename(const S& step, std::map<std::string, std::vector<std::string>>& names);

/// The fields, in order, of which a field behind a step is made: itself, unless the step joins or renames.
template <class S>
std::vector<std::string> origins(const S& step, const std::string& field) {
  if constexpr (std::same_as<S, Join>) {
    if (field == step.field) return step.fields;
  } else if constexpr (std::same_as<S, Rename> || std::same_as<S, Split>) {
    if (field == step.to) return {step.field};
  }
  return {field};
}

}  // namespace bayesflow::adapter
