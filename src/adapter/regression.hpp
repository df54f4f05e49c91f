/// The step that takes from parameters what a linear regression on the data tells of them.
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "adapter/step.hpp"

namespace bayesflow::adapter {

void validate(const Regress& step, const Place& at);
void check_fitted(const Regress& step, std::int64_t width, const Place& at);
void fit(Regress& step, std::span<const Simulations> parts, std::int64_t width, const Place& at, std::vector<std::string>& notes);
void forward(const Regress& step, std::int64_t width, Fields& fields, const Place& at);
void inverse(const Regress& step, std::int64_t width, Fields& fields, const Place& at);
/// Copies the data.
void keep(const Regress& step, const Simulations& before, Simulations& kept, const Place& at);
void rename(const Regress& step, std::map<std::string, std::vector<std::string>>& names);

}  // namespace bayesflow::adapter
