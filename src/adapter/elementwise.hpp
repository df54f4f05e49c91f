/// Steps that act on each column by itself.
#pragma once

#include <concepts>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "adapter/scalar_map.hpp"
#include "adapter/step.hpp"

namespace bayesflow::adapter {

template <class S>
concept Elementwise = std::same_as<S, Standardize> || std::same_as<S, Bounds> || std::same_as<S, Log> || std::same_as<S, Log1p> ||
    std::same_as<S, Sqrt> || std::same_as<S, Logit> || std::same_as<S, BoxCox>;

/// The map of each column that the step acts on, in the order of its columns. Bounds from other columns are not known yet: they are NaN.
template <Elementwise S>
std::vector<ScalarMap> maps_of(const S& step, std::int64_t width, const Place& at);

template <Elementwise S>
void validate(const S& step, const Place& at);
/// Fits what is not given to batches of simulations as they are before the step.
template <Elementwise S>
void fit(S& step, std::span<const Simulations> parts, std::int64_t width, const Place& at, std::vector<std::string>& notes);
template <Elementwise S>
void check_fitted(const S& step, std::int64_t width, const Place& at);
template <Elementwise S>
void forward(const S& step, std::int64_t width, Fields& fields, const Place& at);
template <Elementwise S>
void inverse(const S& step, std::int64_t width, Fields& fields, const Place& at);
/// Copies the fields that `inverse` reads and that are no targets.
template <Elementwise S>
void keep(const S& step, const Simulations& before, Simulations& kept, const Place& at);
/// Columns keep their names.
template <Elementwise S>
void rename(const S& /*step*/, std::map<std::string, std::vector<std::string>>& /*names*/) {}

}  // namespace bayesflow::adapter
