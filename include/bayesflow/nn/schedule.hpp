/// Learning rate as a function of the step.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

namespace bayesflow::nn {

/// step (from 0) -> learning rate. Any callable will do; these are the usual ones. Each throws ConfigurationError on a rate that
/// is not positive.
using Schedule = std::function<double(std::int64_t step)>;
/// The same rate at every step.
[[nodiscard]] Schedule constant(double rate);
/// rate/2 (1 + cos(pi min(t, T)/T)): from `rate` to 0 in `steps` (Loshchilov and Hutter 2017), v1's default.
[[nodiscard]] Schedule cosine(double rate, std::int64_t steps);
/// rate * factor^(t / steps)
[[nodiscard]] Schedule exponential(double rate, double factor, std::int64_t steps);
/// rates[i] from boundaries[i - 1] (included) to boundaries[i]; one more rate than boundaries.
[[nodiscard]] Schedule piecewise(std::vector<std::int64_t> boundaries, std::vector<double> rates);

}  // namespace bayesflow::nn
